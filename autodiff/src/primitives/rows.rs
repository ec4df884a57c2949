//! Moves of rows of a shared matrix: how weights are permuted instead of the values they meet.

use super::cotangent;
use crate::primitive::{Cotangents, Eval, Primitive, Shapes, Tangents, shape_error};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use smallvec::smallvec;
use std::sync::Arc;

/// Rows `indices[0], indices[1], …` of a shared matrix.
#[derive(Clone, Debug)]
pub(crate) struct GatherRows(pub Arc<[usize]>);

/// Row `i` is added to row `indices[i]` of `total`: the transpose of [`GatherRows`].
#[derive(Clone, Debug)]
struct ScatterRows {
    indices: Arc<[usize]>,
    total: usize,
}

impl<T: Real> Primitive<T> for GatherRows {
    fn name(&self) -> &'static str {
        "gather_rows"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        match inputs[0] {
            Shape::Shared { rows, cols } if self.0.iter().all(|&i| i < rows) => {
                Ok(smallvec![Shape::shared(self.0.len(), cols)])
            }
            _ => shape_error("gather_rows", inputs, "rows of a shared matrix"),
        }
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let cols = cx.input_shapes[0].cols();
        for (k, &i) in self.0.iter().enumerate() {
            cx.outputs[0][k * cols..(k + 1) * cols].copy_from_slice(&cx.inputs[0][i * cols..(i + 1) * cols]);
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        Ok(smallvec![dx[0].linear(r, x[0].shape(), y[0].cols(), |t| r.apply(self.clone(), &[t]))])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let Shape::Shared { rows: total, .. } = x[0].shape() else { unreachable!("shapes are checked") };
        let op = ScatterRows { indices: self.0.clone(), total };
        Ok(cotangent(dy, need, |dy| r.apply(op, &[dy])))
    }
}

impl<T: Real> Primitive<T> for ScatterRows {
    fn name(&self) -> &'static str {
        "scatter_rows"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        match inputs[0] {
            Shape::Shared { rows, cols } if rows == self.indices.len() => {
                Ok(smallvec![Shape::shared(self.total, cols)])
            }
            _ => shape_error("scatter_rows", inputs, "one row an index"),
        }
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let cols = cx.input_shapes[0].cols();
        cx.outputs[0].fill(T::ZERO);
        for (k, &i) in self.indices.iter().enumerate() {
            let from = &cx.inputs[0][k * cols..(k + 1) * cols];
            cx.outputs[0][i * cols..(i + 1) * cols].iter_mut().zip(from).for_each(|(y, &x)| *y += x);
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        Ok(smallvec![dx[0].linear(r, x[0].shape(), y[0].cols(), |t| r.apply(self.clone(), &[t]))])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        _x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        Ok(cotangent(dy, need, |dy| r.apply(GatherRows(self.indices.clone()), &[dy])))
    }
}
