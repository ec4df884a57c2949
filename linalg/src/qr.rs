//! Thin QR factorisation.

use crate::error::in_range;
use crate::scale::{Scale, max_abs};
use crate::{Error, Matrix, Real};
use dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch as apply_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj as apply_sequence,
};
use faer::linalg::qr::no_pivoting::factor::{qr_in_place, qr_in_place_scratch, recommended_block_size};
use faer::{Conj, Mat, Par};

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
        let block = recommended_block_size::<T>(m, n);
        let mut coeff = Mat::zeros(block, k);
        let mut scratch = MemBuffer::new(StackReq::any_of(&[
            qr_in_place_scratch::<T>(m, n, block, Par::Seq, faer::Spec::default()),
            apply_scratch::<T>(m, block, k),
        ]));
        let stack = MemStack::new(&mut scratch);
        qr_in_place(work.as_mut(), coeff.as_mut(), Par::Seq, stack, faer::Spec::default());
        apply_sequence(work.get(.., ..k), coeff.as_ref(), Conj::No, q.as_mut(), Par::Seq, stack);
    }
    let flip = |i: usize, x: T| if work[(i, i)] < T::ZERO { -x } else { x };
    let r = Matrix::from_fn(k, n, |i, j| if j < i { T::ZERO } else { scale.up(flip(i, work[(i, j)])) });
    in_range("qr", r.data())?;
    Ok(Qr { q: Matrix::from_fn(m, k, |i, j| flip(j, q[(i, j)])), r })
}
