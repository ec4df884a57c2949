//! The leading local axes of maps of many columns, matrix-free: products with `J_g` and its transpose only.

use super::exact::Direction;
use super::products::{JacobianProducts, not_finite};
use super::spectrum::leading_sign;
use crate::flow::{Error, Flow};
use crate::random::generator;
use eigenflow_linalg::krylov::{LeadingSvd, Triplets};
use eigenflow_linalg::{Batch, Matrix, Real};
use rand::RngExt;
use rand_distr::StandardNormal;
use rayon::prelude::*;

/// Bytes of bases that are held at a time.
const CHUNK_BYTES: usize = 256 << 20;
/// Basis vectors a row, in blocks, that the iteration holds at most: both bases, their copies at a restart, blocks on the way.
const BLOCKS_A_ROW: usize = 24;
/// Blocks that a row may take before it is given up and its residual reported as it is.
const MOST_TURNS: usize = 200;

/// The leading part of the eigendecomposition of `C(x) = J_g J_gᵀ`, with what is known of its error.
#[derive(Clone, Debug)]
pub struct LeadingCovariance<T> {
    /// Local standard deviations, largest first, `[N, K]`.
    pub scales: Matrix<T>,
    /// Axes in data space, `[N, D, K]`; the entry of largest magnitude of each is positive.
    pub axes: Batch<T>,
    /// The matching latent axes, `[N, D, K]`.
    pub latent_axes: Batch<T>,
    /// A bound for each pair: an eigenvalue of `C(x)` lies within it of `scale²`, `[N, K]`. It is
    /// `‖(J_gᵀJ_g) v − σ² v‖`, measured with the axes that are given (Weyl).
    pub residuals: Matrix<T>,
}

/// The `top` leading pairs of the local covariance of each row of `x`, by a block Krylov iteration on products with
/// `J_g` and `J_gᵀ`. No `D × D` matrix is formed.
///
/// A row is done when every pair's residual is within `tolerance` of its own eigenvalue; rounding sets a floor of
/// about `D eps` times the largest one. The start is drawn from `seed`, the same for every row, so that a row's result does
/// not depend on its neighbours. Cost: two products with `top` vectors a turn, some ten turns where the spectrum
/// decays; memory `O(top · D)` a row in flight.
///
/// # Errors
/// As [`Flow::normalize`] and [`Flow::generate`]; [`Error::OutOfRange`] where a product overflows.
///
/// ```
/// use eigenflow::flow::{Flow, bijections::{Affine, Form}};
/// use eigenflow::jacobian::leading_covariance;
/// use eigenflow_linalg::Matrix;
/// let mut flow = Flow::<f64>::new(vec![Affine::new(2, Form::Full).into()], 0, 0).unwrap();
/// // z = (x₀ / 2, x₁ / 5): standard deviations 2 and 5
/// flow.parameters_mut()[0].data.copy_from_slice(&[0.5, 0.0, 0.0, 0.2]);
/// let c = leading_covariance(&flow, &Matrix::new(1, 2, vec![3.0, -7.0]), 1, 1e-9, 0).unwrap();
/// assert!((c.scales[(0, 0)] - 5.0).abs() < 1e-9 && c.residuals[(0, 0)] < 1e-7);
/// assert!((c.axes.data()[1] - 1.0).abs() < 1e-9);
/// ```
pub fn leading_covariance<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    top: usize,
    tolerance: f64,
    seed: u64,
) -> Result<LeadingCovariance<T>, Error> {
    let (n, d) = (x.rows(), flow.dim());
    let k = top.min(d);
    let (z, _) = flow.normalize(x)?;
    let mut out = LeadingCovariance {
        scales: Matrix::zeros(n, k),
        axes: Batch::zeros(n, d, k),
        latent_axes: Batch::zeros(n, d, k),
        residuals: Matrix::zeros(n, k),
    };
    if k == 0 || n == 0 {
        return Ok(out);
    }
    let mut operator = Operator::new(flow, Direction::Generate, k)?;
    for (first, part) in chunks(&z, k) {
        let found = operator.leading(&part, tolerance, seed).map_err(|e| e.after_rows(first))?;
        let residuals = operator.residuals(&part, &found).map_err(|e| e.after_rows(first))?;
        for (i, (row, residual)) in found.iter().zip(residuals).enumerate() {
            let at = first + i;
            out.scales.row_mut(at).copy_from_slice(&row.values);
            out.residuals.row_mut(at).copy_from_slice(&residual);
            for c in 0..k {
                let sign = leading_sign(row.left.row(c).iter().copied());
                for j in 0..d {
                    out.axes.data_mut()[(at * d + j) * k + c] = sign * row.left[(c, j)];
                    out.latent_axes.data_mut()[(at * d + j) * k + c] = sign * row.right[(c, j)];
                }
            }
        }
    }
    Ok(out)
}

