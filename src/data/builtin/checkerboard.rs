//! The checkerboard: eight unit squares of a board of sixteen.

use super::arc;
use super::draw::{names, normal, rows};
use super::interval;
use super::{Builtin, Parameter, Parameters};
use crate::data::{Error, Table};
use rand::RngExt;

pub(super) static SET: Builtin = Builtin {
    name: "checkerboard",
    summary: "uniform on the eight unit squares of one colour of a 4 x 4 board about the origin, + noise",
    licence: None,
    parameters: &[Parameter::rows(20_000, u32::MAX as u64), Parameter::noise(0.1), Parameter::seed()],
    dimension: |_| 2,
    intrinsic: |_| Some(2),
    entropy: |p| checkerboard_entropy(p.real("noise")),
    make,
};

/// Squares along a side.
const SIDE: u32 = 4;

fn make(parameters: &Parameters) -> Result<Table, Error> {
    let noise = parameters.real("noise");
    rows("checkerboard", parameters.count("n"), parameters.seed(), &names(&["x", "y"]), |generator, row| {
        let (i, half) = (generator.random_range(0..SIDE), generator.random_range(0..SIDE / 2));
        let corner = [i, 2 * half + i % 2];
        for (v, c) in row.iter_mut().zip(corner) {
            let inside: f64 = generator.random();
            *v = f64::from(c) - f64::from(SIDE / 2) + inside + noise * normal(generator);
        }
    })
}

/// Log-density in nats of the checkerboard with isotropic noise: the mean over its squares of products of two differences
/// of normal distribution functions. Without noise `-ln 8` on the squares and minus infinity beside them.
/// Returns NaN where `noise` is negative or a number is not finite.
///
/// ```
/// use eigenflow::data::builtin::checkerboard_log_density;
/// let inside = -8.0_f64.ln();
/// assert_eq!(checkerboard_log_density([0.5, 0.5], 0.0), inside);
/// assert_eq!(checkerboard_log_density([0.5, -0.5], 0.0), f64::NEG_INFINITY);
/// assert!((checkerboard_log_density([0.5, 0.5], 0.02) - inside).abs() < 1e-12);
/// // On the edge of the board half of the square's mass is missing.
/// assert!((checkerboard_log_density([2.0, 1.5], 0.02) - inside - 0.5_f64.ln()).abs() < 1e-12);
/// ```
pub fn checkerboard_log_density([x, y]: [f64; 2], noise: f64) -> f64 {
    if !(noise >= 0.0 && [x, y, noise].iter().all(|v| v.is_finite())) {
        return f64::NAN;
    }
    let corner = |k: u32| f64::from(k) - f64::from(SIDE / 2);
    if noise == 0.0 {
        let square = |v: f64| (0..SIDE).find(|&k| (corner(k)..corner(k) + 1.0).contains(&v));
        let inside = matches!((square(x), square(y)), (Some(i), Some(j)) if (i + j).is_multiple_of(2));
        return if inside { -8.0_f64.ln() } else { f64::NEG_INFINITY };
    }
    let column = |v: f64| (0..SIDE).map(move |k| interval::log_density(v - corner(k), 1.0, noise));
    let rows: Vec<f64> = column(y).collect();
    let of_column = |i: usize| (0..SIDE as usize).filter(move |j| (i + j).is_multiple_of(2));
    let terms = column(x).enumerate().flat_map(|(i, across)| of_column(i).map(move |j| (across, j)));
    terms.map(|(across, j)| across + rows[j]).fold(f64::NEG_INFINITY, arc::log_add) - 8.0_f64.ln()
}

/// Entropy in nats of the checkerboard: `ln 8` without noise, by quadrature on a grid with it. `None` for noise between 0
/// and 0.01, where the grid would be large.
pub fn checkerboard_entropy(noise: f64) -> Option<f64> {
    if noise == 0.0 {
        return Some(8.0_f64.ln());
    }
    let density = |x, y| checkerboard_log_density([x, y], noise);
    let side = (-f64::from(SIDE / 2), f64::from(SIDE / 2));
    arc::entropy_is_cheap(noise).then(|| arc::entropy(density, noise, [side, side], 2.0))
}
