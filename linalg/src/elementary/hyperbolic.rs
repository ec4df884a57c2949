//! `sinh`, `cosh`, `tanh` and `asinh`, on the magnitude of `x` through `e^x - 1` and `ln(1 + x)`.

use super::Function;
use super::arithmetic::{Lane, at_most, mul_add};
use super::exponential::{exp_m1_reduced, exp_m1_scaled, reduce};
use super::logarithm::{Assemble, ln_1p};

/// `(e^x - e^-x) / 2`, accurate near zero.
#[derive(Clone, Copy, Debug)]
pub struct Sinh;

#[inline(always)]
fn sinh<T: Lane, const FMA: bool>(x: T) -> T {
    // (e + e / (e + 1)) / 2 with e = e^|x| - 1, in quarters: e itself may be out of range.
    let quarter = exp_m1_scaled::<T, FMA>(at_most(x.abs(), T::COSH_HIGH), 2);
    let half = quarter + quarter / mul_add::<T, FMA>(T::of(4.0), quarter, T::ONE);
    if x.abs() < T::TINY { x } else { (half + half).copysign(x) }
}

impl Function for Sinh {
    const NAME: &'static str = "sinh";

    kernels!(sinh);
}

/// `(e^x + e^-x) / 2`.
#[derive(Clone, Copy, Debug)]
pub struct Cosh;

#[inline(always)]
fn cosh<T: Lane, const FMA: bool>(x: T) -> T {
    let (pattern, r) = reduce::<T, FMA>(at_most(x.abs(), T::COSH_HIGH), T::BIAS - T::of(2.0));
    let s = pattern.pow2();
    let quarter = mul_add::<T, FMA>(s, exp_m1_reduced::<T, FMA>(r), s);
    (quarter + quarter) + T::of(0.125) / quarter
}

impl Function for Cosh {
    const NAME: &'static str = "cosh";

    kernels!(cosh);
}

/// `(e^x - e^-x) / (e^x + e^-x)`, accurate near zero.
#[derive(Clone, Copy, Debug)]
pub struct Tanh;

/// `(2^n, z)` with `2 a = n ln 2 + 2 z` for `a` from 0 to 25.
///
/// One constant for `ln 2` is enough: the error grows with `n`, and `tanh` flattens faster.
#[inline(always)]
fn reduce_twice<T: Lane, const FMA: bool>(a: T) -> (T, T) {
    let pattern = mul_add::<T, FMA>(a, T::LOG2_E + T::LOG2_E, T::ROUND + T::BIAS);
    let n = pattern - (T::ROUND + T::BIAS);
    (pattern.pow2(), mul_add::<T, FMA>(n, -T::LN_2 * T::of(0.5), a))
}

impl Function for Tanh {
    const NAME: &'static str = "tanh";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        // With e^(2z) = (d + z) / (d - z), d = z coth z (half the terms of the exponential),
        // tanh = ((s - 1) d + (s + 1) z) / ((s + 1) d + (s - 1) z), where c = d - 1 is small.
        let (s, z) = reduce_twice::<f64, FMA>(at_most(x.abs(), 22.0));
        let c = f64::coth_tail::<FMA>(z * z);
        let (minus, plus) = (s - 1.0, s + 1.0);
        let numerator = minus + mul_add::<f64, FMA>(minus, c, plus * z);
        let denominator = plus + mul_add::<f64, FMA>(plus, c, minus * z);
        (numerator / denominator).copysign(x)
    }

    #[inline(always)]
    fn eval32<const FMA: bool>(x: f32) -> f32 {
        // e / (e + 2) with e = e^(2|x|) - 1; from |x| = 9.02 on, this rounds to one.
        let (s, z) = reduce_twice::<f32, FMA>(at_most(x.abs(), 10.0));
        let e = mul_add::<f32, FMA>(s, exp_m1_reduced::<f32, FMA>(z + z), s - 1.0);
        (e / (e + 2.0)).copysign(x)
    }

    fn native32(y: &mut [f32]) -> bool {
        super::cells::tanh(y)
    }
}

/// `ln(x + sqrt(x^2 + 1))`, accurate near zero.
#[derive(Clone, Copy, Debug)]
pub struct Asinh;

#[inline(always)]
fn asinh<T: Assemble, const FMA: bool>(x: T) -> T {
    // ln(1 + a + a^2 / (1 + sqrt(1 + a^2))), and ln(2 a) where squares would overflow.
    let a = x.abs();
    let square = a * a;
    let excess = square / (T::ONE + (T::ONE + square).sqrt());
    let large = a > T::ASINH_LARGE;
    let y = ln_1p::<T, FMA>(if large { a } else { a + excess });
    let y = if large { y + T::LN_2 } else { y };
    y.copysign(x)
}

impl Function for Asinh {
    const NAME: &'static str = "asinh";

    kernels!(asinh);
}
