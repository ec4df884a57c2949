//! The packed form: factors and solves in the caller's buffers, without an allocation.
//!
//! A recursive factorisation on row-major storage: the left half of the columns, one product for the right half, then that. It needs no scratch, so a tape can run it in its own buffers;
//! the permutation is kept as numbers for the same reason.

use super::magnitude::Magnitude;
use super::short::{Short, pivot};
use crate::elementary::{Kernel, dispatch};
use crate::error::holds;
use crate::triangular::{Triangular, columns, solve_view};
use crate::{Error, Real};
use faer::{Accum, MatMut, MatRef, Par};

/// Columns that are eliminated one by one: the parts of the rows are a cache line or two.
const FEW: usize = 16;

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
    if n <= crate::small::LU_LIMIT {
        return Ok(dispatch(Short { a, perm }));
    }
    Ok(factor(a, perm, 0, n))
}

/// Factors columns `start..end` of the rows from `start` on; the columns before are done, and rows change places as a whole. Most of
/// the work is in products of half the columns' depth (S. Toledo, "Locality of reference in LU decomposition with partial
/// pivoting", 1997). Gives the position of the first pivot that is zero.
fn factor<T: Real>(a: &mut [T], perm: &mut [T], start: usize, end: usize) -> Option<usize> {
    if end - start <= FEW {
        return dispatch(Few { a, perm, start, end });
    }
    let (n, middle) = (perm.len(), start + (end - start).div_ceil(2).next_multiple_of(FEW));
    let left = factor(a, perm, start, middle);
    let both = MatMut::from_row_major_slice_mut(a, n, n);
    let both = both.submatrix_mut(start, start, n - start, end - start);
    let (l11, mut u12, l21, a22) = both.split_at_mut(middle - start, middle - start);
    solve_view(Triangular::UNIT_LOWER, l11.as_ref(), u12.as_mut());
    faer::linalg::matmul::matmul(a22, Accum::Add, l21, u12, -T::ONE, Par::Seq);
    let right = factor(a, perm, middle, end);
    left.or(right)
}

/// [`factor`] column by column, compiled for the widest vectors (784 x 784 in f32: half of the time went here without them).
struct Few<'a, T> {
    a: &'a mut [T],
    perm: &'a mut [T],
    start: usize,
    end: usize,
}

impl<T: Real> Kernel for Few<'_, T> {
    type Output = Option<usize>;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Option<usize> {
        let Self { a, perm, start, end } = self;
        let mut singular = None;
        for c in start..end {
            if !eliminate(a, perm, c, end) {
                singular = singular.or(Some(c));
            }
        }
        singular
    }
}

/// Chooses the pivot of column `c`, brings its row up and eliminates within columns `c..end`.
/// Returns whether the pivot is not zero.
#[inline(always)]
fn eliminate<T: Real>(a: &mut [T], perm: &mut [T], c: usize, end: usize) -> bool {
    let n = perm.len();
    let best = pivot(a, n, c);
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
/// is zero, `(1, 0)` for `n = 0`. Allocates nothing; the product is taken in `f64`, with an exponent of its own.
///
/// # Errors
/// [`Error::Shape`] if `lu` does not hold `n²` entries, `n = perm.len()`.
///
/// # Panics
/// May panic or not return if `perm` is not a permutation, as [`factor_in_place`] leaves it.
pub fn slogdet_packed<T: Real>(lu: &[T], perm: &[T]) -> Result<(T, T), Error> {
    let n = perm.len();
    holds("lu::slogdet_packed", lu.len(), n, n)?;
    let diagonal = (0..n).map(|i| lu[i * n + i].f64());
    let mut negative = odd(perm);
    let mut product = Magnitude::one();
    for u in diagonal {
        if u == 0.0 {
            return Ok((T::ZERO, -T::INFINITY));
        }
        negative ^= u < 0.0;
        product.times(u);
    }
    Ok((if negative { -T::ONE } else { T::ONE }, T::of(product.ln())))
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
///
/// # Panics
/// May panic if `perm` is not a permutation, as [`factor_in_place`] leaves it.
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
