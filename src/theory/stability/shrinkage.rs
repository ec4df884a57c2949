//! What the penalty does to a covariance, and how to undo it: Ledoit and Wolf's weight, de-shrunk local covariance,
//! denoising.

use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, jacobians};
use crate::theory::linear::Spectrum;
use eigenflow_autodiff::Program;
use eigenflow_linalg::eigen::eigh;
use eigenflow_linalg::lu::{inverse, inverse_batch};
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

/// `(JᵀJ)⁻¹ - 2α P` of every row, in data units, with negative eigenvalues set to zero: the local covariance without what
/// the penalty `alpha` (training units) added to it. `P = (J_pᵀ J_p)⁻¹` for the Jacobian `J_p` of the preprocessing:
/// `diag(σ²)` where that is a standardisation.
///
/// At a linear optimum this is the sample covariance, exactly (L4); elsewhere it is so up to the curvature of the flow.
///
/// # Errors
/// As [`Flow::normalize`]; a singular Jacobian.
pub fn deshrunk_covariance(flow: &Flow<f64>, x: &Matrix<f64>, alpha: f64) -> Result<Batch<f64>, Error> {
    let d = flow.dim();
    let generated = inverse_batch(&jacobians(flow, x, Direction::Normalize, Route::Push)?)?;
    let units = units(flow, x)?;
    let mut out = Batch::zeros(x.rows(), d, d);
    for (row, p) in units.iter().enumerate() {
        let g = generated.matrix(row);
        let local = g.mul(&g.transpose());
        let e = eigh(&Matrix::from_fn(d, d, |i, j| {
            0.5 * (local[(i, j)] + local[(j, i)]) - 2.0 * alpha * p[(i, j)]
        }))?;
        let root = Matrix::from_fn(d, d, |i, k| e.vectors[(i, k)] * e.values[k].max(0.0).sqrt());
        let at = row * d * d;
        out.data_mut()[at..at + d * d].copy_from_slice(root.mul(&root.transpose()).data());
    }
    Ok(out)
}

/// `x + 2α P ∇ₓ log p(x)` of every row, with `P` as in [`deshrunk_covariance`]: Tweedie's estimate of what a row was before
/// noise of variance `2α` (training units) was added.
///
/// At a linear optimum it is the Wiener filter: along the axis `i` it shrinks by `λ_i / (λ_i + 2α)`.
///
/// # Errors
/// As [`Flow::normalize`].
pub fn denoised(flow: &Flow<f64>, x: &Matrix<f64>, alpha: f64) -> Result<Matrix<f64>, Error> {
    flow.check_rows("data", x)?;
    let d = flow.dim();
    let program = Program::try_record(|r| {
        let input = r.batch(d);
        let params = flow.declare(r);
        let log_p = flow.record_log_density(&params, input, 0..flow.layers().len());
        r.gradient(log_p, &[input])
    })?;
    let score = flow.replay(&program, x)?.pop().unwrap_or_default();
    let units = units(flow, x)?;
    let step = |row: usize, i: usize| -> f64 {
        let own = &score[row * d..(row + 1) * d];
        (0..d).map(|j| units[row][(i, j)] * own[j]).sum()
    };
    Ok(Matrix::from_fn(x.rows(), d, |row, i| x[(row, i)] + 2.0 * alpha * step(row, i)))
}

/// `P = J_p⁻¹ J_p⁻ᵀ` of every row: the covariance, in data units, of unit noise in training units.
fn units(flow: &Flow<f64>, x: &Matrix<f64>) -> Result<Vec<Matrix<f64>>, Error> {
    if flow.preprocessing() == 0 {
        return Ok(vec![Matrix::identity(flow.dim()); x.rows()]);
    }
    let before = flow.part(0..flow.preprocessing())?;
    let j = jacobians(&before, x, Direction::Normalize, Route::Push)?;
    let one = |row| {
        let back = inverse(&j.matrix(row))?;
        Ok(back.mul(&back.transpose()))
    };
    (0..x.rows()).map(one).collect()
}
