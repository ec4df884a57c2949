//! The few branch-free steps that every kernel is made of, in both precisions.
//!
//! Comparisons become selects and exponents are moved by bit patterns, so that LLVM turns a loop
//! over a kernel into vector code for whatever instruction set the loop is compiled for. On that
//! code the multiplier is the busiest port (one 512-bit operation a cycle at best): additions,
//! shifts and logic beside it are nearly free, and kernels are written to that.

use super::coefficients::{ATANH, ATANH_SINGLE, COTH, COTH_SINGLE, EXP, EXP_SINGLE};
use crate::Real;

/// What the kernels need to know of a precision.
///
/// A *pattern* is `ROUND + bias + n` for a small integer `n`: adding `ROUND` rounds to an integer
/// (ties to even) and leaves it in the low bits, from where a shift moves it into an exponent.
pub(super) trait Lane: Real {
    /// `1.5 * 2^23` or `1.5 * 2^52`.
    const ROUND: Self;
    /// The bias of the exponent, 127 or 1023.
    const BIAS: Self;
    /// `log2(e)`.
    const LOG2_E: Self;
    /// `ln 2`.
    const LN_2: Self;
    /// `ln 2` to so few bits that its product with any exponent is exact.
    const LN2_HI: Self;
    /// `ln 2 - LN2_HI`.
    const LN2_LO: Self;
    /// Below this magnitude `x` itself is the nearest number to `sinh x`, `e^x - 1`, `ln(1 + x)`,
    /// ... within a quarter of eps, and returning it keeps subnormal numbers and the sign of zero.
    const TINY: Self;
    /// Below this `e^x` rounds to zero.
    const EXP_LOW: Self;
    /// From here on `e^x` is infinite.
    const EXP_HIGH: Self;
    /// Between the arguments where `sinh` and `cosh` overflow and where `e^x / 4` does.
    const COSH_HIGH: Self;
    /// From here on `e^-x` is nothing beside one.
    const SATURATED: Self;
    /// From here on `asinh x = ln 2x`, and the square is still in range.
    const ASINH_LARGE: Self;

    /// The magnitude with the sign of another number.
    fn copysign(self, sign: Self) -> Self;
    /// `2^n` by the pattern with `BIAS`, for `n` in the range of exponents.
    fn pow2(self) -> Self;
    /// `2^floor(n / 2)` and `2^ceil(n / 2)` by the pattern with `2 BIAS`.
    fn halves(self) -> (Self, Self);
    /// `(f, k)` with `x = 2^k (1 + f)` and `1 + f` from `sqrt(1/2)` to `sqrt(2)`, exactly, for `x` positive and normal.
    fn split(self) -> (Self, Self);
    /// Positive, not infinite, not NaN.
    fn is_positive_finite(self) -> bool;
    /// `(e^r - 1 - r) / r^2` for a reduced `r`.
    fn exp_tail<const FMA: bool>(r: Self) -> Self;
    /// `z coth z - 1` by `w = z^2` for half of a reduced `r`.
    fn coth_tail<const FMA: bool>(w: Self) -> Self;
    /// `2 atanh(s) / s - 2` by `z = s^2`, for `s = f / (2 + f)` and `1 + f` from `sqrt(1/2)` to `sqrt(2)`.
    fn atanh_tail<const FMA: bool>(z: Self) -> Self;
}

impl Lane for f64 {
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const BIAS: f64 = 1023.0;
    const LOG2_E: f64 = std::f64::consts::LOG2_E;
    const LN_2: f64 = std::f64::consts::LN_2;
    const LN2_HI: f64 = 0.693_147_180_369_123_8;
    const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;
    const TINY: f64 = 5.551_115_123_125_783e-17;
    const EXP_LOW: f64 = -746.0;
    const EXP_HIGH: f64 = 710.0;
    const COSH_HIGH: f64 = 710.6;
    const SATURATED: f64 = 40.0;
    const ASINH_LARGE: f64 = 1e18;

    #[inline(always)]
    fn copysign(self, sign: f64) -> f64 {
        self.copysign(sign)
    }

    #[inline(always)]
    fn pow2(self) -> f64 {
        f64::from_bits(self.to_bits() << 52)
    }

    #[inline(always)]
    fn halves(self) -> (f64, f64) {
        let bits = self.to_bits();
        let half = bits >> 1;
        (f64::from_bits(half << 52), f64::from_bits(bits.wrapping_sub(half) << 52))
    }

    #[inline(always)]
    fn split(self) -> (f64, f64) {
        /// The pattern of `sqrt(1/2)`.
        const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
        /// `2^52`: its pattern with an integer in the low bits is `2^52` plus that integer.
        const TWO52: f64 = 4_503_599_627_370_496.0;
        // Not a conversion of integers: AVX2 has none of 64 bits.
        let shifted = self.to_bits().wrapping_add(1.0_f64.to_bits() - SQRT_HALF);
        let k = f64::from_bits((shifted >> 52) | TWO52.to_bits()) - (TWO52 + 1023.0);
        (f64::from_bits((shifted & (u64::MAX >> 12)) + SQRT_HALF) - 1.0, k)
    }

