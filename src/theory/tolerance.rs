//! Rounding bounds that the claims share.

pub use crate::flow::rounding::count;

/// The larger of two numbers, NaN if either is: a check must not lose one (`f64::max` does).
pub fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// [`count`] times `eps` of `f64`.
pub fn gamma(n: usize) -> f64 {
    count(n) * f64::EPSILON
}
