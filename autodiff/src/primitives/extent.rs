//! Changes of extent: broadcasting, and the sums that are its transpose.

use super::key;
use super::linear::Linear;
use crate::primitive::{Eval, Key, Shapes, shape_error};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use smallvec::smallvec;

/// Repeats a value along extents of size 1 (and a shared row over the batch) until it has shape `to`.
#[derive(Clone, Copy, Debug)]
pub struct Broadcast {
    /// The shape to reach.
    pub to: Shape,
}

/// Sums a value over extents until it has shape `to`: the transpose of [`Broadcast`].
///
/// From a batch to a shared row it sums over rows and tangents, and ends a phase.
#[derive(Clone, Copy, Debug)]
pub struct SumTo {
    /// The shape to reach.
    pub to: Shape,
}

/// The offset in a value of shape `narrow` of the line that row `n`, tangent `t` of the wide
/// value reads or adds to.
fn offset(narrow: Shape, n: usize, t: usize) -> usize {
    match narrow {
        Shape::Shared { rows: 1, .. } => 0,
        Shape::Shared { cols, .. } | Shape::Batch { tangents: 1, cols } => n * cols,
        Shape::Batch { tangents, cols } => (n * tangents + t) * cols,
    }
}

fn shape_key(shape: Shape) -> (u64, u64) {
    match shape {
        Shape::Batch { tangents, cols } => ((tangents as u64) << 1, cols as u64),
        Shape::Shared { rows, cols } => (((rows as u64) << 1) | 1, cols as u64),
    }
}

impl Linear for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if inputs[0].broadcast(self.to) != Some(self.to) {
            return shape_error("broadcast", &[inputs[0], self.to], "only extents of size 1 can be repeated");
        }
        Ok(smallvec![self.to])
    }

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>) {
        let (from, x) = (cx.input_shapes[0], cx.inputs[0]);
        let (cols, tangents) = (self.to.cols(), self.to.tangents());
        if x.len() == 1 {
            return cx.outputs[0].fill(x[0]);
        }
        if cols == 0 {
            return;
        }
        for (line, y) in cx.outputs[0].chunks_exact_mut(cols).enumerate() {
            let at = offset(from, line / tangents, line % tangents);
            if from.cols() == cols { y.copy_from_slice(&x[at..at + cols]) } else { y.fill(x[at]) }
        }
    }

    fn push<'t, T: Real>(
        &self,
        r: &'t Recorder<T>,
        from: Shape,
        _to: Shape,
        dx: &Tangent<'t, T>,
    ) -> Tangent<'t, T> {
        dx.broadcast(r, from, self.to)
    }

    fn pull<'t, T: Real>(&self, _r: &'t Recorder<T>, from: Shape, dy: Var<'t, T>) -> Var<'t, T> {
        super::binary::reduce(dy, self.to, from)
    }

    fn key(&self) -> Option<Key> {
        let (a, b) = shape_key(self.to);
        Some(key::<Self>(a, b))
    }
}

impl Linear for SumTo {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if self.to.broadcast(inputs[0]) != Some(inputs[0]) {
            return shape_error("sum", &[inputs[0], self.to], "a sum leaves extents of size 1");
        }
        Ok(smallvec![self.to])
    }

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>) {
        let (from, x) = (cx.input_shapes[0], cx.inputs[0]);
        let (cols, tangents) = (from.cols(), from.tangents());
        let y = &mut *cx.outputs[0];
        let reduces = from.is_batch() && !self.to.is_batch();
        if !reduces {
            y.fill(T::ZERO);
        }
        if cols == 0 {
            return;
        }
        for (line, x) in x.chunks_exact(cols).enumerate() {
            let at = offset(self.to, line / tangents, line % tangents);
            if self.to.cols() == cols {
                y[at..at + cols].iter_mut().zip(x).for_each(|(y, &x)| *y += x);
            } else {
                y[at] += x.iter().copied().sum::<T>();
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
        dx.linear(r, from, self.to.cols(), |block| {
            // A block of seeds stays: it never crosses a sum over rows.
            let seeded = block.shape().tangents() != from.tangents();
            block.sum_to(if seeded { self.to.with_tangents(block.shape().tangents()) } else { self.to })
        })
    }

    fn pull<'t, T: Real>(&self, _r: &'t Recorder<T>, from: Shape, dy: Var<'t, T>) -> Var<'t, T> {
        // A block of seeds on the cotangent stays.
        let seeds = dy.shape().tangents().max(from.tangents());
        dy.broadcast_to(from.with_tangents(seeds))
    }

    fn key(&self) -> Option<Key> {
        let (a, b) = shape_key(self.to);
        Some(key::<Self>(a, b))
    }
}

/// A block of tangents put at tangents `at ..` of a larger block that is zero elsewhere.
pub(crate) fn place_tangents<T: Real>(block: Var<'_, T>, at: usize, total: usize) -> Var<'_, T> {
    block.recorder().apply(PlaceTangents { at, total }, &[block])
}

/// Embeds a block of tangents into a larger one: tangents `at .. at + t` of `total`.
#[derive(Clone, Copy, Debug)]
pub struct PlaceTangents {
    /// First tangent.
    pub at: usize,
    /// Number of tangents of the result.
    pub total: usize,
}

/// Tangents `at .. at + count` of a block: the transpose of [`PlaceTangents`].
#[derive(Clone, Copy, Debug)]
pub struct TakeTangents {
    /// First tangent.
    pub at: usize,
    /// How many.
    pub count: usize,
}

impl Linear for PlaceTangents {
    fn name(&self) -> &'static str {
        "place_tangents"
    }

    fn is_on_blocks(&self) -> bool {
        true
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if !inputs[0].is_batch() || self.at + inputs[0].tangents() > self.total {
            return shape_error("place_tangents", inputs, "the block must fit");
        }
        Ok(smallvec![inputs[0].with_tangents(self.total)])
    }

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>) {
        let (part, whole) = (cx.input_shapes[0].unit(), cx.output_shapes[0].unit());
        let at = self.at * cx.input_shapes[0].cols();
        cx.outputs[0].fill(T::ZERO);
        for n in 0..cx.rows {
            cx.outputs[0][n * whole + at..][..part].copy_from_slice(&cx.inputs[0][n * part..][..part]);
        }
    }

    fn pull<'t, T: Real>(&self, r: &'t Recorder<T>, from: Shape, dy: Var<'t, T>) -> Var<'t, T> {
        let count = from.tangents();
        r.apply(TakeTangents { at: self.at, count }, &[dy])
    }
}

impl Linear for TakeTangents {
    fn name(&self) -> &'static str {
        "take_tangents"
    }

    fn is_on_blocks(&self) -> bool {
        true
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if !inputs[0].is_batch() || self.at + self.count > inputs[0].tangents() {
            return shape_error("take_tangents", inputs, "the range must lie inside the block");
        }
        Ok(smallvec![inputs[0].with_tangents(self.count)])
    }

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>) {
        let (whole, part) = (cx.input_shapes[0].unit(), cx.output_shapes[0].unit());
        let at = self.at * cx.input_shapes[0].cols();
        for n in 0..cx.rows {
            cx.outputs[0][n * part..][..part].copy_from_slice(&cx.inputs[0][n * whole + at..][..part]);
        }
    }

    fn pull<'t, T: Real>(&self, _r: &'t Recorder<T>, from: Shape, dy: Var<'t, T>) -> Var<'t, T> {
        let total = from.tangents();
        place_tangents(dy, self.at, total)
    }
}
