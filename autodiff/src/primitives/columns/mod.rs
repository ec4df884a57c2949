//! Moves of columns: slices, selections, concatenation, and their transposes.
//!
//! These are bookkeeping, so the tape sees through them (`columns/through.rs`).

mod through;

pub(crate) use self::through::{accumulate, concat, gather, runs, slice, unpermuted};

use self::through::embed;
use super::key;
use super::linear::Linear;
use crate::primitive::{Cotangents, Eval, Key, Primitive, Shapes, Tangents, shape_error};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use smallvec::smallvec;
use std::sync::Arc;

/// Columns `start .. start + len`.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    start: usize,
    len: usize,
}

/// A value put at columns `start ..` of a wider one that is zero elsewhere: the transpose of [`Slice`].
#[derive(Clone, Copy, Debug)]
pub struct Embed {
    start: usize,
    total: usize,
}

/// Columns chosen by index.
#[derive(Clone, Debug)]
pub struct Gather(Arc<[usize]>);

/// Column `j` is added to column `indices[j]` of `total`: the transpose of [`Gather`].
#[derive(Clone, Debug)]
pub struct Scatter {
    indices: Arc<[usize]>,
    total: usize,
}

/// Columns side by side.
#[derive(Clone, Copy, Debug)]
pub struct Concat;

/// Where columns stand in lines of so many.
#[derive(Clone, Copy)]
struct Part {
    columns: usize,
    start: usize,
}

/// Copies `len` columns of every line.
fn copy_columns<T: Real>(y: &mut [T], to: Part, x: &[T], from: Part, len: usize) {
    /// Fewer columns are copied one after the other: a call for each line would take longer than its numbers.
    const FEW: usize = 4;
    if len == 0 {
        return;
    }
    let lines = y.chunks_exact_mut(to.columns).zip(x.chunks_exact(from.columns));
    if len > FEW {
        lines.for_each(|(y, x)| y[to.start..][..len].copy_from_slice(&x[from.start..][..len]));
        return;
    }
    for column in 0..len {
        let lines = y.chunks_exact_mut(to.columns).zip(x.chunks_exact(from.columns));
        lines.for_each(|(y, x)| y[to.start + column] = x[from.start + column]);
    }
}

impl Linear for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if self.start + self.len > inputs[0].cols() {
            return shape_error("slice", inputs, "the range must lie inside the columns");
        }
        Ok(smallvec![inputs[0].with_cols(self.len)])
    }

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>) {
        let from = Part { columns: cx.input_shapes[0].cols(), start: self.start };
        copy_columns(cx.outputs[0], Part { columns: self.len, start: 0 }, cx.inputs[0], from, self.len);
    }

    fn push<'t, T: Real>(
        &self,
        _r: &'t Recorder<T>,
        _from: Shape,
        _to: Shape,
        dx: &Tangent<'t, T>,
    ) -> Tangent<'t, T> {
        dx.slice(self.start..self.start + self.len)
    }

    fn pull<'t, T: Real>(&self, _r: &'t Recorder<T>, from: Shape, dy: Var<'t, T>) -> Var<'t, T> {
        embed(dy, self.start, from.cols())
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(self.start as u64, self.len as u64))
    }
}

impl Linear for Embed {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if self.start + inputs[0].cols() > self.total {
            return shape_error("embed", inputs, "the columns must fit");
        }
        Ok(smallvec![inputs[0].with_cols(self.total)])
    }

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>) {
        let len = cx.input_shapes[0].cols();
        cx.outputs[0].fill(T::ZERO);
        let to = Part { columns: self.total, start: self.start };
        copy_columns(cx.outputs[0], to, cx.inputs[0], Part { columns: len, start: 0 }, len);
    }

    fn push<'t, T: Real>(
        &self,
        _r: &'t Recorder<T>,
        from: Shape,
        _to: Shape,
        dx: &Tangent<'t, T>,
    ) -> Tangent<'t, T> {
        let after = self.total - self.start - from.cols();
        Tangent::concat(&[Tangent::zero(self.start), dx.clone(), Tangent::zero(after)])
    }

    fn pull<'t, T: Real>(&self, _r: &'t Recorder<T>, from: Shape, dy: Var<'t, T>) -> Var<'t, T> {
        dy.slice(self.start..self.start + from.cols())
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(self.start as u64, self.total as u64))
    }
}

impl Linear for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if self.0.iter().any(|&i| i >= inputs[0].cols()) {
            return shape_error("gather", inputs, "indices must be columns");
        }
        Ok(smallvec![inputs[0].with_cols(self.0.len())])
    }

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>) {
        if self.0.is_empty() {
            return;
        }
        let lines = cx.inputs[0].chunks_exact(cx.input_shapes[0].cols());
        for (y, x) in cx.outputs[0].chunks_exact_mut(self.0.len()).zip(lines) {
            for (y, &i) in y.iter_mut().zip(self.0.iter()) {
                *y = x[i];
            }
        }
    }

    fn push<'t, T: Real>(
        &self,
        r: &'t Recorder<T>,
        from: Shape,
        _to: Shape,
        dx: &Tangent<'t, T>,
    ) -> Tangent<'t, T> {
        dx.gather(r, from, &self.0)
    }

    fn pull<'t, T: Real>(&self, r: &'t Recorder<T>, from: Shape, dy: Var<'t, T>) -> Var<'t, T> {
        let total = from.cols();
        let mut inverse = vec![usize::MAX; total];
        self.0.iter().enumerate().for_each(|(j, &i)| inverse[i] = j);
        if self.0.len() == total && !inverse.contains(&usize::MAX) {
            dy.gather(&inverse)
        } else {
            r.apply(Scatter { indices: self.0.clone(), total }, &[dy])
        }
    }
}

impl Linear for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if inputs[0].cols() != self.indices.len() {
            return shape_error("scatter", inputs, "one index a column");
        }
        Ok(smallvec![inputs[0].with_cols(self.total)])
    }

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>) {
        cx.outputs[0].fill(T::ZERO);
        if self.indices.is_empty() {
            return;
        }
        let lines = cx.inputs[0].chunks_exact(self.indices.len());
        for (y, x) in cx.outputs[0].chunks_exact_mut(self.total).zip(lines) {
            for (&x, &i) in x.iter().zip(self.indices.iter()) {
                y[i] += x;
            }
        }
    }

    fn pull<'t, T: Real>(&self, _r: &'t Recorder<T>, _from: Shape, dy: Var<'t, T>) -> Var<'t, T> {
        dy.gather(&self.indices)
    }
}

impl<T: Real> Primitive<T> for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let first = inputs[0].with_cols(0);
        if inputs.iter().any(|s| s.with_cols(0) != first) {
            return shape_error("concat", inputs, "all parts must have the same rows and tangents");
        }
        Ok(smallvec![inputs[0].with_cols(inputs.iter().map(|s| s.cols()).sum())])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let total = cx.output_shapes[0].cols();
        let mut at = 0;
        for (x, shape) in cx.inputs.iter().zip(cx.input_shapes) {
            let len = shape.cols();
            let to = Part { columns: total, start: at };
            copy_columns(cx.outputs[0], to, x, Part { columns: len, start: 0 }, len);
            at += len;
        }
    }

    fn jvp<'t>(
        &self,
        _r: &'t Recorder<T>,
        _x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        Ok(smallvec![Tangent::concat(dx)])
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let mut at = 0;
        Ok(x.iter()
            .zip(need)
            .map(|(x, &need)| {
                at += x.cols();
                let range = at - x.cols()..at;
                if need { dy[0].map(|dy| dy.slice(range)) } else { None }
            })
            .collect())
    }
}
