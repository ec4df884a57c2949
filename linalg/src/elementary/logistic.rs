//! `sigmoid` and `softplus`, which neither overflow nor lose the left tail.

use super::Function;
use super::arithmetic::{Lane, at_least, at_most, mul_add};
use super::exponential::{exp_negative, reduce};
use super::logarithm::Assemble;

/// `1 / (1 + e^-x)`, with full relative accuracy on the left where it is `e^x`.
#[derive(Clone, Copy, Debug)]
pub struct Sigmoid;

#[inline(always)]
fn sigmoid<T: Lane, const FMA: bool>(x: T) -> T {
    // With e^r = (d + z) / (d - z), z = r / 2 and d = z coth z (half the terms of e^r),
    // it is s (d + z) / (s (d + z) + (d - z)), one division; s = a b comes in by halves for small x.
    let x = at_most(at_least(x, T::EXP_LOW), T::SATURATED);
    let (pattern, r) = reduce::<T, FMA>(x, T::BIAS + T::BIAS);
    let z = T::of(0.5) * r;
    let d = T::ONE + T::coth_tail::<FMA>(z * z);
    let (above, below) = (d + z, d - z);
    let (a, b) = pattern.halves();
    above * a / mul_add::<T, FMA>(a * b, above, below) * b
}

impl Function for Sigmoid {
    const NAME: &'static str = "sigmoid";

    kernels!(sigmoid);
}

/// `ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)`, with full relative accuracy on the left where it is `e^x`.
#[derive(Clone, Copy, Debug)]
pub struct Softplus;

#[inline(always)]
fn softplus<T: Assemble, const FMA: bool>(x: T) -> T {
    // 1 + e is at most two: either it is 1 + f, or twice that; f is e or (e - 1) / 2.
    let e = exp_negative::<T, FMA>(-x.abs());
    let twice = e > T::of(std::f64::consts::SQRT_2 - 1.0);
    let half = T::of(0.5);
    let rest = T::assemble::<FMA>(
        if twice { mul_add::<T, FMA>(half, e, -half) } else { e },
        if twice { T::ONE } else { T::ZERO },
    );
    (if x > T::ZERO { x } else { T::ZERO }) + rest
}

impl Function for Softplus {
    const NAME: &'static str = "softplus";

    kernels!(softplus);
}
