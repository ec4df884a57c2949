//! The error function, its complement, and the quantile of the standard normal distribution.

use super::Function;
use super::arithmetic::{Lane, at_most, mul_add, polynomial};
use super::coefficients::{CENTRE_DEN, CENTRE_NUM, ERF, ERFC, FAR_DEN, FAR_NUM, NEAR_DEN, NEAR_NUM};
use super::exponential::{exp_m1_reduced, reduce, scale};
use super::logarithm::ln;

/// `erfc(a) = e^(-a^2) q(t) / (1 + 2a)` for `a` from 0 to 28, with `t = (a - 4) / (a + 4)`.
///
/// The substitution is that of M. M. Shepherd and J. G. Laframboise, "Chebyshev approximation of
/// `(1 + 2x) exp(x^2) erfc x`", Mathematics of Computation 36 (1981) 249-253.
#[inline(always)]
fn erfc_positive<const FMA: bool>(a: f64) -> f64 {
    // a^2 = head^2 + tail, and head^2 is exact: the head keeps 21 bits.
    let head = f64::from_bits(a.to_bits() & 0xffff_ffff_0000_0000);
    let tail = (a - head) * (a + head);
    let (pattern, r) = reduce::<f64, FMA>(-(head * head), 2.0 * f64::BIAS);
    let p = exp_m1_reduced::<f64, FMA>(r - tail);
    let q = polynomial::<f64, FMA, _>(&ERFC, (a - 4.0) / (a + 4.0));
    scale((1.0 + p) * (q / mul_add::<f64, FMA>(2.0, a, 1.0)), pattern)
}

/// `erf(x)` for `|x| <= 0.75`.
#[inline(always)]
fn erf_central<const FMA: bool>(x: f64) -> f64 {
    mul_add::<f64, FMA>(x, polynomial::<f64, FMA, _>(&ERF, x * x), x)
}

/// The error function, `2 / sqrt(pi)` times the integral of `e^(-t^2)` from 0 to `x`.
#[derive(Clone, Copy, Debug)]
pub struct Erf;

impl Function for Erf {
    const NAME: &'static str = "erf";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        let a = x.abs();
        let outer = 1.0 - erfc_positive::<FMA>(at_most(a, 28.0));
        (if a < 0.75 { erf_central::<FMA>(a) } else { outer }).copysign(x)
    }
}

/// The complement `1 - erf(x)`, with full relative accuracy on the right.
#[derive(Clone, Copy, Debug)]
pub struct Erfc;

impl Function for Erfc {
    const NAME: &'static str = "erfc";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        let y = erfc_positive::<FMA>(at_most(x.abs(), 28.0));
        let y = if x < 0.0 { 2.0 - y } else { y };
        // At the left end the coefficients in t cancel a little; this is better there.
        if x.abs() < 0.5 { 1.0 - erf_central::<FMA>(x) } else { y }
    }
}

/// The quantile of the standard normal distribution: `z` with `P(Z <= z) = p`.
///
/// Infinite at 0 and 1, NaN outside. For `p` near one ask for `-quantile(1 - p)` with the small
/// complement, which keeps digits that `p` cannot.
#[derive(Clone, Copy, Debug)]
pub struct Quantile;

impl Function for Quantile {
    const NAME: &'static str = "quantile";

    #[inline(always)]
    fn eval<const FMA: bool>(p: f64) -> f64 {
        let q = p - 0.5;
        let square = 0.180_625 - q * q;
        let centre = polynomial::<f64, FMA, _>(&CENTRE_DEN, square);
        let centre_num = q * polynomial::<f64, FMA, _>(&CENTRE_NUM, square);

        let tail = if q < 0.0 { p } else { 1.0 - p };
        let r = (-ln::<f64, FMA>(tail)).sqrt();
        let near = r <= 5.0;
        let r = r - if near { 1.6 } else { 5.0 };
        let near_num = polynomial::<f64, FMA, _>(&NEAR_NUM, r);
        let far_num = polynomial::<f64, FMA, _>(&FAR_NUM, r);
        let near_den = polynomial::<f64, FMA, _>(&NEAR_DEN, r);
        let far_den = polynomial::<f64, FMA, _>(&FAR_DEN, r);
        let tail_num = (if near { near_num } else { far_num }).copysign(q);

        let central = q.abs() <= 0.425;
        let numerator = if central { centre_num } else { tail_num };
        let tail_den = if near { near_den } else { far_den };
        let y = numerator / if central { centre } else { tail_den };

        let edge = if tail == 0.0 { f64::INFINITY.copysign(q) } else { f64::NAN };
        if tail > 0.0 { y } else { edge }
    }
}
