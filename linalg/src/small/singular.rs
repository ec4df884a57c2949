//! Implicit QR iteration on upper bidiagonal matrices, one sweep of all lanes at a time.
//!
//! G. H. Golub and W. Kahan, Calculating the singular values and pseudo-inverse of a matrix, SIAM J. Numer.
//! Anal. 2 (1965) 205, with the shifts of J. Demmel and W. Kahan, Accurate singular values of bidiagonal
//! matrices, SIAM J. Sci. Stat. Comput. 11 (1990) 873: the least singular value of the last 2x2 block, and
//! none for a block that is singular or nearly so, from which a sweep without one splits off the zero.

use super::householder::rotation;
use super::lanes::Lanes;
use super::sweep::{Rotations, Window, largest, limit, negligible};
use super::vector::{Mask, Pack};
use crate::Real;

/// Turns `d` into the singular values, signs apart, of the bidiagonal matrix with diagonal `d` and `e[..n − 1]`
/// beside it, and multiplies `u` and `v`, if any, by its singular vectors. True where it converged.
#[inline(always)]
pub(super) fn diagonalise<C: Lanes>(
    c: C,
    d: &mut [Pack<C>],
    e: &mut [Pack<C>],
    mut uv: Option<[&mut [Pack<C>]; 2]>,
) -> Mask<C> {
    let n = d.len();
    let floor = largest(c, d).max(largest(c, &e[..n - 1])) * Pack::splat(c, negligible());
    let (mut left, mut right) = (Rotations::new(n), Rotations::new(n));
    // A sweep makes about eps of noise; with less than twice that a block of equal values does not come to rest.
    let tolerance = Pack::splat(c, C::T::EPS * C::T::of(2.0));
    let mut top = n - 1;
    for _ in 0..=limit(n) {
        let window = Window::find(c, d, e, (floor, tolerance), top);
        top = window.rows.end;
        if window.is_empty() {
            break;
        }
        let start = window.rows.start;
        sweep(c, d, e, &window, uv.is_some().then_some((&mut left, &mut right)));
        if let Some([u, v]) = &mut uv {
            left.end_sweep(start, u, n);
            right.end_sweep(start, v, n);
        }
    }
    if let Some([u, v]) = uv {
        left.apply(u, n);
        right.apply(v, n);
    }
    largest(c, &e[..n - 1]).le(Pack::zero(c))
}

/// What a sweep starts with: the first column of `BᵀB − σ²`, or what is parallel to it.
#[inline(always)]
fn start<C: Lanes>(c: C, d: &[Pack<C>], e: &[Pack<C>], window: &Window<C>) -> (Pack<C>, Pack<C>) {
    let (zero, one) = (Pack::zero(c), Pack::one(c));
    // Of each window: the first row, the last block, the largest and the least entry.
    let (mut d0, mut e0, mut upper, mut beside, mut last) = (one, zero, one, zero, one);
    let (mut most, mut least) = (zero, Pack::splat(c, C::T::MAX));
    for k in window.rows.clone() {
        let at = Pack::of(c, k as f64);
        let inside = window.lo.le(at) & at.lt(window.hi);
        let first = inside & at.le(window.lo);
        let end = inside & window.ends(c, k);
        d0 = first.select(d[k], d0);
        e0 = first.select(e[k], e0);
        upper = end.select(d[k], upper);
        beside = end.select(e[k], beside);
        last = end.select(d[k + 1], last);
        let (here, next) = (d[k].abs(), d[k + 1].abs());
        most = inside.select(most.max(here.max(next)).max(e[k].abs()), most);
        let less = -((-here).max(-next));
        least = (inside & less.lt(least)).select(less, least);
    }
    let (f, h) = (upper.abs(), last.abs());
    let (plus, minus, square) = (f + h, f - h, beside * beside);
    let shift =
        Pack::of(c, 2.0) * f * h / (plus.mul_add(plus, square).sqrt() + minus.mul_add(minus, square).sqrt());
    let eps = Pack::splat(c, C::T::EPS);
    let (size, ratio) = (d0.abs(), shift / d0);
    let plain = least.le(eps * most) | (ratio * ratio).lt(eps);
    (plain.select(d0, (size - shift) * (size + shift)), plain.select(e0, d0 * e0))
}

#[inline(always)]
fn sweep<C: Lanes>(
    c: C,
    d: &mut [Pack<C>],
    e: &mut [Pack<C>],
    window: &Window<C>,
    mut rotations: Option<(&mut Rotations<C>, &mut Rotations<C>)>,
) {
    let (zero, one) = (Pack::zero(c), Pack::one(c));
    let (f0, g0) = start(c, d, e, window);
    let (mut f, mut g) = (zero, zero);
    for k in window.rows.clone() {
        let at = Pack::of(c, k as f64);
        let inside = window.lo.le(at) & at.lt(window.hi);
        let first = inside & at.le(window.lo);
        let last = inside & window.ends(c, k);
        f = first.select(f0, f);
        g = first.select(g0, g);
        let (cr, sr, r) = rotation(c, f, g, inside);
        if k > window.rows.start {
            e[k - 1] = (inside & !first).select(r, e[k - 1]);
        }
        f = cr.mul_add(d[k], sr * e[k]);
        let beside = (cr * e[k]).sub_mul(sr, d[k]);
        g = sr * d[k + 1];
        let next = cr * d[k + 1];
        let (cl, sl, r) = rotation(c, f, g, inside);
        d[k] = inside.select(r, d[k]);
        f = cl.mul_add(beside, sl * next);
        d[k + 1] = inside.select((cl * next).sub_mul(sl, beside), d[k + 1]);
        e[k] = last.select(f, e[k]);
        if k + 1 < window.rows.end {
            g = sl * e[k + 1];
            e[k + 1] = (inside & !last).select(cl * e[k + 1], e[k + 1]);
        }
        if let Some((left, right)) = &mut rotations {
            left.push(inside.select(cl, one), inside.select(sl, zero));
            right.push(inside.select(cr, one), inside.select(sr, zero));
        }
    }
}
