//! LU factors, and solves with them.

use super::{by_columns, columns_for, square};
use crate::primitive::{Cotangents, Eval, Key, Primitive, Shapes, Tangents, shape_error};
use crate::primitives::{key, single};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::{Real, lu};
use smallvec::smallvec;

pub(super) fn lu_solve<'t, T: Real>(w: Var<'t, T>, rhs: Var<'t, T>, transpose: bool) -> Var<'t, T> {
    let lu = w.recorder().apply_all(Lu, &[w]);
    w.recorder().apply(LuSolve { transpose }, &[w, lu[1], lu[2], rhs])
}

/// `(log|det W|, packed factors, row permutation)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lu;

impl<T: Real> Primitive<T> for Lu {
    fn name(&self) -> &'static str {
        "log_abs_det"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let n = square("log_abs_det", inputs[0], inputs)?;
        Ok(smallvec![Shape::shared(1, 1), Shape::shared(n, n), Shape::shared(1, n)])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let [log, packed, perm] = cx.outputs else { return };
        packed.copy_from_slice(cx.inputs[0]);
        // Lengths are those of `shapes`, so neither call can fail.
        let factored = lu::factor_in_place(packed, perm);
        let (_, value) = factored.and_then(|_| lu::slogdet_packed(packed, perm)).unwrap_or((T::NAN, T::NAN));
        log[0] = if cx.inputs[0].iter().all(|x| x.is_finite()) { value } else { T::NAN };
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        // d log|det W| = tr(W⁻¹ dW)
        let log = dx[0].linear(r, x[0].shape(), 1, |dw| (x[0].inverse().transpose() * dw).sum_all());
        // The factors reach solves only, as auxiliary inputs.
        Ok(smallvec![log, Tangent::zero(y[1].cols()), Tangent::zero(y[2].cols())])
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        _need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        if dy[1].is_some() || dy[2].is_some() {
            return Err(Error::NoDerivative {
                op: "lu",
                kind: "reverse",
                reason: "the factors are for solves with the same matrix",
            });
        }
        Ok(smallvec![dy[0].map(|dy| x[0].inverse().transpose() * dy)])
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(0, 0))
    }
}

/// Every line `b` becomes `W⁻¹ b` (or `W⁻ᵀ b`); inputs `W`, packed factors, permutation, lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LuSolve {
    /// Whether to solve with `Wᵀ`.
    transpose: bool,
}

impl<T: Real> Primitive<T> for LuSolve {
    fn name(&self) -> &'static str {
        "solve"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let n = square("solve", inputs[0], inputs)?;
        if inputs[3].cols() != n {
            return shape_error("solve", inputs, "the lines must have as many columns as the matrix");
        }
        Ok(smallvec![inputs[3]])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let n = cx.input_shapes[0].cols();
        let b = cx.inputs[3];
        let len = n * columns_for(b.len() / n.max(1));
        let (columns, rest) = cx.scratch[..2 * len].split_at_mut(len);
        by_columns(cx.outputs[0], b, n, columns, |columns| {
            lu::solve_packed(cx.inputs[1], cx.inputs[2], columns, rest, self.transpose).is_ok()
        });
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        // x = W⁻¹ b: dx = W⁻¹ (db - dW x)
        let (w, lines) = (x[0], y[0].shape());
        let solve = |b: Var<'t, T>| lu_solve(w, b, self.transpose);
        let from_b = dx[3].linear(r, lines, lines.cols(), solve);
        let from_w = match single(r, w, &dx[0]) {
            None => Tangent::zero(lines.cols()),
            Some(dw) => {
                let moved = if self.transpose { y[0].matmul(dw) } else { y[0].matmul_t(dw) };
                Tangent::dense(-solve(moved))
            }
        };
        Ok(smallvec![from_b.add(from_w, r, lines)])
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let Some(dy) = dy[0] else { return Ok(smallvec![None, None, None, None]) };
        // db = W⁻ᵀ dx, dW = -db xᵀ, summed over lines
        let db = lu_solve(x[0], dy, !self.transpose);
        let dw = need[0].then(|| if self.transpose { -y[0].outer(db) } else { -db.outer(y[0]) });
        Ok(smallvec![dw, None, None, need[3].then_some(db)])
    }

    fn is_auxiliary(&self, input: usize) -> bool {
        input == 1 || input == 2
    }

    fn scratch(&self, inputs: &[Shape], rows: usize) -> usize {
        2 * inputs[3].cols() * columns_for(inputs[3].lines(rows))
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(u64::from(self.transpose), 0))
    }
}
