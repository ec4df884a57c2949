//! Variables: handles to values of a tape, with operators.

use crate::primitives::binary::{Binary, BinaryOp};
use crate::primitives::columns;
use crate::primitives::extent::{Broadcast, SumTo};
use crate::primitives::mask::Compare;
use crate::primitives::product::{MatMul, Outer, Transpose};
use crate::primitives::rows::GatherRows;
use crate::primitives::scan::{CumSum, LogSumExp, Softmax};
use crate::primitives::unary::Unary;
use crate::recorder::ValueId;
use crate::{Mask, Recorder, Shape};
use eigenflow_linalg::Real;
use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Range, Sub};
use std::sync::Arc;

/// A handle to a value of a tape.
///
/// Elementwise operators broadcast as [`Shape::broadcast`] says and panic, naming both shapes, on
/// a mismatch. Everything recorded is differentiable to any order.
pub struct Var<'t, T> {
    recorder: &'t Recorder<T>,
    id: ValueId,
}

impl<T> Clone for Var<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Var<'_, T> {}

impl<T: Real> fmt::Debug for Var<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}: {:?}", self.id, self.shape())
    }
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident => $op:ident;)*) => {
        $($(#[$doc])*
        pub fn $name(self) -> Self {
            self.recorder.apply(Unary::<T>::$op, &[self])
        })*
    };
}

impl<'t, T: Real> Var<'t, T> {
    pub(crate) fn new(recorder: &'t Recorder<T>, id: ValueId) -> Self {
        Self { recorder, id }
    }

    pub(crate) fn id(&self) -> ValueId {
        self.id
    }

