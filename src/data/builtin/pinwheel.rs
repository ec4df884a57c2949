//! The pinwheel: five blades, bent.

use super::arc;
use super::draw::{names, normal, rows};
use super::{Builtin, Parameter, Parameters};
use crate::data::{Error, Table};
use rand::RngExt;
use std::f64::consts::PI;

pub(super) static SET: Builtin = Builtin {
    name: "pinwheel",
    summary: "five blades: normal about radius 1, deviation 0.3 along and `noise` across, turned by 0.25 exp(r) at radius r",
    licence: None,
    parameters: &[
        Parameter::rows(20_000, u32::MAX as u64),
        Parameter { meaning: "standard deviation across a blade", ..Parameter::noise(0.1) },
        Parameter::seed(),
    ],
    dimension: |_| 2,
    intrinsic: |_| Some(1),
    entropy: |p| pinwheel_entropy(p.real("noise")),
    make,
};

const BLADES: u32 = 5;
/// Standard deviation along a blade.
const ALONG: f64 = 0.3;
const RATE: f64 = 0.25;

/// The point turned about the origin by `angle`.
fn turned((x, y): (f64, f64), angle: f64) -> (f64, f64) {
    let (s, c) = angle.sin_cos();
    (c * x - s * y, s * x + c * y)
}

fn direction(blade: u32) -> f64 {
    2.0 * PI * f64::from(blade) / f64::from(BLADES)
}

fn make(parameters: &Parameters) -> Result<Table, Error> {
    let noise = parameters.real("noise");
    rows("pinwheel", parameters.count("n"), parameters.seed(), &names(&["x", "y"]), |generator, row| {
        let blade = generator.random_range(0..BLADES);
        let flat = (1.0 + ALONG * normal(generator), noise * normal(generator));
        (row[0], row[1]) = turned(flat, direction(blade) + RATE * flat.0.hypot(flat.1).exp());
    })
}

/// Log-density in nats of the pinwheel. Turning by an angle that depends on the radius alone keeps areas, so it is the
/// density of five straight blades at the point that is turned back.
/// Returns NaN unless `noise` is positive and all numbers are finite.
///
/// ```
/// use eigenflow::data::builtin::pinwheel_log_density;
/// // The middle of the first blade, turned by e/4; the other blades are far: -ln(5 · 2π · 0.3 · 0.05).
/// let (s, c) = (0.25 * std::f64::consts::E).sin_cos();
/// let alone = -(10.0 * std::f64::consts::PI * 0.3 * 0.05).ln();
/// assert!((pinwheel_log_density([c, s], 0.05) - alone).abs() < 1e-4);
/// ```
pub fn pinwheel_log_density([x, y]: [f64; 2], noise: f64) -> f64 {
    if !(noise > 0.0 && [x, y, noise].iter().all(|v| v.is_finite())) {
        return f64::NAN;
    }
    straight(turned((x, y), -RATE * x.hypot(y).exp()), noise)
}

/// Log-density of the straight blades.
fn straight(point: (f64, f64), noise: f64) -> f64 {
    let exponents = (0..BLADES).map(|blade| {
        let (along, across) = turned(point, -direction(blade));
        -0.5 * (((along - 1.0) / ALONG).powi(2) + (across / noise).powi(2))
    });
    exponents.fold(f64::NEG_INFINITY, arc::log_add) - (2.0 * PI * f64::from(BLADES) * ALONG * noise).ln()
}

/// Entropy in nats of the pinwheel, which is that of its blades before they are bent, by quadrature on a grid. `None` for
/// noise below 0.01, where the grid would be large.
pub fn pinwheel_entropy(noise: f64) -> Option<f64> {
    let density = |x, y| straight((x, y), noise);
    // The grid follows the shorter deviation, its box the longer one.
    let (short, reach) = (noise.min(ALONG), 1.0 + 9.0 * (noise.max(ALONG) - noise.min(ALONG)));
    arc::entropy_is_cheap(noise)
        .then(|| arc::entropy(density, short, [(-reach, reach), (-reach, reach)], 2.0))
}
