//! The few branch-free steps that every kernel is made of.
//!
//! Comparisons become selects and exponents are moved by bit patterns, so that LLVM turns a loop
//! over a kernel into vector code for whatever instruction set the loop is compiled for.

/// `1.5 * 2^52`: adding it rounds to an integer (ties to even) and leaves that integer in the low
/// bits of the pattern.
pub(super) const ROUND: f64 = 6_755_399_441_055_744.0;
/// `ln 2` to 32 bits, so that an integer below `2^20` times it is exact.
pub(super) const LN2_HI: f64 = 0.693_147_180_369_123_8;
/// `ln 2 - LN2_HI`.
pub(super) const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;
/// Below this magnitude `x` itself is the nearest number to `sinh x`, `tanh x`, `e^x - 1`, ...
/// within a quarter of eps, and returning it keeps subnormal numbers and the sign of zero.
pub(super) const TINY: f64 = 5.551_115_123_125_783e-17;

/// `a b + c`: rounded once with `FMA`, twice without.
///
/// Without the instruction `f64::mul_add` is a call into the C library, tens of times slower than
/// the two operations; kernels are written so that either rounding is accurate enough.
#[inline(always)]
pub(super) fn mul_add<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// A polynomial, coefficients highest degree first.
///
/// Horner's rule in `x^2` for every second coefficient: two chains of half the latency.
#[inline(always)]
pub(super) fn polynomial<const FMA: bool, const N: usize>(coefficients: &[f64; N], x: f64) -> f64 {
    let square = x * x;
    let (mut a, mut b) = (coefficients[0], coefficients[1]);
    for pair in coefficients[2..].chunks_exact(2) {
        a = mul_add::<FMA>(a, square, pair[0]);
        b = mul_add::<FMA>(b, square, pair[1]);
    }
    if N.is_multiple_of(2) {
        mul_add::<FMA>(a, x, b)
    } else {
        mul_add::<FMA>(b, x, mul_add::<FMA>(a, square, coefficients[N - 1]))
    }
}

/// The nearest integer, for `|x| < 2^51`; NaN stays.
#[inline(always)]
pub(super) fn round(x: f64) -> f64 {
    (x + ROUND) - ROUND
}

/// `2^n` for an integer `n` in `-1022..=1023`; `0` at `-1023` and infinity at `1024`.
#[inline(always)]
pub(super) fn pow2(n: f64) -> f64 {
    f64::from_bits((n + (ROUND + 1023.0)).to_bits() << 52)
}

/// `y 2^n` for an integer `|n| <= 2044`, through two halves: overflow goes to infinity, underflow is gradual.
#[inline(always)]
pub(super) fn scale(y: f64, n: f64) -> f64 {
    let half = round(0.5 * n);
    y * pow2(half) * pow2(n - half)
}

/// `x` held between two bounds; NaN stays.
#[inline(always)]
pub(super) fn clamp(x: f64, low: f64, high: f64) -> f64 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}
