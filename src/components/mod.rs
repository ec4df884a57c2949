//! Un-whitened components: latents turned into local principal coordinates, in units of the data.

mod graph;
mod lanczos;
mod signs;

pub use graph::nearest_neighbours;
pub use signs::{Synchronised, synchronise};

use crate::flow::{Error, Flow};
use crate::jacobian::local_covariance;
use eigenflow_linalg::{Batch, Matrix, Real};

/// Rows whose full axes are held at a time take about this many bytes.
const CHUNK_BYTES: usize = 64 << 20;

/// The leading components of each row, largest local standard deviation first.
#[derive(Clone, Debug)]
pub struct Components<T> {
    /// `ŷ = S⁻¹ Uᵀ f(x)`, `[N, K]`.
    pub values: Matrix<T>,
    /// Local standard deviations `1/s`, `[N, K]`.
    pub scales: Matrix<T>,
    /// Axes in data space, `[N, D, K]`; the entry of largest magnitude of each is positive.
    pub axes: Batch<T>,
    /// Mean over rows of `s_k⁻² / Σ_j s_j⁻²`, `K` numbers; zeros if there is no row.
    pub significance: Vec<T>,
}

/// The leading `top` un-whitened components of each row of `x`.
///
/// With `J = U S Vᵀ` the Jacobian of `f` at `x`, `ŷ = S⁻¹ Uᵀ f(x) = Vᵀ J⁻¹ f(x)`: the first-order
/// displacement from the latent origin in the frame of the local covariance `V S⁻² Vᵀ`. On a linear
/// flow these are the PCA scores. They do not change when the latents are rotated, and
/// signs follow the axes in data space. Cost: one push of `D` tangents and one SVD a row.
///
/// # Errors
/// As [`Flow::normalize`]; a Jacobian that is not finite is an error.
///
/// ```
/// use eigenflow::components::components;
/// use eigenflow::flow::{Flow, bijections::{Affine, Form}};
/// use eigenflow_linalg::Matrix;
/// let mut flow = Flow::<f64>::new(vec![Affine::new(2, Form::Full).into()], 0, 0).unwrap();
/// // z = (x₀ / 2, x₁ / 5): standard deviations 2 and 5
/// flow.parameters_mut()[0].data.copy_from_slice(&[0.5, 0.0, 0.0, 0.2]);
/// let c = components(&flow, &Matrix::new(1, 2, vec![3.0, -7.0]), 2).unwrap();
/// assert!((c.values[(0, 0)] + 7.0).abs() < 1e-14 && (c.values[(0, 1)] - 3.0).abs() < 1e-14);
/// assert!((c.significance[0] - 25.0 / 29.0).abs() < 1e-14);
/// ```
pub fn components<T: Real>(flow: &Flow<T>, x: &Matrix<T>, top: usize) -> Result<Components<T>, Error> {
    let (n, d) = (x.rows(), flow.dim());
    let k = top.min(d);
    let (z, _) = flow.normalize(x)?;
    let mut out = Components {
        values: Matrix::zeros(n, k),
        scales: Matrix::zeros(n, k),
        axes: Batch::zeros(n, d, k),
        significance: vec![T::ZERO; k],
    };
    // All D scales are needed for the shares, so a chunk holds two full frames a row.
    let chunk = (CHUNK_BYTES / (2 * d * d * size_of::<T>())).max(1);
    for start in (0..n).step_by(chunk) {
        let end = n.min(start + chunk);
        let rows = Matrix::new(end - start, x.cols(), x.data()[start * x.cols()..end * x.cols()].to_vec());
        let local = local_covariance(flow, &rows, d)?;
        for row in start..end {
            let (axes, latent) = (local.axes.get(row - start), local.latent_axes.get(row - start));
            let scales = local.scales.row(row - start);
            // Shares relative to the largest scale: nothing overflows.
            let share = |c: usize| (scales[c] / scales[0]) * (scales[c] / scales[0]);
            let total: T = (0..d).map(share).sum();
            for c in 0..k {
                let projected: T = (0..d).map(|i| latent[i * d + c] * z[(row, i)]).sum();
                out.values.row_mut(row)[c] = scales[c] * projected;
                out.scales.row_mut(row)[c] = scales[c];
                out.significance[c] += share(c) / total / T::of(n as f64);
                for i in 0..d {
                    out.axes.data_mut()[(row * d + i) * k + c] = axes[i * d + c];
                }
            }
        }
    }
    Ok(out)
}

impl<T: Real> Components<T> {
    /// `A_ij = <v_i, v_j>` of the axes of component `k` at the given pairs of rows.
    pub fn agreements(&self, k: usize, pairs: &[(usize, usize)]) -> Vec<(usize, usize, f64)> {
        let (d, top) = (self.axes.rows(), self.axes.cols());
        let dot = |i: usize, j: usize| {
            let (a, b) = (self.axes.get(i), self.axes.get(j));
            (0..d).map(|r| a[r * top + k].f64() * b[r * top + k].f64()).sum()
        };
        pairs.iter().map(|&(i, j)| (i, j, dot(i, j))).collect()
    }

    /// Gives the axes, and with them the values, the signs in which neighbouring rows agree best: those of [`synchronise`] on the graph
    /// of the `neighbours` nearest rows of `x`, the rows that these components are of. What it reached for each component is returned.
    ///
    /// Unlike everything else, an aligned sign depends on the other rows: that is what it is for.
    ///
    /// # Errors
    /// If an entry of `x` or of an axis is not finite.
    pub fn align(&mut self, x: &Matrix<T>, neighbours: usize) -> Result<Vec<Synchronised>, Error> {
        let (d, top) = (self.axes.rows(), self.axes.cols());
        let pairs = nearest_neighbours(&x.cast(), neighbours)?;
        let mut all = Vec::new();
        for k in 0..top {
            let found = synchronise(x.rows(), &self.agreements(k, &pairs))?;
            for (row, sign) in found.signs.iter().enumerate().filter(|(_, s)| **s < 0.0) {
                let sign = T::of(*sign);
                self.values[(row, k)] *= sign;
                for i in 0..d {
                    self.axes.data_mut()[(row * d + i) * top + k] *= sign;
                }
            }
            all.push(found);
        }
        Ok(all)
    }
}
