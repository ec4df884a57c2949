//! Moves of rows of a shared matrix: how weights are permuted instead of the values they meet.

use super::linear::Linear;
use crate::primitive::{Eval, Shapes, shape_error};
use crate::{Error, Recorder, Shape, Var};
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

impl Linear for GatherRows {
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

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>) {
        let cols = cx.input_shapes[0].cols();
        for (k, &i) in self.0.iter().enumerate() {
            cx.outputs[0][k * cols..(k + 1) * cols].copy_from_slice(&cx.inputs[0][i * cols..(i + 1) * cols]);
        }
    }

    fn pull<'t, T: Real>(&self, r: &'t Recorder<T>, from: Shape, dy: Var<'t, T>) -> Var<'t, T> {
        let Shape::Shared { rows: total, .. } = from else { unreachable!("shapes are checked") };
        let op = ScatterRows { indices: self.0.clone(), total };
        r.apply(op, &[dy])
    }
}

impl Linear for ScatterRows {
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

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>) {
        let cols = cx.input_shapes[0].cols();
        cx.outputs[0].fill(T::ZERO);
        for (k, &i) in self.indices.iter().enumerate() {
            let from = &cx.inputs[0][k * cols..(k + 1) * cols];
            cx.outputs[0][i * cols..(i + 1) * cols].iter_mut().zip(from).for_each(|(y, &x)| *y += x);
        }
    }

    fn pull<'t, T: Real>(&self, r: &'t Recorder<T>, _from: Shape, dy: Var<'t, T>) -> Var<'t, T> {
        r.apply(GatherRows(self.indices.clone()), &[dy])
    }
}
