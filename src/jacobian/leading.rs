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
const HELD_BYTES: usize = 256 << 20;
/// Rows that advance together: their products share the weights.
const GROUP: usize = 16;
/// Blocks that a row may take before it is given up and its residual reported as it is.
const MOST_TURNS: usize = 400;
/// Turns from one look at the residuals to the next, at most.
const LONGEST_WAIT: usize = 8;
/// How much of the turns that a steady rate would take is waited for.
const PATIENCE: f64 = 0.7;

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
/// not depend on its neighbours. An eigenvalue that more than `top / 2` axes share exactly (never by chance) may be found
/// less often. Cost: some six products `J_g v` and as many `J_gᵀ u` an axis where the spectrum decays, twelve and more
/// where it is flat; memory `O(top · D)` a row in flight, beside what the flow's layers keep of the row's values.
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
    let z = flow.with_contexts_of(flow.normalize(x)?.0, x)?;
    let mut out = LeadingCovariance {
        scales: Matrix::zeros(n, k),
        axes: Batch::zeros(n, d, k),
        latent_axes: Batch::zeros(n, d, k),
        residuals: Matrix::zeros(n, k),
    };
    if k == 0 || n == 0 {
        return Ok(out);
    }
    let found = by_groups(flow, Direction::Generate, &z, k, |operator, part| {
        let found = operator.leading(part, k, tolerance, seed)?;
        let residuals = operator.residuals(part, &found)?;
        Ok(found.into_iter().zip(residuals).collect())
    })?;
    for (at, (row, residual)) in found.iter().enumerate() {
        out.scales.row_mut(at).copy_from_slice(&row.values);
        out.residuals.row_mut(at).copy_from_slice(residual);
        for c in 0..k {
            let sign = leading_sign(row.left.row(c).iter().copied());
            for j in 0..d {
                out.axes.data_mut()[(at * d + j) * k + c] = sign * row.left[(c, j)];
                out.latent_axes.data_mut()[(at * d + j) * k + c] = sign * row.right[(c, j)];
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
    let z = flow.with_contexts_of(flow.normalize(x)?.0, x)?;
    let largest = |direction: Direction, at: &Matrix<T>| {
        by_groups(flow, direction, at, 1, |operator, part| {
            let found = operator.leading(part, 1, tolerance, seed)?;
            Ok(found.iter().map(|row| row.values[0]).collect())
        })
    };
    let (of_j, of_g) = (largest(Direction::Normalize, x)?, largest(Direction::Generate, &z)?);
    Ok(of_j.iter().zip(of_g).map(|(&a, b)| a * b).collect())
}

/// What `work` finds for all rows, which groups of them come to on one thread each, in their order.
fn by_groups<T: Real, R: Send>(
    flow: &Flow<T>,
    direction: Direction,
    at: &Matrix<T>,
    top: usize,
    work: impl Fn(&mut Operator<'_, T>, &Matrix<T>) -> Result<Vec<R>, Error> + Sync,
) -> Result<Vec<R>, Error> {
    let ((n, columns), d) = (at.shape(), flow.dim());
    let width = width(top).min(d);
    let mut products = JacobianProducts::new(flow, direction, width)?;
    products.prepare()?;
    // Two bases of up to three times `top` vectors and more, and one of them once more at a restart.
    let row_bytes = 3 * (3 * top + 48) * d * size_of::<T>() + products.row_bytes();
    let threads = rayon::current_num_threads();
    let size = (HELD_BYTES / threads / row_bytes.max(1)).clamp(1, GROUP).min(n.div_ceil(threads).max(1));
    let groups: Vec<Result<Vec<R>, Error>> = (0..n.div_ceil(size))
        .into_par_iter()
        .map_init(
            || Operator { flow, direction, products: products.alone(), width },
            |operator, group| {
                let (first, end) = (group * size, n.min((group + 1) * size));
                let part =
                    Matrix::new(end - first, columns, at.data()[first * columns..end * columns].to_vec());
                work(operator, &part).map_err(|e| e.after_rows(first))
            },
        )
        .collect();
    let mut out = Vec::with_capacity(n);
    for group in groups {
        out.extend(group?);
    }
    Ok(out)
}

/// Vectors in a block: half of those wanted need fewer products than all of them, and single ones make little of the
/// weights. Two at least, so that a double value is not taken for two single ones.
fn width(top: usize) -> usize {
    top.div_ceil(2).clamp(4, 16).min(top.max(2))
}

/// The Jacobians of rows as operators, on one thread.
struct Operator<'f, T> {
    flow: &'f Flow<T>,
    direction: Direction,
    products: JacobianProducts<'f, T>,
    width: usize,
}

/// A row on its way.
#[derive(Clone)]
struct Row<T> {
    svd: LeadingSvd<T>,
    /// The turn after which its residuals are looked at next.
    due: usize,
    /// The last look: its turn, and by what factor the worst residual was too large.
    last: Option<(usize, f64)>,
}

impl<T: Real> Operator<'_, T> {
    /// The first `top` triplets of every row.
    fn leading(
        &mut self,
        at: &Matrix<T>,
        top: usize,
        tolerance: f64,
        seed: u64,
    ) -> Result<Vec<Triplets<T>>, Error> {
        let (n, d, b) = (at.rows(), self.flow.dim(), self.width);
        let mut random = generator(seed, "leading-axes", 0);
        let start = Matrix::from_fn(top.max(b), d, |_, _| {
            let normal: f64 = random.sample(StandardNormal);
            T::of(normal)
        });
        let svd = LeadingSvd::new(d, &start, b)?;
        // No sooner than when there are three vectors for each that is wanted.
        let mut rows = vec![Row { svd, due: (3 * top).div_ceil(b), last: None }; n];
        let mut active: Vec<usize> = (0..n).collect();
        let mut here = at.clone();
        for turn in 1..=MOST_TURNS {
            // The maps are linearised once for as long as the same rows are on their way.
            let again = here.rows() == active.len() && turn > 1;
            if !again {
                here = Matrix::from_fn(active.len(), at.cols(), |i, j| at[(active[i], j)]);
            }
            let block: Vec<T> = active.iter().flat_map(|&i| rows[i].svd.block().data()).copied().collect();
            let pushed = self.products.push_at(&here, again, &block)?;
            self.check(at, &active, &pushed)?;
            for (&i, part) in active.iter().zip(pushed.chunks_exact(b * d)) {
                rows[i].svd.multiplied(Matrix::new(b, d, part.to_vec()))?;
            }
            let block: Vec<T> = active.iter().flat_map(|&i| rows[i].svd.left_block().into_data()).collect();
            let pulled = self.products.pull_at(&here, again, &block)?;
            self.check(at, &active, &pulled)?;
            for (&i, part) in active.iter().zip(pulled.chunks_exact(b * d)) {
                rows[i].svd.pulled(Matrix::new(b, d, part.to_vec()))?;
            }
            let mut late = Vec::with_capacity(active.len());
            for i in active {
                if !rows[i].is_done(turn, top, tolerance)? {
                    late.push(i);
                }
            }
            active = late;
            if active.is_empty() {
                break;
            }
        }
        rows.iter().map(|row| Ok(row.svd.triplets(top)?)).collect()
    }

    /// That products are finite; else an error that names the row.
    fn check(&self, at: &Matrix<T>, active: &[usize], products: &[T]) -> Result<(), Error> {
        let Some(bad) = products.iter().position(|v| !v.is_finite()) else { return Ok(()) };
        let (b, d) = (self.width, self.flow.dim());
        Err(not_finite(self.flow, at, self.direction, active[bad / (b * d)], bad % d))
    }

    /// `‖(AᵀA) v − σ² v‖` of the triplets, by two more products for each.
    fn residuals(&mut self, at: &Matrix<T>, found: &[Triplets<T>]) -> Result<Vec<Vec<T>>, Error> {
        let (d, b) = (self.flow.dim(), self.width);
        let mut out = vec![Vec::new(); found.len()];
        for first in (0..found.first().map_or(0, |row| row.values.len())).step_by(b) {
            let mut block = vec![T::ZERO; found.len() * b * d];
            for (part, row) in block.chunks_exact_mut(b * d).zip(found) {
                let lines = &row.right.data()[first * d..];
                let count = lines.len().min(b * d);
                part[..count].copy_from_slice(&lines[..count]);
            }
            let pushed = self.products.push(at, &block)?;
            let back = self.products.pull(at, &pushed)?;
            let parts = back.chunks_exact(b * d).zip(block.chunks_exact(b * d));
            for ((out, row), (w, v)) in out.iter_mut().zip(found).zip(parts) {
                let lines = w.chunks_exact(d).zip(v.chunks_exact(d)).zip(&row.values[first..]);
                out.extend(lines.map(|((w, v), &s)| {
                    let square: T = w.iter().zip(v).map(|(&w, &v)| (w - s * s * v) * (w - s * s * v)).sum();
                    square.sqrt()
                }));
            }
        }
        Ok(out)
    }
}

impl<T: Real> Row<T> {
    /// Whether the first `top` pairs are within the tolerance, or nothing more can be had; looked at when it is due.
    fn is_done(&mut self, turn: usize, top: usize, tolerance: f64) -> Result<bool, Error> {
        let exhausted = self.svd.exhausted();
        if turn >= self.due || exhausted {
            self.svd.look()?;
        }
        let Some(largest) = self.svd.value(0) else { return Ok(false) };
        // Of `AᵀA` the residual is σ‖Aᵀu − σv‖, and its eigenvalue σ²; products carry their rounding.
        let floor = T::of(8.0) * T::EPS * largest;
        let mut excess = 0.0_f64;
        for k in 0..top {
            let Some(s) = self.svd.value(k) else { return Ok(exhausted) };
            let (residual, allowed) = (self.svd.residual(k), (T::of(tolerance) * s).maximum(floor));
            if residual > T::ZERO {
                excess = excess.max(residual.f64() / allowed.f64());
            }
        }
        // Residuals fall faster and faster: a digit a turn at first is as much as can be hoped for, and what is left takes less than
        // it would at the rate since the last look.
        let turns = match self.last {
            None => excess.log10(),
            Some((before, old)) => PATIENCE * excess.ln() * (turn - before) as f64 / (old / excess).ln(),
        };
        let wait = if turns > 0.0 { (turns.ceil() as usize).min(LONGEST_WAIT) } else { 3 };
        (self.due, self.last) = (turn + wait, Some((turn, excess)));
        Ok(excess <= 1.0 || exhausted)
    }
}
