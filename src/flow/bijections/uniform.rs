//! A uniform column as a normal one, for maps with a bounded coordinate.

use crate::flow::base::LN_2PI;
use crate::flow::rounding::FUNCTION;
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use std::f64::consts::FRAC_1_SQRT_2;

/// `(z, log dz/dx)` with `z = Φ⁻¹((x - low) / (high - low))`; NaN or infinite outside the interval.
pub(super) fn normalize<T: Real>(x: Var<'_, T>, low: f64, high: f64) -> (Var<'_, T>, Var<'_, T>) {
    let z = ((x - T::of(low)) * T::of((high - low).recip())).normal_quantile();
    (z, z.square() * T::of(0.5) + T::of(0.5 * LN_2PI - (high - low).ln()))
}

/// `low + (high - low) Φ(z)`.
pub(super) fn generate<T: Real>(z: Var<'_, T>, low: f64, high: f64) -> Var<'_, T> {
    (z * T::of(FRAC_1_SQRT_2)).erf() * T::of(0.5 * (high - low)) + T::of(0.5 * (low + high))
}

/// Whether it is an interval.
pub(super) fn is_interval(low: f64, high: f64) -> bool {
    low < high && low.is_finite() && high.is_finite() && (high - low).is_finite()
}

/// Rounding of a column at the normal `z`, where its value is off by `inner`, in units of `eps`: errors of `z`, of the
/// value that is generated, and of the log-determinant `z²/2 + …`.
pub(super) fn rounding(low: f64, high: f64, inner: f64, z: f64) -> (f64, f64, f64) {
    let density = (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
    let latent = (inner / (high - low) + FUNCTION) / density + FUNCTION * z.abs();
    let data = FUNCTION * (high - low + low.abs() + high.abs());
    (latent, data, FUNCTION * (z * z + (high - low).ln().abs() + 3.0) + z.abs() * latent)
}
