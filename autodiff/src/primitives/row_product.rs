//! Products of the blocks of each row: how local Jacobians are chained.

use super::key;
use crate::primitive::{Cotangents, Eval, Key, Primitive, Shapes, Tangents, shape_error};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use eigenflow_linalg::each::{Accum, Extents, products};
use smallvec::smallvec;

/// `C_n = op(A_n) op(B_n)` of the blocks `[tangents, cols]` of each row; `op` transposes or not.
///
/// The derivative rules are products of the same kind, so it is closed under differentiation.
#[derive(Clone, Copy, Debug)]
pub struct RowProduct {
    /// Whether `A_n` is transposed.
    pub transpose_a: bool,
    /// Whether `B_n` is transposed.
    pub transpose_b: bool,
}

impl RowProduct {
    fn extents(self, inputs: &[Shape]) -> Option<Extents> {
        let of = |s: Shape, transpose: bool| {
            let (t, c) = (s.tangents(), s.cols());
            s.is_batch().then_some(if transpose { (c, t) } else { (t, c) })
        };
        let (m, k) = of(inputs[0], self.transpose_a)?;
        let (inner, n) = of(inputs[1], self.transpose_b)?;
        let Self { transpose_a, transpose_b } = self;
        (k == inner).then_some(Extents { m, k, n, transpose_a, transpose_b })
    }
}

impl<T: Real> Primitive<T> for RowProduct {
    fn name(&self) -> &'static str {
        "row_product"
    }

    fn is_on_blocks(&self) -> bool {
        true
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        match self.extents(inputs) {
            Some(e) => Ok(smallvec![Shape::block(e.m, e.n)]),
            None => shape_error("row_product", inputs, "two batch values whose inner extents agree"),
        }
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let Some(e) = self.extents(cx.input_shapes) else { return };
        products(e, Accum::Replace, cx.outputs[0], cx.inputs[0], cx.inputs[1]);
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let cols = y[0].cols();
        let from_a = dx[0].linear(r, x[0].shape(), cols, |da| r.apply(*self, &[da, x[1]]));
        let from_b = dx[1].linear(r, x[1].shape(), cols, |db| r.apply(*self, &[x[0], db]));
        Ok(smallvec![from_a.add(from_b, r, y[0].shape())])
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
        let product = |a, b, transpose_a, transpose_b| r.apply(Self { transpose_a, transpose_b }, &[a, b]);
        let Self { transpose_a: ta, transpose_b: tb } = *self;
        let da =
            need[0].then(|| if ta { product(x[1], dy, tb, true) } else { product(dy, x[1], false, !tb) });
        let db =
            need[1].then(|| if tb { product(dy, x[0], true, ta) } else { product(x[0], dy, !ta, false) });
        Ok(smallvec![da, db])
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(u64::from(self.transpose_a), u64::from(self.transpose_b)))
    }
}
