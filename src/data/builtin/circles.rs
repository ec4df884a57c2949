//! Two concentric circles in the plane.

use super::arc;
use super::draw::{names, normal, rows};
use super::{Builtin, Parameter, Parameters};
use crate::data::{Error, Table};
use rand::RngExt;
use std::f64::consts::PI;

pub(super) static SET: Builtin = Builtin {
    name: "circles",
    summary: "two circles about the origin, radius 1 and 1/2, each for half the rows, + noise",
    licence: None,
    parameters: &[Parameter::rows(20_000, u32::MAX as u64), Parameter::noise(0.08), Parameter::seed()],
    dimension: |_| 2,
    intrinsic: |_| Some(1),
    entropy: |p| circles_entropy(p.real("noise")),
    make,
};

const RADII: [f64; 2] = [1.0, 0.5];

fn make(parameters: &Parameters) -> Result<Table, Error> {
    let noise = parameters.real("noise");
    rows("circles", parameters.count("n"), parameters.seed(), &names(&["x", "y"]), |generator, row| {
        let (outer, angle) = (generator.random::<bool>(), 2.0 * PI * generator.random::<f64>());
        let radius = RADII[usize::from(!outer)];
        row[0] = radius * angle.cos() + noise * normal(generator);
        row[1] = radius * angle.sin() + noise * normal(generator);
    })
}

/// Log-density in nats of the two circles with isotropic noise, by quadrature over the angle.
/// Returns NaN unless `noise` is positive and all numbers are finite.
///
/// ```
/// use eigenflow::data::builtin::circles_log_density;
/// // At the centre each circle gives exp(-R²/2σ²) / 2πσ².
/// let each = |r: f64| (-r * r / 0.18).exp() / (2.0 * std::f64::consts::PI * 0.09);
/// assert!((circles_log_density([0.0, 0.0], 0.3) - (0.5 * each(1.0) + 0.5 * each(0.5)).ln()).abs() < 1e-12);
/// ```
pub fn circles_log_density([x, y]: [f64; 2], noise: f64) -> f64 {
    if !(noise > 0.0 && [x, y, noise].iter().all(|v| v.is_finite())) {
        return f64::NAN;
    }
    // A circle of radius R is the unit circle in units of R.
    let circle =
        |r: f64| arc::log_density((x / r, y / r), noise / r, (0.0, 2.0 * PI), |_| 0.25 / PI) - 2.0 * r.ln();
    arc::log_add(circle(RADII[0]), circle(RADII[1]))
}

/// Entropy in nats of the two circles with isotropic noise, by quadrature on a grid. `None` for noise below 0.01, where
/// the grid would be large.
pub fn circles_entropy(noise: f64) -> Option<f64> {
    let density = |x, y| circles_log_density([x, y], noise);
    arc::entropy_is_cheap(noise).then(|| arc::entropy(density, noise, [(-1.0, 1.0), (-1.0, 1.0)], 2.0))
}
