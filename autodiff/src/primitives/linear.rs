//! Linear maps of one value, which are most of the bookkeeping: their derivative rules are the map and its transpose.

use crate::primitive::{Cotangents, Eval, Key, Primitive, Shapes, Tangents};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use smallvec::smallvec;
use std::any::Any;
use std::fmt::Debug;

/// A linear map of one value to one other. The methods of the same names are those of [`Primitive`].
pub(crate) trait Linear: Any + Clone + Debug + Send + Sync {
    fn name(&self) -> &'static str;

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error>;

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>);

    /// The tangent of the result, of shape `to`: the map itself, on a dense block, unless there is something that keeps structure.
    fn push<'t, T: Real>(
        &self,
        r: &'t Recorder<T>,
        from: Shape,
        to: Shape,
        dx: &Tangent<'t, T>,
    ) -> Tangent<'t, T> {
        dx.linear(r, from, to.cols(), |t| r.apply(self.clone(), &[t]))
    }

    /// The transposed map: the cotangent of a value of shape `from`.
    fn pull<'t, T: Real>(&self, r: &'t Recorder<T>, from: Shape, dy: Var<'t, T>) -> Var<'t, T>;

    fn is_on_blocks(&self) -> bool {
        false
    }

    fn each_thread(&self) -> bool {
        false
    }

    fn key(&self) -> Option<Key> {
        None
    }
}

impl<T: Real, L: Linear> Primitive<T> for L {
    fn name(&self) -> &'static str {
        Linear::name(self)
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        Linear::shapes(self, inputs)
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        Linear::eval(self, cx);
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        Ok(smallvec![self.push(r, x[0].shape(), y[0].shape(), &dx[0])])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        Ok(super::cotangent(dy, need, |dy| self.pull(r, x[0].shape(), dy)))
    }

    fn is_on_blocks(&self) -> bool {
        Linear::is_on_blocks(self)
    }

    fn each_thread(&self) -> bool {
        Linear::each_thread(self)
    }

    fn key(&self) -> Option<Key> {
        Linear::key(self)
    }
}
