//! A symmetric matrix to tridiagonal form, `A = Q T Qᵀ`.
//!
//! G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013), section 8.3.1.

use super::householder::{axpy, dot, reflect_rows, reflector};
use super::lanes::Lanes;
use super::vector::Pack;

/// Reduces the lower triangle of `a`, row-major `[n, n]`. The diagonal goes to `d`, what is below it to the
/// first `n − 1` of `e`, the reflections to the upper triangle of `a` and to `tau`.
#[inline(always)]
pub(super) fn reduce<C: Lanes>(
    c: C,
    a: &mut [Pack<C>],
    d: &mut [Pack<C>],
    e: &mut [Pack<C>],
    tau: &mut [Pack<C>],
    w: &mut [Pack<C>],
) {
    let n = d.len();
    let half = Pack::of(c, 0.5);
    for k in 0..n.saturating_sub(1) {
        let (top, rest) = a.split_at_mut((k + 1) * n);
        let v = &mut top[k * n + k + 1..];
        for (v, row) in v.iter_mut().zip(rest.chunks_exact(n)) {
            *v = row[k];
        }
        (tau[k], e[k]) = reflector(c, v);
        let (v, w) = (&*v, &mut w[k + 1..n]);
        // w = τ A v from the lower triangle, each entry read once.
        for (i, row) in rest.chunks_exact(n).enumerate() {
            let row = &row[k + 1..=k + 1 + i];
            let (sum, vi) = (dot(c, &row[..i], &v[..i]), v[i]);
            axpy(&mut w[..i], vi, &row[..i]);
            w[i] = row[i].mul_add(vi, sum);
        }
        let t = tau[k];
        let shift = half * t * t * dot(c, w, v);
        for (w, v) in w.iter_mut().zip(v) {
            *w = (*w * t).sub_mul(shift, *v);
        }
        // A −= v wᵀ + w vᵀ
        for (i, row) in rest.chunks_exact_mut(n).enumerate() {
            let (vi, wi) = (v[i], w[i]);
            for ((x, v), w) in row[k + 1..=k + 1 + i].iter_mut().zip(v).zip(&*w) {
                *x = x.sub_mul(vi, *w).sub_mul(wi, *v);
            }
        }
    }
    for (i, d) in d.iter_mut().enumerate() {
        *d = a[i * n + i];
    }
}

/// `Q`, from what [`reduce`] left in `a` and `tau`.
#[inline(always)]
pub(super) fn accumulate<C: Lanes>(
    c: C,
    a: &[Pack<C>],
    tau: &[Pack<C>],
    q: &mut [Pack<C>],
    w: &mut [Pack<C>],
) {
    let n = tau.len();
    q.fill(Pack::zero(c));
    q.iter_mut().step_by(n + 1).for_each(|x| *x = Pack::one(c));
    for k in (0..n.saturating_sub(2)).rev() {
        let v = &a[k * n + k + 1..(k + 1) * n];
        reflect_rows(c, &mut q[(k + 1) * n..], (n, k + 1), v, tau[k], w);
    }
}
