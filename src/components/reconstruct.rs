//! Rows from their leading components alone.

use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, JacobianProducts, leading_covariance, local_covariance};
use eigenflow_linalg::{Matrix, Real};

/// Rows whose frames are held at a time take about this many bytes.
const CHUNK_BYTES: usize = 64 << 20;

/// Rows rebuilt from their leading components, with what that costs.
#[derive(Clone, Debug)]
pub struct Reconstruction<T> {
    /// The rebuilt rows, `[N, D]`.
    pub rows: Matrix<T>,
    /// Squared error that the first order predicts: `Σ_{k > K} ŷ_k²` of each row.
    pub predicted: Vec<T>,
    /// The squared error, `‖x - x̂‖²` of each row.
    pub measured: Vec<T>,
}

/// Every row of `x` from its leading `keep` components: with `J = U S Vᵀ` at `x`, `U_K` the latent axes of the `K` largest local standard
/// deviations, `x̂ = g(U_K U_Kᵀ f(x))`.
///
/// To first order `x - x̂ = Σ_{k > K} ŷ_k v_k`, of squared length `Σ_{k > K} ŷ_k²`; on a linear flow that is exact, and the
/// rebuilt rows are those of PCA. Where the two errors differ the flow bends over the way that is left out. With all components
/// the rows come back. Cost: a push of `D` tangents, an SVD and one `generate` a row.
///
/// # Errors
/// As [`Flow::normalize`] and [`Flow::generate`].
///
/// ```
/// use eigenflow::components::reconstruct;
/// use eigenflow::flow::{Flow, bijections::{Affine, Form}};
/// use eigenflow_linalg::Matrix;
/// let mut flow = Flow::<f64>::new(vec![Affine::new(2, Form::Full).into()], 0, 0).unwrap();
/// // Standard deviations 2 and 5: the second column is kept.
/// flow.parameters_mut()[0].data.copy_from_slice(&[0.5, 0.0, 0.0, 0.2]);
/// let r = reconstruct(&flow, &Matrix::new(1, 2, vec![3.0, -7.0]), 1).unwrap();
/// assert!(r.rows[(0, 0)].abs() < 1e-14 && (r.rows[(0, 1)] + 7.0).abs() < 1e-14);
/// assert!((r.predicted[0] - 9.0).abs() < 1e-13 && (r.measured[0] - 9.0).abs() < 1e-13);
/// ```
pub fn reconstruct<T: Real>(flow: &Flow<T>, x: &Matrix<T>, keep: usize) -> Result<Reconstruction<T>, Error> {
    let (n, d) = (x.rows(), flow.dim());
    let (z, _) = flow.normalize(x)?;
    let mut kept = Matrix::zeros(n, d);
    let mut predicted = Vec::with_capacity(n);
    let chunk = (CHUNK_BYTES / (2 * d * d * size_of::<T>())).max(1);
    for start in (0..n).step_by(chunk) {
        let end = n.min(start + chunk);
        let rows = Matrix::new(end - start, x.cols(), x.data()[start * x.cols()..end * x.cols()].to_vec());
        let local = local_covariance(flow, &rows, d).map_err(|e| e.after_rows(start))?;
        for row in start..end {
            let (latent, scales) = (local.latent_axes.get(row - start), local.scales.row(row - start));
            let along = |c: usize| -> T { (0..d).map(|i| latent[i * d + c] * z[(row, i)]).sum() };
            for c in 0..keep.min(d) {
                let length = along(c);
                for i in 0..d {
                    kept[(row, i)] += length * latent[i * d + c];
                }
            }
            let left = (keep.min(d)..d).map(|c| {
                let y = scales[c] * along(c);
                y * y
            });
            // An empty sum would be -0.
            predicted.push(left.fold(T::ZERO, |a, b| a + b));
        }
    }
    finish(flow, x, kept, predicted)
}

/// [`reconstruct`] from products with `J_g` and its transpose alone: the leading latent axes by [`leading_covariance`] to `tolerance`, and what
/// is left out is predicted by one product more, `‖J_g (z - U_K U_Kᵀ z)‖²`. Memory `O(K D)` a row.
///
/// # Errors
/// As [`leading_covariance`].
pub fn leading_reconstruct<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    keep: usize,
    tolerance: f64,
    seed: u64,
) -> Result<Reconstruction<T>, Error> {
    let (n, d) = (x.rows(), flow.dim());
    let k = keep.min(d);
    let (z, _) = flow.normalize(x)?;
    let mut kept = Matrix::zeros(n, d);
    let mut predicted = Vec::with_capacity(n);
    let mut products = JacobianProducts::new(flow, Direction::Generate, 1)?;
    let chunk = (CHUNK_BYTES / (2 * d * k.max(1) * size_of::<T>())).max(1);
    for start in (0..n).step_by(chunk) {
        let end = n.min(start + chunk);
        let part = |of: &Matrix<T>, width: usize| {
            Matrix::new(end - start, width, of.data()[start * width..end * width].to_vec())
        };
        let rows = part(x, x.cols());
        let found = leading_covariance(flow, &rows, k, tolerance, seed).map_err(|e| e.after_rows(start))?;
        for row in start..end {
            let latent = found.latent_axes.get(row - start);
            for c in 0..k {
                let along: T = (0..d).map(|i| latent[i * k + c] * z[(row, i)]).sum();
                for i in 0..d {
                    kept[(row, i)] += along * latent[i * k + c];
                }
            }
        }
        let z = part(&z, d);
        let left: Vec<T> = z.data().iter().zip(part(&kept, d).data()).map(|(&z, &k)| z - k).collect();
        let lost =
            products.push(&flow.with_contexts_of(z, &rows)?, &left).map_err(|e| e.after_rows(start))?;
        // An empty sum would be -0.
        predicted.extend(lost.chunks_exact(d).map(|w| w.iter().fold(T::ZERO, |sum, &w| sum + w * w)));
    }
    finish(flow, x, kept, predicted)
}

/// The rows of what is kept of the latents, and how far they are from those they stand for.
fn finish<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    kept: Matrix<T>,
    predicted: Vec<T>,
) -> Result<Reconstruction<T>, Error> {
    let (n, d) = kept.shape();
    let rows = flow.generate(&flow.with_contexts_of(kept, x)?)?;
    let square =
        |row: usize| (0..d).map(|i| (x[(row, i)] - rows[(row, i)]) * (x[(row, i)] - rows[(row, i)])).sum();
    let measured = (0..n).map(square).collect();
    Ok(Reconstruction { rows, predicted, measured })
}