/// Condition numbers `κ(J) = s_max(J) s_max(J_g)` of each row of `x`, both factors matrix-free, each from below and within
/// about `tolerance` of itself.
///
/// # Errors
/// As [`leading_covariance`].
pub fn leading_condition_numbers<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    tolerance: f64,
    seed: u64,
) -> Result<Vec<T>, Error> {
    let (z, _) = flow.normalize(x)?;
    let largest = |direction: Direction, at: &Matrix<T>| -> Result<Vec<T>, Error> {
        // Two vectors: a double value is not taken for two single ones.
        let mut operator = Operator::new(flow, direction, 2.min(flow.dim()))?;
        let mut out = Vec::with_capacity(at.rows());
        for (first, part) in chunks(at, 2) {
            let found = operator.leading_first(&part, 1, tolerance, seed).map_err(|e| e.after_rows(first))?;
            out.extend(found.iter().map(|row| row.values[0]));
        }
        Ok(out)
    };
    let (of_j, of_g) = (largest(Direction::Normalize, x)?, largest(Direction::Generate, &z)?);
    Ok(of_j.iter().zip(of_g).map(|(&a, b)| a * b).collect())
}

/// Runs of rows whose bases fit into the memory bound, with their first row.
fn chunks<T: Real>(x: &Matrix<T>, block: usize) -> impl Iterator<Item = (usize, Matrix<T>)> + '_ {
    let d = x.cols();
    let bytes = BLOCKS_A_ROW * block.max(1) * d * size_of::<T>();
    let size = (CHUNK_BYTES / bytes.max(1)).max(1);
    (0..x.rows()).step_by(size).map(move |first| {
        let end = (first + size).min(x.rows());
        (first, Matrix::new(end - first, d, x.data()[first * d..end * d].to_vec()))
    })
}

/// The Jacobians of rows as operators.
struct Operator<'f, T> {
    flow: &'f Flow<T>,
    direction: Direction,
    products: JacobianProducts<'f, T>,
    width: usize,
}

impl<'f, T: Real> Operator<'f, T> {
    fn new(flow: &'f Flow<T>, direction: Direction, width: usize) -> Result<Self, Error> {
        Ok(Self { flow, direction, products: JacobianProducts::new(flow, direction, width)?, width })
    }

    fn leading(&mut self, at: &Matrix<T>, tolerance: f64, seed: u64) -> Result<Vec<Triplets<T>>, Error> {
        self.leading_first(at, self.width, tolerance, seed)
    }

