//! `sinh`, `cosh`, `tanh` and `asinh`, on the magnitude of `x` through `e^x - 1` and `ln(1 + x)`.

use std::f64::consts::LN_2;

use super::arithmetic::{TINY, clamp, mul_add, pow2};
use super::exponential::{exp_m1_scaled, reduce};
use super::{Function, Ln1p};

/// Between the arguments where `sinh` and `cosh` overflow and where `e^x / 4` does.
const OVERFLOW: f64 = 710.6;

/// `(e^x - e^-x) / 2`, accurate near zero.
#[derive(Clone, Copy, Debug)]
pub struct Sinh;

impl Function for Sinh {
    const NAME: &'static str = "sinh";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        // (e + e / (e + 1)) / 2 with e = e^|x| - 1, in quarters: e itself may be out of range.
        let quarter = exp_m1_scaled::<FMA>(clamp(x.abs(), 0.0, OVERFLOW), 2.0);
        let y = 2.0 * (quarter + quarter / mul_add::<FMA>(4.0, quarter, 1.0));
        if x.abs() < TINY { x } else { y.copysign(x) }
    }
}

/// `(e^x + e^-x) / 2`.
#[derive(Clone, Copy, Debug)]
pub struct Cosh;

impl Function for Cosh {
    const NAME: &'static str = "cosh";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        let (n, p) = reduce::<FMA>(clamp(x.abs(), 0.0, OVERFLOW), 0.0);
        let s = pow2(n - 2.0);
        let quarter = mul_add::<FMA>(s, p, s);
        2.0 * quarter + 0.125 / quarter
    }
}

/// `(e^x - e^-x) / (e^x + e^-x)`, accurate near zero.
#[derive(Clone, Copy, Debug)]
pub struct Tanh;

impl Function for Tanh {
    const NAME: &'static str = "tanh";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        // e / (e + 2) with e = e^(2|x|) - 1; from |x| = 19.1 on, this rounds to one.
        let e = exp_m1_scaled::<FMA>(2.0 * clamp(x.abs(), 0.0, 22.0), 0.0);
        let y = e / (e + 2.0);
        if x.abs() < TINY { x } else { y.copysign(x) }
    }
}

/// `ln(x + sqrt(x^2 + 1))`, accurate near zero.
#[derive(Clone, Copy, Debug)]
pub struct Asinh;

impl Function for Asinh {
    const NAME: &'static str = "asinh";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        // ln(1 + a + a^2 / (1 + sqrt(1 + a^2))), and ln(2 a) where squares would overflow.
        let a = x.abs();
        let square = a * a;
        let excess = square / (1.0 + (1.0 + square).sqrt());
        let large = a > 1e18;
        let y = Ln1p::eval::<FMA>(if large { a } else { a + excess });
        let y = if large { y + LN_2 } else { y };
        y.copysign(x)
    }
}
