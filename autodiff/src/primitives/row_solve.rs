//! Solves with the block of each row, and its determinant: what implicit values are differentiated by.
//!
//! A block `[n, n]` of a row is its matrix `A`. A singular one gives NaN (`-∞` for its log-determinant), never a panic, and leaves the
//! other rows as they are.

use super::key;
use super::row_product::RowProduct;
use crate::primitive::{Cotangents, Eval, Key, Primitive, Shapes, Tangents, shape_error};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::{Real, lu};
use smallvec::smallvec;
use std::sync::Arc;

impl<T: Real> Var<'_, T> {
    /// `log|det A|` of the square block `A` of each row: one column. Cost `2/3 n³` a row.
    #[track_caller]
    pub fn row_log_abs_det(self) -> Self {
        self.recorder().apply(RowLogDet, &[self])
    }
}

/// Every line `b` of each row's block becomes `A⁻¹ b` (or `A⁻ᵀ b`); inputs the square blocks `A`, and the lines.
///
/// By LU, at `2/3 n³ + 2 k n²` a row for `k` lines; by substitution, at `k n²`, where `A` is triangular in some order of its
/// columns, so that structural zeros of the solution are exact. Its rules are those of `A⁻¹`: `dx = A⁻¹ (db - dA x)`.
#[derive(Clone, Debug)]
pub struct RowSolve {
    /// Whether to solve with `Aᵀ`.
    pub transpose: bool,
    /// An order of rows and columns in which `A` is upper triangular, if there is one; what is below is zero and not read.
    pub order: Option<Arc<[usize]>>,
}

/// `log|det A|` of the square block of each row: `d log|det A| = tr(A⁻¹ dA)`.
#[derive(Clone, Copy, Debug)]
pub struct RowLogDet;

/// The size of square blocks.
fn square(shape: Shape) -> Option<usize> {
    (shape.is_batch() && shape.tangents() == shape.cols()).then_some(shape.cols())
}

impl<T: Real> Primitive<T> for RowSolve {
    fn name(&self) -> &'static str {
        "row_solve"
    }

    fn is_on_blocks(&self) -> bool {
        true
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if square(inputs[0]) == Some(inputs[1].cols()) && inputs[1].is_batch() {
            return Ok(smallvec![inputs[1]]);
        }
        shape_error("row_solve", inputs, "square blocks of a batch, and lines of as many columns")
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let (n, lines) = (cx.input_shapes[0].cols(), cx.input_shapes[1].tangents());
        if n * lines == 0 {
            return;
        }
        if let Some(order) = &self.order {
            let rows = cx.inputs[0].chunks_exact(n * n).zip(cx.inputs[1].chunks_exact(n * lines));
            for ((a, b), x) in rows.zip(cx.outputs[0].chunks_exact_mut(n * lines)) {
                x.copy_from_slice(b);
                x.chunks_exact_mut(n).for_each(|line| substitute(a, order, self.transpose, line));
            }
            return;
        }
        let (packed, rest) = cx.scratch.split_at_mut(n * n);
        let (perm, rest) = rest.split_at_mut(n);
        let (columns, rest) = rest.split_at_mut(n * lines);
        let blocks = cx.inputs[0].chunks_exact(n * n).zip(cx.inputs[1].chunks_exact(n * lines));
        for ((a, b), x) in blocks.zip(cx.outputs[0].chunks_exact_mut(n * lines)) {
            packed.copy_from_slice(a);
            for (k, line) in b.chunks_exact(n).enumerate() {
                line.iter().enumerate().for_each(|(j, &v)| columns[j * lines + k] = v);
            }
            let solved = a.iter().all(|v| v.is_finite())
                && lu::factor_in_place(packed, perm).is_ok()
                && lu::solve_packed(packed, perm, columns, &mut rest[..n * lines], self.transpose).is_ok();
            for (k, line) in x.chunks_exact_mut(n).enumerate() {
                let place = |j: usize| if solved { columns[j * lines + k] } else { T::NAN };
                line.iter_mut().enumerate().for_each(|(j, v)| *v = place(j));
            }
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let (shape, n) = (y[0].shape(), y[0].cols());
        let solve = |b: Var<'t, T>| r.apply(self.clone(), &[x[0], b]);
        // Lines of `dA x`, or of `dAᵀ x`.
        let moved = RowProduct { transpose_a: false, transpose_b: !self.transpose };
        let from_a = dx[0].linear(r, x[0].shape(), n, |da| -solve(r.apply(moved, &[y[0], da])));
        Ok(smallvec![dx[1].linear(r, x[1].shape(), n, solve).add(from_a, r, shape)])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let Some(dy) = dy[0] else { return Ok(smallvec![None, None]) };
        let back = Self { transpose: !self.transpose, order: self.order.clone() };
        let db = r.apply(back, &[x[0], dy]);
        // -Σ db xᵀ over the lines, or its transpose.
        let outer = RowProduct { transpose_a: true, transpose_b: false };
        let pair = if self.transpose { [y[0], db] } else { [db, y[0]] };
        Ok(smallvec![need[0].then(|| -r.apply(outer, &pair)), need[1].then_some(db)])
    }

    fn scratch(&self, inputs: &[Shape], _rows: usize) -> usize {
        let n = inputs[0].cols();
        n * n + n + 2 * n * inputs[1].tangents()
    }

    fn key(&self) -> Option<Key> {
        self.order.is_none().then(|| key::<Self>(u64::from(self.transpose), 0))
    }
}

