//! Implicit QR iteration on symmetric tridiagonal matrices, one sweep of all lanes at a time.
//!
//! G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013), section 8.3.5, in the arrangement of
//! the rotations of LAPACK's `steqr`; the shift is Wilkinson's.

use super::householder::rotation;
use super::lanes::Lanes;
use super::sweep::{Rotations, Window, largest, limit, negligible};
use super::vector::{Mask, Pack};
use crate::Real;

/// Turns `d` into the eigenvalues of the tridiagonal matrix with diagonal `d` and `e[..n − 1]` beside it, and
/// multiplies `z`, if any, by its eigenvectors. True where it converged.
#[inline(always)]
pub(super) fn diagonalise<C: Lanes>(
    c: C,
    d: &mut [Pack<C>],
    e: &mut [Pack<C>],
    mut z: Option<&mut [Pack<C>]>,
) -> Mask<C> {
    let n = d.len();
    let floor = largest(c, d).max(largest(c, &e[..n - 1])) * Pack::splat(c, negligible());
    let mut rotations = Rotations::new(n);
    // EISPACK's tolerance.
    let tolerance = Pack::splat(c, C::T::EPS);
    let mut top = n - 1;
    for _ in 0..=limit(n) {
        let window = Window::find(c, d, e, (floor, tolerance), top);
        top = window.rows.end;
        if window.is_empty() {
            break;
        }
        sweep(c, d, e, &window, z.is_some().then_some(&mut rotations));
        if let Some(z) = z.as_deref_mut() {
            rotations.end_sweep(window.rows.start, z, n);
        }
    }
    if let Some(z) = z {
        rotations.apply(z, n);
    }
    // What is done has no off-diagonal entry left.
    largest(c, &e[..n - 1]).le(Pack::zero(c))
}

/// Wilkinson's shift: the eigenvalue of the last 2x2 block of each window that is nearer to its last entry.
#[inline(always)]
fn shift<C: Lanes>(c: C, d: &[Pack<C>], e: &[Pack<C>], window: &Window<C>) -> Pack<C> {
    let (zero, one) = (Pack::zero(c), Pack::one(c));
    let (mut upper, mut beside, mut last) = (zero, one, zero);
    for k in window.rows.clone() {
        let here = window.ends(c, k);
        upper = here.select(d[k], upper);
        beside = here.select(e[k], beside);
        last = here.select(d[k + 1], last);
    }
    let g = (upper - last) / (beside + beside);
    let r = g.mul_add(g, one).sqrt();
    last - beside / (g + g.lt(zero).select(-r, r))
}

#[inline(always)]
fn sweep<C: Lanes>(
    c: C,
    d: &mut [Pack<C>],
    e: &mut [Pack<C>],
    window: &Window<C>,
    mut rotations: Option<&mut Rotations<C>>,
) {
    let (zero, one) = (Pack::zero(c), Pack::one(c));
    let shift = shift(c, d, e, window);
    let (mut g, mut cos, mut sin, mut p) = (zero, one, zero, zero);
    for k in window.rows.clone() {
        let at = Pack::of(c, k as f64);
        let inside = window.lo.le(at) & at.lt(window.hi);
        let first = inside & at.le(window.lo);
        g = first.select(d[k] - shift, g);
        cos = first.select(one, cos);
        sin = first.select(one, sin);
        p = first.select(zero, p);
        let (f, b) = (sin * e[k], cos * e[k]);
        let (c1, s1, r) = rotation(c, g, f, inside);
        if k > window.rows.start {
            e[k - 1] = (inside & !first).select(r, e[k - 1]);
        }
        let rest = d[k] - p;
        let cb = c1 * b;
        let t = (d[k + 1] - rest).mul_add(s1, cb + cb);
        p = s1 * t;
        d[k] = inside.select(rest + p, d[k]);
        g = c1.mul_add(t, -b);
        let last = inside & window.ends(c, k);
        d[k + 1] = last.select(d[k + 1] - p, d[k + 1]);
        e[k] = last.select(g, e[k]);
        (cos, sin) = (inside.select(c1, one), inside.select(s1, zero));
        if let Some(list) = &mut rotations {
            list.push(cos, sin);
        }
    }
}
