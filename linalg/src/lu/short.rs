//! The factorisation of small matrices: the arithmetic of [`crate::small`], entry by entry, so that both give
//! the same bits, compiled for the widest vectors.

use crate::Real;
use crate::elementary::Kernel;

/// Columns of a panel.
pub(crate) const PANEL: usize = 8;

/// Factors `a`, `[n, n]`, in place; gives the position of the first pivot that is zero.
pub(super) struct Short<'a, T> {
    pub a: &'a mut [T],
    /// The identity, to be permuted as the rows are.
    pub perm: &'a mut [T],
}

impl<T: Real> Kernel for Short<'_, T> {
    type Output = Option<usize>;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Option<usize> {
        let Self { a, perm } = self;
        let n = perm.len();
        let mut singular = None;
        for start in (0..n).step_by(PANEL) {
            let end = n.min(start + PANEL);
            for k in start..end {
                let p = pivot(a, n, k);
                if p != k {
                    let (upper, lower) = a.split_at_mut(p * n);
                    upper[k * n..(k + 1) * n].swap_with_slice(&mut lower[..n]);
                    perm.swap(k, p);
                }
                if !eliminate::<T, FMA>(&mut a[k * n..], n, k, end) {
                    singular = singular.or(Some(k));
                }
            }
            if end < n {
                update::<T, FMA>(&mut a[start * n..], n, start, end);
            }
        }
        singular
    }
}

/// `y − f x`.
#[inline(always)]
fn sub_mul<T: Real, const FMA: bool>(y: T, f: T, x: T) -> T {
    if FMA { Real::mul_add(-f, x, y) } else { y - f * x }
}

/// `y −= f x`.
#[inline(always)]
fn subtract<T: Real, const FMA: bool>(y: &mut [T], f: T, x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = sub_mul::<T, FMA>(*y, f, x);
    }
}

/// The row of the largest entry of column `k`, on or below the diagonal.
#[inline(always)]
pub(super) fn pivot<T: Real>(a: &[T], n: usize, k: usize) -> usize {
    let (mut best, mut row) = (a[k * n + k].abs(), k);
    for r in k + 1..n {
        let size = a[r * n + k].abs();
        if best < size {
            (best, row) = (size, r);
        }
    }
    row
}

/// Eliminates column `k` in columns up to `end` of the rows below the first. Returns whether the pivot is not zero.
#[inline(always)]
fn eliminate<T: Real, const FMA: bool>(a: &mut [T], n: usize, k: usize, end: usize) -> bool {
    let (top, rest) = a.split_at_mut(n);
    let top = &top[k..end];
    if top[0] == T::ZERO {
        return false;
    }
    // The inverse of a subnormal pivot is out of range.
    let (tiny, inverse) = (top[0].abs() < T::MIN_POSITIVE, T::ONE / top[0]);
    for row in rest.chunks_exact_mut(n) {
        let row = &mut row[k..end];
        let factor = if tiny { row[0] / top[0] } else { row[0] * inverse };
        row[0] = factor;
        subtract::<T, FMA>(&mut row[1..], factor, &top[1..]);
    }
    true
}

/// The rest of the matrix after a panel of columns `start..end`.
#[inline(always)]
fn update<T: Real, const FMA: bool>(a: &mut [T], n: usize, start: usize, end: usize) {
    for i in start + 1..end {
        let (done, row) = a.split_at_mut((i - start) * n);
        let (factors, row) = row[..n].split_at_mut(end);
        for (done, &factor) in done.chunks_exact(n).zip(&factors[start..i]) {
            subtract::<T, FMA>(row, factor, &done[end..]);
        }
    }
    let (panel, rest) = a.split_at_mut(PANEL * n);
    let mut u = [&panel[..0]; PANEL];
    for (u, row) in u.iter_mut().zip(panel.chunks_exact(n)) {
        *u = &row[end..];
    }
    for row in rest.chunks_exact_mut(n) {
        let (factors, row) = row[start..].split_at_mut(PANEL);
        subtract_panel::<T, FMA>(row, factors, u);
    }
}

/// A row minus the panel times its factors, in the order of [`subtract`], with each entry of the row read once.
#[inline(always)]
fn subtract_panel<T: Real, const FMA: bool>(row: &mut [T], factors: &[T], u: [&[T]; PANEL]) {
    let width = row.len();
    let [u0, u1, u2, u3, u4, u5, u6, u7] = u;
    let (u0, u1, u2, u3) = (&u0[..width], &u1[..width], &u2[..width], &u3[..width]);
    let (u4, u5, u6, u7) = (&u4[..width], &u5[..width], &u6[..width], &u7[..width]);
    let factors = &factors[..PANEL];
    for j in 0..width {
        let u = [u0[j], u1[j], u2[j], u3[j], u4[j], u5[j], u6[j], u7[j]];
        let mut x = row[j];
        for k in 0..PANEL {
            x = sub_mul::<T, FMA>(x, factors[k], u[k]);
        }
        row[j] = x;
    }
}
