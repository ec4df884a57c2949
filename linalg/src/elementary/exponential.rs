//! `e^x` and `e^x - 1`: reduction to `|r| <= ln(2)/2`, one polynomial, scaling by bit patterns.

use super::Function;
use super::arithmetic::{Lane, at_least, at_most, mul_add};

/// `(pattern, r)` with `x = n ln 2 + r`, `n` an integer, `|r| <= 0.347`, and the pattern of `n` with a bias.
///
/// `n LN2_HI` and its difference from `x` are exact, hence the reduced argument carries one
/// rounding with or without fused operations.
#[inline(always)]
pub(super) fn reduce<T: Lane, const FMA: bool>(x: T, bias: T) -> (T, T) {
    let pattern = mul_add::<T, FMA>(x, T::LOG2_E, T::ROUND + bias);
    let n = pattern - (T::ROUND + bias);
    let r = mul_add::<T, FMA>(n, -T::LN2_HI, x);
    (pattern, mul_add::<T, FMA>(n, -T::LN2_LO, r))
}

/// `e^r - 1` for a reduced `r`.
#[inline(always)]
pub(super) fn exp_m1_reduced<T: Lane, const FMA: bool>(r: T) -> T {
    mul_add::<T, FMA>(r * r, T::exp_tail::<FMA>(r), r)
}

/// `2^-shift (e^x - 1)` for `x` from -64 to where `2^-shift e^x` nears overflow.
#[inline(always)]
pub(super) fn exp_m1_scaled<T: Lane, const FMA: bool>(x: T, shift: i32) -> T {
    let (pattern, r) = reduce::<T, FMA>(x, T::BIAS - T::of(f64::from(shift)));
    let s = pattern.pow2();
    mul_add::<T, FMA>(s, exp_m1_reduced::<T, FMA>(r), s - T::exp2i(-shift))
}

/// `y 2^n` by the pattern of `n` with `2 BIAS`, through two halves: overflow goes to infinity, underflow is gradual.
#[inline(always)]
pub(super) fn scale<T: Lane>(y: T, pattern: T) -> T {
    let (a, b) = pattern.halves();
    y * a * b
}

/// `e^x`.
#[derive(Clone, Copy, Debug)]
pub struct Exp;

#[inline(always)]
fn exp<T: Lane, const FMA: bool>(x: T) -> T {
    let x = at_most(at_least(x, T::EXP_LOW), T::EXP_HIGH);
    let (pattern, r) = reduce::<T, FMA>(x, T::BIAS + T::BIAS);
    scale(T::ONE + exp_m1_reduced::<T, FMA>(r), pattern)
}

impl Function for Exp {
    const NAME: &'static str = "exp";

    kernels!(exp);
}

/// `e^x - 1`, accurate near zero.
#[derive(Clone, Copy, Debug)]
pub struct ExpM1;

#[inline(always)]
fn exp_m1<T: Lane, const FMA: bool>(x: T) -> T {
    // Half of the value first: 2^1024 is out of range where the value is still in it.
    let x64 = at_most(at_least(x, T::of(-64.0)), T::EXP_HIGH);
    let half = exp_m1_scaled::<T, FMA>(x64, 1);
    if x.abs() < T::TINY { x } else { half + half }
}

impl Function for ExpM1 {
    const NAME: &'static str = "exp_m1";

    kernels!(exp_m1);
}
