//! Functions of whole lines of columns: log-sum-exp, softmax, cumulative sum.

use super::linear::Linear;
use super::{cotangent, key};
use crate::primitive::{Cotangents, Eval, Key, Primitive, Shapes, Tangents};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use smallvec::smallvec;

/// `ln Σ_j exp x_j` over columns; derivative `softmax`.
#[derive(Clone, Copy, Debug)]
pub struct LogSumExp;

/// `s_j = exp x_j / Σ_k exp x_k` over columns; `ds = s (dx - Σ s dx)`.
#[derive(Clone, Copy, Debug)]
pub struct Softmax;

/// Inclusive cumulative sum over columns, from the left or (`reverse`) from the right.
#[derive(Clone, Copy, Debug)]
pub struct CumSum {
    /// Whether to sum from the right.
    pub reverse: bool,
}

/// The larger of all numbers of a line; NaN if one is.
fn line_max<T: Real>(x: &[T]) -> T {
    x.iter().copied().fold(-T::INFINITY, T::maximum)
}

impl<T: Real> Primitive<T> for LogSumExp {
    fn name(&self) -> &'static str {
        "logsumexp"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        Ok(smallvec![inputs[0].with_cols(1)])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let cols = cx.input_shapes[0].cols();
        if cols == 0 {
            return cx.outputs[0].fill(-T::INFINITY);
        }
        for (y, x) in cx.outputs[0].iter_mut().zip(cx.inputs[0].chunks_exact(cols)) {
            let m = line_max(x);
            // Infinite maxima are their own answer; subtracting them would give NaN.
            *y = if m.is_finite() { m + x.iter().map(|&x| (x - m).exp()).sum::<T>().ln() } else { m };
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let s = x[0].softmax();
        Ok(smallvec![dx[0].scale(s).linear(r, x[0].shape(), 1, Var::sum_cols)])
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        Ok(cotangent(dy, need, |dy| dy.chain(x[0].softmax())))
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(0, 0))
    }
}

impl<T: Real> Primitive<T> for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        Ok(smallvec![inputs[0]])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let cols = cx.input_shapes[0].cols();
        if cols == 0 {
            return;
        }
        let lines = cx.inputs[0].chunks_exact(cols);
        for (y, x) in cx.outputs[0].chunks_exact_mut(cols).zip(lines) {
            let m = line_max(x);
            let mut total = T::ZERO;
            for (y, &x) in y.iter_mut().zip(x) {
                *y = (x - m).exp();
                total += *y;
            }
            for y in y {
                *y /= total;
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
        let shape = x[0].shape();
        let scaled = dx[0].scale(y[0]);
        Ok(smallvec![scaled.linear(r, shape, shape.cols(), |t| t - y[0] * t.sum_cols())])
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        _x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        Ok(cotangent(dy, need, |dy| {
            let t = dy.chain(y[0]);
            t - t.sum_cols().chain(y[0])
        }))
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(0, 0))
    }
}

impl Linear for CumSum {
    fn name(&self) -> &'static str {
        "cumsum"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        Ok(smallvec![inputs[0]])
    }

    fn eval<T: Real>(&self, cx: &mut Eval<'_, '_, T>) {
        let cols = cx.input_shapes[0].cols();
        if cols == 0 {
            return;
        }
        let lines = cx.inputs[0].chunks_exact(cols);
        for (y, x) in cx.outputs[0].chunks_exact_mut(cols).zip(lines) {
            let mut total = T::ZERO;
            let mut step = |(y, &x): (&mut T, &T)| {
                total += x;
                *y = total;
            };
            if self.reverse {
                y.iter_mut().zip(x).rev().for_each(&mut step);
            } else {
                y.iter_mut().zip(x).for_each(&mut step);
            }
        }
    }

    fn pull<'t, T: Real>(&self, r: &'t Recorder<T>, _from: Shape, dy: Var<'t, T>) -> Var<'t, T> {
        r.apply(Self { reverse: !self.reverse }, &[dy])
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(u64::from(self.reverse), 0))
    }
}
