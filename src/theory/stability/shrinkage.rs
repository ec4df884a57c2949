//! What the penalty does to a covariance, and how to undo it: Ledoit and Wolf's weight, de-shrunk local covariance,
//! denoising.

use super::virial::in_training_units;
use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, jacobians};
use crate::theory::linear::Spectrum;
use eigenflow_autodiff::Program;
use eigenflow_linalg::lu::inverse_batch;
use eigenflow_linalg::svd::{SvdKind, svd_batch};
use eigenflow_linalg::{Batch, Matrix};

/// Ledoit and Wolf's shrinkage of a sample covariance towards a multiple of the identity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LedoitWolf {
    /// `ρ` of `(1 - ρ) Σ + ρ m I`, in `[0, 1]`.
    pub shrinkage: f64,
    /// `m = tr Σ / D`.
    pub mean_variance: f64,
    /// The Tikhonov weight with the same axes and the same ratios of variances: `2α = ρ m / (1 - ρ)`.
    pub alpha: f64,
}

/// The asymptotically optimal shrinkage of the rows' covariance, from the rows alone (O. Ledoit and M. Wolf, *A
/// well-conditioned estimator for large-dimensional covariance matrices*, J. Multivariate Anal. 88 (2004)).
///
/// With `d² = ‖Σ - mI‖²_F / D` and `b̄² = Σ_n ‖x_n x_nᵀ - Σ‖²_F / (n² D)`, `ρ = min(b̄², d²) / d²`; 0 where `Σ = mI`.
/// `spectrum` is that of `rows`. Cost: one pass over the rows.
pub fn ledoit_wolf(rows: &Matrix<f64>, spectrum: &Spectrum) -> LedoitWolf {
    let (n, d) = (rows.rows() as f64, rows.cols() as f64);
    let lambda = &spectrum.values;
    let mean_variance = lambda.iter().sum::<f64>() / d;
    let spread = lambda.iter().map(|l| (l - mean_variance).powi(2)).sum::<f64>() / d;
    let square: f64 = lambda.iter().map(|l| l * l).sum();
    let fourth: f64 = (0..rows.rows())
        .map(|i| {
            let row = rows.row(i).iter().zip(&spectrum.mean);
            row.map(|(x, m)| (x - m).powi(2)).sum::<f64>().powi(2)
        })
        .sum();
    // Σ_n ‖x_n x_nᵀ - Σ‖² = Σ_n |x_n|⁴ - n ‖Σ‖²
    let noise = (fourth - n * square).max(0.0) / (n * n * d);
    let shrinkage = if spread > 0.0 { (noise / spread).min(1.0) } else { 0.0 };
    let alpha = 0.5 * shrinkage * mean_variance / (1.0 - shrinkage);
    LedoitWolf { shrinkage, mean_variance, alpha }
}

/// `J_p⁻¹ ((JᵀJ)⁻¹ - 2α I) J_p⁻ᵀ` of every row, in data units: the local covariance without what the penalty `alpha` added to it in
/// training units, where `J` is the Jacobian of the core and negative eigenvalues are set to zero; `J_p` is that of the preprocessing.
///
/// At a linear optimum this is the sample covariance, exactly (L4); elsewhere it is so up to the curvature of the flow.
///
/// # Errors
/// As [`Flow::normalize`]; a singular Jacobian.
pub fn deshrunk_covariance(flow: &Flow<f64>, x: &Matrix<f64>, alpha: f64) -> Result<Batch<f64>, Error> {
    let d = flow.dim();
    let h = in_training_units(flow, x.clone())?;
    let core = flow.part(flow.core())?;
    // `J⁻¹ = U S Vᵀ`: small scales keep their digits, which they would not in the sum of two matrices in data units.
    let back = inverse_batch(&jacobians(&core, &h, Direction::Normalize, Route::Push)?)?;
    let back = svd_batch(&back, SvdKind::Thin)?;
    let before = match flow.preprocessing() {
        0 => None,
        n => Some(inverse_batch(&jacobians(&flow.part(0..n)?, x, Direction::Normalize, Route::Push)?)?),
    };
    let mut out = Batch::zeros(x.rows(), d, d);
    for row in 0..x.rows() {
        let u = back.u.matrix(row);
        let kept = |k: usize| (back.s[(row, k)].powi(2) - 2.0 * alpha).max(0.0).sqrt();
        let root = Matrix::from_fn(d, d, |i, k| u[(i, k)] * kept(k));
        let root = before.as_ref().map_or_else(|| root.clone(), |p| p.matrix(row).mul(&root));
        let at = row * d * d;
        out.data_mut()[at..at + d * d].copy_from_slice(root.mul(&root.transpose()).data());
    }
    Ok(out)
}

/// Tweedie's estimate of what each row was before noise of variance `2α` was added, in training units: `g_p(h + 2α ∇ log p(h))`, for
/// `h = f_p(x)` behind the preprocessing `f_p` with inverse `g_p`, and the density `p` of the core.
///
/// Where columns are standardised that is `x + 2α diag(σ²) ∇ₓ log p(x)`. At a linear optimum it is the Wiener filter: along the axis `i`
/// it shrinks by `λ_i / (λ_i + 2α)`.
///
/// # Errors
/// As [`Flow::normalize`] and [`Flow::generate`].
pub fn denoised(flow: &Flow<f64>, x: &Matrix<f64>, alpha: f64) -> Result<Matrix<f64>, Error> {
    flow.check_rows("data", x)?;
    let d = flow.dim();
    let h = in_training_units(flow, x.clone())?;
    let core = flow.part(flow.core())?;
    let program = Program::try_record(|r| {
        let input = r.batch(d);
        let params = core.declare(r);
        let log_p = core.record_log_density(&params, input, 0..core.layers().len());
        r.gradient(log_p, &[input])
    })?;
    let score = core.replay(&program, &h)?.pop().unwrap_or_default();
    let moved = Matrix::from_fn(x.rows(), d, |row, i| h[(row, i)] + 2.0 * alpha * score[row * d + i]);
    match flow.preprocessing() {
        0 => Ok(moved),
        n => flow.part(0..n)?.generate(&flow.with_contexts_of(moved, x)?),
    }
}
