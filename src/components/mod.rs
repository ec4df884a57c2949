//! Un-whitened components: latents turned into local principal coordinates, in units of the data.

mod align;
mod assignment;
mod compare;
mod denoise;
mod frame;
mod graph;
mod kronrod;
mod lanczos;
mod latent_walk;
mod leading;
mod mrf;
mod path;
mod reconstruct;
mod significance;
mod signs;
mod traverse;

pub use align::{Combing, Transported};
pub use assignment::assignment;
pub use compare::{Comparison, compare};
pub use denoise::recorded_noise;
pub use frame::{Continued, Frame};
pub use graph::{nearest_neighbours, nearest_of};
pub use latent_walk::traverse_leading;
pub use leading::{LeadingComponents, leading_components};
pub use mrf::{agreement, mrf_signs};
pub use path::{FOLLOWED, PathComponents, path_components};
pub use reconstruct::{Reconstruction, leading_reconstruct, reconstruct};
pub use significance::{Bootstrap, Estimate, Significance, significance};
pub use signs::{Synchronised, synchronise};
pub use traverse::{Traversal, Walk, traverse};

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
        let local = local_covariance(flow, &rows, d).map_err(|e| e.after_rows(start))?;
        for row in start..end {
            let (axes, latent) = (local.axes.get(row - start), local.latent_axes.get(row - start));
            let scales = local.scales.row(row - start);
            if !scales.iter().all(|s| s.is_finite()) {
                let op = "components: a local scale";
                return Err(Error::Linalg(eigenflow_linalg::Error::NotFinite {
                    op,
                    index: row,
                    row: 0,
                    col: 0,
                }));
            }
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
    /// The first `top` of them, in the order in which they stand.
    pub fn leading(self, top: usize) -> Self {
        let (n, d, k) = (self.values.rows(), self.axes.rows(), self.axes.cols());
        if top >= k {
            return self;
        }
        let first = |m: &Matrix<T>| Matrix::from_fn(n, top, |i, j| m[(i, j)]);
        let axes = (0..n * d).flat_map(|at| self.axes.data()[at * k..at * k + top].iter().copied()).collect();
        Self {
            values: first(&self.values),
            scales: first(&self.scales),
            axes: Batch::new(n, d, top, axes),
            significance: self.significance[..top].to_vec(),
        }
    }

    /// The same in another precision.
    pub fn cast<U: Real>(&self) -> Components<U> {
        Components {
            values: self.values.cast(),
            scales: self.scales.cast(),
            axes: cast(&self.axes),
            significance: self.significance.iter().map(|v| U::of(v.f64())).collect(),
        }
    }
}

/// A batch in another precision.
fn cast<T: Real, U: Real>(a: &Batch<T>) -> Batch<U> {
    Batch::new(a.count(), a.rows(), a.cols(), a.data().iter().map(|v| U::of(v.f64())).collect())
}
