//! LU factorisation with partial pivoting: determinant, solves, inverse.

pub(crate) mod magnitude;
mod packed;
pub(crate) mod short;

use crate::error::{in_range, square};
use crate::parallel::{for_each_matrix, for_each_span};
use crate::product::same_count;
use crate::triangular::operands;
use crate::{Batch, Error, Matrix, Real, small};

pub use packed::{factor_in_place, slogdet_packed, solve_packed};

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
    let n = square("lu", a.shape())?;
    a.check_finite("lu")?;
    let (mut sign, mut log) = ([T::ZERO], [T::ZERO]);
    slogdet_each(0, n, a.data(), &mut sign, &mut log)?;
    Ok((sign[0], log[0]))
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

/// [`slogdet`] of every matrix of a batch: signs and logarithms, `N` each. Threaded over the matrices; small ones
/// go several at a time in the lanes of vectors, by the same arithmetic as [`Lu`].
///
/// # Errors
/// As [`slogdet`], naming the first matrix at fault.
pub fn slogdet_batch<T: Real>(a: &Batch<T>) -> Result<(Vec<T>, Vec<T>), Error> {
    let n = square("slogdet_batch", (a.rows(), a.cols()))?;
    a.check_finite("slogdet_batch")?;
    let (mut sign, mut log) = (vec![T::ZERO; a.count()], vec![T::ZERO; a.count()]);
    let span = small::span::<T>(a.count(), n.pow(3));
    let span = if n <= small::LU_LIMIT { span } else { 1 };
    for_each_span(a.count(), span, [(&mut sign, 1), (&mut log, 1)], |range, [sign, log]| {
        slogdet_each(range.start, n, &a.data()[range.start * n * n..range.end * n * n], sign, log)
    })?;
    Ok((sign, log))
}

/// Finite matrices one after another, the first of them number `first` of its batch; small ones go by lanes.
fn slogdet_each<T: Real>(
    first: usize,
    n: usize,
    a: &[T],
    sign: &mut [T],
    log: &mut [T],
) -> Result<(), Error> {
    let left = if n > 0 && n <= small::LU_LIMIT {
        small::slogdet(n, a, sign, log)
    } else {
        (0..sign.len()).collect()
    };
    if left.is_empty() {
        return Ok(());
    }
    let mut lu = Lu::room(n);
    left.into_iter().try_for_each(|i| {
        lu.refactor(&a[i * n * n..(i + 1) * n * n]).map_err(|e| e.at(first + i))?;
        (sign[i], log[i]) = lu.slogdet();
        Ok(())
    })
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
        n.pow(2) * (n + 2 * m),
        [(out.data_mut(), n * m)],
        || (Lu::room(n), vec![T::ZERO; n * m]),
        |(lu, scratch), i, [x]| {
            fill(i, x);
            lu.refactor(a.get(i)).and_then(|()| lu.solve_slice(x, scratch, false)).map_err(|e| e.at(i))
        },
    )?;
    Ok(out)
}
