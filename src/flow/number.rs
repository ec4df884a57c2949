//! Formulas written once: over variables of a tape, and over numbers that carry a bound of their rounding.

use super::rounding::{FUNCTION, count};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// What elementwise formulas of layers need of a number.
pub trait Number:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// A constant.
    fn constant(self, c: f64) -> Self;
    /// `self + c`.
    fn plus(self, c: f64) -> Self;
    /// `c self`.
    fn times(self, c: f64) -> Self;
    /// `e^self`.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// `1 / (1 + e^-self)`.
    fn sigmoid(self) -> Self;
    /// `ln(1 + e^self)`.
    fn softplus(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// The larger of two.
    fn max(self, other: Self) -> Self;
    /// `a` where `self >= 0`, `b` elsewhere; what is not chosen is never differentiated.
    fn choose(self, a: Self, b: Self) -> Self;
}

impl<T: Real> Number for Var<'_, T> {
    fn constant(self, c: f64) -> Self {
        self.recorder().scalar(T::of(c))
    }
    fn plus(self, c: f64) -> Self {
        self + T::of(c)
    }
    fn times(self, c: f64) -> Self {
        self * T::of(c)
    }
    fn exp(self) -> Self {
        Var::exp(self)
    }
    fn ln(self) -> Self {
        Var::ln(self)
    }
    fn tanh(self) -> Self {
        Var::tanh(self)
    }
    fn sigmoid(self) -> Self {
        Var::sigmoid(self)
    }
    fn softplus(self) -> Self {
        Var::softplus(self)
    }
    fn sqrt(self) -> Self {
        Var::sqrt(self)
    }
    fn abs(self) -> Self {
        Var::abs(self)
    }
    fn max(self, other: Self) -> Self {
        Var::max(self, other)
    }
    fn choose(self, a: Self, b: Self) -> Self {
        self.ge(self.recorder().scalar(T::ZERO)).select(a, b)
    }
}

/// A number and a first-order bound of its rounding, in units of `eps`: a running error analysis
/// (N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., section 3.3).
///
/// Each operation adds its own rounding to what its operands bring along: 1 unit of the result for arithmetic,
/// [`FUNCTION`] for elementwise functions. Constants count as rounded once.
///
/// ```
/// use eigenflow::flow::number::{Bounded, Number};
/// let three = Bounded::exact(1.0) + Bounded::exact(2.0);
/// assert_eq!((three.value, three.error), (3.0, 3.0));
/// // The error passes the exponential with its slope, and that adds four units of its own.
/// let y = three.times(0.0).exp();
/// assert_eq!((y.value, y.error), (1.0, 4.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounded {
    /// The value.
    pub value: f64,
    /// Bound of its error, in units of `eps`.
    pub error: f64,
}

impl Bounded {
    /// A number without error.
    pub const fn exact(value: f64) -> Self {
        Self { value, error: 0.0 }
    }

    /// The result of arithmetic: rounded once.
    fn rounded(value: f64, carried: f64) -> Self {
        Self { value, error: carried + value.abs() }
    }

    /// `Σ a_i b_i`, added up in any order: what operands bring along, and `c_n` roundings of the terms ([`count`]).
    ///
    /// ```
    /// use eigenflow::flow::number::Bounded;
    /// let [a, b] = [[1.0, 2.0], [3.0, 4.0]].map(|v| v.map(Bounded::exact));
    /// assert_eq!(Bounded::dot(&a, &b), Bounded { value: 11.0, error: 22.0 }); // c_2 = 2 units of 3 + 8
    /// ```
    pub fn dot(a: &[Self], b: &[Self]) -> Self {
        let (mut value, mut size, mut carried) = (0.0, 0.0, 0.0);
        for (a, b) in a.iter().zip(b) {
            let product = a.value * b.value;
            value += product;
            size += product.abs();
            carried += a.error * b.value.abs() + b.error * a.value.abs();
        }
        Self { value, error: carried + count(a.len()) * size }
    }

    /// The value of an elementwise function with the given slope.
    fn function(self, value: f64, slope: f64) -> Self {
        // An exact argument passes no error, however steep the function.
        let carried = if self.error == 0.0 { 0.0 } else { self.error * slope.abs() };
        Self { value, error: carried + FUNCTION * value.abs() }
    }
}

impl Add for Bounded {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::rounded(self.value + other.value, self.error + other.error)
    }
}

impl Sub for Bounded {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::rounded(self.value - other.value, self.error + other.error)
    }
}

impl Mul for Bounded {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let carried = self.error * other.value.abs() + other.error * self.value.abs();
        Self::rounded(self.value * other.value, carried)
    }
}

impl Div for Bounded {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        Self::rounded(value, (self.error + other.error * value.abs()) / other.value.abs())
    }
}

impl Neg for Bounded {
    type Output = Self;
    fn neg(self) -> Self {
        Self { value: -self.value, error: self.error }
    }
}

impl Number for Bounded {
    fn constant(self, c: f64) -> Self {
        Self { value: c, error: if c.fract() == 0.0 { 0.0 } else { c.abs() } }
    }
    fn plus(self, c: f64) -> Self {
        self + self.constant(c)
    }
    fn times(self, c: f64) -> Self {
        self * self.constant(c)
    }
    fn exp(self) -> Self {
        let value = self.value.exp();
        self.function(value, value)
    }
    fn ln(self) -> Self {
        self.function(self.value.ln(), self.value.recip())
    }
    fn tanh(self) -> Self {
        let value = self.value.tanh();
        self.function(value, 1.0 - value * value)
    }
    fn sigmoid(self) -> Self {
        let value = (1.0 + (-self.value).exp()).recip();
        self.function(value, value * (1.0 - value))
    }
    fn softplus(self) -> Self {
        let value = self.value.max(0.0) + (-self.value.abs()).exp().ln_1p();
        self.function(value, (1.0 + (-self.value).exp()).recip())
    }
    fn sqrt(self) -> Self {
        let value = self.value.sqrt();
        self.function(value, 0.5 / value)
    }
    fn abs(self) -> Self {
        Self { value: self.value.abs(), error: self.error }
    }
    fn max(self, other: Self) -> Self {
        Self { value: self.value.max(other.value), error: self.error.max(other.error) }
    }
    fn choose(self, a: Self, b: Self) -> Self {
        if self.value >= 0.0 { a } else { b }
    }
}
