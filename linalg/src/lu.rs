//! LU factorisation with partial pivoting: determinant, solves, inverse.
//!
//! The factorisation is a blocked, right-looking one on row-major storage: a panel of columns is
//! factored by rows, the rest is updated by one product. It needs no scratch, so a tape can run it
//! in its own buffers; the permutation is kept as numbers for the same reason.

use crate::error::{holds, in_range, square};
use crate::parallel::for_each_matrix;
use crate::product::same_count;
use crate::triangular::{Triangular, columns, operands, solve_view};
use crate::{Batch, Error, Matrix, Real};
use faer::{Accum, MatMut, MatRef, Par};

/// Columns of a panel: wide enough for the products to carry the work, small enough for a cache line or two a row.
const BLOCK: usize = 32;

/// Factors a row-major `[n, n]` matrix in place, `P A = L U`, where `n = perm.len()`.
///
/// On return `a` holds `U` on and above the diagonal and the multipliers of the unit lower triangular
/// `L` (all at most 1 in magnitude) below it, and `perm[i]`, a whole number, is the row of `A` that
/// became row `i`. Returns the position of the first pivot that is exactly zero, if any; the
/// factorisation is complete even then. Allocates nothing; non-finite entries propagate.
/// Cost `2/3 n³` flops.
///
/// # Errors
/// [`Error::Shape`] if `a` does not hold `n²` entries.
///
/// # References
/// G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013), section 3.4.
///
/// ```
/// use eigenflow_linalg::lu;
/// let (mut a, mut perm) = (vec![0.0, 2.0, 4.0, 6.0], vec![0.0; 2]);
/// assert_eq!(lu::factor_in_place(&mut a, &mut perm).unwrap(), None);
/// assert_eq!((a, perm), (vec![4.0, 6.0, 0.0, 2.0], vec![1.0, 0.0])); // the rows change places
/// ```
pub fn factor_in_place<T: Real>(a: &mut [T], perm: &mut [T]) -> Result<Option<usize>, Error> {
    let n = perm.len();
    holds("lu::factor_in_place", a.len(), n, n)?;
    perm.iter_mut().enumerate().for_each(|(i, p)| *p = T::of(i as f64));
    let mut singular = None;
    for start in (0..n).step_by(BLOCK) {
        let end = n.min(start + BLOCK);
        for c in start..end {
            if !eliminate(a, perm, c, end) {
                singular = singular.or(Some(c));
            }
        }
        let rest = n - start;
        let trailing = MatMut::from_row_major_slice_mut(a, n, n).submatrix_mut(start, start, rest, rest);
        let (l11, mut u12, l21, a22) = trailing.split_at_mut(end - start, end - start);
        solve_view(Triangular::UNIT_LOWER, l11.as_ref(), u12.as_mut());
        faer::linalg::matmul::matmul(a22, Accum::Add, l21, u12, -T::ONE, Par::Seq);
    }
    Ok(singular)
}

/// Chooses the pivot of column `c`, brings its row up and eliminates within columns `c..end`.
/// Returns whether the pivot is not zero.
fn eliminate<T: Real>(a: &mut [T], perm: &mut [T], c: usize, end: usize) -> bool {
    let n = perm.len();
    let mut best = c;
    for r in c + 1..n {
        if a[r * n + c].abs() > a[best * n + c].abs() {
            best = r;
        }
    }
    if best != c {
        let (upper, lower) = a.split_at_mut(best * n);
        upper[c * n..(c + 1) * n].swap_with_slice(&mut lower[..n]);
        perm.swap(c, best);
    }
    let (upper, lower) = a.split_at_mut((c + 1) * n);
    let pivot_row = &upper[c * n + c..c * n + end];
    let pivot = pivot_row[0];
    if pivot == T::ZERO {
        return false;
    }
    for row in lower.chunks_exact_mut(n) {
        let row = &mut row[c..end];
        let factor = row[0] / pivot;
        row[0] = factor;
        for (x, &p) in row[1..].iter_mut().zip(&pivot_row[1..]) {
            *x -= factor * p;
        }
    }
    true
}

