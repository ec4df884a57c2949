//! `e^x` and `e^x - 1`: reduction to `|r| <= ln(2)/2`, one polynomial, scaling by bit patterns.

use std::f64::consts::LOG2_E;

use super::Function;
use super::arithmetic::{LN2_HI, LN2_LO, TINY, clamp, mul_add, polynomial, pow2, round, scale};
use super::coefficients::EXP;

/// `(n, p)` with `e^(x - tail) = 2^n (1 + p)`, `n` an integer and `|p| < 0.43`.
///
/// `n LN2_HI` and its difference from `x` are exact, hence the reduced argument carries one
/// rounding with or without fused operations. `tail`, at most `0.003`, is what `x` could not hold.
#[inline(always)]
pub(super) fn reduce<const FMA: bool>(x: f64, tail: f64) -> (f64, f64) {
    let n = round(x * LOG2_E);
    let r = mul_add::<FMA>(n, -LN2_HI, x);
    let r = mul_add::<FMA>(n, -LN2_LO, r) - tail;
    (n, mul_add::<FMA>(r * r, polynomial::<FMA, _>(&EXP, r), r))
}

/// `2^-shift (e^x - 1)` for `x` from -700 to where `2^-shift e^x` nears overflow.
#[inline(always)]
pub(super) fn exp_m1_scaled<const FMA: bool>(x: f64, shift: f64) -> f64 {
    let (n, p) = reduce::<FMA>(x, 0.0);
    let s = pow2(n - shift);
    mul_add::<FMA>(s, p, s - pow2(-shift))
}

/// `e^x`.
#[derive(Clone, Copy, Debug)]
pub struct Exp;

impl Function for Exp {
    const NAME: &'static str = "exp";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        let (n, p) = reduce::<FMA>(clamp(x, -746.0, 710.0), 0.0);
        scale(1.0 + p, n)
    }
}

/// `e^x - 1`, accurate near zero.
#[derive(Clone, Copy, Debug)]
pub struct ExpM1;

impl Function for ExpM1 {
    const NAME: &'static str = "exp_m1";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        // Half of the value first: 2^1024 is out of range where the value is still in it.
        let y = 2.0 * exp_m1_scaled::<FMA>(clamp(x, -64.0, 710.0), 1.0);
        if x.abs() < TINY { x } else { y }
    }
}
