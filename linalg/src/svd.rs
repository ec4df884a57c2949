//! Singular value decomposition, spectral norm and condition number.
//!
//! Square matrices of up to 64 rows go by a solver of our own, bidiagonalisation and implicit QR iteration (Golub
//! and Kahan's, with the shifts of Demmel and Kahan) on as many matrices at a time as a vector register has
//! lanes; the same bits come out for a matrix alone and in any batch. All others go by faer's
//! (bidiagonalisation, then divide and conquer). As for [`crate::eigen`] the matrix is scaled by a power of two
//! and the result is checked by a guard of cost `O(m n)`, with faer's solver or its QR iteration as the second try.

mod solver;

use crate::parallel::{for_each_matrix, for_each_span};
use crate::{Batch, Error, Matrix, Real, small};
use solver::Solver;

/// Which singular vectors are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SvdKind {
    /// None: singular values only.
    Values,
    /// The first `min(m, n)` on either side.
    Thin,
    /// All of them: square `U` and `V`.
    Full,
}

impl SvdKind {
    /// Columns of `U` and of `V` for an `m x n` matrix.
    fn columns(self, m: usize, n: usize) -> (usize, usize) {
        match self {
            Self::Values => (0, 0),
            Self::Thin => (m.min(n), m.min(n)),
            Self::Full => (m, n),
        }
    }
}

/// `A = U diag(s) Vᵀ`.
#[derive(Debug, Clone, PartialEq)]
pub struct Svd<T> {
    /// Left singular vectors, one a column: `[m, min(m, n)]` thin, `[m, m]` full.
    pub u: Matrix<T>,
    /// The `min(m, n)` singular values, descending.
    pub s: Vec<T>,
    /// Right singular vectors, one a column: `[n, min(m, n)]` thin, `[n, n]` full.
    pub v: Matrix<T>,
}

/// The decompositions of a batch. Without vectors `u` and `v` have no columns.
#[derive(Debug, Clone, PartialEq)]
pub struct SvdBatch<T> {
    /// Left singular vectors `[N, m, ·]`.
    pub u: Batch<T>,
    /// Singular values `[N, min(m, n)]`, one row a matrix, descending.
    pub s: Matrix<T>,
    /// Right singular vectors `[N, n, ·]`.
    pub v: Batch<T>,
}

/// The thin singular value decomposition `A = U diag(s) Vᵀ`, `s` descending, `U` and `V` with
/// `min(m, n)` orthonormal columns; for a square matrix it is the full one.
///
/// Backward stable at every scale: the guard accepts `‖A V − U diag(s)‖` up to
/// `16 max(m, n) eps ‖A‖_F` and a loss of orthonormality up to `16 max(m, n) eps` (norms as estimated
/// along a vector of signs). Cost about `22 n³` flops for a square matrix.
///
/// # Errors
/// [`Error::NotFinite`] for NaN or infinity, [`Error::NoConvergence`] if the guard fails,
/// [`Error::Overflow`] if a singular value is beyond range.
///
/// # References
/// G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013), section 8.6.
///
/// ```
/// use eigenflow_linalg::{Matrix, svd::svd};
/// let d = svd(&Matrix::new(2, 2, vec![0.0, 3.0, -4.0, 0.0])).unwrap(); // singular values 4 and 3
/// assert!((d.s[0] - 4.0_f64).abs() < 1e-14 && (d.s[1] - 3.0).abs() < 1e-14);
/// assert!((d.u[(1, 0)] * d.v[(0, 0)] + 1.0).abs() < 1e-14); // 4 u vᵀ carries the entry -4
/// ```
pub fn svd<T: Real>(a: &Matrix<T>) -> Result<Svd<T>, Error> {
    decompose("svd", a, SvdKind::Thin)
}

/// The full singular value decomposition: `U` is `[m, m]`, `V` is `[n, n]`; the extra columns span
/// the null spaces of `Aᵀ` and `A`.
///
/// # Errors
/// As [`svd`].
pub fn svd_full<T: Real>(a: &Matrix<T>) -> Result<Svd<T>, Error> {
    decompose("svd_full", a, SvdKind::Full)
}

/// The `min(m, n)` singular values, descending, guarded by `Σs² = ‖A‖_F²`.
///
/// # Errors
/// As [`svd`].
pub fn singular_values<T: Real>(a: &Matrix<T>) -> Result<Vec<T>, Error> {
    Ok(decompose("singular_values", a, SvdKind::Values)?.s)
}

