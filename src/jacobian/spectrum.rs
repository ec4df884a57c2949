//! Spectra of local Jacobians: local covariance and condition numbers.
//!
//! They come from the SVD of `J`, never from `J Jᵀ`: forming that squares the condition number.

use super::exact::{Direction, pushed};
use crate::flow::{Error, Flow};
use eigenflow_linalg::svd::{SvdKind, svd_batch};
use eigenflow_linalg::{Batch, Matrix, Real};
use rayon::prelude::*;
use std::ops::Range;

/// Rows that one thread takes at a time, at least.
const MIN_ROWS: usize = 16;

/// Bytes of Jacobians held at a time.
const CHUNK_BYTES: usize = 256 << 20;

/// The eigendecomposition of the local covariance `C(x) = J_g J_gᵀ = V S⁻² Vᵀ` of each row, where
/// `J = U S Vᵀ`.
#[derive(Clone, Debug)]
pub struct LocalCovariance<T> {
    /// Local standard deviations `1/s`, largest first, `[N, K]`; infinite along a null direction of `J`.
    pub scales: Matrix<T>,
    /// Axes in data space, `[N, D, K]`: `[n, :, k]` is the k-th. The entry of largest magnitude of
    /// each is positive.
    pub axes: Batch<T>,
    /// The matching latent axes, columns of `U`, with the signs of `axes`, `[N, D, K]`.
    pub latent_axes: Batch<T>,
    /// `κ(J) = s_max / s_min`; infinite where `J` is singular.
    pub condition: Vec<T>,
}

impl<T: Real> LocalCovariance<T> {
    /// Eigenvalues of `C(x)`, the squares of the scales, `[N, K]`.
    pub fn eigenvalues(&self) -> Matrix<T> {
        self.scales.map(|s| s * s)
    }
}

/// Runs of rows whose Jacobians fit into the memory bound.
fn chunks<T>(rows: usize, dim: usize) -> impl Iterator<Item = Range<usize>> {
    let size = (CHUNK_BYTES / (dim * dim * size_of::<T>()).max(1)).max(1);
    (0..rows).step_by(size).map(move |start| start..(start + size).min(rows))
}

/// The transposed Jacobians of a run of rows.
fn chunk<T: Real>(flow: &Flow<T>, x: &Matrix<T>, range: Range<usize>) -> Result<Batch<T>, Error> {
    let d = x.cols();
    let rows = Matrix::new(range.len(), d, x.data()[range.start * d..range.end * d].to_vec());
    pushed(flow, &rows, Direction::Normalize).map_err(|error| error.after_rows(range.start))
}

/// `s_max / s_min`; infinite for a singular matrix, the zero matrix included.
fn ratio<T: Real>(s: &[T]) -> T {
    let least = s[s.len() - 1];
    if least == T::ZERO { T::INFINITY } else { s[0] / least }
}

/// The leading `top` local axes of each row of `x`, by the SVD of the exact Jacobians.
///
/// Signs are gauge invariant: they depend on the axis in data space alone, not on the latent
/// rotation. Cost: one push of `D` tangents and one SVD a row.
///
/// # Errors
/// As [`Flow::normalize`]; a Jacobian that is not finite is an error.
pub fn local_covariance<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    top: usize,
) -> Result<LocalCovariance<T>, Error> {
    let (n, d) = (x.rows(), flow.dim());
    let k = top.min(d);
    flow.check_rows("data", x)?;
    let mut out = LocalCovariance {
        scales: Matrix::zeros(n, k),
        axes: Batch::zeros(n, d, k),
        latent_axes: Batch::zeros(n, d, k),
        condition: Vec::with_capacity(n),
    };
    for range in chunks::<T>(n, d) {
        // The push gives Jᵀ = V S Uᵀ: its left singular vectors are the data axes.
        let block = chunk(flow, x, range.clone())?;
        let svd = svd_batch(&block, SvdKind::Full)?;
        let cut = range.start * d * k..range.end * d * k;
        let axes = out.axes.data_mut()[cut.clone()].par_chunks_mut((d * k).max(1));
        let latent = out.latent_axes.data_mut()[cut].par_chunks_mut((d * k).max(1));
        let scales = &mut out.scales.data_mut()[range.start * k..range.end * k];
        let scales = scales.par_chunks_mut(k.max(1));
        axes.zip(latent).zip(scales).enumerate().with_min_len(MIN_ROWS).for_each(
            |(at, ((axes, latent), scales))| {
                let (s, v, u) = (svd.s.row(at), svd.u.get(at), svd.v.get(at));
                for c in 0..k {
                    // Descending s is ascending scale: take columns from the end.
                    let from = d - 1 - c;
                    scales[c] = T::ONE / s[from];
                    let sign = leading_sign((0..d).map(|i| v[i * d + from]));
                    for i in 0..d {
                        axes[i * k + c] = sign * v[i * d + from];
                        latent[i * k + c] = sign * u[i * d + from];
                    }
                }
            },
        );
        out.condition.extend((0..range.len()).map(|at| ratio(svd.s.row(at))));
    }
    Ok(out)
}

/// The sign that makes the entry of largest magnitude positive.
pub(super) fn leading_sign<T: Real>(entries: impl Iterator<Item = T>) -> T {
    let largest = entries.fold(T::ZERO, |m, x| if x.abs() > m.abs() { x } else { m });
    if largest < T::ZERO { -T::ONE } else { T::ONE }
}

/// Condition numbers `κ(J) = s_max / s_min` of each row of `x`; infinite where `J` is singular.
///
/// # Errors
/// As [`local_covariance`].
pub fn condition_numbers<T: Real>(flow: &Flow<T>, x: &Matrix<T>) -> Result<Vec<T>, Error> {
    let d = flow.dim();
    flow.check_rows("data", x)?;
    let mut out = Vec::with_capacity(x.rows());
    for range in chunks::<T>(x.rows(), d) {
        let block = chunk(flow, x, range)?;
        let svd = svd_batch(&block, SvdKind::Values)?;
        out.extend((0..svd.s.rows()).map(|i| ratio(svd.s.row(i))));
    }
    Ok(out)
}