    /// The recorder this variable lives on.
    pub fn recorder(&self) -> &'t Recorder<T> {
        self.recorder
    }

    /// Shape of the value.
    pub fn shape(&self) -> Shape {
        self.recorder.shape_of(self.id)
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.shape().cols()
    }

    unary! {
        /// `exp x`.
        exp => Exp;
        /// `exp x - 1`, accurate near 0.
        exp_m1 => ExpM1;
        /// `ln x`.
        ln => Ln;
        /// `ln(1 + x)`, accurate near 0.
        ln_1p => Ln1p;
        /// `tanh x`.
        tanh => Tanh;
        /// `1 / (1 + exp(-x))`.
        sigmoid => Sigmoid;
        /// `ln(1 + exp x)`.
        softplus => Softplus;
        /// `sinh x`.
        sinh => Sinh;
        /// `cosh x`.
        cosh => Cosh;
        /// `asinh x`.
        asinh => Asinh;
        /// `sin x`, radians.
        sin => Sin;
        /// `cos x`, radians.
        cos => Cos;
        /// The error function.
        erf => Erf;
        /// The standard normal quantile, for `x` in (0, 1).
        normal_quantile => NormalQuantile;
        /// Square root.
        sqrt => Sqrt;
        /// `1 / x`.
        recip => Recip;
        /// `x²`.
        square => Square;
    }

    /// `x^n` for a whole number `n`.
    pub fn powi(self, n: i32) -> Self {
        match n {
            0 => self.recorder.full(self.shape(), T::ONE),
            1 => self,
            2 => self.square(),
            -1 => self.recip(),
            _ => self.recorder.apply(Unary::<T>::Powi(n), &[self]),
        }
    }

    /// `x^p` for a constant `p`; NaN for negative `x` unless `p` is whole.
    pub fn powf(self, p: T) -> Self {
        if p == T::ZERO || p == T::ONE {
            // No factor `p x^(p-1)` that would be `0 ∞` at 0.
            return self.powi(i32::from(p == T::ONE));
        }
        self.recorder.apply(Unary::Powf(p), &[self])
    }

    /// `|x|`; the derivative at 0 is the right-hand one, `+1`.
    pub fn abs(self) -> Self {
        self.recorder.apply(Unary::<T>::Abs, &[self])
    }

    /// `self^p` elementwise, for positive `self`: `exp(p ln self)`.
    pub fn pow(self, p: Self) -> Self {
        (p * self.ln()).exp()
    }

    /// The larger of two values, NaN if either is; at a tie the derivative follows `self`.
    #[track_caller]
    pub fn max(self, other: Self) -> Self {
        self.recorder.apply(Binary(BinaryOp::Max), &[self, other])
    }

    /// The smaller of two values, NaN if either is; at a tie the derivative follows `other`.
    #[track_caller]
    pub fn min(self, other: Self) -> Self {
        self.recorder.apply(Binary(BinaryOp::Min), &[self, other])
    }

    /// The product `dy * d` of a cotangent and a derivative, in which a cotangent of exactly zero
    /// gives zero even where the derivative is infinite or NaN.
    ///
    /// This is what keeps a branch that [`Mask::select`] did not take from being differentiated.
    #[track_caller]
    pub fn chain(self, derivative: Self) -> Self {
        self.recorder.apply(Binary(BinaryOp::Chain), &[self, derivative])
    }

    /// Where `self < other`.
    #[track_caller]
    pub fn lt(self, other: Self) -> Mask<'t, T> {
        Mask::new(self.recorder.apply(Compare::Less, &[self, other]))
    }

    /// Where `self <= other`.
    #[track_caller]
    pub fn le(self, other: Self) -> Mask<'t, T> {
        Mask::new(self.recorder.apply(Compare::LessEqual, &[self, other]))
    }

    /// Where `self > other`.
    #[track_caller]
    pub fn gt(self, other: Self) -> Mask<'t, T> {
        other.lt(self)
    }

    /// Where `self >= other`.
    #[track_caller]
    pub fn ge(self, other: Self) -> Mask<'t, T> {
        other.le(self)
    }

    /// `self W`: every row (and tangent) times a shared matrix.
    #[track_caller]
    pub fn matmul(self, w: Self) -> Self {
        self.recorder.apply(MatMul { transpose: false }, &[self, w])
    }

    /// `self Wᵀ`: every row (and tangent) times the transpose of a shared matrix.
    #[track_caller]
    pub fn matmul_t(self, w: Self) -> Self {
        self.recorder.apply(MatMul { transpose: true }, &[self, w])
    }

    /// `Σ_n self_nᵀ other_n`, summed over rows and tangents: a shared matrix, the end of a phase.
    #[track_caller]
    pub fn outer(self, other: Self) -> Self {
        self.recorder.apply(Outer, &[self, other])
    }

    /// The transpose of a shared matrix.
    #[track_caller]
    pub fn transpose(self) -> Self {
        self.recorder.apply(Transpose, &[self])
    }

    /// Sum over columns: one column.
    pub fn sum_cols(self) -> Self {
        self.sum_to(self.shape().with_cols(1))
    }

    /// Sum over the rows of the batch (or of a shared matrix): a shared row, the end of a phase.
    pub fn sum_rows(self) -> Self {
        self.sum_to(Shape::shared(1, self.cols()))
    }

    /// Sum over rows and columns: a shared `1 x 1`.
    pub fn sum_all(self) -> Self {
        self.sum_cols().sum_rows()
    }

    /// Sum over tangents.
    pub fn sum_tangents(self) -> Self {
        self.sum_to(self.shape().with_tangents(1))
    }

    /// Sums extents until the value has the given shape: the transpose of broadcasting.
    #[track_caller]
    pub fn sum_to(self, shape: Shape) -> Self {
        if self.shape() == shape { self } else { self.recorder.apply(SumTo { to: shape }, &[self]) }
    }

    /// Repeats extents until the value has the given shape.
    #[track_caller]
    pub fn broadcast_to(self, shape: Shape) -> Self {
        if self.shape() == shape { self } else { self.recorder.apply(Broadcast { to: shape }, &[self]) }
    }

    /// Columns `range`.
    #[track_caller]
    pub fn slice(self, range: Range<usize>) -> Self {
        columns::slice(self, range)
    }

    /// Columns `indices[0], indices[1], …`: a permutation, or any selection with repeats.
    #[track_caller]
    pub fn gather(self, indices: &[usize]) -> Self {
        columns::gather(self, indices)
    }

    /// Rows `indices[0], indices[1], …` of a shared matrix.
    #[track_caller]
    pub fn gather_rows(self, indices: &[usize]) -> Self {
        self.recorder.apply(GatherRows(indices.into()), &[self])
    }

    /// The value whose columns this one permutes, and which of them each column is: what lets an operation
    /// permute its weights once instead of its rows.
    pub fn unpermuted(self) -> Option<(Self, Arc<[usize]>)> {
        columns::unpermuted(self)
    }

    /// Columns of all parts, side by side.
    ///
    /// # Panics
    /// If there is no part, or rows or tangents differ.
    #[track_caller]
    pub fn concat(parts: &[Self]) -> Self {
        columns::concat(parts)
    }

    /// `ln Σ_j exp x_j` over columns: one column, without overflow.
    pub fn logsumexp(self) -> Self {
        self.recorder.apply(LogSumExp, &[self])
    }

    /// `exp x_j / Σ_k exp x_k` over columns.
    pub fn softmax(self) -> Self {
        self.recorder.apply(Softmax, &[self])
    }

    /// Cumulative sum over columns, each column included in its own sum.
    pub fn cumsum(self) -> Self {
        self.recorder.apply(CumSum { reverse: false }, &[self])
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $op:ident, |$x:ident, $c:ident| $scalar:expr) => {
        impl<'t, T: Real> $trait for Var<'t, T> {
            type Output = Self;
            #[track_caller]
            fn $method(self, other: Self) -> Self {
                self.recorder.apply(Binary(BinaryOp::$op), &[self, other])
            }
        }
        impl<'t, T: Real> $trait<T> for Var<'t, T> {
            type Output = Self;
            fn $method(self, $c: T) -> Self {
                let $x = self;
                $scalar
            }
        }
    };
}

operator!(Add, add, Add, |x, c| x.recorder.apply(Unary::Offset(c), &[x]));
operator!(Sub, sub, Sub, |x, c| x.recorder.apply(Unary::Offset(-c), &[x]));
operator!(Mul, mul, Mul, |x, c| x.recorder.apply(Unary::Scale(c), &[x]));
operator!(Div, div, Div, |x, c| x.recorder.apply(Binary(BinaryOp::Div), &[x, x.recorder.scalar(c)]));

impl<T: Real> Neg for Var<'_, T> {
    type Output = Self;
    fn neg(self) -> Self {
        self.recorder.apply(Unary::Scale(-T::ONE), &[self])
    }
}