/// Sign and logarithm of the magnitude of the determinant, from packed factors: `(0, -∞)` if a pivot
/// is zero, `(1, 0)` for `n = 0`. Allocates nothing; the sum is taken in `f64`.
///
/// # Errors
/// [`Error::Shape`] if `lu` does not hold `n²` entries, `n = perm.len()`.
pub fn slogdet_packed<T: Real>(lu: &[T], perm: &[T]) -> Result<(T, T), Error> {
    let n = perm.len();
    holds("lu::slogdet_packed", lu.len(), n, n)?;
    let diagonal = (0..n).map(|i| lu[i * n + i].f64());
    let mut negative = odd(perm);
    let mut log = 0.0;
    for u in diagonal {
        if u == 0.0 {
            return Ok((T::ZERO, -T::INFINITY));
        }
        negative ^= u < 0.0;
        log += u.abs().ln();
    }
    Ok((if negative { -T::ONE } else { T::ONE }, T::of(log)))
}

/// Whether a permutation is odd: `n` minus the number of its cycles, each counted at its least element.
fn odd<T: Real>(perm: &[T]) -> bool {
    let cycles = (0..perm.len())
        .filter(|&start| {
            let mut at = perm[start].f64() as usize;
            while at > start {
                at = perm[at].f64() as usize;
            }
            at == start
        })
        .count();
    (perm.len() - cycles) % 2 == 1
}

/// Solves `A X = B` (or `Aᵀ X = B`) in place from packed factors; `b` is row-major `[n, m]`.
///
/// `scratch` needs as many entries as `b`. Allocates nothing; non-finite entries propagate.
/// Cost `2 n² m` flops.
///
/// # Errors
/// [`Error::Shape`] if a slice has the wrong length, [`Error::Singular`] if a pivot is zero.
pub fn solve_packed<T: Real>(
    lu: &[T],
    perm: &[T],
    b: &mut [T],
    scratch: &mut [T],
    transpose: bool,
) -> Result<(), Error> {
    let (op, n) = ("lu::solve_packed", perm.len());
    let m = columns(op, n, lu.len(), b.len())?;
    holds(op, scratch.len(), n, m)?;
    if let Some(pivot) = (0..n).find(|i| lu[i * n + i] == T::ZERO) {
        return Err(Error::Singular { op, index: 0, pivot });
    }
    if m == 0 {
        return Ok(());
    }
    let factors = MatRef::from_row_major_slice(lu, n, n);
    let rows = |i: usize| i * m..(i + 1) * m;
    if transpose {
        // Aᵀ = Uᵀ Lᵀ P
        scratch.copy_from_slice(b);
        let mut x = MatMut::from_row_major_slice_mut(scratch, n, m);
        solve_view(Triangular::UPPER.t(), factors, x.as_mut());
        solve_view(Triangular::UNIT_LOWER.t(), factors, x);
        for (i, p) in perm.iter().enumerate() {
            b[rows(p.f64() as usize)].copy_from_slice(&scratch[rows(i)]);
        }
    } else {
        for (i, p) in perm.iter().enumerate() {
            scratch[rows(i)].copy_from_slice(&b[rows(p.f64() as usize)]);
        }
        let mut x = MatMut::from_row_major_slice_mut(scratch, n, m);
        solve_view(Triangular::UNIT_LOWER, factors, x.as_mut());
        solve_view(Triangular::UPPER, factors, x);
        b.copy_from_slice(scratch);
    }
    Ok(())
}

/// The factors of one matrix, kept for several uses.
///
/// ```
/// use eigenflow_linalg::{Matrix, lu::Lu};
/// let lu = Lu::new(&Matrix::new(2, 2, vec![1.0_f64, 2.0, 3.0, 4.0])).unwrap();
/// let (sign, log) = lu.slogdet(); // det = -2
/// assert!(sign == -1.0 && (log - 2.0_f64.ln()).abs() < 1e-15);
/// let x = lu.solve(&Matrix::new(2, 1, vec![5.0, 11.0])).unwrap();
/// assert!((x[(0, 0)] - 1.0).abs() < 1e-14 && (x[(1, 0)] - 2.0).abs() < 1e-14);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Lu<T> {
    lu: Vec<T>,
    perm: Vec<T>,
}

