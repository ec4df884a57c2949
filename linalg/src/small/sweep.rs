//! Windows of the iteration, and the rotations that it leaves for the vectors.

use super::lanes::Lanes;
use super::vector::{Mask, Pack};
use crate::Real;

/// The block an iteration works on: the last one whose off-diagonal entries are all alive. Every lane has
/// its own.
pub(super) struct Window<C: Lanes> {
    /// First row of the block; of no meaning where `hi` is zero.
    pub lo: Pack<C>,
    /// Last row of the block, zero where the matrix is done.
    pub hi: Pack<C>,
    /// The union over lanes.
    pub rows: std::ops::Range<usize>,
}

impl<C: Lanes> Window<C> {
    /// Drops off-diagonal entries of `e[..top]` that no longer matter and finds the blocks; `floor` is
    /// dropped anyway, and so is `tolerance` times the sum of the neighbours on the diagonal `d`.
    #[inline(always)]
    pub(super) fn find(
        c: C,
        d: &[Pack<C>],
        e: &mut [Pack<C>],
        (floor, tolerance): (Pack<C>, Pack<C>),
        top: usize,
    ) -> Self {
        let zero = Pack::zero(c);
        let (mut lo, mut hi, mut open) = (zero, zero, Mask::all_false(c));
        for k in (0..top).rev() {
            let size = e[k].abs();
            let dead = size.le(floor) | size.le(tolerance * (d[k].abs() + d[k + 1].abs()));
            e[k] = dead.select(zero, e[k]);
            let (at, next) = (Pack::of(c, k as f64), Pack::of(c, (k + 1) as f64));
            let start = !dead & hi.le(zero);
            hi = start.select(next, hi);
            open = start | (open & !dead);
            lo = open.select(at, lo);
        }
        let (mut first, mut last) = (top, 0);
        for lane in 0..C::COUNT {
            let end = hi.get(lane).f64() as usize;
            if end > 0 {
                first = first.min(lo.get(lane).f64() as usize);
                last = last.max(end);
            }
        }
        Self { lo, hi, rows: first..last }
    }

    /// Where row `k` is the last but one of the window.
    #[inline(always)]
    pub(super) fn ends(&self, c: C, k: usize) -> Mask<C> {
        let next = Pack::of(c, (k + 1) as f64);
        next.le(self.hi) & self.hi.le(next)
    }

    /// Whether every matrix is done.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// Rotations put by, to be applied to a matrix of vectors some sweeps at a time: then a few of its rows
/// stay in the first cache while all of them pass.
pub(super) struct Rotations<C: Lanes> {
    /// Cosine and sine.
    list: Vec<[Pack<C>; 2]>,
    /// First column of each sweep, and where its rotations end.
    sweeps: Vec<(usize, usize)>,
}

/// Rotations that are put by at most, beyond the sweep at hand: 10 KiB of them.
const PENDING: usize = 96;

impl<C: Lanes> Rotations<C> {
    pub(super) fn new(n: usize) -> Self {
        Self { list: Vec::with_capacity(n + PENDING), sweeps: Vec::with_capacity(PENDING) }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, cos: Pack<C>, sin: Pack<C>) {
        self.list.push([cos, sin]);
    }

    /// Ends a sweep whose first rotation was of columns `first` and `first + 1` of `z`.
    #[inline(always)]
    pub(super) fn end_sweep(&mut self, first: usize, z: &mut [Pack<C>], n: usize) {
        self.sweeps.push((first, self.list.len()));
        if self.list.len() > PENDING {
            self.apply(z, n);
        }
    }

    /// Applies what has been put by to the columns of `z`, `[·, n]`.
    #[inline(always)]
    pub(super) fn apply(&mut self, z: &mut [Pack<C>], n: usize) {
        let (z4, z1) = z.split_at_mut(z.len() / (4 * n) * 4 * n);
        for rows in z4.chunks_exact_mut(4 * n) {
            let (r0, rest) = rows.split_at_mut(n);
            let (r1, rest) = rest.split_at_mut(n);
            let (r2, r3) = rest.split_at_mut(n);
            let mut start = 0;
            for &(first, end) in &self.sweeps {
                let list = &self.list[start..end];
                let last = first + list.len();
                rotate_four(
                    &mut r0[first..=last],
                    &mut r1[first..=last],
                    &mut r2[first..=last],
                    &mut r3[first..=last],
                    list,
                );
                start = end;
            }
        }
        for row in z1.chunks_exact_mut(n) {
            let mut start = 0;
            for &(first, end) in &self.sweeps {
                let list = &self.list[start..end];
                rotate(&mut row[first..=first + list.len()], list);
                start = end;
            }
        }
        self.list.clear();
        self.sweeps.clear();
    }
}

#[inline(always)]
fn rotate<C: Lanes>(row: &mut [Pack<C>], list: &[[Pack<C>; 2]]) {
    let row = &mut row[..=list.len()];
    let mut carry = row[0];
    for (k, &[cos, sin]) in list.iter().enumerate() {
        let next = row[k + 1];
        row[k] = cos.mul_add(carry, sin * next);
        carry = (cos * next).sub_mul(sin, carry);
    }
    row[list.len()] = carry;
}

/// [`rotate`] of four rows, which do not wait for each other.
#[inline(always)]
fn rotate_four<C: Lanes>(
    r0: &mut [Pack<C>],
    r1: &mut [Pack<C>],
    r2: &mut [Pack<C>],
    r3: &mut [Pack<C>],
    list: &[[Pack<C>; 2]],
) {
    let n = list.len();
    let (r0, r1, r2, r3) = (&mut r0[..=n], &mut r1[..=n], &mut r2[..=n], &mut r3[..=n]);
    let mut carry = [r0[0], r1[0], r2[0], r3[0]];
    for (k, &[cos, sin]) in list.iter().enumerate() {
        let next = [r0[k + 1], r1[k + 1], r2[k + 1], r3[k + 1]];
        r0[k] = cos.mul_add(carry[0], sin * next[0]);
        r1[k] = cos.mul_add(carry[1], sin * next[1]);
        r2[k] = cos.mul_add(carry[2], sin * next[2]);
        r3[k] = cos.mul_add(carry[3], sin * next[3]);
        for i in 0..4 {
            carry[i] = (cos * next[i]).sub_mul(sin, carry[i]);
        }
    }
    [r0[n], r1[n], r2[n], r3[n]] = carry;
}

/// Largest magnitude in each lane.
#[inline(always)]
pub(super) fn largest<C: Lanes>(c: C, x: &[Pack<C>]) -> Pack<C> {
    let mut most = Pack::zero(c);
    for x in x {
        most = most.max(x.abs());
    }
    most
}

/// Sweeps before a matrix is given up: LAPACK's limit of 30 a value, where 2 is what it takes.
pub(super) const fn limit(n: usize) -> usize {
    30 * n
}

/// Off-diagonal entries up to this part of the largest entry are dropped whatever stands beside them.
#[inline(always)]
pub(super) fn negligible<T: Real>() -> T {
    T::EPS * T::of(0.25)
}
