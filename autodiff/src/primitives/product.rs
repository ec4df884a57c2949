//! Matrix products. `MatMul` and `Outer` are each other's derivatives.

use super::key;
use super::linear::Linear;
use crate::primitive::{Cotangents, Eval, Key, Primitive, Shapes, Tangents, shape_error};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use eigenflow_linalg::lines::{self, Accum, Right};
use eigenflow_linalg::transpose;
use smallvec::smallvec;

/// `x W` or `x Wᵀ`: every line of `x` times a shared matrix.
#[derive(Clone, Copy, Debug)]
pub struct MatMul {
    /// Whether `W` is transposed.
    pub transpose: bool,
}

/// `Σ xᵀ y` over all lines (rows and tangents).
///
/// Of two batch values it is a sum over rows: a shared matrix, the end of a phase. Of two shared
/// matrices it is the product `xᵀ y`.
#[derive(Clone, Copy, Debug)]
pub struct Outer;

/// The transpose of a shared matrix.
#[derive(Clone, Copy, Debug)]
pub struct Transpose;

impl<T: Real> Primitive<T> for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let Shape::Shared { rows, cols } = inputs[1] else {
            return shape_error("matmul", inputs, "the second factor must be a shared matrix");
        };
        let (inner, outer) = if self.transpose { (cols, rows) } else { (rows, cols) };
        if inputs[0].cols() != inner {
            return shape_error("matmul", inputs, "the inner extents must agree");
        }
        Ok(smallvec![inputs[0].with_cols(outer)])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let Shape::Shared { rows, cols } = cx.input_shapes[1] else { return };
        let w = Right { data: cx.inputs[1], rows, cols, transpose: self.transpose };
        lines::times(cx.outputs[0], cx.inputs[0], cx.input_shapes[0].lines(cx.rows), w, cx.scratch);
    }

    fn scratch(&self, inputs: &[Shape], _rows: usize) -> usize {
        let Shape::Shared { rows, cols } = inputs[1] else { return 0 };
        Right::<T>::scratch(rows, cols)
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let out = y[0].shape();
        let from_x = dx[0].matmul(r, x[0].shape(), x[1], self.transpose);
        let from_w = dx[1].linear(r, x[1].shape(), out.cols(), |dw| r.apply(*self, &[x[0], dw]));
        Ok(smallvec![from_x.add(from_w, r, out)])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let Some(dy) = dy[0] else { return Ok(smallvec![None, None]) };
        let dx = need[0].then(|| r.apply(Self { transpose: !self.transpose }, &[dy, x[1]]));
        let dw = need[1].then(|| if self.transpose { dy.outer(x[0]) } else { x[0].outer(dy) });
        Ok(smallvec![dx, dw])
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(u64::from(self.transpose), 0))
    }
}

impl<T: Real> Primitive<T> for Outer {
    fn name(&self) -> &'static str {
        "outer"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if inputs[0].with_cols(0) != inputs[1].with_cols(0) {
            return shape_error("outer", inputs, "both must have the same rows and tangents");
        }
        Ok(smallvec![Shape::shared(inputs[0].cols(), inputs[1].cols())])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let [x, y] = [cx.input_shapes[0].cols(), cx.input_shapes[1].cols()];
        let accum = if cx.begins { Accum::Replace } else { Accum::Add };
        lines::outer(cx.outputs[0], accum, cx.inputs[0], x, cx.inputs[1], y);
    }

    fn begins_sums(&self) -> bool {
        true
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let out = y[0].shape();
        let from_x = dx[0].linear(r, x[0].shape(), out.cols(), |dx| r.apply(Self, &[dx, x[1]]));
        let from_y = dx[1].linear(r, x[1].shape(), out.cols(), |dy| r.apply(Self, &[x[0], dy]));
        Ok(smallvec![from_x.add(from_y, r, out)])
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let Some(dy) = dy[0] else { return Ok(smallvec![None, None]) };
        Ok(smallvec![need[0].then(|| x[1].matmul_t(dy)), need[1].then(|| x[0].matmul(dy))])
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(0, 0))
    }
}

impl Linear for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        match inputs[0] {
            Shape::Shared { rows, cols } => Ok(smallvec![Shape::shared(cols, rows)]),
            Shape::Batch { .. } => shape_error("transpose", inputs, "only shared matrices are transposed"),
        }
    }

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>) {
        let Shape::Shared { rows, cols } = cx.input_shapes[0] else { return };
        transpose(cx.outputs[0], cx.inputs[0], rows, cols);
    }

    fn push<'t, T: Real>(
        &self,
        r: &'t Recorder<T>,
        from: Shape,
        to: Shape,
        dx: &Tangent<'t, T>,
    ) -> Tangent<'t, T> {
        dx.linear(r, from, to.cols(), Var::transpose)
    }

    fn pull<'t, T: Real>(&self, _r: &'t Recorder<T>, _from: Shape, dy: Var<'t, T>) -> Var<'t, T> {
        dy.transpose()
    }

    fn each_thread(&self) -> bool {
        true
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(0, 0))
    }
}
