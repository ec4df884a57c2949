//! Householder reflections and the loops under them.
//!
//! G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013), section 5.1.

use super::lanes::Lanes;
use super::vector::{Mask, Pack};
use crate::Real;

/// `Σ xᵢ yᵢ`, in four sums that do not wait for each other.
#[inline(always)]
pub(super) fn dot<C: Lanes>(c: C, x: &[Pack<C>], y: &[Pack<C>]) -> Pack<C> {
    let (x4, x1) = x.as_chunks::<4>();
    let (y4, y1) = y.as_chunks::<4>();
    let mut sum = [Pack::zero(c); 4];
    for (x, y) in x4.iter().zip(y4) {
        for k in 0..4 {
            sum[k] = x[k].mul_add(y[k], sum[k]);
        }
    }
    for (x, y) in x1.iter().zip(y1) {
        sum[0] = x.mul_add(*y, sum[0]);
    }
    (sum[0] + sum[1]) + (sum[2] + sum[3])
}

/// `y += f x`.
#[inline(always)]
pub(super) fn axpy<C: Lanes>(y: &mut [Pack<C>], f: Pack<C>, x: &[Pack<C>]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y = f.mul_add(*x, *y);
    }
}

/// Turns `x` into the vector `v` with `(I − τ v vᵀ) x = (β, 0, …)` and `v₀ = 1`; gives `τ` and `β`.
///
/// A tail so small that its square is not exact would leave the reflection without orthogonality. It is
/// dropped: against entries of order one it is far below rounding.
#[inline(always)]
pub(super) fn reflector<C: Lanes>(c: C, x: &mut [Pack<C>]) -> (Pack<C>, Pack<C>) {
    let (zero, one) = (Pack::zero(c), Pack::one(c));
    let Some((head, tail)) = x.split_first_mut() else { return (zero, zero) };
    let square = dot(c, tail, tail);
    let drop = square.le(Pack::splat(c, C::T::MIN_POSITIVE / (C::T::EPS * C::T::EPS)));
    let alpha = *head;
    let norm = alpha.mul_add(alpha, square).sqrt();
    let beta = alpha.lt(zero).select(norm, -norm);
    let first = alpha - beta;
    let inverse = drop.select(zero, one / first);
    for x in tail {
        *x = *x * inverse;
    }
    *head = one;
    (drop.select(zero, (beta - alpha) / beta), drop.select(alpha, beta))
}

/// `w = Aᵀ v` for the rows of `A` in columns `from..`, `n` apart.
#[inline(always)]
pub(super) fn combine_rows<C: Lanes>(
    c: C,
    a: &[Pack<C>],
    (n, from): (usize, usize),
    v: &[Pack<C>],
    w: &mut [Pack<C>],
) {
    w.fill(Pack::zero(c));
    let (a4, a1) = a.split_at(v.len() / 4 * 4 * n);
    let (v4, v1) = v.as_chunks::<4>();
    for (rows, v) in a4.chunks_exact(4 * n).zip(v4) {
        let (r0, rest) = rows.split_at(n);
        let (r1, rest) = rest.split_at(n);
        let (r2, r3) = rest.split_at(n);
        let rows = r0[from..].iter().zip(&r1[from..]).zip(r2[from..].iter().zip(&r3[from..]));
        for (w, ((x0, x1), (x2, x3))) in w.iter_mut().zip(rows) {
            *w = v[3].mul_add(*x3, v[2].mul_add(*x2, v[1].mul_add(*x1, v[0].mul_add(*x0, *w))));
        }
    }
    for (row, v) in a1.chunks_exact(n).zip(v1) {
        axpy(w, *v, &row[from..]);
    }
}

/// `A −= τ v (vᵀ A)` for the rows of `A` in columns `from..`, `n` apart; `w` is scratch.
#[inline(always)]
pub(super) fn reflect_rows<C: Lanes>(
    c: C,
    a: &mut [Pack<C>],
    (n, from): (usize, usize),
    v: &[Pack<C>],
    tau: Pack<C>,
    w: &mut [Pack<C>],
) {
    let w = &mut w[from..n];
    combine_rows(c, a, (n, from), v, w);
    for (row, v) in a.chunks_exact_mut(n).zip(v) {
        axpy(&mut row[from..], -(tau * *v), w);
    }
}

/// The rotation `[c s; −s c]` that takes `(f, g)` to `(r, 0)`.
///
/// Where `live`, pairs too small to be squared are brought up by a power of two first; pairs smaller still
/// count as zero and get the identity.
#[inline(always)]
pub(super) fn rotation<C: Lanes>(c: C, f: Pack<C>, g: Pack<C>, live: Mask<C>) -> (Pack<C>, Pack<C>, Pack<C>) {
    let square = f.mul_add(f, g * g);
    let tiny = square.lt(Pack::splat(c, C::T::MIN_POSITIVE / (C::T::EPS * C::T::EPS))) & live;
    if tiny.any() {
        return small_rotation(c, f, g, tiny);
    }
    let r = square.sqrt();
    (f / r, g / r, r)
}

#[inline(always)]
fn small_rotation<C: Lanes>(c: C, f: Pack<C>, g: Pack<C>, tiny: Mask<C>) -> (Pack<C>, Pack<C>, Pack<C>) {
    let (zero, one) = (Pack::zero(c), Pack::one(c));
    // The largest tiny pair becomes large, but its square stays in range.
    let power = if C::T::NAME == "f32" { 60 } else { 500 };
    let up = tiny.select(Pack::splat(c, C::T::exp2i(power)), one);
    let down = tiny.select(Pack::splat(c, C::T::exp2i(-power)), one);
    let (fs, gs) = (f * up, g * up);
    let square = fs.mul_add(fs, gs * gs);
    let none = square.lt(Pack::splat(c, C::T::MIN_POSITIVE / (C::T::EPS * C::T::EPS)));
    let r = square.sqrt();
    (none.select(one, fs / r), none.select(zero, gs / r), none.select(zero, r * down))
}

#[cfg(test)]
mod tests {
    use super::super::lanes::Single;
    use super::*;

    fn turns<T: Real>(f: f64, g: f64) {
        let c = Single::<T, false>::new();
        let pack = |x: f64| Pack::splat(c, T::of(x));
        let (cos, sin, r) = rotation(c, pack(f), pack(g), pack(0.0).lt(pack(1.0)));
        let (cos, sin, r) = (cos.get(0).f64(), sin.get(0).f64(), r.get(0).f64());
        assert!((cos.hypot(sin) - 1.0).abs() <= 2.0 * T::EPS.f64(), "{cos} and {sin}");
        assert!((cos * f + sin * g - r).abs() <= 4.0 * T::EPS.f64() * r);
    }

    /// Orthogonal at every size of the pair that is not negligible.
    #[test]
    fn rotations_are_orthogonal() {
        for (f, g) in [(3.0, 4.0), (0.0, 1.0), (1.0, 0.0), (-1.0, 1e-5), (0.0, 0.0), (1e-3, -1e-9)] {
            for size in [1.0, 1e-6, 1e-12, 1e-14, 1e-20, 1e-25] {
                turns::<f32>(f * size, g * size);
                turns::<f64>(f * size, g * size);
            }
            for size in [1e-100, 1e-137, 1e-139, 1e-200, 1e-250] {
                turns::<f64>(f * size, g * size);
            }
        }
    }
}
