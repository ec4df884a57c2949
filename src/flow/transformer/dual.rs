//! Numbers with a gradient: first derivatives of a formula as it stands.

use crate::flow::number::Number;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A value, and its derivatives by `G` variables.
#[derive(Clone, Copy)]
pub(super) struct Dual<N, const G: usize> {
    pub value: N,
    pub gradient: [N; G],
}

impl<N: Number, const G: usize> Dual<N, G> {
    /// Variable `k` itself.
    #[inline(always)]
    pub fn variable(value: N, k: usize) -> Self {
        let mut gradient = [value.constant(0.0); G];
        gradient[k] = value.constant(1.0);
        Self { value, gradient }
    }

    /// A function of it, with its derivative.
    #[inline(always)]
    fn chain(self, value: N, slope: N) -> Self {
        self.each(value, |g| g * slope)
    }

    /// `a da + b db`.
    #[inline(always)]
    fn combine(self, a: N, other: Self, b: N, value: N) -> Self {
        self.zip(other, value, |g, h| g * a + h * b)
    }

    /// What `f` makes of each derivative, in a plain loop: `array::map` is a call, and no vector code.
    #[inline(always)]
    fn each(self, value: N, f: impl Fn(N) -> N) -> Self {
        let mut gradient = self.gradient;
        for g in &mut gradient {
            *g = f(*g);
        }
        Self { value, gradient }
    }

    #[inline(always)]
    fn zip(self, other: Self, value: N, f: impl Fn(N, N) -> N) -> Self {
        let mut gradient = self.gradient;
        for (g, h) in gradient.iter_mut().zip(&other.gradient) {
            *g = f(*g, *h);
        }
        Self { value, gradient }
    }
}

impl<N: Number, const G: usize> Add for Dual<N, G> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, self.value + other.value, |g, h| g + h)
    }
}

impl<N: Number, const G: usize> Sub for Dual<N, G> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, self.value - other.value, |g, h| g - h)
    }
}

impl<N: Number, const G: usize> Mul for Dual<N, G> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.combine(other.value, other, self.value, self.value * other.value)
    }
}

impl<N: Number, const G: usize> Div for Dual<N, G> {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        let inverse = other.value.constant(1.0) / other.value;
        let value = self.value / other.value;
        self.combine(inverse, other, -(value * inverse), value)
    }
}

impl<N: Number, const G: usize> Neg for Dual<N, G> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.each(-self.value, |g| -g)
    }
}

impl<N: Number, const G: usize> Number for Dual<N, G> {
    #[inline(always)]
    fn constant(self, c: f64) -> Self {
        Self { value: self.value.constant(c), gradient: [self.value.constant(0.0); G] }
    }
    #[inline(always)]
    fn plus(self, c: f64) -> Self {
        Self { value: self.value.plus(c), ..self }
    }
    #[inline(always)]
    fn times(self, c: f64) -> Self {
        self.each(self.value.times(c), |g| g.times(c))
    }
    #[inline(always)]
    fn exp(self) -> Self {
        let value = self.value.exp();
        self.chain(value, value)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        self.chain(self.value.ln(), self.value.constant(1.0) / self.value)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        let value = self.value.tanh();
        self.chain(value, -(value * value).plus(-1.0))
    }
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let value = self.value.sigmoid();
        self.chain(value, value * -value.plus(-1.0))
    }
    #[inline(always)]
    fn softplus(self) -> Self {
        self.chain(self.value.softplus(), self.value.sigmoid())
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        let value = self.value.sqrt();
        self.chain(value, value.constant(0.5) / value)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        let one = self.value.constant(1.0);
        self.chain(self.value.abs(), self.value.choose(one, -one))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        (self - other).choose(self, other)
    }
    #[inline(always)]
    fn choose(self, a: Self, b: Self) -> Self {
        a.zip(b, self.value.choose(a.value, b.value), |g, h| self.value.choose(g, h))
    }
}
