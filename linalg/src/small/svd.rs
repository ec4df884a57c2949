//! Singular value decomposition of square matrices in lanes.

use super::Span;
use super::bidiagonal::Reflections;
use super::guard::Guard;
use super::lanes::Lanes;
use super::pack::{Read, load, order, store};
use super::singular::diagonalise;
use super::vector::Pack;
use crate::Real;
use crate::scale::Scale;
use std::ops::Range;

/// Singular values and, unless `u` and `v` are empty, singular vectors of row-major `[n, n]` matrices.
pub(super) struct Svd<'a, T> {
    pub n: usize,
    pub a: &'a [T],
    pub u: &'a mut [T],
    pub s: &'a mut [T],
    pub v: &'a mut [T],
}

/// Room for one group of matrices.
pub(super) struct Room<C: Lanes> {
    /// The matrices at unit scale.
    a: Vec<Pack<C>>,
    /// The same, to be reduced.
    b: Vec<Pack<C>>,
    u: Vec<Pack<C>>,
    v: Vec<Pack<C>>,
    d: Vec<Pack<C>>,
    e: Vec<Pack<C>>,
    reflections: Reflections<C>,
    guard: Guard<C>,
    scales: Vec<Scale<C::T>>,
    order: Vec<usize>,
}

impl<T: Real> Span<T> for Svd<'_, T> {
    type Room<C: Lanes<T = T>> = Room<C>;

    fn count(&self) -> usize {
        self.a.len() / (self.n * self.n)
    }

    #[inline(always)]
    fn room<C: Lanes<T = T>>(&self, c: C) -> Room<C> {
        let n = self.n;
        let vectors = if self.u.is_empty() { 0 } else { n * n };
        Room {
            a: vec![Pack::zero(c); n * n],
            b: vec![Pack::zero(c); n * n],
            u: vec![Pack::zero(c); vectors],
            v: vec![Pack::zero(c); vectors],
            d: vec![Pack::zero(c); n],
            e: vec![Pack::zero(c); n],
            reflections: Reflections::new(c, n),
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
        range: Range<usize>,
        failed: &mut Vec<usize>,
    ) {
        let n = self.n;
        let with_vectors = !self.u.is_empty();
        let Room { a, b, u, v, d, e, reflections, guard, scales, order: by_size } = room;
        load(c, n, &self.a[range.start * n * n..range.end * n * n], Read::All, a, scales);
        b.copy_from_slice(a);
        reflections.reduce(c, b, d, e, u, v);
        let holds = if with_vectors {
            reflections.accumulate(c, u, v);
            let converged = diagonalise(c, d, e, Some([u, v]));
            make_positive(c, d, v);
            converged & guard.factorisation(a, u, d, v) & guard.orthonormality(u) & guard.orthonormality(v)
        } else {
            let converged = diagonalise(c, d, e, None);
            make_positive(c, d, v);
            converged & guard.singular_values(a, d)
        };
        for (lane, i) in range.enumerate() {
            order(by_size, |x, y| d[x].get(lane) > d[y].get(lane));
            let mut finite = true;
            for (s, &j) in self.s[i * n..(i + 1) * n].iter_mut().zip(&*by_size) {
                *s = scales[lane].up(d[j].get(lane)) + T::ZERO;
                finite &= s.is_finite();
            }
            if with_vectors {
                store(u, lane, by_size, &mut self.u[i * n * n..(i + 1) * n * n]);
                store(v, lane, by_size, &mut self.v[i * n * n..(i + 1) * n * n]);
            }
            if !finite || !holds.get(lane) {
                failed.push(i);
            }
        }
    }
}

/// Makes the values positive at the expense of the columns of `v`.
#[inline(always)]
fn make_positive<C: Lanes>(c: C, d: &mut [Pack<C>], v: &mut [Pack<C>]) {
    let n = d.len();
    for row in v.chunks_exact_mut(n) {
        for (x, d) in row.iter_mut().zip(&*d) {
            *x = d.lt(Pack::zero(c)).select(-*x, *x);
        }
    }
    for d in d {
        *d = d.abs();
    }
}
