//! Rounding bounds that the claims share.

pub use crate::flow::rounding::count;

/// [`count`] times `eps` of `f64`.
pub fn gamma(n: usize) -> f64 {
    count(n) * f64::EPSILON
}
