//! Elementwise functions: vector code chosen at run time, with a scalar reference.
//!
//! Each function is a unit struct with one branch-free kernel for each precision ([`Function`]). The
//! kernel in a plain loop, compiled for each instruction set, is the slice form ([`map`],
//! [`in_place`], and by name [`exp`], [`tanh`], ...); on one number it is the form in [`scalar`], with
//! the same bits; called as [`Function::eval`] or [`Function::eval32`] it is the reference, fused or
//! portable. `tanh` in `f32` has code of its own for AVX-512, a table of polynomials in registers, which may
//! differ from the kernel in the last bits.
//!
//! # Accuracy
//!
//! `f64`, in units of eps = `2^-52` relative to the result, over the whole range, with and without fused
//! operations: at most 4, for `erf` and `quantile` at most 16, tested against 60-digit references in
//! `tests/elementary.rs`. The greatest seen at 20 000 points a function: `exp`, `ln` 0.7; `exp_m1`,
//! `ln_1p`, `cosh`, `erf` 1.0; `sinh`, `asinh`, `sigmoid` 1.2; `softplus` 1.4; `tanh` 1.7; `erfc` 2.1;
//! `quantile` 3.0.
//!
//! `f32` has kernels of its own: at most 2 eps, eps = `2^-23`, tested at every 97th of all arguments.
//! The greatest seen at every third: `exp`, `ln` 0.75; `exp_m1`, `ln_1p`, `cosh` 1.1; `asinh` 1.3;
//! `sinh`, `sigmoid` 1.5; `tanh` 1.6 (1.2 with AVX-512, at all arguments); `softplus` 1.95. The error
//! functions, the quantile, sine and cosine are computed in `f64` and rounded once: half of eps, and
//! 1e-8 of it more.
//!
//! In both, square root and reciprocal are correctly rounded. A subnormal result is further off by at
//! most the least subnormal number: underflow is gradual, never to zero at once. Subnormal arguments
//! count in full. NaN gives NaN, odd functions keep the sign of zero, limits at infinity are exact, and
//! `tanh` and `sigmoid` are never beyond one. (`sin` and `cos` are those of the system's library.)
//!
//! ```
//! use eigenflow_linalg::elementary;
//! let mut y = [0.0; 3];
//! elementary::softplus(&mut y, &[0.0, 100.0, -1000.0]);
//! assert_eq!(y, [std::f64::consts::LN_2, 100.0, 0.0]);
//! assert_eq!(elementary::scalar::quantile(0.5), 0.0);
//! ```

/// Both kernels of a function by one text that is generic over the precision.
macro_rules! kernels {
    ($generic:ident) => {
        #[inline(always)]
        fn eval<const FMA: bool>(x: f64) -> f64 {
            $generic::<f64, FMA>(x)
        }

        #[inline(always)]
        fn eval32<const FMA: bool>(x: f32) -> f32 {
            $generic::<f32, FMA>(x)
        }
    };
}

mod arithmetic;
mod basic;
mod cells;
mod coefficients;
mod dispatch;
mod exponential;
mod hyperbolic;
mod logarithm;
mod logistic;
mod normal;

pub use basic::{Cos, Recip, Sin, Sqrt};
pub(crate) use dispatch::has_fma;
#[cfg(test)]
pub(crate) use dispatch::levels;
pub use dispatch::{Kernel, apply, dispatch, fused, in_place, lane, map};
pub use exponential::{Exp, ExpM1};
pub use hyperbolic::{Asinh, Cosh, Sinh, Tanh};
pub use logarithm::{Ln, Ln1p};
pub use logistic::{Sigmoid, Softplus};
pub use normal::{Erf, Erfc, Quantile};

use crate::Real;

/// A function of one real variable with kernels that vectorise.
pub trait Function: Copy + Send + Sync + 'static {
    /// The name of the function in messages.
    const NAME: &'static str;

    /// The value at `x`, by fused multiply-add (`FMA`) or by separate operations.
    ///
    /// The scalar reference. With `FMA` it gives the bits of [`map`] on machines that have the
    /// instruction, and is slow where the compiler may not assume it; without, those on the others.
    /// Implementations are branch-free and `#[inline(always)]`, else the loop is not vector code.
    fn eval<const FMA: bool>(x: f64) -> f64;

    /// The value at `x` in single precision; through [`eval`](Function::eval) unless the function has a kernel of its own.
    /// Its bits are those of [`map`] too, but for `tanh` on machines with AVX-512.
    #[inline(always)]
    fn eval32<const FMA: bool>(x: f32) -> f32 {
        Self::eval::<FMA>(f64::from(x)) as f32
    }

    /// `y[i] = F(y[i])` in single precision by code of its own for this machine, in place of the loop over
    /// [`eval32`](Function::eval32); `false`, with `y` as it was, where there is none. Whether there is any depends on the
    /// machine alone; it may differ from `eval32` in the last bits, and its bits depend on `y[i]` alone.
    #[doc(hidden)]
    fn native32(_: &mut [f32]) -> bool {
        false
    }
}

macro_rules! by_name {
    ($($name:ident: $function:ident, $formula:literal;)*) => {
        $(
            #[doc = concat!("`dst[i] = ", $formula, "` for `x = src[i]`; see [`", stringify!($function), "`] and [`map`].")]
            ///
            /// # Panics
            ///
            /// When the lengths differ.
            pub fn $name<T: Real>(dst: &mut [T], src: &[T]) {
                map::<$function, T>(dst, src);
            }
        )*

        /// The same functions of one number, with the same bits.
        pub mod scalar {
            use super::Real;
            $(
                #[doc = concat!("`", $formula, "`; see [`", stringify!($function), "`](super::", stringify!($function), ").")]
                pub fn $name<T: Real>(x: T) -> T {
                    super::apply::<super::$function, T>(x)
                }
            )*
        }
    };
}

by_name! {
    exp: Exp, "e^x";
    exp_m1: ExpM1, "e^x - 1";
    ln: Ln, "ln x";
    ln_1p: Ln1p, "ln(1 + x)";
    sinh: Sinh, "sinh x";
    cosh: Cosh, "cosh x";
    tanh: Tanh, "tanh x";
    asinh: Asinh, "asinh x";
    sigmoid: Sigmoid, "1 / (1 + e^-x)";
    softplus: Softplus, "ln(1 + e^x)";
    erf: Erf, "erf x";
    erfc: Erfc, "1 - erf x";
    quantile: Quantile, "z with P(Z <= z) = x";
    sqrt: Sqrt, "sqrt x";
    recip: Recip, "1 / x";
    sin: Sin, "sin x";
    cos: Cos, "cos x";
}
