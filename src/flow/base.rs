//! The base density: standard normal.

use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;

/// `ln 2π`.
pub const LN_2PI: f64 = 1.837_877_066_409_345_3;

/// Records `log N(z; 0, I) = -(D ln 2π + |z|²) / 2`, one column.
pub fn log_density<T: Real>(z: Var<'_, T>) -> Var<'_, T> {
    let d = z.cols() as f64;
    z.square().sum_cols() * T::of(-0.5) + T::of(-0.5 * d * LN_2PI)
}

/// The supremum of the log-density over latents of `dim` columns: `-(D/2) ln 2π`, at `z = 0`.
pub fn sup_log_density(dim: usize) -> f64 {
    -0.5 * dim as f64 * LN_2PI
}
