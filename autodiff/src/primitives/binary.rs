//! Elementwise functions of two values, with broadcasting.

use super::key;
use crate::primitive::{Cotangents, Eval, Key, Primitive, Shapes, Tangents, shape_error};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::{Kernel, dispatch};
use smallvec::smallvec;
use std::ops::Range;

/// Which function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryOp {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a b`.
    Mul,
    /// `a / b`.
    Div,
    /// The larger, NaN if either is; at a tie the derivative follows `a`.
    Max,
    /// The smaller, NaN if either is; at a tie the derivative follows `b`.
    Min,
    /// `a b`, but 0 where `a` is exactly 0, whatever `b`: cotangent times derivative.
    Chain,
    /// `a b`, but 0 where either is exactly 0: what [`BinaryOp::Chain`] becomes when it is
    /// differentiated in reverse again.
    ChainBoth,
}

/// An elementwise function of two values that broadcast ([`Shape::broadcast`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binary(pub BinaryOp);

impl<T: Real> Primitive<T> for Binary {
    fn name(&self) -> &'static str {
        match self.0 {
            BinaryOp::Add => "add",
            BinaryOp::Sub => "sub",
            BinaryOp::Mul => "mul",
            BinaryOp::Div => "div",
            BinaryOp::Max => "max",
            BinaryOp::Min => "min",
            BinaryOp::Chain => "chain",
            BinaryOp::ChainBoth => "chain_both",
        }
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        match inputs[0].broadcast(inputs[1]) {
            Some(shape) => Ok(smallvec![shape]),
            None => shape_error(
                Primitive::<T>::name(self),
                inputs,
                "extents must agree or be 1, and a shared operand of a batch must be a row",
            ),
        }
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        match self.0 {
            BinaryOp::Add => zip(cx, |a, b| a + b),
            BinaryOp::Sub => zip(cx, |a, b| a - b),
            BinaryOp::Mul => zip(cx, |a, b| a * b),
            BinaryOp::Div => zip(cx, |a, b| a / b),
            BinaryOp::Max => zip(cx, T::maximum),
            BinaryOp::Min => zip(cx, T::minimum),
            BinaryOp::Chain => zip(cx, |a, b| if a == T::ZERO { T::ZERO } else { a * b }),
            BinaryOp::ChainBoth => {
                zip(cx, |a, b| if a == T::ZERO || b == T::ZERO { T::ZERO } else { a * b });
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
        let (a, b, out) = (x[0], x[1], y[0].shape());
        let wide = |t: &Tangent<'t, T>, of: Var<'t, T>| t.broadcast(r, of.shape(), out);
        let sum = |s: Tangent<'t, T>, t: Tangent<'t, T>| s.add(t, r, out);
        // The factor is widened too where the tangent's own operand was narrow.
        let term = |t: &Tangent<'t, T>, of: Var<'t, T>, by: Var<'t, T>| wide(t, of).scale(by);
        Ok(smallvec![match self.0 {
            BinaryOp::Add => sum(wide(&dx[0], a), wide(&dx[1], b)),
            BinaryOp::Sub => sum(wide(&dx[0], a), wide(&dx[1], b).scale_by(r, -T::ONE)),
            BinaryOp::Mul => sum(term(&dx[0], a, b), term(&dx[1], b, a)),
            BinaryOp::Div => {
                let q = b.recip();
                let da = term(&dx[0], a, q);
                if dx[1].is_zero() { da } else { sum(da, term(&dx[1], b, -(y[0] * q))) }
            }
            BinaryOp::Max | BinaryOp::Min => {
                let first = self.first(a, b, out);
                let zero = r.full(out.with_tangents(1), T::ZERO);
                let one = r.full(out.with_tangents(1), T::ONE);
                sum(term(&dx[0], a, first.select(one, zero)), term(&dx[1], b, first.select(zero, one)))
            }
            BinaryOp::Chain | BinaryOp::ChainBoth => {
                // Strong zeros again, so that higher orders keep the promise of the first.
                let op = |a: Var<'t, T>, b: Var<'t, T>| r.apply(*self, &[a, b]);
                let da = wide(&dx[0], a).elementwise(r, out, |t, at| op(t, columns(b, at)));
                let db = wide(&dx[1], b).elementwise(r, out, |t, at| op(columns(a, at), t));
                sum(da, db)
            }
        }])
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
        let (a, b, out) = (x[0], x[1], y[0].shape());
        let da = need[0].then(|| {
            let full = match self.0 {
                BinaryOp::Add | BinaryOp::Sub => dy,
                BinaryOp::Mul | BinaryOp::Chain => dy.chain(b),
                BinaryOp::Div => dy.chain(b.recip()),
                BinaryOp::ChainBoth => r.apply(*self, &[dy, b]),
                BinaryOp::Max | BinaryOp::Min => {
                    let zero = r.full(dy.shape(), T::ZERO);
                    self.first(a, b, out).select(dy, zero)
                }
            };
            reduce(full, out, a.shape())
        });
        let db = need[1].then(|| {
            let full = match self.0 {
                BinaryOp::Add => dy,
                BinaryOp::Sub => -dy,
                BinaryOp::Mul => dy.chain(a),
                BinaryOp::Chain | BinaryOp::ChainBoth => r.apply(Self(BinaryOp::ChainBoth), &[dy, a]),
                BinaryOp::Div => dy.chain(-(y[0] / b)),
                BinaryOp::Max | BinaryOp::Min => {
                    let zero = r.full(dy.shape(), T::ZERO);
                    self.first(a, b, out).select(zero, dy)
                }
            };
            reduce(full, out, b.shape())
        });
        Ok(smallvec![da, db])
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(self.0 as u64, 0))
    }
}