impl<T: Real> Lu<T> {
    /// Factors a square matrix; a singular one is factored as well.
    ///
    /// # Errors
    /// [`Error::Shape`] if `a` is not square, [`Error::NotFinite`] for NaN or infinity,
    /// [`Error::Overflow`] if an entry of the factors leaves the range.
    pub fn new(a: &Matrix<T>) -> Result<Self, Error> {
        let n = square("lu", a.shape())?;
        a.check_finite("lu")?;
        let mut factors = Self { lu: a.data().to_vec(), perm: vec![T::ZERO; n] };
        factors.factor()?;
        Ok(factors)
    }

    /// Room for the factors of an `[n, n]` matrix.
    fn room(n: usize) -> Self {
        Self { lu: vec![T::ZERO; n * n], perm: vec![T::ZERO; n] }
    }

    /// Factors another finite matrix of the same size.
    fn refactor(&mut self, a: &[T]) -> Result<(), Error> {
        self.lu.copy_from_slice(a);
        self.factor()
    }

    fn factor(&mut self) -> Result<(), Error> {
        factor_in_place(&mut self.lu, &mut self.perm)?;
        in_range("lu", &self.lu)
    }

    /// Rows of the matrix.
    pub fn n(&self) -> usize {
        self.perm.len()
    }

    /// Sign and `log|det A|`; `(0, -∞)` for a singular matrix. Never overflows, at any size.
    pub fn slogdet(&self) -> (T, T) {
        slogdet_packed(&self.lu, &self.perm).expect("factors are square by construction")
    }

    /// `X = A⁻¹ B` for `B` `[n, m]`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NotFinite`], [`Error::Singular`], [`Error::Overflow`].
    pub fn solve(&self, b: &Matrix<T>) -> Result<Matrix<T>, Error> {
        self.solved(b, false)
    }

    /// `X = A⁻ᵀ B` for `B` `[n, m]`.
    ///
    /// # Errors
    /// As [`Lu::solve`].
    pub fn solve_transpose(&self, b: &Matrix<T>) -> Result<Matrix<T>, Error> {
        self.solved(b, true)
    }

    /// `A⁻¹`.
    ///
    /// # Errors
    /// [`Error::Singular`], [`Error::Overflow`].
    pub fn inverse(&self) -> Result<Matrix<T>, Error> {
        self.solved(&Matrix::identity(self.n()), false)
    }

    fn solved(&self, b: &Matrix<T>, transpose: bool) -> Result<Matrix<T>, Error> {
        let n = self.n();
        if b.rows() != n {
            let remedy = "the right-hand side must have as many rows as the matrix";
            return Err(Error::Shape { op: "solve", lhs: (n, n), rhs: b.shape(), remedy });
        }
        b.check_finite("solve")?;
        let mut x = b.clone();
        let mut scratch = vec![T::ZERO; b.data().len()];
        self.solve_slice(x.data_mut(), &mut scratch, transpose)?;
        Ok(x)
    }

    fn solve_slice(&self, b: &mut [T], scratch: &mut [T], transpose: bool) -> Result<(), Error> {
        solve_packed(&self.lu, &self.perm, b, scratch, transpose)?;
        in_range("solve", b)
    }
}

/// Sign and logarithm of the magnitude of the determinant: `det A = sign · exp(log)`, `(0, -∞)` for a
/// singular matrix.
///
/// # Errors
/// As [`Lu::new`].
///
/// ```
/// use eigenflow_linalg::{Matrix, lu::slogdet};
/// let (sign, log) = slogdet(&Matrix::diagonal(&[-1e300_f64, 1e300])).unwrap(); // det = -1e600
/// assert!(sign == -1.0 && (log / (600.0 * 10.0_f64.ln()) - 1.0).abs() < 1e-15);
/// ```
pub fn slogdet<T: Real>(a: &Matrix<T>) -> Result<(T, T), Error> {
    Ok(Lu::new(a)?.slogdet())
}

