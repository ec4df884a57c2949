//! Triangular solves and products.

use crate::error::{holds, in_range, square};
use crate::{Error, Matrix, Real};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::linalg::triangular_solve as faer_solve;
use faer::{Accum, MatMut, MatRef, Par};

/// The half of a square matrix that is read, diagonal included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// On and below the diagonal.
    Lower,
    /// On and above the diagonal.
    Upper,
}

/// The triangular operator `op(T)` that a square array stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Triangular {
    /// Which half of the array holds `T`; the other one is not read.
    pub half: Half,
    /// Whether the diagonal is taken as ones and not read.
    pub unit: bool,
    /// Whether the operator is `Tᵀ` instead of `T`.
    pub transpose: bool,
}

impl Triangular {
    /// `L`, in the lower half.
    pub const LOWER: Self = Self { half: Half::Lower, unit: false, transpose: false };
    /// `U`, in the upper half.
    pub const UPPER: Self = Self { half: Half::Upper, unit: false, transpose: false };
    /// `L` with ones on its diagonal.
    pub const UNIT_LOWER: Self = Self { half: Half::Lower, unit: true, transpose: false };
    /// `U` with ones on its diagonal.
    pub const UNIT_UPPER: Self = Self { half: Half::Upper, unit: true, transpose: false };

    /// The transposed operator on the same array.
    #[must_use]
    pub const fn t(self) -> Self {
        Self { transpose: !self.transpose, ..self }
    }

    /// A view of `op(T)` and the half in which that view is triangular.
    fn apply<T>(self, a: MatRef<'_, T>) -> (MatRef<'_, T>, Half) {
        match (self.transpose, self.half) {
            (false, half) => (a, half),
            (true, Half::Lower) => (a.transpose(), Half::Upper),
            (true, Half::Upper) => (a.transpose(), Half::Lower),
        }
    }
}

/// Solves `op(T) X = B` for `X` `[n, m]`, with `T` in one half of `a` `[n, n]`.
///
/// Cost `n² m` flops. Diagonal entries below `1 / T::MAX` count as zero for practical purposes: their
/// reciprocal overflows, and so does the result.
///
/// # Errors
/// [`Error::Shape`], [`Error::NotFinite`], [`Error::Singular`] for a zero on the diagonal,
/// [`Error::Overflow`] if the solution leaves the range.
///
/// ```
/// use eigenflow_linalg::{Matrix, triangular::{Triangular, solve}};
/// let l = Matrix::new(2, 2, vec![2.0, 0.0, 1.0, 4.0]);
/// let x = solve(Triangular::LOWER, &l, &Matrix::new(2, 1, vec![2.0, 9.0])).unwrap();
/// assert_eq!(x.data(), [1.0, 2.0]); // 2·1 = 2, 1·1 + 4·2 = 9
/// ```
pub fn solve<T: Real>(kind: Triangular, a: &Matrix<T>, b: &Matrix<T>) -> Result<Matrix<T>, Error> {
    let op = "triangular::solve";
    operands(op, a, b)?;
    let mut x = b.clone();
    solve_in_place(kind, a.rows(), a.data(), x.data_mut())?;
    in_range(op, x.data())?;
    Ok(x)
}

/// The product `op(T) B` `[n, m]`, with `T` in one half of `a` `[n, n]`. Cost `n² m` flops.
///
/// # Errors
/// [`Error::Shape`], [`Error::NotFinite`], [`Error::Overflow`].
///
/// ```
/// use eigenflow_linalg::{Matrix, triangular::{Triangular, product}};
/// let a = Matrix::new(2, 2, vec![2.0, 7.0, 1.0, 4.0]); // the 7 is not read
/// let y = product(Triangular::LOWER.t(), &a, &Matrix::new(2, 1, vec![1.0, 2.0])).unwrap();
/// assert_eq!(y.data(), [4.0, 8.0]); // [[2, 1], [0, 4]] (1, 2)ᵀ
/// ```
pub fn product<T: Real>(kind: Triangular, a: &Matrix<T>, b: &Matrix<T>) -> Result<Matrix<T>, Error> {
    let op = "triangular::product";
    operands(op, a, b)?;
    let mut y = Matrix::zeros(b.rows(), b.cols());
    product_into(kind, a.rows(), a.data(), b.data(), y.data_mut())?;
    in_range(op, y.data())?;
    Ok(y)
}