impl Binary {
    /// Where a maximum or minimum follows its first operand.
    fn first<'t, T: Real>(self, a: Var<'t, T>, b: Var<'t, T>, out: Shape) -> crate::Mask<'t, T> {
        let (a, b) = (a.broadcast_to(out), b.broadcast_to(out));
        if self.0 == BinaryOp::Max { a.ge(b) } else { a.lt(b) }
    }
}

/// Columns `range` of an operand that has all columns or one.
fn columns<T: Real>(v: Var<'_, T>, range: Range<usize>) -> Var<'_, T> {
    if v.cols() == 1 { v } else { v.slice(range) }
}

/// Sums a cotangent of the broadcast shape `out` down to the operand's shape `to`.
///
/// The cotangent may carry a block of seeds where `out` has one tangent; those are kept.
pub(crate) fn reduce<T: Real>(dy: Var<'_, T>, out: Shape, to: Shape) -> Var<'_, T> {
    let keep_seeds = out.tangents() == 1 && to.is_batch();
    let dy = if dy.cols() == to.cols() { dy } else { dy.sum_cols() };
    if keep_seeds { dy } else { dy.sum_to(to) }
}

/// Strides of an operand that broadcasts over lines of an output.
struct Lines {
    wide: bool,
    per_row: usize,
    cols: usize,
    rows_one: bool,
}

impl Lines {
    fn of(shape: Shape) -> Self {
        Self {
            wide: shape.cols() > 1,
            per_row: shape.tangents(),
            cols: shape.cols(),
            rows_one: matches!(shape, Shape::Shared { rows: 1, .. }),
        }
    }

    /// Where the line of row `n`, tangent `t` begins.
    fn at(&self, n: usize, t: usize) -> usize {
        if self.rows_one {
            return 0;
        }
        (n * self.per_row + if self.per_row == 1 { 0 } else { t }) * self.cols
    }
}

/// Applies a function to two operands that broadcast, in vector code.
pub(crate) fn zip<T: Real>(cx: &mut Eval<'_, '_, T>, f: impl Fn(T, T) -> T) {
    dispatch(Zip { cx, f });
}

struct Zip<'a, 'b, 'c, T, F> {
    cx: &'a mut Eval<'b, 'c, T>,
    f: F,
}

impl<T: Real, F: Fn(T, T) -> T> Kernel for Zip<'_, '_, '_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        zip_lines(self.cx, self.f);
    }
}

#[inline(always)]
fn zip_lines<T: Real>(cx: &mut Eval<'_, '_, T>, f: impl Fn(T, T) -> T) {
    let (sa, sb, so) = (cx.input_shapes[0], cx.input_shapes[1], cx.output_shapes[0]);
    let (a, b) = (cx.inputs[0], cx.inputs[1]);
    let y = &mut *cx.outputs[0];
    if a.len() == y.len() && b.len() == y.len() {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = f(a, b);
        }
        return;
    }
    if b.len() == 1 && a.len() == y.len() {
        let b = b[0];
        y.iter_mut().zip(a).for_each(|(y, &a)| *y = f(a, b));
        return;
    }
    if a.len() == 1 && b.len() == y.len() {
        let a = a[0];
        y.iter_mut().zip(b).for_each(|(y, &b)| *y = f(a, b));
        return;
    }
    let cols = so.cols();
    if cols == 0 {
        return;
    }
    let (la, lb, tangents) = (Lines::of(sa), Lines::of(sb), so.tangents());
    for (line, y) in y.chunks_exact_mut(cols).enumerate() {
        let (n, t) = (line / tangents, line % tangents);
        let (ia, ib) = (la.at(n, t), lb.at(n, t));
        match (la.wide || cols == 1, lb.wide || cols == 1) {
            (true, true) => {
                let (a, b) = (&a[ia..ia + cols], &b[ib..ib + cols]);
                for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                    *y = f(a, b);
                }
            }
            (true, false) => {
                let b = b[ib];
                y.iter_mut().zip(&a[ia..ia + cols]).for_each(|(y, &a)| *y = f(a, b));
            }
            (false, true) => {
                let a = a[ia];
                y.iter_mut().zip(&b[ib..ib + cols]).for_each(|(y, &b)| *y = f(a, b));
            }
            (false, false) => y.fill(f(a[ia], b[ib])),
        }
    }
}
