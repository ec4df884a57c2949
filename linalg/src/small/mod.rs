//! Batches of small matrices, one in each lane of a vector.
//!
//! A small matrix does not fill vector registers, and its factorisation is a chain of square roots and
//! divisions that wait for each other. Here entry `(i, j)` of as many matrices as a register has lanes lie
//! side by side, and one instruction serves them all. Matrices differ in how many sweeps their iterations
//! take and in where they split; each lane has its own window and is masked outside of it.
//!
//! What is left of a batch is done one matrix at a time by the same code on scalars: [`lanes`] says why that
//! gives the same bits.

mod bidiagonal;
mod eigh;
mod guard;
mod householder;
mod lanes;
#[cfg(test)]
mod levels;
mod lu;
mod pack;
mod singular;
mod svd;
mod sweep;
mod symmetric;
mod tridiagonal;
mod vector;

use crate::Real;
use lanes::Single;
pub(crate) use lanes::{Lanes, Wide};
pub(crate) use pack::MOST_LANES;
use pulp::{Arch, Simd, WithSimd};
use std::ops::Range;
pub(crate) use vector::{Mask, Pack};

/// A kernel and the matrices it is for.
trait Span<T: Real> {
    /// Buffers for a group.
    type Room<C: Lanes<T = T>>;
    /// How many matrices there are.
    fn count(&self) -> usize;
    /// Buffers that serve for every group.
    fn room<C: Lanes<T = T>>(&self, c: C) -> Self::Room<C>;
    /// Whether matrices that do not fill all lanes are left to the solver of large ones.
    fn leaves_rest(&self) -> bool {
        false
    }
    /// Does up to [`Lanes::COUNT`] matrices and notes those that the solver of large ones has to do.
    fn group<C: Lanes<T = T>>(
        &mut self,
        c: C,
        room: &mut Self::Room<C>,
        range: Range<usize>,
        failed: &mut Vec<usize>,
    );
}

struct Run<K, T>(K, std::marker::PhantomData<T>);

impl<T: Real, K: Span<T>> WithSimd for Run<K, T> {
    type Output = Vec<usize>;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) -> Vec<usize> {
        let wide = T::wide(simd);
        let count = self.0.count();
        let (mut start, mut failed) = (0, Vec::new());
        let lanes = <T::Wide<S> as Lanes>::COUNT;
        let leaves_rest = self.0.leaves_rest();
        let least = if leaves_rest { lanes } else { lanes.div_ceil(PARTIAL) };
        if count >= least {
            let mut room = self.0.room(wide);
            while start < count && count - start >= least {
                let range = start..count.min(start + lanes);
                start = range.end;
                self.0.group(wide, &mut room, range, &mut failed);
            }
        }
        if leaves_rest {
            failed.extend(start..count);
        } else if start < count {
            if <T::Wide<S> as Lanes>::FUSED {
                singles(&mut self.0, Single::<T, true>::new(), start..count, &mut failed);
            } else {
                singles(&mut self.0, Single::<T, false>::new(), start..count, &mut failed);
            }
        }
        failed
    }
}

/// A group pays from this part of its lanes on.
const PARTIAL: usize = 3;

#[inline(always)]
fn singles<T: Real, K: Span<T>, C: Lanes<T = T>>(
    kernel: &mut K,
    c: C,
    range: Range<usize>,
    failed: &mut Vec<usize>,
) {
    let mut room = kernel.room(c);
    for i in range {
        kernel.group(c, &mut room, i..i + 1, failed);
    }
}

/// How many of `count` matrices a task should have, if one takes `flops`.
pub(crate) fn span<T: Real>(count: usize, flops: usize) -> usize {
    let (lanes, flops) = (64 / size_of::<T>(), flops.max(1));
    if count * PARTIAL < lanes {
        // They go one by one: to different threads, if they are worth it.
        return (crate::parallel::GRAIN_FLOPS / flops).clamp(1, lanes);
    }
    (crate::parallel::GRAIN_FLOPS / (flops * lanes)).clamp(1, 64) * lanes
}

/// Largest matrices whose eigendecomposition is done here.
///
/// Measured with vectors, AVX-512, two threads, batches of 64 or 100, lanes against faer, by which larger ones went then, in ms:
///
/// | n | 64 | 80 | 96 | 128 |
/// |---|---|---|---|---|
/// | f32 | 4.1, 11.0 | 3.6, 11.2 | 5.7, 17.2 | 14.3, 31.8 |
/// | f64 | 7.3, 16.3 | 7.3, 17.2 | 12.2, 25.1 | 31.1, 51.9 |
///
/// A batch would gain beyond the limit too. But the same bits must come out for a matrix alone, and there the
/// scalar code takes a fifth longer than faer at 64 rows, and more above.
pub(crate) const EIGH_LIMIT: usize = 64;

/// Eigenvalues and, unless `vectors` is empty, eigenvectors of a span of finite matrices; gives those of
/// them that did not come out right.
pub(crate) fn eigh<T: Real>(n: usize, a: &[T], values: &mut [T], vectors: &mut [T]) -> Vec<usize> {
    Arch::new().dispatch(Run(eigh::Eigh { n, a, values, vectors }, std::marker::PhantomData))
}

/// Largest square matrices whose singular value decomposition is done here; measured as [`EIGH_LIMIT`]:
///
/// | n | 64 | 80 | 96 | 128 |
/// |---|---|---|---|---|
/// | f32 | 7.1, 25.3 | 6.7, 18.7 | 11.1, 26.7 | 27.7, 48.4 |
/// | f64 | 13.0, 25.5 | 13.0, 27.1 | 23.2, 41.0 | 59.2, 76.5 |
pub(crate) const SVD_LIMIT: usize = 64;

/// Singular values and, unless `u` and `v` are empty, singular vectors of a span of finite matrices; gives
/// those of them that did not come out right.
pub(crate) fn svd<T: Real>(n: usize, a: &[T], u: &mut [T], s: &mut [T], v: &mut [T]) -> Vec<usize> {
    Arch::new().dispatch(Run(svd::Svd { n, a, u, s, v }, std::marker::PhantomData))
}

/// Largest matrices whose determinant is taken here, and which [`crate::lu::Lu`] factors by the same arithmetic.
pub(crate) const LU_LIMIT: usize = 64;

/// Signs and logarithms of the determinants of a span of finite matrices; gives those of them whose factors
/// leave the range.
pub(crate) fn slogdet<T: Real>(n: usize, a: &[T], sign: &mut [T], log: &mut [T]) -> Vec<usize> {
    Arch::new().dispatch(Run(lu::Slogdet { n, a, sign, log }, std::marker::PhantomData))
}
