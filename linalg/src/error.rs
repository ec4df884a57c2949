//! What can go wrong in linear algebra.

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
}
