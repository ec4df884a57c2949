//! Eigendecomposition of symmetric matrices.
//!
//! Matrices of up to 64 rows go by Householder tridiagonalisation and implicit QR iteration on as many
//! matrices at a time as a vector register has lanes; the same bits come out for a matrix alone and in any
//! batch. Larger ones go one by one: reduced to tridiagonal form by panels (`reduction`, `columns`), cut in
//! halves and put together again by the secular equation (`divide`, `secular`). Eigenvalues alone
//! come from the tridiagonal form by faer's QR iteration.
//!
//! The matrix is scaled by a power of two so that its largest entry lies in `[1, 2)`: squares stay in range.
//! And every result is checked by a guard of cost `O(n²)`; a matrix that fails gets a try by faer's QR
//! iteration before an error is returned.

mod columns;
mod divide;
mod reduction;
mod secular;
mod solver;

use crate::error::square;
use crate::parallel::{for_each_matrix, for_each_span};
use crate::{Batch, Error, Matrix, Real, small};
use solver::Solver;

/// `A = V diag(values) Vᵀ`.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigh<T> {
    /// The `n` eigenvalues, ascending.
    pub values: Vec<T>,
    /// Orthonormal eigenvectors `[n, n]`, one a column, in the order of the values; signs are arbitrary.
    pub vectors: Matrix<T>,
}

/// The eigendecompositions of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct EighBatch<T> {
    /// Eigenvalues `[N, n]`, one row a matrix, ascending.
    pub values: Matrix<T>,
    /// Eigenvectors `[N, n, n]`, one a column.
    pub vectors: Batch<T>,
}

/// Eigenvalues and eigenvectors of a symmetric matrix, of which only the lower triangle is read.
///
/// `A = V diag(λ) Vᵀ` with `λ` ascending. Backward stable at every scale: the guard accepts
/// `‖A V − V diag(λ)‖` up to `16 n eps ‖A‖_F` and `‖VᵀV − I‖` up to `16 n eps` (norms as estimated
/// along a vector of signs). Cost about `9 n³` flops for up to 64 rows, at most `6 n³` for more: `4/3 n³` for the reduction,
/// up to `8/3 n³` for divide and conquer, `2 n³` for the way back. Scratch `O(n²)`.
///
/// # Errors
/// [`Error::Shape`] if `a` is not square, [`Error::NotFinite`] for NaN or infinity anywhere,
/// [`Error::NoConvergence`] if the guard fails, [`Error::Overflow`] if an eigenvalue is beyond range.
///
/// # References
/// G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013), chapter 8. M. Gu and S. C. Eisenstat, SIAM J. Matrix Anal. Appl.
/// 16 (1995), for divide and conquer.
///
/// ```
/// use eigenflow_linalg::{Matrix, eigen::eigh};
/// let e = eigh(&Matrix::new(2, 2, vec![2.0, 1.0, 1.0, 2.0])).unwrap(); // eigenvalues 1 and 3
/// assert!((e.values[0] - 1.0_f64).abs() < 1e-14 && (e.values[1] - 3.0).abs() < 1e-14);
/// let ratio = e.vectors[(0, 1)] / e.vectors[(1, 1)]; // the eigenvector of 3 is (1, 1) / √2
/// assert!((ratio - 1.0).abs() < 1e-14);
/// ```
pub fn eigh<T: Real>(a: &Matrix<T>) -> Result<Eigh<T>, Error> {
    let n = square("eigh", a.shape())?;
    a.check_finite("eigh")?;
    let (mut values, mut vectors) = (vec![T::ZERO; n], Matrix::zeros(n, n));
    decompose("eigh", 0, n, a.data(), &mut values, vectors.data_mut(), true)?;
    Ok(Eigh { values, vectors })
}

