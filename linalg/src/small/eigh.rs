//! Symmetric eigendecomposition in lanes.

use super::Span;
use super::guard::Guard;
use super::lanes::Lanes;
use super::pack::{Read, load, order, store};
use super::symmetric::diagonalise;
use super::tridiagonal::{accumulate, reduce};
use super::vector::Pack;
use crate::Real;

/// Eigenvalues and, unless `vectors` is empty, eigenvectors of row-major `[n, n]` matrices.
pub(super) struct Eigh<'a, T> {
    pub n: usize,
    pub a: &'a [T],
    pub values: &'a mut [T],
    pub vectors: &'a mut [T],
}

/// Room for one group of matrices.
pub(super) struct Room<C: Lanes> {
    /// The matrices at unit scale.
    a: Vec<Pack<C>>,
    /// The same, to be reduced.
    t: Vec<Pack<C>>,
    q: Vec<Pack<C>>,
    d: Vec<Pack<C>>,
    e: Vec<Pack<C>>,
    tau: Vec<Pack<C>>,
    w: Vec<Pack<C>>,
    guard: Guard<C>,
    scales: Vec<crate::scale::Scale<C::T>>,
    order: Vec<usize>,
}

impl<T: Real> Span<T> for Eigh<'_, T> {
    type Room<C: Lanes<T = T>> = Room<C>;

    fn count(&self) -> usize {
        self.a.len() / (self.n * self.n)
    }

    #[inline(always)]
    fn room<C: Lanes<T = T>>(&self, c: C) -> Room<C> {
        let n = self.n;
        let zeros = |len| vec![Pack::zero(c); len];
        Room {
            a: zeros(n * n),
            t: zeros(n * n),
            q: zeros(if self.vectors.is_empty() { 0 } else { n * n }),
            d: zeros(n),
            e: zeros(n),
            tau: zeros(n),
            w: zeros(n),
            guard: Guard::new(c, n),
            scales: Vec::with_capacity(C::COUNT),
            order: vec![0; n],
        }
    }

    #[inline(always)]
    fn group<C: Lanes<T = T>>(
        &mut self,
        c: C,
        room: &mut Room<C>,
        range: std::ops::Range<usize>,
        failed: &mut Vec<usize>,
    ) {
        let n = self.n;
        let with_vectors = !self.vectors.is_empty();
        load(
            c,
            n,
            &self.a[range.start * n * n..range.end * n * n],
            Read::Lower,
            &mut room.a,
            &mut room.scales,
        );
        room.t.copy_from_slice(&room.a);
        reduce(c, &mut room.t, &mut room.d, &mut room.e, &mut room.tau, &mut room.w);
        if with_vectors {
            accumulate(c, &room.t, &room.tau, &mut room.q, &mut room.w);
        }
        let q = with_vectors.then_some(&mut room.q[..]);
        let mut holds = diagonalise(c, &mut room.d, &mut room.e, q);
        holds = if with_vectors {
            holds
                & room.guard.factorisation(&room.a, &room.q, &room.d, &room.q)
                & room.guard.orthonormality(&room.q)
        } else {
            holds & room.guard.eigenvalues(&room.a, &room.d)
        };
        for (lane, i) in range.enumerate() {
            order(&mut room.order, |x, y| room.d[x].get(lane) < room.d[y].get(lane));
            let scale = room.scales[lane];
            let mut finite = true;
            for (value, &j) in self.values[i * n..(i + 1) * n].iter_mut().zip(&room.order) {
                *value = scale.up(room.d[j].get(lane)) + T::ZERO;
                finite &= value.is_finite();
            }
            if with_vectors {
                store(&room.q, lane, &room.order, &mut self.vectors[i * n * n..(i + 1) * n * n]);
            }
            if !finite || !holds.get(lane) {
                failed.push(i);
            }
        }
    }
}