    #[inline(always)]
    fn is_positive_finite(self) -> bool {
        self.to_bits().wrapping_sub(1) < f64::INFINITY.to_bits() - 1
    }

    #[inline(always)]
    fn exp_tail<const FMA: bool>(r: f64) -> f64 {
        polynomial::<f64, FMA, _>(&EXP, r)
    }

    #[inline(always)]
    fn coth_tail<const FMA: bool>(w: f64) -> f64 {
        w * horner::<f64, FMA, _>(&COTH, w)
    }

    #[inline(always)]
    fn atanh_tail<const FMA: bool>(z: f64) -> f64 {
        z * polynomial::<f64, FMA, _>(&ATANH, z)
    }
}

impl Lane for f32 {
    const ROUND: f32 = 12_582_912.0;
    const BIAS: f32 = 127.0;
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN_2: f32 = std::f32::consts::LN_2;
    const LN2_HI: f32 = 0.693_145_75;
    const LN2_LO: f32 = 1.428_606_8e-6;
    const TINY: f32 = 2.980_232_2e-8;
    const EXP_LOW: f32 = -104.0;
    const EXP_HIGH: f32 = 89.0;
    const COSH_HIGH: f32 = 89.6;
    const SATURATED: f32 = 20.0;
    const ASINH_LARGE: f32 = 1e9;

    #[inline(always)]
    fn copysign(self, sign: f32) -> f32 {
        self.copysign(sign)
    }

    #[inline(always)]
    fn pow2(self) -> f32 {
        f32::from_bits(self.to_bits() << 23)
    }

    #[inline(always)]
    fn halves(self) -> (f32, f32) {
        let bits = self.to_bits();
        let half = bits >> 1;
        (f32::from_bits(half << 23), f32::from_bits(bits.wrapping_sub(half) << 23))
    }

    #[inline(always)]
    fn split(self) -> (f32, f32) {
        /// The pattern of `sqrt(1/2)`.
        const SQRT_HALF: u32 = 0x3f35_04f3;
        let shifted = self.to_bits().wrapping_sub(SQRT_HALF);
        let k = (shifted.cast_signed() >> 23) as f32;
        (f32::from_bits((shifted & (u32::MAX >> 9)) + SQRT_HALF) - 1.0, k)
    }

    #[inline(always)]
    fn is_positive_finite(self) -> bool {
        self.to_bits().wrapping_sub(1) < f32::INFINITY.to_bits() - 1
    }

    #[inline(always)]
    fn exp_tail<const FMA: bool>(r: f32) -> f32 {
        horner::<f32, FMA, _>(&EXP_SINGLE, r)
    }

    #[inline(always)]
    fn coth_tail<const FMA: bool>(w: f32) -> f32 {
        w * horner::<f32, FMA, _>(&COTH_SINGLE, w)
    }

    #[inline(always)]
    fn atanh_tail<const FMA: bool>(z: f32) -> f32 {
        z * horner::<f32, FMA, _>(&ATANH_SINGLE, z)
    }
}

/// `a b + c`: rounded once with `FMA`, twice without.
///
/// Without the instruction `mul_add` is a call into the C library, tens of times slower than
/// the two operations; kernels are written so that either rounding is accurate enough.
#[inline(always)]
pub(super) fn mul_add<T: Real, const FMA: bool>(a: T, b: T, c: T) -> T {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// A polynomial, coefficients highest degree first, by the fewest operations.
#[inline(always)]
pub(super) fn horner<T: Real, const FMA: bool, const N: usize>(coefficients: &[T; N], x: T) -> T {
    let mut y = coefficients[0];
    for &c in &coefficients[1..] {
        y = mul_add::<T, FMA>(y, x, c);
    }
    y
}

/// A polynomial, coefficients highest degree first.
///
/// Horner's rule in `x^2` for every second coefficient: two chains of half the latency.
#[inline(always)]
pub(super) fn polynomial<T: Real, const FMA: bool, const N: usize>(coefficients: &[T; N], x: T) -> T {
    let square = x * x;
    let (mut a, mut b) = (coefficients[0], coefficients[1]);
    for pair in coefficients[2..].chunks_exact(2) {
        a = mul_add::<T, FMA>(a, square, pair[0]);
        b = mul_add::<T, FMA>(b, square, pair[1]);
    }
    if N.is_multiple_of(2) {
        mul_add::<T, FMA>(a, x, b)
    } else {
        mul_add::<T, FMA>(b, x, mul_add::<T, FMA>(a, square, coefficients[N - 1]))
    }
}

/// `x` but at least `low`; NaN stays.
#[inline(always)]
pub(super) fn at_least<T: Real>(x: T, low: T) -> T {
    if x < low { low } else { x }
}

/// `x` but at most `high`; NaN stays.
#[inline(always)]
pub(super) fn at_most<T: Real>(x: T, high: T) -> T {
    if x > high { high } else { x }
}
