//! One loop for every function, compiled once for each instruction set and chosen at run time.

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};

use super::Function;
use crate::Real;

/// A loop of one's own that is compiled for every instruction set and run by the widest ([`dispatch`]).
///
/// `run` and everything it calls must be `#[inline(always)]`, else it is not vector code. Elementwise
/// functions inside of it are called as [`lane`].
pub trait Kernel {
    /// What the loop gives back.
    type Output;

    /// The loop; with `FMA` fused multiply-add is one instruction, without it `mul_add` is a slow call.
    fn run<const FMA: bool>(self) -> Self::Output;
}

/// Runs a kernel by the widest instruction set of the machine.
///
/// ```
/// use eigenflow_linalg::elementary::{Kernel, dispatch};
/// struct Dot<'a>(&'a [f64], &'a [f64]);
/// impl Kernel for Dot<'_> {
///     type Output = f64;
///     #[inline(always)]
///     fn run<const FMA: bool>(self) -> f64 {
///         self.0.iter().zip(self.1).map(|(a, b)| a * b).sum()
///     }
/// }
/// assert_eq!(dispatch(Dot(&[1.0, 2.0], &[3.0, 4.0])), 11.0);
/// ```
#[inline(always)]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    Arch::new().dispatch(Run(kernel))
}

/// A kernel as pulp takes it.
struct Run<K>(K);

impl<K: Kernel> WithSimd for Run<K> {
    type Output = K::Output;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> K::Output {
        if has_fma::<S>() { self.0.run::<true>() } else { self.0.run::<false>() }
    }
}

/// `F(x)` inside a [`Kernel`], the same bits as [`map`]; those of [`Function::eval32`] where `map` has code of its own (`tanh` in
/// `f32` with AVX-512).
#[inline(always)]
pub fn lane<F: Function, T: Real, const FMA: bool>(x: T) -> T {
    x.lane::<F, FMA>()
}

/// The loop over two slices of the same length.
struct Map<'a, F, T> {
    dst: &'a mut [T],
    src: &'a [T],
    function: PhantomData<F>,
}

impl<F: Function, T: Real> Kernel for Map<'_, F, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (d, s) in self.dst.iter_mut().zip(self.src) {
            *d = lane::<F, T, FMA>(*s);
        }
    }
}

/// Every vector level of pulp has fused operations, except that of WebAssembly.
#[inline(always)]
pub(crate) const fn has_fma<S: Simd>() -> bool {
    !S::IS_SCALAR && cfg!(not(target_family = "wasm"))
}

/// Whether this machine computes with fused multiply-add.
///
/// If so [`map`] gives the bits of [`Function::eval`] with `FMA` (`tanh` in `f32` with AVX-512 excepted), else those without.
pub fn fused() -> bool {
    struct Probe;
    impl Kernel for Probe {
        type Output = bool;
        #[inline(always)]
        fn run<const FMA: bool>(self) -> bool {
            FMA
        }
    }
    dispatch(Probe)
}

/// `dst[i] = F(src[i])`, by the widest instruction set of the machine.
///
/// The bits of `dst[i]` depend on `src[i]` alone, not on its position or on the length. All
/// machines with fused multiply-add give the same bits (excepted are sine and cosine, which are the
/// system's, and `tanh` in `f32`, which has code of its own for AVX-512); the others use the portable kernels.
///
/// # Panics
///
/// When the lengths differ.
///
/// ```
/// use eigenflow_linalg::elementary::{Tanh, map};
/// let mut y = [0.0; 3];
/// map::<Tanh, f64>(&mut y, &[0.0, -40.0, f64::INFINITY]);
/// assert_eq!(y, [0.0, -1.0, 1.0]);
/// ```
pub fn map<F: Function, T: Real>(dst: &mut [T], src: &[T]) {
    assert_eq!(dst.len(), src.len(), "{}: destination and source differ in length", F::NAME);
    if T::native::<F>(&mut []) {
        dst.copy_from_slice(src);
        T::native::<F>(dst);
    } else {
        dispatch(Map { dst, src, function: PhantomData::<F> });
    }
}

/// The loop over one slice.
struct InPlace<'a, F, T> {
    y: &'a mut [T],
    function: PhantomData<F>,
}

impl<F: Function, T: Real> Kernel for InPlace<'_, F, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for y in self.y {
            *y = lane::<F, T, FMA>(*y);
        }
    }
}

/// `y[i] = F(y[i])`, the same bits as [`map`].
///
/// ```
/// use eigenflow_linalg::elementary::{Tanh, in_place};
/// let mut y = [0.0_f32, -40.0, f32::INFINITY];
/// in_place::<Tanh, f32>(&mut y);
/// assert_eq!(y, [0.0, -1.0, 1.0]);
/// ```
pub fn in_place<F: Function, T: Real>(y: &mut [T]) {
    if !T::native::<F>(y) {
        dispatch(InPlace { y, function: PhantomData::<F> });
    }
}

