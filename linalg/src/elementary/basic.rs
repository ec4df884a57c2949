//! Functions that the processor or the standard library has: square root, reciprocal, sine, cosine.

use super::Function;

/// `sqrt(x)`, correctly rounded.
#[derive(Clone, Copy, Debug)]
pub struct Sqrt;

impl Function for Sqrt {
    const NAME: &'static str = "sqrt";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        x.sqrt()
    }

    #[inline(always)]
    fn eval32<const FMA: bool>(x: f32) -> f32 {
        x.sqrt()
    }
}

/// `1 / x`, correctly rounded.
#[derive(Clone, Copy, Debug)]
pub struct Recip;

impl Function for Recip {
    const NAME: &'static str = "recip";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        1.0 / x
    }

    #[inline(always)]
    fn eval32<const FMA: bool>(x: f32) -> f32 {
        1.0 / x
    }
}

/// `sin(x)` of the standard library: one call an element, no vector code.
#[derive(Clone, Copy, Debug)]
pub struct Sin;

impl Function for Sin {
    const NAME: &'static str = "sin";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        x.sin()
    }
}

/// `cos(x)` of the standard library: one call an element, no vector code.
#[derive(Clone, Copy, Debug)]
pub struct Cos;

impl Function for Cos {
    const NAME: &'static str = "cos";

    #[inline(always)]
    fn eval<const FMA: bool>(x: f64) -> f64 {
        x.cos()
    }
}