/// Eigenvalues of a symmetric matrix, ascending, of which only the lower triangle is read.
///
/// Guarded by the two invariants `Σλ = tr A` and `Σλ² = ‖A‖_F²`. Cost about `4/3 n³` flops.
///
/// # Errors
/// As [`eigh`].
///
/// ```
/// use eigenflow_linalg::{Matrix, eigen::eigvalsh};
/// let l = eigvalsh(&Matrix::new(2, 2, vec![0.0, 1e150, 1e150, 0.0])).unwrap();
/// assert!((l[0] / 1e150 + 1.0_f64).abs() < 1e-14 && (l[1] / 1e150 - 1.0).abs() < 1e-14);
/// ```
pub fn eigvalsh<T: Real>(a: &Matrix<T>) -> Result<Vec<T>, Error> {
    let n = square("eigvalsh", a.shape())?;
    a.check_finite("eigvalsh")?;
    let mut values = vec![T::ZERO; n];
    decompose("eigvalsh", 0, n, a.data(), &mut values, &mut [], false)?;
    Ok(values)
}

/// [`eigh`] of every matrix of a batch, threaded over the matrices; small ones several at a time in the lanes
/// of vectors, which takes a third to a ninth of the time.
///
/// # Errors
/// As [`eigh`], naming the first matrix at fault.
pub fn eigh_batch<T: Real>(a: &Batch<T>) -> Result<EighBatch<T>, Error> {
    let n = square("eigh_batch", (a.rows(), a.cols()))?;
    a.check_finite("eigh_batch")?;
    let (mut values, mut vectors) = (Matrix::zeros(a.count(), n), Batch::zeros(a.count(), n, n));
    decompose_batch("eigh_batch", a, &mut values, Some(&mut vectors))?;
    Ok(EighBatch { values, vectors })
}

/// [`eigvalsh`] of every matrix of a batch `[N, n, n]`: eigenvalues `[N, n]`.
///
/// # Errors
/// As [`eigh`], naming the first matrix at fault.
pub fn eigvalsh_batch<T: Real>(a: &Batch<T>) -> Result<Matrix<T>, Error> {
    let n = square("eigvalsh_batch", (a.rows(), a.cols()))?;
    a.check_finite("eigvalsh_batch")?;
    let mut values = Matrix::zeros(a.count(), n);
    decompose_batch("eigvalsh_batch", a, &mut values, None)?;
    Ok(values)
}

/// Every matrix of a batch; small ones by lanes, large ones one by one.
fn decompose_batch<T: Real>(
    op: &'static str,
    a: &Batch<T>,
    values: &mut Matrix<T>,
    vectors: Option<&mut Batch<T>>,
) -> Result<(), Error> {
    let n = a.rows();
    let with_vectors = vectors.is_some();
    let (vectors, size) = vectors.map_or((&mut [][..], 0), |v| (v.data_mut(), n * n));
    let outputs = [(values.data_mut(), n), (vectors, size)];
    let flops = if with_vectors { 9 * n.pow(3) } else { 2 * n.pow(3) };
    if n <= small::EIGH_LIMIT {
        return for_each_span(
            a.count(),
            small::span::<T>(a.count(), flops),
            outputs,
            |range, [values, vectors]| {
                let matrices = &a.data()[range.start * n * n..range.end * n * n];
                decompose(op, range.start, n, matrices, values, vectors, with_vectors)
            },
        );
    }
    for_each_matrix(
        a.count(),
        flops,
        outputs,
        || Solver::new(n, with_vectors),
        |solver, i, [values, vectors]| solver.run(op, i, a.get(i), values, vectors),
    )
}

/// Finite matrices one after another, the first of them number `first` of its batch. Small ones go by lanes,
/// and those that the lanes give up by the solver of large ones.
fn decompose<T: Real>(
    op: &'static str,
    first: usize,
    n: usize,
    a: &[T],
    values: &mut [T],
    vectors: &mut [T],
    with_vectors: bool,
) -> Result<(), Error> {
    if n == 0 {
        return Ok(());
    }
    let left: Vec<usize> = if n <= small::EIGH_LIMIT {
        small::eigh(n, a, values, vectors)
    } else {
        (0..values.len() / n).collect()
    };
    left.into_iter().try_for_each(|i| {
        let of = |size: usize| i * size..(i + 1) * size;
        let vectors = &mut vectors[if with_vectors { of(n * n) } else { 0..0 }];
        Solver::new(n, with_vectors).run(op, first + i, &a[of(n * n)], &mut values[of(n)], vectors)
    })
}
