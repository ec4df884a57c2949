//! Solves with triangular matrices.

use super::{by_columns, columns_for, square, triangle};
use crate::primitive::{Cotangents, Eval, Key, Primitive, Shapes, Tangents, shape_error};
use crate::primitives::{key, single};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use eigenflow_linalg::triangular::{Half, Triangular, solve_in_place};
use smallvec::smallvec;

/// Every line `b` becomes `op(T)⁻¹ b`; inputs the array that holds `T`, and the lines.
#[derive(Clone, Copy, Debug)]
pub struct TriangularSolve(pub Triangular);

impl<T: Real> Primitive<T> for TriangularSolve {
    fn name(&self) -> &'static str {
        "solve_triangular"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let n = square("solve_triangular", inputs[0], inputs)?;
        if inputs[1].cols() != n {
            return shape_error(
                "solve_triangular",
                inputs,
                "the lines must have as many columns as the matrix",
            );
        }
        Ok(smallvec![inputs[1]])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let n = cx.input_shapes[0].cols();
        let b = cx.inputs[1];
        let columns = &mut cx.scratch[..n * columns_for(b.len() / n.max(1))];
        by_columns(cx.outputs[0], b, n, columns, |columns| {
            solve_in_place(self.0, n, cx.inputs[0], columns).is_ok()
        });
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let lines = y[0].shape();
        let from_b = dx[1].linear(r, lines, lines.cols(), |b| r.apply(*self, &[x[0], b]));
        let from_t = match single(r, x[0], &dx[0]) {
            None => Tangent::zero(lines.cols()),
            Some(dt) => {
                let dt = dt * self.pattern(r, x[0].cols());
                let moved = if self.0.transpose { y[0].matmul(dt) } else { y[0].matmul_t(dt) };
                Tangent::dense(-r.apply(*self, &[x[0], moved]))
            }
        };
        Ok(smallvec![from_b.add(from_t, r, lines)])
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
        let db = r.apply(Self(self.0.t()), &[x[0], dy]);
        let dt = need[0].then(|| {
            let full = if self.0.transpose { -y[0].outer(db) } else { -db.outer(y[0]) };
            full * self.pattern(r, x[0].cols())
        });
        Ok(smallvec![dt, need[1].then_some(db)])
    }

    fn scratch(&self, inputs: &[Shape], rows: usize) -> usize {
        inputs[1].cols() * columns_for(inputs[1].lines(rows))
    }

    fn key(&self) -> Option<Key> {
        let Triangular { half, unit, transpose } = self.0;
        Some(key::<Self>(u64::from(half == Half::Lower), u64::from(unit) * 2 + u64::from(transpose)))
    }
}

impl TriangularSolve {
    /// Ones where the array is read.
    fn pattern<T: Real>(self, r: &Recorder<T>, n: usize) -> Var<'_, T> {
        let Triangular { half, unit, .. } = self.0;
        triangle(r, n, |i, j| {
            let read = match half {
                Half::Lower => i > j,
                Half::Upper => i < j,
            };
            if read || (i == j && !unit) { 1.0 } else { 0.0 }
        })
    }
}
