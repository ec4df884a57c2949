//! `ln x` and `ln(1 + x)`: the exponent apart, then a series of `ln(1 + f)` for `1 + f` near one.

use super::Function;
use super::arithmetic::{Lane, mul_add, polynomial};
use super::coefficients::LN_SINGLE;

/// `ln(2^k (1 + f))` for `1 + f` from `sqrt(1/2)` to `sqrt(2)`.
pub(super) trait Assemble: Lane {
    /// The leading terms `k LN2_HI + f` come last: the rest is small, so that the last additions
    /// make nearly all of the error. For `k = 0` a subnormal `f` is kept.
    fn assemble<const FMA: bool>(f: Self, k: Self) -> Self;
}

impl Assemble for f64 {
    #[inline(always)]
    fn assemble<const FMA: bool>(f: f64, k: f64) -> f64 {
        // With s = f / (2 + f), ln(1 + f) = 2 s + s r = f - (f^2/2 - s (f^2/2 + r)).
        let s = f / (2.0 + f);
        let r = f64::atanh_tail::<FMA>(s * s);
        let half = 0.5 * f * f;
        let low = mul_add::<f64, FMA>(s, half + r, k * Self::LN2_LO);
        mul_add::<f64, FMA>(k, Self::LN2_HI, f - (half - low))
    }
}

impl Assemble for f32 {
    #[inline(always)]
    fn assemble<const FMA: bool>(f: f32, k: f32) -> f32 {
        // ln(1 + f) = f - f^2/2 + f^3 p(f): at this degree cheaper than a division.
        let square = f * f;
        let p = polynomial::<f32, FMA, _>(&LN_SINGLE, f);
        let low = mul_add::<f32, FMA>(f * square, p, k * Self::LN2_LO);
        mul_add::<f32, FMA>(k, Self::LN2_HI, f + mul_add::<f32, FMA>(-0.5, square, low))
    }
}

/// `ln x`.
#[derive(Clone, Copy, Debug)]
pub struct Ln;

#[inline(always)]
pub(super) fn ln<T: Assemble, const FMA: bool>(x: T) -> T {
    // Subnormal numbers are taken times 2^64.
    let subnormal = x < T::MIN_POSITIVE;
    let (f, k) = (if subnormal { x * T::exp2i(64) } else { x }).split();
    let y = T::assemble::<FMA>(f, if subnormal { k - T::of(64.0) } else { k });
    // Infinity and NaN are their own logarithms.
    let edge = if x < T::ZERO { T::NAN } else { x };
    let edge = if x == T::ZERO { -T::INFINITY } else { edge };
    if x.is_positive_finite() { y } else { edge }
}

impl Function for Ln {
    const NAME: &'static str = "ln";

    kernels!(ln);
}

/// `ln(1 + x)`, accurate near zero.
#[derive(Clone, Copy, Debug)]
pub struct Ln1p;

#[inline(always)]
pub(super) fn ln_1p<T: Assemble, const FMA: bool>(x: T) -> T {
    // 1 + x = sum + rest exactly (Knuth's two-sum), whichever is the larger.
    let sum = T::ONE + x;
    let part = sum - T::ONE;
    let rest = (T::ONE - (sum - part)) + (x - part);
    let (f, k) = sum.split();
    // 2^-k is exact up to the last but one k; there, the rest is nothing beside the sum.
    let shrink = if k >= T::BIAS { T::ZERO } else { ((T::ROUND + T::BIAS) - k).pow2() };
    let y = T::assemble::<FMA>(mul_add::<T, FMA>(rest, shrink, f), k);
    // Infinity and NaN are their own logarithms.
    let edge = if x < -T::ONE { T::NAN } else { x };
    let edge = if sum == T::ZERO { -T::INFINITY } else { edge };
    let y = if sum.is_positive_finite() { y } else { edge };
    if x.abs() < T::TINY { x } else { y }
}

impl Function for Ln1p {
    const NAME: &'static str = "ln_1p";

    kernels!(ln_1p);
}
