//! What can go wrong in linear algebra.

use crate::Real;
use crate::finite::all_finite;

/// An error of this crate. Each variant names the operation and what to do about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Operands do not fit together.
    #[error("{op}: shapes {lhs:?} and {rhs:?} do not fit; {remedy}")]
    Shape {
        /// Operation that was asked for.
        op: &'static str,
        /// Shape of the first operand, rows and columns.
        lhs: (usize, usize),
        /// Shape of the second operand (or the expected shape).
        rhs: (usize, usize),
        /// What shape would do.
        remedy: &'static str,
    },
    /// NaN or infinity in the input.
    #[error("{op}: entry ({row}, {col}) of matrix {index} is not finite; clean the input first")]
    NotFinite {
        /// Operation that was asked for.
        op: &'static str,
        /// Which matrix of the batch (0 for a single one).
        index: usize,
        /// Row of the first offending entry.
        row: usize,
        /// Column of the first offending entry.
        col: usize,
    },
    /// An exactly singular matrix where an inverse is needed.
    #[error("{op}: matrix {index} is singular (pivot {pivot} is zero); regularise it first")]
    Singular {
        /// Operation that was asked for.
        op: &'static str,
        /// Which matrix of the batch.
        index: usize,
        /// Position of the zero pivot.
        pivot: usize,
    },
    /// Cholesky met a pivot that is not positive.
    #[error("{op}: matrix {index} is not positive definite (pivot {pivot}); add a ridge to its diagonal")]
    NotPositiveDefinite {
        /// Operation that was asked for.
        op: &'static str,
        /// Which matrix of the batch.
        index: usize,
        /// Position of the pivot.
        pivot: usize,
    },
    /// An iteration did not converge, or its result failed the residual guard.
    #[error("{op}: no convergence on matrix {index}; rescale the matrix or use f64")]
    NoConvergence {
        /// Operation that was asked for.
        op: &'static str,
        /// Which matrix of the batch.
        index: usize,
    },
    /// A result beyond the largest finite number.
    #[error("{op}: the result for matrix {index} overflows; rescale the matrix or use f64")]
    Overflow {
        /// Operation that was asked for.
        op: &'static str,
        /// Which matrix of the batch.
        index: usize,
    },
}

impl Error {
    /// The same error, of matrix `at` of a batch.
    pub(crate) fn at(mut self, at: usize) -> Self {
        match &mut self {
            Self::NotFinite { index, .. }
            | Self::Singular { index, .. }
            | Self::NotPositiveDefinite { index, .. }
            | Self::NoConvergence { index, .. }
            | Self::Overflow { index, .. } => *index = at,
            Self::Shape { .. } => {}
        }
        self
    }
}

/// A square shape, or an error that says so.
pub(crate) fn square(op: &'static str, shape: (usize, usize)) -> Result<usize, Error> {
    if shape.0 == shape.1 {
        return Ok(shape.0);
    }
    Err(Error::Shape { op, lhs: shape, rhs: (shape.0, shape.0), remedy: "the matrix must be square" })
}

/// An error unless a slice holds exactly a `rows x cols` matrix.
pub(crate) fn holds(op: &'static str, len: usize, rows: usize, cols: usize) -> Result<(), Error> {
    if len == rows * cols {
        return Ok(());
    }
    Err(Error::Shape {
        op,
        lhs: (len, 1),
        rhs: (rows, cols),
        remedy: "the slice must hold rows x cols entries",
    })
}

/// An error unless every entry of a result is finite.
pub(crate) fn in_range<T: Real>(op: &'static str, data: &[T]) -> Result<(), Error> {
    if all_finite(data) {
        return Ok(());
    }
    Err(Error::Overflow { op, index: 0 })
}
