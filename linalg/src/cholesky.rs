//! Cholesky factorisation of symmetric positive definite matrices.

use crate::error::{holds, in_range, square};
use crate::lu::magnitude::Magnitude;
use crate::parallel::for_each_matrix;
use crate::triangular::{Triangular, solve_view};
use crate::{Batch, Error, Matrix, Real};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, MatMut, Par};

/// Columns of a diagonal block.
const BLOCK: usize = 32;

/// Factors a row-major `[n, n]` matrix in place, `A = L Lᵀ`: reads the lower half, leaves `L` there and
/// zeros above. Allocates nothing. Cost `n³ / 3` flops.
///
/// # Errors
/// [`Error::Shape`] if `a` does not hold `n²` entries, [`Error::NotPositiveDefinite`] at the first
/// pivot that is not a positive finite number (so NaN and infinity in the lower half end here too);
/// `a` is then partly overwritten.
///
/// # References
/// G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013), section 4.2.
///
/// ```
/// use eigenflow_linalg::cholesky::factor_in_place;
/// let mut a = vec![4.0, 2.0, 2.0, 10.0];
/// factor_in_place(&mut a, 2).unwrap();
/// assert_eq!(a, [2.0, 0.0, 1.0, 3.0]);
/// ```
pub fn factor_in_place<T: Real>(a: &mut [T], n: usize) -> Result<(), Error> {
    let op = "cholesky";
    holds(op, a.len(), n, n)?;
    for start in (0..n).step_by(BLOCK) {
        let end = n.min(start + BLOCK);
        if let Some(pivot) = factor_block(a, n, start, end) {
            return Err(Error::NotPositiveDefinite { op, index: 0, pivot });
        }
        let rest = n - start;
        let trailing = MatMut::from_row_major_slice_mut(a, n, n).submatrix_mut(start, start, rest, rest);
        let (l11, _, mut l21, a22) = trailing.split_at_mut(end - start, end - start);
        // L21 L11ᵀ = A21, transposed to L11 L21ᵀ = A21ᵀ.
        solve_view(Triangular::LOWER, l11.as_ref(), l21.as_mut().transpose_mut());
        let l21 = l21.as_ref();
        matmul(
            a22,
            BlockStructure::TriangularLower,
            Accum::Add,
            l21,
            BlockStructure::Rectangular,
            l21.transpose(),
            BlockStructure::Rectangular,
            -T::ONE,
            Par::Seq,
        );
    }
    for i in 0..n {
        a[i * n + i + 1..(i + 1) * n].fill(T::ZERO);
    }
    Ok(())
}

/// Factors the diagonal block `start..end` row by row; the position of a bad pivot, if any.
fn factor_block<T: Real>(a: &mut [T], n: usize, start: usize, end: usize) -> Option<usize> {
    for i in start..end {
        let (above, row) = a.split_at_mut(i * n);
        for j in start..=i {
            // Column j of row i needs rows that are finished, or row i itself on the diagonal.
            let known: T = if j == i {
                row[start..i].iter().map(|&x| x * x).sum()
            } else {
                row[start..j].iter().zip(&above[j * n + start..j * n + j]).map(|(&x, &y)| x * y).sum()
            };
            let rest = row[j] - known;
            if j < i {
                row[j] = rest / above[j * n + j];
            } else if rest > T::ZERO && rest.is_finite() {
                row[j] = rest.sqrt();
            } else {
                return Some(i);
            }
        }
    }
    None
}

/// The factor of one matrix, kept for several uses.
///
/// ```
/// use eigenflow_linalg::{Matrix, cholesky::Cholesky};
/// let c = Cholesky::new(&Matrix::new(2, 2, vec![4.0_f64, 2.0, 2.0, 10.0])).unwrap(); // det = 36
/// assert!((c.logdet() - 36.0_f64.ln()).abs() < 1e-15);
/// assert_eq!(c.solve(&Matrix::new(2, 1, vec![8.0, 22.0])).unwrap().data(), [1.0, 2.0]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Cholesky<T> {
    l: Matrix<T>,
}

impl<T: Real> Cholesky<T> {
    /// Factors a symmetric positive definite matrix, of which only the lower triangle is read.
    ///
    /// # Errors
    /// [`Error::Shape`] if `a` is not square, [`Error::NotFinite`] for NaN or infinity,
    /// [`Error::NotPositiveDefinite`] at the first pivot that is not positive.
    pub fn new(a: &Matrix<T>) -> Result<Self, Error> {
        let n = square("cholesky", a.shape())?;
        a.check_finite("cholesky")?;
        let mut l = a.clone();
        factor_in_place(l.data_mut(), n)?;
        Ok(Self { l })
    }

    /// The lower triangular factor `L`, zeros above its diagonal.
    pub fn factor(&self) -> &Matrix<T> {
        &self.l
    }

    /// `log det A = 2 log Π l_ii`, in `f64` with an exponent of its own.
    pub fn logdet(&self) -> T {
        let mut product = Magnitude::one();
        (0..self.l.rows()).for_each(|i| product.times(self.l[(i, i)].f64()));
        T::of(2.0 * product.ln())
    }

    /// `X = A⁻¹ B` for `B` `[n, m]`. Cost `2 n² m` flops.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::NotFinite`], [`Error::Overflow`].
    pub fn solve(&self, b: &Matrix<T>) -> Result<Matrix<T>, Error> {
        let op = "cholesky solve";
        if b.rows() != self.l.rows() {
            let remedy = "the right-hand side must have as many rows as the matrix";
            return Err(Error::Shape { op, lhs: self.l.shape(), rhs: b.shape(), remedy });
        }
        b.check_finite(op)?;
        let mut x = b.clone();
        solve_view(Triangular::LOWER, self.l.view(), x.view_mut());
        solve_view(Triangular::LOWER.t(), self.l.view(), x.view_mut());
        in_range(op, x.data())?;
        Ok(x)
    }
}

/// The lower factors of a batch of symmetric positive definite matrices, threaded over the matrices.
///
/// # Errors
/// As [`Cholesky::new`], naming the first matrix at fault.
pub fn cholesky_batch<T: Real>(a: &Batch<T>) -> Result<Batch<T>, Error> {
    let n = square("cholesky_batch", (a.rows(), a.cols()))?;
    a.check_finite("cholesky_batch")?;
    let mut out = a.clone();
    for_each_matrix(
        a.count(),
        n.pow(3),
        [(out.data_mut(), n * n)],
        || (),
        |(), i, [l]| factor_in_place(l, n).map_err(|e| e.at(i)),
    )?;
    Ok(out)
}
