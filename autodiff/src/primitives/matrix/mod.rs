//! Factorisations of shared square matrices and what they are for: `log|det|`, solves, inverse.
//!
//! A factorisation is an output of its own, so that derivative rules reuse it instead of
//! factoring again. No derivative flows through the factors: a solve takes the matrix
//! itself beside them, and its rules are those of `W⁻¹` (M. Giles, *Collected matrix derivative
//! results for forward and reverse mode algorithmic differentiation*, 2008).
//!
//! Right-hand sides are rows: each line `b` of a value is replaced by `W⁻¹ b`, so that one
//! primitive serves batches and shared matrices. A singular matrix gives NaN, never a panic.

mod cholesky;
mod factors;
mod triangular;

pub use self::cholesky::Cholesky;
pub use self::triangular::TriangularSolve;

use self::factors::{Lu, lu_solve};
use crate::primitive::shape_error;
use crate::{Error, Recorder, Shape, Var};
use eigenflow_linalg::Real;
use eigenflow_linalg::triangular::Triangular;

impl<T: Real> Var<'_, T> {
    /// `log|det W|` of a shared square matrix, `1 x 1`: no overflow at any size.
    #[track_caller]
    pub fn log_abs_det(self) -> Self {
        self.recorder().apply_all(Lu, &[self])[0]
    }

    /// `W⁻¹ b` for every line `b` of `rhs` (rows of a batch, or of a shared matrix).
    #[track_caller]
    pub fn solve_lines(self, rhs: Self) -> Self {
        lu_solve(self, rhs, false)
    }

    /// `W⁻¹ B` of shared matrices.
    #[track_caller]
    pub fn solve(self, rhs: Self) -> Self {
        self.solve_lines(rhs.transpose()).transpose()
    }

    /// `W⁻¹` of a shared square matrix.
    #[track_caller]
    pub fn inverse(self) -> Self {
        let n = self.cols();
        lu_solve(self, identity(self.recorder(), n), true)
    }

    /// The lower Cholesky factor `L`, `L Lᵀ = A`, of a shared positive definite matrix.
    ///
    /// Only the lower half of `A` is read, and its cotangent lies there.
    #[track_caller]
    pub fn cholesky(self) -> Self {
        self.recorder().apply(Cholesky, &[self])
    }

    /// `op(T)⁻¹ b` for every line `b` of `rhs`, with a triangular matrix in one half of `self`.
    #[track_caller]
    pub fn solve_triangular(self, kind: Triangular, rhs: Self) -> Self {
        self.recorder().apply(TriangularSolve(kind), &[self, rhs])
    }
}

fn identity<T: Real>(r: &Recorder<T>, n: usize) -> Var<'_, T> {
    triangle(r, n, |i, j| if i == j { 1.0 } else { 0.0 })
}

/// A constant `n x n` matrix of weights.
fn triangle<T: Real>(r: &Recorder<T>, n: usize, f: impl Fn(usize, usize) -> f64) -> Var<'_, T> {
    let data: Vec<T> = (0..n * n).map(|k| T::of(f(k / n, k % n))).collect();
    r.constant(n, n, &data)
}

fn square(op: &'static str, shape: Shape, all: &[Shape]) -> Result<usize, Error> {
    match shape {
        Shape::Shared { rows, cols } if rows == cols => Ok(rows),
        _ => shape_error(op, all, "the matrix must be shared and square"),
    }
}

/// Columns that a solve works on for so many lines. A single one would take the matrix-vector
/// kernels, which round differently: a row's result would depend on whether it stands alone.
fn columns_for(lines: usize) -> usize {
    lines.max(2)
}

/// Puts `lines` of `n` numbers side by side as columns, zeros where there are too few of them;
/// `solve` works on the columns, and the lines come back in `out` (NaN if it fails).
fn by_columns<T: Real>(
    out: &mut [T],
    lines: &[T],
    n: usize,
    columns: &mut [T],
    solve: impl FnOnce(&mut [T]) -> bool,
) {
    let count = lines.len() / n.max(1);
    let m = columns_for(count);
    columns.fill(T::ZERO);
    for (i, line) in lines.chunks_exact(n.max(1)).enumerate() {
        line.iter().enumerate().for_each(|(j, &x)| columns[j * m + i] = x);
    }
    if !solve(columns) {
        return out.fill(T::NAN);
    }
    for (i, line) in out.chunks_exact_mut(n.max(1)).enumerate() {
        line.iter_mut().enumerate().for_each(|(j, x)| *x = columns[j * m + i]);
    }
}