/// The decompositions of a batch `[N, m, n]`, threaded over the matrices; small square ones several at a time in
/// the lanes of vectors.
///
/// # Errors
/// As [`svd`], naming the first matrix at fault.
pub fn svd_batch<T: Real>(a: &Batch<T>, kind: SvdKind) -> Result<SvdBatch<T>, Error> {
    a.check_finite("svd_batch")?;
    let (count, m, n) = (a.count(), a.rows(), a.cols());
    let (nu, nv) = kind.columns(m, n);
    let mut u = Batch::zeros(count, m, nu);
    let mut s = Matrix::zeros(count, m.min(n));
    let mut v = Batch::zeros(count, n, nv);
    let outputs = [(u.data_mut(), m * nu), (s.data_mut(), m.min(n)), (v.data_mut(), n * nv)];
    let flops = if kind == SvdKind::Values { 3 } else { 20 } * m * n * m.min(n);
    if lanes_serve(m, n) {
        for_each_span(count, small::span::<T>(count, flops), outputs, |range, [u, s, v]| {
            let matrices = &a.data()[range.start * n * n..range.end * n * n];
            decompose_small("svd_batch", range.start, (n, kind), matrices, [u, s, v])
        })?;
    } else {
        for_each_matrix(
            count,
            flops,
            outputs,
            || Solver::new(m, n, kind),
            |solver, i, [u, s, v]| solver.run("svd_batch", i, a.get(i), u, s, v),
        )?;
    }
    Ok(SvdBatch { u, s, v })
}

/// Spectral norm `‖A‖₂`, the largest singular value; 0 for an empty matrix.
///
/// # Errors
/// As [`svd`].
pub fn norm2<T: Real>(a: &Matrix<T>) -> Result<T, Error> {
    Ok(decompose("norm2", a, SvdKind::Values)?.s.first().copied().unwrap_or(T::ZERO))
}

/// Condition number `κ₂(A) = s_max / s_min`; infinite for a singular matrix, 1 for an empty one.
///
/// # Errors
/// As [`svd`].
///
/// ```
/// use eigenflow_linalg::{Matrix, svd::condition_number};
/// assert_eq!(condition_number(&Matrix::diagonal(&[2.0_f64, -8.0])).unwrap(), 4.0);
/// ```
pub fn condition_number<T: Real>(a: &Matrix<T>) -> Result<T, Error> {
    let s = decompose("condition_number", a, SvdKind::Values)?.s;
    Ok(match (s.first(), s.last()) {
        (Some(_), Some(&min)) if min == T::ZERO => T::INFINITY,
        (Some(&max), Some(&min)) => max / min,
        _ => T::ONE,
    })
}

fn decompose<T: Real>(op: &'static str, a: &Matrix<T>, kind: SvdKind) -> Result<Svd<T>, Error> {
    a.check_finite(op)?;
    let (m, n) = a.shape();
    let (nu, nv) = kind.columns(m, n);
    let (mut u, mut s, mut v) = (Matrix::zeros(m, nu), vec![T::ZERO; m.min(n)], Matrix::zeros(n, nv));
    if lanes_serve(m, n) {
        decompose_small(op, 0, (n, kind), a.data(), [u.data_mut(), &mut s, v.data_mut()])?;
    } else {
        Solver::new(m, n, kind).run(op, 0, a.data(), u.data_mut(), &mut s, v.data_mut())?;
    }
    Ok(Svd { u, s, v })
}

/// Small square matrices go by lanes.
fn lanes_serve(m: usize, n: usize) -> bool {
    m == n && n > 0 && n <= small::SVD_LIMIT
}

/// Finite small matrices one after another, the first of them number `first` of its batch. Those that the lanes
/// give up are done by the solver of large ones.
fn decompose_small<T: Real>(
    op: &'static str,
    first: usize,
    (n, kind): (usize, SvdKind),
    a: &[T],
    [u, s, v]: [&mut [T]; 3],
) -> Result<(), Error> {
    small::svd(n, a, u, s, v).into_iter().try_for_each(|i| {
        let matrix = i * n * n..(i + 1) * n * n;
        let vectors = if kind == SvdKind::Values { 0..0 } else { matrix.clone() };
        let (u, v) = (&mut u[vectors.clone()], &mut v[vectors]);
        Solver::new(n, n, kind).run(op, first + i, &a[matrix], u, &mut s[i * n..(i + 1) * n], v)
    })
}
