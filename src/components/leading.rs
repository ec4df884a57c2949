//! Leading components of maps of many columns: no Jacobian is formed.

use super::Components;
use crate::flow::{Error, Flow};
use crate::jacobian::{leading_covariance, remaining_square};
use eigenflow_linalg::{Batch, Matrix, Real};

/// Rows whose data and latent axes are held at a time take about this many bytes.
const CHUNK_BYTES: usize = 64 << 20;
/// Random probes a row, for the variance beyond the leading axes.
const PROBES: usize = 16;

/// The leading components of each row, and how well they are known.
#[derive(Clone, Debug)]
pub struct LeadingComponents<T> {
    /// The components. Their significance is an estimate.
    pub components: Components<T>,
    /// A bound for each pair: an eigenvalue of the local covariance lies within it of `scale²`, `[N, K]`.
    pub residuals: Matrix<T>,
    /// Standard errors of the significance over the probes, `K` numbers.
    pub significance_error: Vec<T>,
}

/// [`components`](super::components()) from products with `J_g` and its transpose alone, by [`leading_covariance`].
///
/// Values, scales and axes are exact up to `tolerance` (that of a pair's residual, relative to its eigenvalue; an axis may then be off by this over the
/// relative distance to the next eigenvalue). Shares need the whole variance: to the `Σ_{k <= K} s_k⁻²` of the leading axes comes what lies beyond
/// them, `E ‖J_g w‖²` over 16 random signs a row from which the leading latent axes are projected off, so that only the rest is
/// estimated. Its standard error is given. Memory `O(K D)` a row.
///
/// # Errors
/// As [`leading_covariance`].
///
/// ```
/// use eigenflow::components::leading_components;
/// use eigenflow::flow::{Flow, bijections::{Affine, Form}};
/// use eigenflow_linalg::Matrix;
/// let mut flow = Flow::<f64>::new(vec![Affine::new(2, Form::Full).into()], 0, 0).unwrap();
/// // z = (x₀ / 2, x₁ / 5): standard deviations 2 and 5
/// flow.parameters_mut()[0].data.copy_from_slice(&[0.5, 0.0, 0.0, 0.2]);
/// let c = leading_components(&flow, &Matrix::new(1, 2, vec![3.0, -7.0]), 1, 1e-9, 0).unwrap();
/// assert!((c.components.values[(0, 0)] + 7.0).abs() < 1e-8);
/// // Beyond one axis of two there is nothing random: 25 of 4 + 25.
/// assert!((c.components.significance[0] - 25.0 / 29.0).abs() < 1e-8 && c.significance_error[0] < 1e-8);
/// ```
pub fn leading_components<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    top: usize,
    tolerance: f64,
    seed: u64,
) -> Result<LeadingComponents<T>, Error> {
    let (n, d) = (x.rows(), flow.dim());
    let k = top.min(d);
    let z = flow.with_contexts_of(flow.normalize(x)?.0, x)?;
    let mut out = Components {
        values: Matrix::zeros(n, k),
        scales: Matrix::zeros(n, k),
        axes: Batch::zeros(n, d, k),
        significance: vec![T::ZERO; k],
    };
    let mut residuals = Matrix::zeros(n, k);
    let (mut shares, mut squares) = (vec![0.0; k], vec![0.0; k]);
    let chunk = (CHUNK_BYTES / (2 * d * k.max(1) * size_of::<T>())).max(1);
    for start in (0..n).step_by(chunk) {
        let end = n.min(start + chunk);
        let part = |of: &Matrix<T>| {
            let width = of.cols();
            Matrix::new(end - start, width, of.data()[start * width..end * width].to_vec())
        };
        let found =
            leading_covariance(flow, &part(x), k, tolerance, seed).map_err(|e| e.after_rows(start))?;
        let rest = remaining_square(flow, &part(&z), &found.latent_axes, PROBES, seed, start)
            .map_err(|e| e.after_rows(start))?;
        out.axes.data_mut()[start * d * k..end * d * k].copy_from_slice(found.axes.data());
        for row in start..end {
            let (at, z) = (row - start, z.row(row));
            let (latent, scales) = (found.latent_axes.get(at), found.scales.row(at));
            out.scales.row_mut(row).copy_from_slice(scales);
            residuals.row_mut(row).copy_from_slice(found.residuals.row(at));
            // Relative to the largest scale: nothing overflows.
            let largest = scales.first().map_or(1.0, |s| s.f64());
            let relative: Vec<f64> = scales.iter().map(|s| (s.f64() / largest).powi(2)).collect();
            let [beyond, error] = [rest.values[at], rest.errors[at]].map(|v| v / largest / largest);
            let total = relative.iter().sum::<f64>() + beyond;
            for c in 0..k {
                let along: T = (0..d).map(|i| latent[i * k + c] * z[i]).sum();
                out.values[(row, c)] = scales[c] * along;
                shares[c] += relative[c] / total;
                squares[c] += (relative[c] / total * error / total).powi(2);
            }
        }
    }
    let rows = n.max(1) as f64;
    out.significance = shares.iter().map(|s| T::of(s / rows)).collect();
    let significance_error = squares.iter().map(|s| T::of(s.sqrt() / rows)).collect();
    Ok(LeadingComponents { components: out, residuals, significance_error })
}
