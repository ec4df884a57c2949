//! Exact scaling by powers of two.
//!
//! Iterative factorisations square entries and compare them with fixed tolerances; away from unit
//! scale they underflow, overflow or deflate wrongly. A power of two changes no mantissa, so the
//! scaled problem is the same problem, and scaling its values back is exact in the normal range.

use crate::Real;

/// The scaling that takes the largest magnitude of a matrix into `[1, 2)`, and its inverse.
///
/// Each factor `2^k` is kept as two halves: for subnormal or very large numbers `2^k` itself would
/// leave the range of the scalar.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale<T> {
    pub(crate) down: (T, T),
    up: (T, T),
}

impl<T: Real> Scale<T> {
    /// The scaling for a finite largest magnitude; that of zero is the identity.
    pub(crate) fn of(max_abs: T) -> Self {
        let k = exponent(max_abs);
        Self { down: halves(-k), up: halves(k) }
    }

    /// From the scale of the matrix to unit scale.
    #[inline]
    pub(crate) fn down(&self, x: T) -> T {
        x * self.down.0 * self.down.1
    }

    /// From unit scale back to the scale of the matrix.
    #[inline]
    pub(crate) fn up(&self, x: T) -> T {
        x * self.up.0 * self.up.1
    }
}

/// Largest magnitude in a slice of finite numbers.
pub(crate) fn max_abs<T: Real>(a: &[T]) -> T {
    a.iter().fold(T::ZERO, |m, x| if x.abs() > m { x.abs() } else { m })
}

fn halves<T: Real>(k: i32) -> (T, T) {
    (T::exp2i(k / 2), T::exp2i(k - k / 2))
}

/// `k` with `2^k <= |x| < 2^(k + 1)`, for subnormal `x` too; 0 for zero.
fn exponent<T: Real>(x: T) -> i32 {
    if x != T::ZERO && x.abs() < T::MIN_POSITIVE {
        let shift = 60;
        return (x * T::exp2i(shift)).ilogb() - shift;
    }
    x.ilogb()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lands_in_unit_range<T: Real>(x: T) {
        let scale = Scale::of(x);
        let y = scale.down(x).abs();
        assert!(y >= T::ONE && y < T::of(2.0), "{x:e} went to {y:e}");
        assert_eq!(scale.up(scale.down(x)), x);
    }

    #[test]
    fn every_magnitude_scales_to_unit_range_and_back() {
        for x in [f64::MAX, 1e300, 3.0, 1.0, 0.7, 1e-300, f64::MIN_POSITIVE, 4e-310, 5e-324, -1e-200] {
            lands_in_unit_range(x);
        }
        for x in [f32::MAX, 1e30, 1.5, 1e-30, f32::MIN_POSITIVE, 1e-40, 1e-45, -7.0] {
            lands_in_unit_range(x);
        }
        assert_eq!(Scale::of(0.0_f64).down(0.0).to_bits(), 0);
    }
}
