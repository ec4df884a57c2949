//! The magnitude of a product of many numbers, which itself may be out of range.

use std::f64::consts::{LN_2, SQRT_2};

/// `|Π u|` as a product of mantissas between one and two, and a power of two: one logarithm for all factors, within
/// `n eps/2` and one rounding of the result.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Magnitude {
    mantissa: f64,
    exponent: i64,
}

const FRACTION: u64 = (1 << 52) - 1;
const ONE: u64 = 1023 << 52;
/// A product this large is split again.
const LARGE: f64 = 1e300;

impl Magnitude {
    pub(crate) fn one() -> Self {
        Self { mantissa: 1.0, exponent: 0 }
    }

    /// Multiplies by `u`. Zero, NaN and infinity stay what they are.
    #[inline(always)]
    pub(crate) fn times(&mut self, u: f64) {
        let (mantissa, exponent) = split(u);
        self.mantissa *= mantissa;
        self.exponent += exponent;
        if self.mantissa > LARGE {
            self.normalise();
        }
    }

    #[cold]
    fn normalise(&mut self) {
        let (mantissa, exponent) = split(self.mantissa);
        (self.mantissa, self.exponent) = (mantissa, self.exponent + exponent);
    }

    /// `ln |Π u|`.
    pub(crate) fn ln(mut self) -> f64 {
        self.normalise();
        // Near one there is no power of two, whose logarithm would cancel the mantissa's.
        if self.mantissa > SQRT_2 && self.mantissa.is_finite() {
            (self.mantissa, self.exponent) = (0.5 * self.mantissa, self.exponent + 1);
        }
        self.mantissa.ln() + self.exponent as f64 * LN_2
    }
}

/// `|u|` as a number from one to below two and the exponent of a power of two; what has no such form as it is.
#[inline(always)]
fn split(u: f64) -> (f64, i64) {
    let size = u.abs();
    if !(f64::MIN_POSITIVE..=f64::MAX).contains(&size) {
        return split_irregular(size);
    }
    let bits = size.to_bits();
    (f64::from_bits(bits & FRACTION | ONE), (bits >> 52) as i64 - 1023)
}

#[cold]
fn split_irregular(size: f64) -> (f64, i64) {
    if size == 0.0 || !size.is_finite() {
        return (size, 0);
    }
    let (mantissa, exponent) = split(size * (1_u64 << 54) as f64);
    (mantissa, exponent - 54)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(factors: &[f64]) -> f64 {
        let mut product = Magnitude::one();
        factors.iter().for_each(|&u| product.times(u));
        product.ln()
    }

    #[test]
    #[allow(clippy::float_cmp)] // these have no rounding
    fn zeros_and_what_is_not_finite_are_kept() {
        assert_eq!(of(&[]), 0.0);
        assert_eq!(of(&[3.0, -0.0, 1e300]), f64::NEG_INFINITY);
        assert_eq!(of(&[3.0, f64::NEG_INFINITY, 0.1]), f64::INFINITY);
        assert!(of(&[1.0, f64::NAN, 2.0]).is_nan());
        // 2^-1074, the least number there is, and its like.
        assert_eq!(of(&[f64::from_bits(1); 2]), -2.0 * 1074.0 * LN_2);
        assert_eq!(of(&[4.0, -0.25, 8.0, 0.125]), 0.0);
    }

    proptest! {
        /// Against the sum of logarithms, whose rounding is carried along (A. Neumaier, 1974). With `h = eps/2`, `n` factors and
        /// `s = Σ |ln u|`: the logarithms are off by `2 h s`, the products of mantissas by `h n`, and of the result the logarithm of the
        /// mantissa (below 0.35), the multiple of `ln 2` (within 0.35 of the sum; the constant and the product rounded) and
        /// their sum by `2 h 0.35 + 2 h (s + 0.35) + h s`.
        #[test]
        fn it_is_the_sum_of_logarithms(factors in prop::collection::vec((-1.0..1.0_f64, -300..300_i32), 1..200)) {
            let factors: Vec<f64> = factors.into_iter().map(|(m, e)| m * 10.0_f64.powi(e)).collect();
            let logs: Vec<f64> = factors.iter().map(|u| u.abs().ln()).collect();
            let size: f64 = logs.iter().map(|l| l.abs()).sum();
            let (mut sum, mut lost) = (0.0_f64, 0.0);
            for l in logs {
                let next = sum + l;
                lost += if sum.abs() >= l.abs() { (sum - next) + l } else { (l - next) + sum };
                sum = next;
            }
            let bound = 0.5 * f64::EPSILON * (5.0 * size + factors.len() as f64 + 1.4);
            prop_assert!((of(&factors) - (sum + lost)).abs() <= bound);
        }

        /// Alone, it is the library's logarithm.
        #[test]
        fn one_factor_near_one_has_its_digits(distance in -1e-3..1e-3_f64) {
            let u = 1.0 + distance;
            prop_assert!((of(&[u]) - u.ln()).abs() <= f64::EPSILON * u.ln().abs());
        }
    }
}
