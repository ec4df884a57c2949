//! The scalars that everything is generic over: `f32` and `f64`.

use std::fmt::{Debug, Display, LowerExp};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::elementary::Function;

pub(crate) mod sealed {
    use crate::small::{Lanes, Wide};
    use pulp::Simd;
    use pulp::bytemuck::Pod;

    /// What a scalar must bring along besides its public face.
    pub trait Sealed: Pod {
        /// Vectors of this scalar.
        type Wide<S: Simd>: Lanes<T = Self>;
        /// The vectors of an instruction set.
        fn wide<S: Simd>(simd: S) -> Self::Wide<S>;
    }
    impl Sealed for f32 {
        type Wide<S: Simd> = Wide<S, f32>;
        #[inline(always)]
        fn wide<S: Simd>(simd: S) -> Self::Wide<S> {
            Wide::new(simd)
        }
    }
    impl Sealed for f64 {
        type Wide<S: Simd> = Wide<S, f64>;
        #[inline(always)]
        fn wide<S: Simd>(simd: S) -> Self::Wide<S> {
            Wide::new(simd)
        }
    }
}

/// A real floating-point scalar, `f32` or `f64`.
///
/// ```
/// use eigenflow_linalg::Real;
/// fn hypot<T: Real>(a: T, b: T) -> T {
///     (a * a + b * b).sqrt()
/// }
/// assert_eq!(hypot(3.0_f32, 4.0), 5.0);
/// assert_eq!(hypot(3.0_f64, 4.0), 5.0);
/// ```
pub trait Real:
    sealed::Sealed
    + faer::traits::RealField
    + Copy
    + Send
    + Sync
    + Default
    + Debug
    + Display
    + LowerExp
    + PartialOrd
    + PartialEq
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + 'static
{
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Distance from one to the next larger number: `2^-23` or `2^-52`.
    const EPS: Self;
    /// Not a number.
    const NAN: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// Least positive normal number.
    const MIN_POSITIVE: Self;
    /// Largest finite number.
    const MAX: Self;
    /// `"f32"` or `"f64"`.
    const NAME: &'static str;

    /// The nearest number of this type.
    fn of(x: f64) -> Self;
    /// This number as `f64`, exactly.
    fn f64(self) -> f64;
    /// Absolute value.
    fn abs(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Fused `self * a + b`, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Exponential.
    fn exp(self) -> Self;
    /// `self` to the power `p`.
    fn powf(self, p: Self) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// NaN.
    fn is_nan(self) -> bool;
    /// The larger of two numbers; NaN if either is.
    fn maximum(self, other: Self) -> Self;
    /// The smaller of two numbers; NaN if either is.
    fn minimum(self, other: Self) -> Self;
    /// `2^k`, exactly, for exponents in the normal range.
    fn exp2i(k: i32) -> Self;
    /// Floor of the binary logarithm of the magnitude of a normal, finite number; 0 for zero.
    fn ilogb(self) -> i32;
    /// An elementwise function by its kernel for this type.
    #[doc(hidden)]
    fn lane<F: Function, const FMA: bool>(self) -> Self;
    /// An elementwise function in place by code of its own for this type and machine; `false` where there is none.
    #[doc(hidden)]
    fn native<F: Function>(y: &mut [Self]) -> bool;
}

macro_rules! real {
    ($t:ident, $bits:ident, $mantissa:expr, $bias:expr, $eval:ident, $native:expr) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const EPS: Self = $t::EPSILON;
            const NAN: Self = $t::NAN;
            const INFINITY: Self = $t::INFINITY;
            const MIN_POSITIVE: Self = $t::MIN_POSITIVE;
            const MAX: Self = $t::MAX;
            const NAME: &'static str = stringify!($t);

            #[inline(always)]
            fn of(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                $t::mul_add(self, a, b)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $t::ln(self)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $t::exp(self)
            }
            #[inline(always)]
            fn powf(self, p: Self) -> Self {
                $t::powf(self, p)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
            #[inline(always)]
            fn is_nan(self) -> bool {
                $t::is_nan(self)
            }
            #[inline(always)]
            fn maximum(self, other: Self) -> Self {
                if self.is_nan() || self > other { self } else { other }
            }
            #[inline(always)]
            fn minimum(self, other: Self) -> Self {
                if self.is_nan() || self < other { self } else { other }
            }
            #[inline(always)]
            fn exp2i(k: i32) -> Self {
                debug_assert!(k > -$bias && k <= $bias);
                $t::from_bits(((k + $bias) as $bits) << $mantissa)
            }
            #[inline(always)]
            fn ilogb(self) -> i32 {
                if self == 0.0 {
                    return 0;
                }
                (((self.abs().to_bits()) >> $mantissa) as i32) - $bias
            }
            #[inline(always)]
            fn lane<F: Function, const FMA: bool>(self) -> Self {
                F::$eval::<FMA>(self)
            }
            #[inline(always)]
            fn native<F: Function>(y: &mut [Self]) -> bool {
                $native(y)
            }
        }
    };
}

real!(f32, u32, 23, 127, eval32, F::native32);
real!(f64, u64, 52, 1023, eval, |_| false);