/// `F(x)`, the same bits as [`map`].
///
/// ```
/// use eigenflow_linalg::elementary::{Sqrt, apply};
/// assert_eq!(apply::<Sqrt, f32>(9.0), 3.0);
/// ```
pub fn apply<F: Function, T: Real>(x: T) -> T {
    let mut y = [x];
    in_place::<F, T>(&mut y);
    y[0]
}

/// Instruction sets of the test's choice, so that those which [`dispatch`] would not take here are tested too.
#[cfg(test)]
pub(crate) mod levels {
    use super::{Kernel, Run};
    use pulp::{Scalar, Simd, WithSimd};

    /// What code can be compiled for and this machine can run.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Level {
        /// The path of machines without vectors.
        Portable,
        #[cfg(target_arch = "x86_64")]
        V3(pulp::x86::V3),
        #[cfg(target_arch = "x86_64")]
        V4(pulp::x86::V4),
        #[cfg(target_arch = "aarch64")]
        Neon(pulp::aarch64::Neon),
    }

    impl Level {
        /// The levels with vectors, widest last.
        pub(crate) fn vectors() -> Vec<Self> {
            #[cfg(target_arch = "x86_64")]
            let levels = [pulp::x86::V3::try_new().map(Self::V3), pulp::x86::V4::try_new().map(Self::V4)];
            #[cfg(target_arch = "aarch64")]
            let levels = [pulp::aarch64::Neon::try_new().map(Self::Neon)];
            #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
            let levels: [Option<Self>; 0] = [];
            levels.into_iter().flatten().collect()
        }

        /// What [`super::dispatch`] does, by this level.
        pub(crate) fn kernel<K: Kernel>(self, kernel: K) -> K::Output {
            self.run(Run(kernel))
        }

        pub(crate) fn run<W: WithSimd>(self, work: W) -> W::Output {
            match self {
                Self::Portable => Simd::vectorize(Scalar, work),
                #[cfg(target_arch = "x86_64")]
                Self::V3(level) => Simd::vectorize(level, work),
                #[cfg(target_arch = "x86_64")]
                Self::V4(level) => Simd::vectorize(level, work),
                #[cfg(target_arch = "aarch64")]
                Self::Neon(level) => Simd::vectorize(level, work),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::levels::Level;
    use super::*;
    use crate::elementary::{Erf, Exp, Quantile, Sigmoid, Softplus, Tanh};

    fn same<T: Real>(a: T, b: T) -> bool {
        a.f64().to_bits() == b.f64().to_bits() || (a.is_nan() && b.is_nan())
    }

    fn levels_agree<F: Function, T: Real>() {
        let src: Vec<T> = (-999..=999).map(|i| T::of(f64::from(i) / 47.0)).collect();
        let by = |level: Level| {
            let mut dst = vec![T::ZERO; src.len()];
            level.kernel(Map { dst: &mut dst, src: &src, function: PhantomData::<F> });
            dst
        };
        let mut best = vec![T::ZERO; src.len()];
        // Code of its own is tested where it is (`cells.rs`).
        if T::native::<F>(&mut []) {
            dispatch(Map { dst: &mut best, src: &src, function: PhantomData::<F> });
        } else {
            map::<F, T>(&mut best, &src);
        }
        for level in Level::vectors() {
            assert!(by(level).iter().zip(&best).all(|(&a, &b)| same(a, b)), "{} {level:?}", F::NAME);
        }
        // The bits of the scalar reference, whose accuracy tests/elementary.rs bounds.
        for (&x, y) in src.iter().zip(by(Level::Portable)) {
            assert!(same(y, lane::<F, T, false>(x)), "{}({x}) without vectors", F::NAME);
        }
    }

    /// Vectors of any width give the same bits, and the portable path those without fused operations.
    #[test]
    fn levels_agree_on_functions() {
        levels_agree::<Tanh, f64>();
        levels_agree::<Tanh, f32>();
        levels_agree::<Exp, f64>();
        levels_agree::<Exp, f32>();
        levels_agree::<Sigmoid, f32>();
        levels_agree::<Softplus, f64>();
        levels_agree::<Softplus, f32>();
        levels_agree::<Erf, f64>();
        levels_agree::<Quantile, f64>();
    }

    /// All vectors fuse, the portable path does not.
    #[test]
    fn levels_know_whether_they_fuse() {
        struct Fused;
        impl Kernel for Fused {
            type Output = bool;
            #[inline(always)]
            fn run<const FMA: bool>(self) -> bool {
                FMA
            }
        }
        assert!(!Level::Portable.kernel(Fused));
        assert!(Level::vectors().into_iter().all(|level| level.kernel(Fused)));
        assert_eq!(fused(), !Level::vectors().is_empty());
    }
}
