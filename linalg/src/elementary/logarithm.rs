//! `ln x` and `ln(1 + x)`: the exponent apart, then `ln(1 + f) = 2 atanh(f / (2 + f))`.

use super::Function;
use super::arithmetic::{LN2_HI, LN2_LO, TINY, mul_add, polynomial, pow2};
use super::coefficients::LN;

/// The pattern of `sqrt(1/2)`.
const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
/// The pattern of one.
const ONE: u64 = 0x3ff0_0000_0000_0000;
/// The bits of the fraction.
const FRACTION: u64 = 0x000f_ffff_ffff_ffff;
/// `2^52`: its pattern with an integer in the low bits is `2^52` plus that integer.
const TWO52: f64 = 4_503_599_627_370_496.0;

/// `(f, k)` with `x = 2^k (1 + f)` and `1 + f` from `sqrt(1/2)` to `sqrt(2)`, exactly, for `x` positive and normal.
#[inline(always)]
fn split(x: f64) -> (f64, f64) {
    let shifted = x.to_bits().wrapping_add(ONE - SQRT_HALF);
    let k = f64::from_bits((shifted >> 52) | TWO52.to_bits()) - (TWO52 + 1023.0);
    let m = f64::from_bits((shifted & FRACTION) + SQRT_HALF);
    (m - 1.0, k)
}

/// `ln(2^k (1 + f))`.
///
/// With `s = f / (2 + f)`, `ln(1 + f) = 2 s + s r = f - (f^2/2 - s (f^2/2 + r))`: the leading term
/// is exact and the rest is small, so the last subtraction makes nearly all of the error.
#[inline(always)]
fn assemble<const FMA: bool>(f: f64, k: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * polynomial::<FMA, _>(&LN, z);
    let half = 0.5 * f * f;
    let low = mul_add::<FMA>(s, half + r, k * LN2_LO);
    mul_add::<FMA>(k, LN2_HI, f - (half - low))
}

/// `ln x`.
#[derive(Clone, Copy, Debug)]
pub struct Ln;

impl Function for Ln {
    const NAME: &'static str = "ln";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        let subnormal = x < f64::MIN_POSITIVE;
        let (f, k) = split(if subnormal { x * (4.0 * TWO52) } else { x });
        let y = assemble::<FMA>(f, if subnormal { k - 54.0 } else { k });
        let edge = if x == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
        // Infinity and NaN are their own logarithms.
        let edge = if x <= 0.0 { edge } else { x };
        if x > 0.0 && x < f64::INFINITY { y } else { edge }
    }
}

/// `ln(1 + x)`, accurate near zero.
#[derive(Clone, Copy, Debug)]
pub struct Ln1p;

impl Function for Ln1p {
    const NAME: &'static str = "ln_1p";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        // 1 + x = sum + rest exactly (Knuth's two-sum), whichever is the larger.
        let sum = 1.0 + x;
        let part = sum - 1.0;
        let rest = (1.0 - (sum - part)) + (x - part);
        let (f, k) = split(sum);
        // 2^-k is exact up to k = 1022; beyond, the rest is nothing beside the sum.
        let shrink = if k > 1022.0 { 0.0 } else { pow2(-k) };
        let y = assemble::<FMA>(mul_add::<FMA>(rest, shrink, f), k);
        let edge = if sum == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
        let edge = if x <= -1.0 { edge } else { x };
        let y = if x > -1.0 && x < f64::INFINITY { y } else { edge };
        if x.abs() < TINY { x } else { y }
    }
}
