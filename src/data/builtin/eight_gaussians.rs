//! Eight normal distributions on a circle.

use super::arc;
use super::draw::{names, normal, rows};
use super::{Builtin, Parameter, Parameters};
use crate::data::{Error, Table};
use rand::RngExt;
use std::f64::consts::FRAC_PI_4;

pub(super) static SET: Builtin = Builtin {
    name: "eight-gaussians",
    summary: "eight normal distributions of equal weight, centres 2 (cos k pi/4, sin k pi/4)",
    licence: None,
    parameters: &[Parameter::rows(20_000, u32::MAX as u64), Parameter::noise(0.2), Parameter::seed()],
    dimension: |_| 2,
    intrinsic: |_| Some(0),
    entropy: |p| eight_gaussians_entropy(p.real("noise")),
    make,
};

const RADIUS: f64 = 2.0;

fn centre(k: u32) -> (f64, f64) {
    let (s, c) = (f64::from(k) * FRAC_PI_4).sin_cos();
    (RADIUS * c, RADIUS * s)
}

fn make(parameters: &Parameters) -> Result<Table, Error> {
    let noise = parameters.real("noise");
    rows(
        "eight-gaussians",
        parameters.count("n"),
        parameters.seed(),
        &names(&["x", "y"]),
        |generator, row| {
            let (x, y) = centre(generator.random_range(0..8));
            row[0] = x + noise * normal(generator);
            row[1] = y + noise * normal(generator);
        },
    )
}

/// Log-density in nats of the eight normal distributions: `ln Σ_k exp(-|x - c_k|² / 2σ²) - ln 16πσ²`.
/// Returns NaN unless `noise` is positive and all numbers are finite.
///
/// ```
/// use eigenflow::data::builtin::eight_gaussians_log_density;
/// // At a centre, with little noise, its own distribution alone: -ln(16 π 0.01).
/// let log_p = eight_gaussians_log_density([2.0, 0.0], 0.1);
/// assert!((log_p + (16.0 * std::f64::consts::PI * 0.01).ln()).abs() < 1e-12);
/// ```
pub fn eight_gaussians_log_density([x, y]: [f64; 2], noise: f64) -> f64 {
    if !(noise > 0.0 && [x, y, noise].iter().all(|v| v.is_finite())) {
        return f64::NAN;
    }
    let exponents = (0..8).map(|k| {
        let (a, b) = centre(k);
        -0.5 * (((x - a) / noise).powi(2) + ((y - b) / noise).powi(2))
    });
    exponents.fold(f64::NEG_INFINITY, arc::log_add) - 8.0_f64.ln() + arc::log_peak(noise)
}

/// Entropy in nats of the eight normal distributions, by quadrature on a grid. `None` for noise below 0.01, where the grid
/// would be large.
///
/// ```
/// let entropy = eigenflow::data::builtin::eight_gaussians_entropy(0.1).unwrap();
/// // Far apart: ln 8 for the choice, ln 2πeσ² for the noise.
/// let apart = 8.0_f64.ln() + (2.0 * std::f64::consts::PI * std::f64::consts::E * 0.01).ln();
/// assert!((entropy - apart).abs() < 1e-9);
/// ```
pub fn eight_gaussians_entropy(noise: f64) -> Option<f64> {
    let density = |x, y| eight_gaussians_log_density([x, y], noise);
    let side = (-RADIUS, RADIUS);
    arc::entropy_is_cheap(noise).then(|| arc::entropy(density, noise, [side, side], 2.0))
}
