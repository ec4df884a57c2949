//! Matrices into lanes and back.

use super::lanes::Lanes;
use super::sweep::largest;
use super::vector::Pack;
use crate::Real;
use crate::scale::Scale;

/// Lanes of the widest vectors.
pub(crate) const MOST_LANES: usize = 16;

/// Which entries of a matrix are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    All,
    /// The lower triangle, as both halves of a symmetric matrix.
    Lower,
}

/// Writes up to [`Lanes::COUNT`] row-major `[n, n]` matrices from `from` into the lanes of `to`, whose rows are
/// `stride` apart. Lanes without a matrix get the first one.
#[inline(always)]
pub(super) fn fill<C: Lanes>((n, stride): (usize, usize), from: &[C::T], read: Read, to: &mut [Pack<C>]) {
    // Entry by entry: matrix by matrix the compiler makes scatters of it (determinants of 1000 of 16 x 16 in f32: 0.60 ms, and 0.56 so).
    let mut matrices = [&from[..n * n]; MOST_LANES];
    for (matrix, given) in matrices[..C::COUNT].iter_mut().zip(from.chunks_exact(n * n)) {
        *matrix = given;
    }
    for (i, to) in to.chunks_mut(stride).enumerate() {
        let count = if read == Read::Lower { i + 1 } else { n };
        for (j, to) in to[..count].iter_mut().enumerate() {
            for (lane, matrix) in matrices[..C::COUNT].iter().enumerate() {
                to.set(lane, matrix[i * n + j]);
            }
        }
    }
    if read == Read::Lower {
        for i in 1..n {
            for j in 0..i {
                to[j * stride + i] = to[i * stride + j];
            }
        }
    }
}

/// [`fill`], and each matrix scaled by a power of two so that its largest entry is in `[1, 2)`.
#[inline(always)]
pub(super) fn load<C: Lanes>(
    c: C,
    n: usize,
    from: &[C::T],
    read: Read,
    to: &mut [Pack<C>],
    scales: &mut Vec<Scale<C::T>>,
) {
    fill((n, n), from, read, to);
    let size = largest(c, to);
    scales.clear();
    let mut factors = [Pack::one(c); 2];
    for lane in 0..C::COUNT {
        let scale = Scale::of(size.get(lane));
        factors[0].set(lane, scale.down.0);
        factors[1].set(lane, scale.down.1);
        scales.push(scale);
    }
    for x in to {
        *x = *x * factors[0] * factors[1];
    }
}

/// The order that sorts `count` numbers, by `before`; equal ones stay in place.
#[inline(always)]
pub(super) fn order(order: &mut [usize], before: impl Fn(usize, usize) -> bool) {
    for i in 0..order.len() {
        order[i] = i;
        let mut at = i;
        while at > 0 && before(order[at], order[at - 1]) {
            order.swap(at, at - 1);
            at -= 1;
        }
    }
}

/// Writes the columns of a matrix in one lane to a row-major matrix in the given order, without signed zeros.
#[inline(always)]
pub(super) fn store<C: Lanes>(from: &[Pack<C>], lane: usize, order: &[usize], to: &mut [C::T]) {
    let n = order.len();
    for (to, from) in to.chunks_exact_mut(n).zip(from.chunks_exact(n)) {
        for (to, &j) in to.iter_mut().zip(order) {
            *to = from[j].get(lane) + C::T::ZERO;
        }
    }
}
