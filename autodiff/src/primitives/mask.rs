//! Comparisons and selection.

use super::key;
use crate::primitive::{Cotangents, Eval, Key, Primitive, Shapes, Tangents, shape_error};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use smallvec::smallvec;
use std::ops::Range;

/// The result of a comparison. Only [`Mask::select`] takes it: a mask has no derivative, and no
/// arithmetic that could silently drop one.
pub struct Mask<'t, T>(Var<'t, T>);

impl<T> Clone for Mask<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Mask<'_, T> {}

impl<'t, T: Real> Mask<'t, T> {
    pub(crate) fn new(mask: Var<'t, T>) -> Self {
        Self(mask)
    }

    /// `a` where the mask holds, `b` elsewhere.
    ///
    /// The branch not taken is never differentiated: it gets a cotangent of exactly zero, and
    /// the rules of elementwise functions, log-sum-exp and softmax keep an exact zero
    /// ([`Var::chain`]), to any order. A NaN or infinite value or derivative there does no harm.
    /// A matrix product does not look for zeros: where the branch not taken multiplies NaN or
    /// infinity by a matrix that is itself differentiated, select its argument as well.
    ///
    /// ```
    /// use eigenflow_autodiff::grad;
    /// // d/dx of (x > 0 ? sqrt x : 0) at x = -1 is 0, not NaN.
    /// let g = grad(
    ///     |r, x: &[_]| {
    ///         let zero = r.scalar(0.0);
    ///         x[0].gt(zero).select(x[0].sqrt(), zero)
    ///     },
    ///     &[&[-1.0, 4.0]],
    /// )
    /// .unwrap();
    /// assert_eq!(g[0], [0.0, 0.25]);
    /// ```
    #[track_caller]
    pub fn select(self, a: Var<'t, T>, b: Var<'t, T>) -> Var<'t, T> {
        let shapes = [self.0.shape(), a.shape(), b.shape()];
        let shape = shapes[0].broadcast(shapes[1]).and_then(|s| s.broadcast(shapes[2]));
        let Some(shape) = shape else {
            let remedy = "mask and branches must broadcast";
            panic!("{}", Error::Shape { op: "select", shapes: shapes.to_vec(), remedy })
        };
        let wide = |v: Var<'t, T>, to: Shape| v.broadcast_to(to);
        let mask = wide(self.0, shape.with_tangents(self.0.shape().tangents()));
        a.recorder().apply(Select, &[mask, wide(a, shape), wide(b, shape)])
    }

    /// Columns `range`.
    fn slice(self, range: Range<usize>) -> Self {
        Self(self.0.slice(range))
    }

    /// Where both masks hold.
    pub fn and(self, other: Self) -> Self {
        let zero = self.0.recorder().scalar(T::ZERO);
        Self(self.select(other.0, zero))
    }

    /// Where either mask holds.
    pub fn or(self, other: Self) -> Self {
        let one = self.0.recorder().scalar(T::ONE);
        Self(self.select(one, other.0))
    }

    /// Where the mask does not hold.
    #[allow(clippy::should_implement_trait)]
    pub fn not(self) -> Self {
        let r = self.0.recorder();
        Self(self.select(r.scalar(T::ZERO), r.scalar(T::ONE)))
    }
}

/// A comparison: 1 where it holds, 0 elsewhere (also where an operand is NaN).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Compare {
    /// `a < b`.
    Less,
    /// `a <= b`.
    LessEqual,
}

impl<T: Real> Primitive<T> for Compare {
    fn name(&self) -> &'static str {
        "compare"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        match inputs[0].broadcast(inputs[1]) {
            Some(shape) => Ok(smallvec![shape]),
            None => shape_error("compare", inputs, "extents must agree or be 1"),
        }
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let one = |holds: bool| if holds { T::ONE } else { T::ZERO };
        match self {
            Self::Less => super::binary::zip(cx, |a, b| one(a < b)),
            Self::LessEqual => super::binary::zip(cx, |a, b| one(a <= b)),
        }
    }

    fn jvp<'t>(
        &self,
        _r: &'t Recorder<T>,
        _x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        _dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        // A mask never leaves `Mask`, and `select` asks for no derivative of it.
        Err(no_derivative("forward"))
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        _x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        _dy: &[Option<Var<'t, T>>],
        _need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        Err(no_derivative("reverse"))
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(*self as u64, 0))
    }
}

fn no_derivative(kind: &'static str) -> Error {
    Error::NoDerivative { op: "compare", kind, reason: "a mask is piecewise constant" }
}

/// `mask ? a : b` on values of one shape; the mask may have one tangent where they have many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Select;

impl<T: Real> Primitive<T> for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let fits =
            inputs[1] == inputs[2] && (inputs[0] == inputs[1] || inputs[0] == inputs[1].with_tangents(1));
        if !fits {
            return shape_error("select", inputs, "mask and branches must have one shape");
        }
        Ok(smallvec![inputs[1]])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let unit = cx.input_shapes[0].unit();
        let (cols, tangents) = (cx.output_shapes[0].cols(), cx.output_shapes[0].tangents());
        let repeat = if cx.input_shapes[0].tangents() == tangents { 1 } else { tangents };
        if cols == 0 || unit == 0 {
            return;
        }
        let (mask, a, b) = (cx.inputs[0], cx.inputs[1], cx.inputs[2]);
        for (k, y) in cx.outputs[0].chunks_exact_mut(unit).enumerate() {
            let m = &mask[k / repeat * unit..][..unit];
            let (a, b) = (&a[k * unit..][..unit], &b[k * unit..][..unit]);
            for (((y, &m), &a), &b) in y.iter_mut().zip(m).zip(a).zip(b) {
                *y = if m == T::ZERO { b } else { a };
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
        let shape = y[0].shape();
        let mask = Mask(x[0]);
        let zero = r.scalar(T::ZERO);
        Ok(smallvec![match (dx[1].is_zero(), dx[2].is_zero()) {
            (true, true) => Tangent::zero(shape.cols()),
            (false, true) => dx[1].elementwise(r, shape, |a, at| mask.slice(at).select(a, zero)),
            (true, false) => dx[2].elementwise(r, shape, |b, at| mask.slice(at).select(zero, b)),
            (false, false) => Tangent::zip(r, shape, &dx[1], &dx[2], |a, b, at| mask.slice(at).select(a, b)),
        }])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let Some(dy) = dy[0] else { return Ok(smallvec![None, None, None]) };
        let (mask, zero) = (Mask(x[0]), r.scalar(T::ZERO));
        Ok(smallvec![None, need[1].then(|| mask.select(dy, zero)), need[2].then(|| mask.select(zero, dy))])
    }

    fn is_auxiliary(&self, input: usize) -> bool {
        input == 0
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(0, 0))
    }
}
