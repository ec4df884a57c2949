//! Determinants by LU factorisation with partial pivoting in lanes.
//!
//! G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013), section 3.4. The arithmetic is that of
//! [`crate::lu::short`], which does one matrix and gives the same bits.

use super::Span;
use super::lanes::Lanes;
use super::pack::{Read, fill};
use super::vector::Pack;
use crate::Real;
use crate::lu::short::PANEL;
use std::ops::Range;

/// Signs and logarithms of the determinants of row-major `[n, n]` matrices.
pub(super) struct Slogdet<'a, T> {
    pub n: usize,
    pub a: &'a [T],
    pub sign: &'a mut [T],
    pub log: &'a mut [T],
}

impl<T: Real> Span<T> for Slogdet<'_, T> {
    type Room<C: Lanes<T = T>> = Vec<Pack<C>>;

    fn count(&self) -> usize {
        self.sign.len()
    }

    #[inline(always)]
    fn room<C: Lanes<T = T>>(&self, c: C) -> Vec<Pack<C>> {
        vec![Pack::zero(c); self.n * stride(self.n)]
    }

    #[inline(always)]
    fn group<C: Lanes<T = T>>(
        &mut self,
        c: C,
        lu: &mut Vec<Pack<C>>,
        range: Range<usize>,
        failed: &mut Vec<usize>,
    ) {
        let n = self.n;
        let matrices = &self.a[range.start * n * n..range.end * n * n];
        fill((n, stride(n)), matrices, Read::All, lu);
        let odd = factor(c, lu, n);
        for (lane, i) in range.enumerate() {
            let mut negative = odd.lt(Pack::zero(c)).get(lane);
            let (mut log, mut singular, mut finite) = (0.0, false, true);
            for u in lu.iter().step_by(stride(n) + 1) {
                let u = u.get(lane).f64();
                // What is not finite anywhere ends up on the diagonal.
                finite &= u.is_finite();
                singular |= u == 0.0;
                negative ^= u < 0.0;
                log += u.abs().ln();
            }
            let sign = if negative { -T::ONE } else { T::ONE };
            (self.sign[i], self.log[i]) = if singular { (T::ZERO, -T::INFINITY) } else { (sign, T::of(log)) };
            if !finite {
                failed.push(i);
            }
        }
    }
}

/// From row to row. A power of two would put all of a column into the same few lines of the cache.
#[inline(always)]
fn stride(n: usize) -> usize {
    if n.is_multiple_of(8) { n + 1 } else { n }
}

/// Factors in place; gives the sign of the permutation. Of `L` only what is still of use is exchanged.
#[inline(always)]
fn factor<C: Lanes>(c: C, a: &mut [Pack<C>], n: usize) -> Pack<C> {
    let stride = stride(n);
    let mut sign = Pack::one(c);
    for start in (0..n).step_by(PANEL) {
        let end = n.min(start + PANEL);
        for k in start..end {
            let row = pivot(c, a, (n, stride), k);
            for lane in 0..C::COUNT {
                let p = row.get(lane).f64() as usize;
                if p != k {
                    let (upper, lower) = a.split_at_mut(p * stride);
                    let row = k * stride;
                    exchange(&mut upper[row + start..row + n], &mut lower[start..n], lane);
                    sign.set(lane, -sign.get(lane));
                }
            }
            eliminate(c, &mut a[k * stride..], stride, (k, end));
        }
        if end < n {
            update(&mut a[start * stride..], (n, stride), (start, end));
        }
    }
    sign
}

/// The row of the largest entry of column `k`, on or below the diagonal.
#[inline(always)]
fn pivot<C: Lanes>(c: C, a: &[Pack<C>], (n, stride): (usize, usize), k: usize) -> Pack<C> {
    let mut best = a[k * stride + k].abs();
    let mut row = Pack::of(c, k as f64);
    for r in k + 1..n {
        let size = a[r * stride + k].abs();
        row = best.lt(size).select(Pack::of(c, r as f64), row);
        best = best.max(size);
    }
    row
}

