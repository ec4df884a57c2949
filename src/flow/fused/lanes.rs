//! Numbers side by side in SIMD lanes, and numbers with a gradient: what fused layers run formulas on.

use crate::flow::number::Number;
use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::{self as el, lane};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// Numbers that are computed at a time.
pub(super) const LANES: usize = 8;

/// [`LANES`] numbers; every operation is a loop that the compiler makes one of vectors, inside a dispatched kernel.
#[derive(Clone, Copy)]
pub(super) struct Pack<T, const FMA: bool>(pub [T; LANES]);

impl<T: Real, const FMA: bool> Pack<T, FMA> {
    #[inline(always)]
    fn each(self, f: impl Fn(T) -> T) -> Self {
        // A plain loop: `array::map` is a call, and no vector code.
        let mut out = self.0;
        for a in &mut out {
            *a = f(*a);
        }
        Self(out)
    }

    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(T, T) -> T) -> Self {
        let mut out = self.0;
        for (a, b) in out.iter_mut().zip(&other.0) {
            *a = f(*a, *b);
        }
        Self(out)
    }
}

/// Lane by lane.
macro_rules! operator {
    ($($trait:ident :: $method:ident => $op:tt)*) => {
        $(impl<T: Real, const FMA: bool> $trait for Pack<T, FMA> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                self.zip(other, |a, b| a $op b)
            }
        })*
    };
}

operator! { Add::add => + Sub::sub => - Mul::mul => * Div::div => / }

impl<T: Real, const FMA: bool> Neg for Pack<T, FMA> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.each(|a| -a)
    }
}

impl<T: Real, const FMA: bool> Number for Pack<T, FMA> {
    #[inline(always)]
    fn constant(self, c: f64) -> Self {
        Self([T::of(c); LANES])
    }
    #[inline(always)]
    fn plus(self, c: f64) -> Self {
        let c = T::of(c);
        self.each(|a| a + c)
    }
    #[inline(always)]
    fn times(self, c: f64) -> Self {
        let c = T::of(c);
        self.each(|a| a * c)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        self.each(|a| lane::<el::Exp, T, FMA>(a))
    }
    #[inline(always)]
    fn ln(self) -> Self {
        self.each(|a| lane::<el::Ln, T, FMA>(a))
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        self.each(|a| lane::<el::Tanh, T, FMA>(a))
    }
    #[inline(always)]
    fn sigmoid(self) -> Self {
        self.each(|a| lane::<el::Sigmoid, T, FMA>(a))
    }
    #[inline(always)]
    fn softplus(self) -> Self {
        self.each(|a| lane::<el::Softplus, T, FMA>(a))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.each(T::sqrt)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.each(T::abs)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, T::maximum)
    }
    #[inline(always)]
    fn choose(self, a: Self, b: Self) -> Self {
        let mut out = a.0;
        for ((o, &b), &v) in out.iter_mut().zip(&b.0).zip(&self.0) {
            *o = if v >= T::ZERO { *o } else { b };
        }
        Self(out)
    }
}
