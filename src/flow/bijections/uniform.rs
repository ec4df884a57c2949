//! A uniform column as a normal one, for maps with a bounded coordinate.

use crate::flow::base::LN_2PI;
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