    /// The first `wanted` triplets of every row, by blocks of the operator's width.
    fn leading_first(
        &mut self,
        at: &Matrix<T>,
        wanted: usize,
        tolerance: f64,
        seed: u64,
    ) -> Result<Vec<Triplets<T>>, Error> {
        let (n, d, b) = (at.rows(), at.cols(), self.width);
        let mut random = generator(seed, "leading-axes", 0);
        let start = Matrix::from_fn(b, d, |_, _| {
            let normal: f64 = random.sample(StandardNormal);
            T::of(normal)
        });
        let mut rows = vec![LeadingSvd::new(d, start)?; n];
        let mut active: Vec<usize> = (0..n).collect();
        for _ in 0..MOST_TURNS {
            if active.is_empty() {
                break;
            }
            let here = Matrix::from_fn(active.len(), d, |i, j| at[(active[i], j)]);
            let block: Vec<T> = active.iter().flat_map(|&i| rows[i].block().data()).copied().collect();
            let pushed = self.products.push(&here, &block)?;
            self.check(at, &active, &pushed)?;
            self.each(&mut rows, &active, &pushed, LeadingSvd::multiplied)?;
            let block: Vec<T> = active.iter().flat_map(|&i| rows[i].left_block().into_data()).collect();
            let pulled = self.products.pull(&here, &block)?;
            self.check(at, &active, &pulled)?;
            self.each(&mut rows, &active, &pulled, LeadingSvd::pulled)?;
            active.retain(|&i| !done(&rows[i], wanted, tolerance));
        }
        rows.par_iter().map(|row| Ok(row.triplets(wanted)?)).collect()
    }

    /// Hands every active row its part of the products.
    fn each<F>(
        &self,
        rows: &mut [LeadingSvd<T>],
        active: &[usize],
        products: &[T],
        take: F,
    ) -> Result<(), Error>
    where
        F: Fn(&mut LeadingSvd<T>, Matrix<T>) -> Result<(), eigenflow_linalg::Error> + Sync,
    {
        let (b, d) = (self.width, self.flow.dim());
        let mut wanted = active.iter().zip(products.chunks_exact(b * d)).peekable();
        let mut pairs = Vec::with_capacity(active.len());
        for (i, row) in rows.iter_mut().enumerate() {
            if let Some((_, part)) = wanted.next_if(|(k, _)| **k == i) {
                pairs.push((row, part));
            }
        }
        pairs.into_par_iter().try_for_each(|(row, part)| Ok(take(row, Matrix::new(b, d, part.to_vec()))?))
    }

    /// That products are finite; else an error that names the row.
    fn check(&self, at: &Matrix<T>, active: &[usize], products: &[T]) -> Result<(), Error> {
        let Some(bad) = products.iter().position(|v| !v.is_finite()) else { return Ok(()) };
        let (b, d) = (self.width, self.flow.dim());
        Err(not_finite(self.flow, at, self.direction, active[bad / (b * d)], bad % d))
    }

    /// `‖(AᵀA) v − σ² v‖` of the triplets, by two more products.
    fn residuals(&mut self, at: &Matrix<T>, found: &[Triplets<T>]) -> Result<Vec<Vec<T>>, Error> {
        let d = at.cols();
        let block: Vec<T> = found.iter().flat_map(|row| row.right.data()).copied().collect();
        let pushed = self.products.push(at, &block)?;
        let back = self.products.pull(at, &pushed)?;
        let lines = back.chunks_exact(d).zip(block.chunks_exact(d));
        let values = found.iter().flat_map(|row| &row.values);
        let residuals: Vec<T> = lines
            .zip(values)
            .map(|((w, v), &s)| {
                let square: T = w.iter().zip(v).map(|(&w, &v)| (w - s * s * v) * (w - s * s * v)).sum();
                square.sqrt()
            })
            .collect();
        Ok(residuals.chunks_exact(self.width).map(<[T]>::to_vec).collect())
    }
}

/// Whether the first `wanted` pairs of a row are within the tolerance, or nothing more can be had.
fn done<T: Real>(row: &LeadingSvd<T>, wanted: usize, tolerance: f64) -> bool {
    if row.exhausted() {
        return true;
    }
    // Of `AᵀA` the residual is σ‖Aᵀu − σv‖, and its eigenvalue σ²; products carry their rounding.
    let floor = row.value(0).map_or(T::ZERO, |s| T::of(8.0) * T::EPS * s);
    (0..wanted).all(|k| {
        let Some(s) = row.value(k) else { return false };
        row.residual(k) <= (T::of(tolerance) * s).maximum(floor)
    })
}
