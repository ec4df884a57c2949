//! Determinants by LU factorisation with partial pivoting in lanes.
//!
//! G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013), section 3.4. The arithmetic is that of
//! [`crate::lu::short`], which does one matrix and gives the same bits.

use super::lanes::Lanes;
use super::pack::{Read, fill};
use super::vector::{Mask, Pack};
use super::{LU_LIMIT, Span};
use crate::Real;
use crate::lu::magnitude::Magnitude;
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

    fn leaves_rest(&self) -> bool {
        self.n >= BY_ROWS
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
            let (mut product, mut singular, mut finite) = (Magnitude::one(), false, true);
            for u in lu.iter().step_by(stride(n) + 1) {
                let u = u.get(lane).f64();
                // What is not finite anywhere ends up on the diagonal.
                finite &= u.is_finite();
                singular |= u == 0.0;
                negative ^= u < 0.0;
                product.times(u);
            }
            let sign = if negative { -T::ONE } else { T::ONE };
            (self.sign[i], self.log[i]) =
                if singular { (T::ZERO, -T::INFINITY) } else { (sign, T::of(product.ln())) };
            if !finite {
                failed.push(i);
            }
        }
    }
}

/// Matrices of so many rows are left to [`crate::lu`] where they fill no lanes: its vectors are parts of rows (64 x 64, one thread, µs: f64 17 alone and
/// 15 in full lanes, f32 13.5 and 12.5; 16 x 16: 1.6 and 0.6, 1.1 and 0.5).
const BY_ROWS: usize = 32;

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
            let moves = Pack::of(c, k as f64).lt(row);
            sign = moves.select(-sign, sign);
            if C::COUNT > FEW_LANES {
                exchange(c, a, (n, stride), (start, k), row);
            } else {
                exchange_each(a, (n, stride), (start, k), row);
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

/// Up to so many matrices exchange their rows one by one (1000 of 16 x 16, one thread: 8 lanes 0.63 ms, 0.80 all at once; 16 lanes 0.66 and
/// 0.53).
const FEW_LANES: usize = 8;

/// Exchanges row `k` with the pivot's, from column `start` on, matrix by matrix.
#[inline(always)]
fn exchange_each<C: Lanes>(
    a: &mut [Pack<C>],
    (n, stride): (usize, usize),
    (start, k): (usize, usize),
    pivot: Pack<C>,
) {
    for lane in 0..C::COUNT {
        let p = pivot.get(lane).f64() as usize;
        if p != k {
            let (upper, lower) = a.split_at_mut(p * stride);
            let upper = &mut upper[k * stride + start..k * stride + n];
            for (x, y) in upper.iter_mut().zip(&mut lower[start..n]) {
                let t = x.get(lane);
                x.set(lane, y.get(lane));
                y.set(lane, t);
            }
        }
    }
}

/// Exchanges row `k` with the pivot's, from column `start` on, in all matrices at once.
#[inline(always)]
fn exchange<C: Lanes>(
    c: C,
    a: &mut [Pack<C>],
    (n, stride): (usize, usize),
    (start, k): (usize, usize),
    pivot: Pack<C>,
) {
    let (upper, lower) = a.split_at_mut((k + 1) * stride);
    let upper = &mut upper[k * stride + start..k * stride + n];
    // A matrix exchanges one pair of rows, so what went up from one row below stays there; columns are done one by one because a store to
    // some lanes cannot be read back before it is in the cache.
    let mut rows = [(0, Mask::all_false(c)); LU_LIMIT];
    let mut count = 0;
    for r in k + 1..n {
        let at = Pack::of(c, r as f64);
        let here = pivot.le(at) & at.le(pivot);
        rows[count] = ((r - k - 1) * stride + start, here);
        count += usize::from(here.any());
    }
    if count == 0 {
        return;
    }
    for (j, x) in upper.iter_mut().enumerate() {
        let old = *x;
        let mut new = old;
        for (row, here) in &rows[..count] {
            let y = &mut lower[row + j];
            new = here.select(*y, new);
            *y = here.select(old, *y);
        }
        *x = new;
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