/// One line becomes the solution, with `A` upper triangular in the given order: its transpose from the first column on, itself
/// from the last.
fn substitute<T: Real>(a: &[T], order: &[usize], transpose: bool, x: &mut [T]) {
    let n = order.len();
    for step in 0..n {
        let at = if transpose { step } else { n - 1 - step };
        let i = order[at];
        let known = if transpose { &order[..at] } else { &order[at + 1..] };
        let entry = |j: usize| if transpose { a[j * n + i] } else { a[i * n + j] };
        let sum: T = known.iter().map(|&j| entry(j) * x[j]).sum();
        x[i] = (x[i] - sum) / a[i * n + i];
    }
}

/// `A⁻ᵀ` of each row.
fn inverse_transpose<'t, T: Real>(r: &'t Recorder<T>, a: Var<'t, T>) -> Var<'t, T> {
    let n = a.cols();
    // Line `j` of the result is `A⁻¹ e_j`: column `j` of the inverse.
    let identity = Tangent::identity(n).into_block(r, Shape::batch(n), n);
    identity.map_or(a, |identity| r.apply(RowSolve { transpose: false, order: None }, &[a, identity]))
}

impl<T: Real> Primitive<T> for RowLogDet {
    fn name(&self) -> &'static str {
        "row_log_abs_det"
    }

    fn is_on_blocks(&self) -> bool {
        true
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        match square(inputs[0]) {
            Some(_) => Ok(smallvec![Shape::batch(1)]),
            None => shape_error("row_log_abs_det", inputs, "square blocks of a batch"),
        }
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let n = cx.input_shapes[0].cols();
        if n == 0 {
            return cx.outputs[0].fill(T::ZERO);
        }
        let (packed, perm) = cx.scratch[..n * n + n].split_at_mut(n * n);
        for (a, out) in cx.inputs[0].chunks_exact(n * n).zip(cx.outputs[0].iter_mut()) {
            packed.copy_from_slice(a);
            let log = lu::factor_in_place(packed, perm).and_then(|_| lu::slogdet_packed(packed, perm));
            let finite = a.iter().all(|v| v.is_finite());
            *out = if finite { log.map_or(T::NAN, |(_, log)| log) } else { T::NAN };
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        Ok(smallvec![dx[0].linear(r, x[0].shape(), 1, |da| {
            (inverse_transpose(r, x[0]) * da).sum_cols().sum_tangents()
        })])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        _need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        Ok(smallvec![dy[0].map(|dy| dy.chain(inverse_transpose(r, x[0])))])
    }

    fn scratch(&self, inputs: &[Shape], _rows: usize) -> usize {
        let n = inputs[0].cols();
        n * n + n
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(0, 0))
    }
}