/// [`solve`] on row-major slices: `b` `[n, m]` is overwritten by the solution. Allocates nothing;
/// non-finite entries propagate.
///
/// # Errors
/// [`Error::Shape`] if a slice has the wrong length, [`Error::Singular`] for a zero on the diagonal.
pub fn solve_in_place<T: Real>(kind: Triangular, n: usize, a: &[T], b: &mut [T]) -> Result<(), Error> {
    let op = "triangular::solve";
    let m = columns(op, n, a.len(), b.len())?;
    if !kind.unit
        && let Some(pivot) = (0..n).find(|i| a[i * n + i] == T::ZERO)
    {
        return Err(Error::Singular { op, index: 0, pivot });
    }
    let (tri, rhs) = (MatRef::from_row_major_slice(a, n, n), MatMut::from_row_major_slice_mut(b, n, m));
    solve_view(kind, tri, rhs);
    Ok(())
}

/// [`product`] on row-major slices: `dst = op(T) b`, both `[n, m]`. Allocates nothing; non-finite
/// entries propagate.
///
/// # Errors
/// [`Error::Shape`] if a slice has the wrong length.
pub fn product_into<T: Real>(
    kind: Triangular,
    n: usize,
    a: &[T],
    b: &[T],
    dst: &mut [T],
) -> Result<(), Error> {
    let op = "triangular::product";
    let m = columns(op, n, a.len(), b.len())?;
    holds(op, dst.len(), n, m)?;
    let (tri, half) = kind.apply(MatRef::from_row_major_slice(a, n, n));
    let structure = match (half, kind.unit) {
        (Half::Lower, false) => BlockStructure::TriangularLower,
        (Half::Lower, true) => BlockStructure::UnitTriangularLower,
        (Half::Upper, false) => BlockStructure::TriangularUpper,
        (Half::Upper, true) => BlockStructure::UnitTriangularUpper,
    };
    matmul(
        MatMut::from_row_major_slice_mut(dst, n, m),
        BlockStructure::Rectangular,
        Accum::Replace,
        tri,
        structure,
        MatRef::from_row_major_slice(b, n, m),
        BlockStructure::Rectangular,
        T::ONE,
        Par::Seq,
    );
    Ok(())
}

/// Solves on views whose shapes fit and whose diagonal has no zero.
pub(crate) fn solve_view<T: Real>(kind: Triangular, a: MatRef<'_, T>, rhs: MatMut<'_, T>) {
    let (tri, half) = kind.apply(a);
    match (half, kind.unit) {
        (Half::Lower, false) => faer_solve::solve_lower_triangular_in_place(tri, rhs, Par::Seq),
        (Half::Lower, true) => faer_solve::solve_unit_lower_triangular_in_place(tri, rhs, Par::Seq),
        (Half::Upper, false) => faer_solve::solve_upper_triangular_in_place(tri, rhs, Par::Seq),
        (Half::Upper, true) => faer_solve::solve_unit_upper_triangular_in_place(tri, rhs, Par::Seq),
    }
}

/// Checks a square matrix and a right-hand side with as many rows, both finite.
pub(crate) fn operands<T: Real>(op: &'static str, a: &Matrix<T>, b: &Matrix<T>) -> Result<(), Error> {
    let n = square(op, a.shape())?;
    if b.rows() != n {
        let remedy = "the right-hand side must have as many rows as the matrix";
        return Err(Error::Shape { op, lhs: a.shape(), rhs: b.shape(), remedy });
    }
    a.check_finite(op)?;
    b.check_finite(op)
}

/// Columns of an `[n, m]` right-hand side, from the lengths of the slices.
pub(crate) fn columns(op: &'static str, n: usize, a: usize, b: usize) -> Result<usize, Error> {
    holds(op, a, n, n)?;
    let m = b.checked_div(n).unwrap_or(0);
    holds(op, b, n, m)?;
    Ok(m)
}
