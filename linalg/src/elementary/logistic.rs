//! `sigmoid` and `softplus`, which neither overflow nor lose the left tail.

use super::Function;
use super::arithmetic::{Lane, at_least, at_most, mul_add};
use super::exponential::reduce;

/// `1 / (1 + e^-x)`, with full relative accuracy on the left where it is `e^x`.
#[derive(Clone, Copy, Debug)]
pub struct Sigmoid;

/// `(d + z, d - z, pattern)` with `e^x = 2^n (d + z) / (d - z)` and the pattern of `n` with `2 BIAS`.
///
/// `z` is half of the reduced argument and `d = z coth z`: half the terms of the exponential, and
/// its division is one with that of the function.
#[inline(always)]
fn exp_quotient<T: Lane, const FMA: bool>(x: T) -> (T, T, T) {
    let (pattern, r) = reduce::<T, FMA>(x, T::BIAS + T::BIAS);
    let z = T::of(0.5) * r;
    let d = T::ONE + T::coth_tail::<FMA>(z * z);
    (d + z, d - z, pattern)
}

#[inline(always)]
fn sigmoid<T: Lane, const FMA: bool>(x: T) -> T {
    // s p / (s p + q) for e^x = s p / q; s = a b comes in by halves, which keeps the left tail.
    let (p, q, pattern) = exp_quotient::<T, FMA>(at_most(at_least(x, T::EXP_LOW), T::SATURATED));
    let (a, b) = pattern.halves();
    a * p / mul_add::<T, FMA>(a * b, p, q) * b
}

impl Function for Sigmoid {
    const NAME: &'static str = "sigmoid";

    kernels!(sigmoid);
}

/// `ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)`, with full relative accuracy on the left where it is `e^x`.
#[derive(Clone, Copy, Debug)]
pub struct Softplus;

#[inline(always)]
fn softplus<T: Lane, const FMA: bool>(x: T) -> T {
    // With e = e^-|x|, 1 + e = 1 + f or 2 (1 + f) whichever is nearer to one, and the logarithm of
    // 1 + f is 2 atanh(t), t = f / (2 + f): e / (e + 2) or (e - 1) / (e + 3), for e = s p / q.
    let low = at_least(-x.abs(), T::EXP_LOW);
    let (p, q, pattern) = exp_quotient::<T, FMA>(low);
    let (a, b) = pattern.halves();
    let sp = a * b * p;
    // The logarithm of sqrt(2) - 1.
    let twice = low > T::of(-0.881_373_587_019_543);
    // s = a b comes in by halves where it may be tiny.
    let (numerator, b) = if twice { (sp - q, T::ONE) } else { (a * p, b) };
    let scaled = numerator / mul_add::<T, FMA>(if twice { T::of(3.0) } else { T::of(2.0) }, q, sp);
    let t = scaled * b;
    let log = mul_add::<T, FMA>(scaled, T::atanh_tail::<FMA>(t * t), scaled + scaled) * b;
    (if x > T::ZERO { x } else { T::ZERO }) + (log + if twice { T::LN_2 } else { T::ZERO })
}

impl Function for Softplus {
    const NAME: &'static str = "softplus";

    kernels!(softplus);
}
