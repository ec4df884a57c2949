//! `sigmoid` and `softplus`, through `e^-|x|`, which neither overflows nor loses the left tail.

use super::{Exp, Function, Ln1p};

/// `1 / (1 + e^-x)`, with full relative accuracy on the left where it is `e^x`.
#[derive(Clone, Copy, Debug)]
pub struct Sigmoid;

impl Function for Sigmoid {
    const NAME: &'static str = "sigmoid";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        let e = Exp::eval::<FMA>(-x.abs());
        (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
    }
}

/// `ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)`, with full relative accuracy on the left where it is `e^x`.
#[derive(Clone, Copy, Debug)]
pub struct Softplus;

impl Function for Softplus {
    const NAME: &'static str = "softplus";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        let rest = Ln1p::eval::<FMA>(Exp::eval::<FMA>(-x.abs()));
        (if x > 0.0 { x } else { 0.0 }) + rest
    }
}