/// Exchanges two rows of one matrix.
#[inline(always)]
fn exchange<C: Lanes>(upper: &mut [Pack<C>], lower: &mut [Pack<C>], lane: usize) {
    for (x, y) in upper.iter_mut().zip(lower) {
        let t = x.get(lane);
        x.set(lane, y.get(lane));
        y.set(lane, t);
    }
}

/// Eliminates column `k` in columns up to `end` of the rows below the first.
#[inline(always)]
fn eliminate<C: Lanes>(c: C, a: &mut [Pack<C>], stride: usize, (k, end): (usize, usize)) {
    let zero = Pack::zero(c);
    let (top, rest) = a.split_at_mut(stride);
    let top = &top[k..end];
    let (pivot, size) = (top[0], top[0].abs());
    let regular = zero.lt(size);
    // The inverse of a subnormal pivot is out of range.
    let tiny = size.lt(Pack::splat(c, C::T::MIN_POSITIVE)) & regular;
    let (any_tiny, inverse) = (tiny.any(), Pack::one(c) / pivot);
    for row in rest.chunks_exact_mut(stride) {
        let row = &mut row[k..end];
        // A pivot of zero has only zeros below.
        let mut factor = regular.select(row[0] * inverse, zero);
        if any_tiny {
            factor = tiny.select(row[0] / pivot, factor);
        }
        row[0] = factor;
        for (x, top) in row[1..].iter_mut().zip(&top[1..]) {
            *x = x.sub_mul(factor, *top);
        }
    }
}

/// The rest of the matrix after a panel of columns `start..end`, [`PANEL`] of them.
#[inline(always)]
fn update<C: Lanes>(a: &mut [Pack<C>], (n, stride): (usize, usize), (start, end): (usize, usize)) {
    for i in start + 1..end {
        let (done, row) = a.split_at_mut((i - start) * stride);
        let (factors, row) = row[..n].split_at_mut(end);
        for (done, factor) in done.chunks_exact(stride).zip(&factors[start..i]) {
            for (x, top) in row.iter_mut().zip(&done[end..n]) {
                *x = x.sub_mul(*factor, *top);
            }
        }
    }
    let (panel, rest) = a.split_at_mut(PANEL * stride);
    let mut u = [&panel[..0]; PANEL];
    for (u, row) in u.iter_mut().zip(panel.chunks_exact(stride)) {
        *u = &row[end..n];
    }
    let mut pairs = rest.chunks_exact_mut(2 * stride);
    for rows in &mut pairs {
        let (r0, r1) = rows.split_at_mut(stride);
        let (l0, r0) = r0[start..n].split_at_mut(PANEL);
        let (l1, r1) = r1[start..n].split_at_mut(PANEL);
        subtract_two(r0, r1, l0, l1, u);
    }
    for row in pairs.into_remainder().chunks_exact_mut(stride) {
        let (factors, row) = row[start..n].split_at_mut(PANEL);
        for (u, factor) in u.iter().zip(factors) {
            for (x, top) in row.iter_mut().zip(*u) {
                *x = x.sub_mul(*factor, *top);
            }
        }
    }
}

/// Two rows minus the panel times their factors: each entry of the panel is read once for both.
#[inline(always)]
fn subtract_two<C: Lanes>(
    r0: &mut [Pack<C>],
    r1: &mut [Pack<C>],
    l0: &[Pack<C>],
    l1: &[Pack<C>],
    u: [&[Pack<C>]; PANEL],
) {
    let width = r0.len();
    let [u0, u1, u2, u3, u4, u5, u6, u7] = u;
    let (u0, u1, u2, u3) = (&u0[..width], &u1[..width], &u2[..width], &u3[..width]);
    let (u4, u5, u6, u7) = (&u4[..width], &u5[..width], &u6[..width], &u7[..width]);
    let (r1, l0, l1) = (&mut r1[..width], &l0[..PANEL], &l1[..PANEL]);
    for j in 0..width {
        let u = [u0[j], u1[j], u2[j], u3[j], u4[j], u5[j], u6[j], u7[j]];
        let (mut x, mut y) = (r0[j], r1[j]);
        for k in 0..PANEL {
            x = x.sub_mul(l0[k], u[k]);
            y = y.sub_mul(l1[k], u[k]);
        }
        (r0[j], r1[j]) = (x, y);
    }
}
