//! Thin QR factorisation.
//!
//! Blocked Householder reflections from faer's parts. faer's own driver is not used: it drops what is
//! left of a column once that is below `16 m eps` times the column, which loses digits on graded matrices.

use crate::error::in_range;
use crate::scale::{Scale, max_abs};
use crate::{Error, Matrix, Real};
use dyn_stack::{MemBuffer, MemStack};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_with_conj as apply_sequence,
    apply_block_householder_transpose_on_the_left_in_place_with_conj as apply_transpose,
    make_householder_in_place, upgrade_householder_factor,
};
use faer::linalg::matmul::matmul;
use faer::linalg::temp_mat_scratch;
use faer::{Accum, Conj, Mat, MatMut, Par};

/// Reflections that are applied together.
const BLOCK: usize = 32;

/// `A = Q R`.
#[derive(Debug, Clone, PartialEq)]
pub struct Qr<T> {
    /// Orthonormal columns, `[m, min(m, n)]`, also where `A` is rank-deficient.
    pub q: Matrix<T>,
    /// Upper triangular (trapezoidal for `m < n`), `[min(m, n), n]`, with a diagonal that is not negative.
    pub r: Matrix<T>,
}

/// The thin QR factorisation `A = Q R` by Householder reflections, with `r_ii >= 0`: for a matrix of full
/// column rank this makes it unique.
///
/// Cost about `4 m n²` flops for `m >= n`, of which half is for `Q`.
///
/// # Errors
/// [`Error::NotFinite`] for NaN or infinity, [`Error::Overflow`] if an entry of `R` is beyond range.
///
/// # References
/// G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013), section 5.2.
///
/// ```
/// use eigenflow_linalg::{Matrix, qr::qr};
/// let f = qr(&Matrix::new(2, 1, vec![-3.0, 4.0])).unwrap(); // (-3, 4) = 5 · (-0.6, 0.8)
/// assert!((f.r[(0, 0)] - 5.0_f64).abs() < 1e-15 && (f.q[(0, 0)] + 0.6).abs() < 1e-15);
/// ```
pub fn qr<T: Real>(a: &Matrix<T>) -> Result<Qr<T>, Error> {
    a.check_finite("qr")?;
    let (m, n) = a.shape();
    let k = m.min(n);
    let scale = Scale::of(max_abs(a.data()));
    let mut work = Mat::from_fn(m, n, |i, j| scale.down(a[(i, j)]));
    let mut q = Mat::<T>::identity(m, k);
    if k > 0 {
        let mut coeff = Mat::zeros(BLOCK.min(k), k);
        let mut scratch = MemBuffer::new(temp_mat_scratch::<T>(BLOCK.min(k), n));
        let stack = MemStack::new(&mut scratch);
        reflect(work.as_mut(), coeff.as_mut(), stack);
        apply_sequence(work.get(.., ..k), coeff.as_ref(), Conj::No, q.as_mut(), Par::Seq, stack);
    }
    let flip = |i: usize, x: T| if work[(i, i)] < T::ZERO { -x } else { x };
    let r = Matrix::from_fn(k, n, |i, j| if j < i { T::ZERO } else { scale.up(flip(i, work[(i, j)])) });
    in_range("qr", r.data())?;
    Ok(Qr { q: Matrix::from_fn(m, k, |i, j| flip(j, q[(i, j)])), r })
}

/// Leaves `R` on and above the diagonal of `a` `[m, n]`, the reflection vectors (first entry 1, not stored)
/// below it, and the triangular factors of their block reflectors in `coeff` `[block, min(m, n)]`.
fn reflect<T: Real>(mut a: MatMut<'_, T>, mut coeff: MatMut<'_, T>, stack: &mut MemStack) {
    let (m, n) = a.shape();
    let (block, k) = coeff.shape();
    for start in (0..k).step_by(block) {
        let end = k.min(start + block);
        let width = end - start;
        let mut factor = coeff.as_mut().submatrix_mut(0, start, width, width);
        for c in start..end {
            factor[(c - start, c - start)] = reflect_column(a.as_mut().submatrix_mut(c, c, m - c, end - c));
        }
        let trailing = a.as_mut().submatrix_mut(start, start, m - start, n - start);
        let (vectors, rest) = trailing.split_at_col_mut(width);
        upgrade_householder_factor(factor.as_mut(), vectors.as_ref(), width, 1, Par::Seq);
        if end < n {
            apply_transpose(vectors.as_ref(), factor.as_ref(), Conj::No, rest, Par::Seq, stack);
        }
    }
}

/// Reflects the first column onto its first entry and applies the reflection `I - v vᵀ / tau` to the other
/// columns, at most `BLOCK` of them. Returns `tau`, infinite where there is nothing to reflect.
fn reflect_column<T: Real>(a: MatMut<'_, T>) -> T {
    let (first, mut rest) = a.split_at_col_mut(1);
    let mut v = first;
    let (mut head, tail) = v.as_mut().split_at_row_mut(1);
    let tau = make_householder_in_place(&mut head[(0, 0)], tail.col_mut(0)).tau;
    let beta = std::mem::replace(&mut v[(0, 0)], T::ONE);
    let mut products = [T::ZERO; BLOCK];
    let count = rest.ncols();
    let mut products = MatMut::from_row_major_slice_mut(&mut products[..count], 1, count);
    matmul(products.as_mut(), Accum::Replace, v.as_ref().transpose(), rest.as_ref(), T::ONE, Par::Seq);
    matmul(rest.as_mut(), Accum::Add, v.as_ref(), products, -(T::ONE / tau), Par::Seq);
    v[(0, 0)] = beta;
    tau
}