/// `X = A⁻¹ B`. To solve with one matrix several times keep its [`Lu`].
///
/// # Errors
/// As [`Lu::new`] and [`Lu::solve`].
pub fn solve<T: Real>(a: &Matrix<T>, b: &Matrix<T>) -> Result<Matrix<T>, Error> {
    operands("solve", a, b)?;
    Lu::new(a)?.solve(b)
}

/// `A⁻¹`. A solve is cheaper and more accurate where the inverse itself is not needed.
///
/// # Errors
/// As [`Lu::new`] and [`Lu::inverse`].
pub fn inverse<T: Real>(a: &Matrix<T>) -> Result<Matrix<T>, Error> {
    Lu::new(a)?.inverse()
}

/// [`slogdet`] of every matrix of a batch: signs and logarithms, `N` each.
///
/// # Errors
/// As [`slogdet`], naming the first matrix at fault.
pub fn slogdet_batch<T: Real>(a: &Batch<T>) -> Result<(Vec<T>, Vec<T>), Error> {
    let n = square("slogdet_batch", (a.rows(), a.cols()))?;
    a.check_finite("slogdet_batch")?;
    let (mut sign, mut log) = (vec![T::ZERO; a.count()], vec![T::ZERO; a.count()]);
    for_each_matrix(
        a.count(),
        [(&mut sign, 1), (&mut log, 1)],
        || Lu::room(n),
        |lu, i, [sign, log]| {
            lu.refactor(a.get(i)).map_err(|e| e.at(i))?;
            (sign[0], log[0]) = lu.slogdet();
            Ok(())
        },
    )?;
    Ok((sign, log))
}

/// [`solve`] for every pair of a batch: `[N, n, n]` and `[N, n, m]` give `[N, n, m]`.
///
/// # Errors
/// As [`solve`], naming the first matrix at fault.
pub fn solve_batch<T: Real>(a: &Batch<T>, b: &Batch<T>) -> Result<Batch<T>, Error> {
    let op = "solve_batch";
    let n = square(op, (a.rows(), a.cols()))?;
    same_count(op, a.count(), b.count())?;
    if b.rows() != n {
        let remedy = "the right-hand sides must have as many rows as the matrices";
        return Err(Error::Shape { op, lhs: (n, n), rhs: (b.rows(), b.cols()), remedy });
    }
    b.check_finite(op)?;
    solve_each(op, a, b.cols(), |i, x| x.copy_from_slice(b.get(i)))
}

/// [`inverse`] of every matrix of a batch.
///
/// # Errors
/// As [`inverse`], naming the first matrix at fault.
pub fn inverse_batch<T: Real>(a: &Batch<T>) -> Result<Batch<T>, Error> {
    let n = square("inverse_batch", (a.rows(), a.cols()))?;
    // The output starts as zeros: only the ones are to be written.
    solve_each("inverse_batch", a, n, |_, x| x.iter_mut().step_by(n + 1).for_each(|x| *x = T::ONE))
}

/// Solves with every matrix of a batch; `fill` writes the right-hand side `[n, m]` of matrix `i`.
fn solve_each<T: Real>(
    op: &'static str,
    a: &Batch<T>,
    m: usize,
    fill: impl Fn(usize, &mut [T]) + Sync + Send,
) -> Result<Batch<T>, Error> {
    a.check_finite(op)?;
    let n = a.rows();
    let mut out = Batch::zeros(a.count(), n, m);
    for_each_matrix(
        a.count(),
        [(out.data_mut(), n * m)],
        || (Lu::room(n), vec![T::ZERO; n * m]),
        |(lu, scratch), i, [x]| {
            fill(i, x);
            lu.refactor(a.get(i)).and_then(|()| lu.solve_slice(x, scratch, false)).map_err(|e| e.at(i))
        },
    )?;
    Ok(out)
}
