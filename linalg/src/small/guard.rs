//! The guards of [`crate::probe`] in lanes: the same signs, the same bounds.

use super::householder::{axpy, dot};
use super::lanes::Lanes;
use super::vector::{Mask, Pack};
use crate::Real;
use crate::probe::sign;

/// Scratch for the guards.
pub(super) struct Guard<C: Lanes> {
    c: C,
    signs: Vec<Pack<C>>,
    x: Vec<Pack<C>>,
    y: Vec<Pack<C>>,
    unit: Pack<C>,
}

impl<C: Lanes> Guard<C> {
    /// For `[n, n]` matrices: `16 n eps` is what is allowed.
    #[inline(always)]
    pub(super) fn new(c: C, n: usize) -> Self {
        let signs = (0..n).map(|i| Pack::splat(c, sign(i))).collect();
        let unit = Pack::of(c, 16.0 * n as f64 * C::T::EPS.f64());
        Self { c, signs, x: vec![Pack::zero(c); n], y: vec![Pack::zero(c); n], unit }
    }

    /// Where `A V = U diag(s)` along the signs, up to `16 n eps ‖A‖_F`.
    #[inline(always)]
    pub(super) fn factorisation(
        &mut self,
        a: &[Pack<C>],
        u: &[Pack<C>],
        s: &[Pack<C>],
        v: &[Pack<C>],
    ) -> Mask<C> {
        let (c, n) = (self.c, s.len());
        for (x, row) in self.x.iter_mut().zip(v.chunks_exact(n)) {
            *x = dot(c, row, &self.signs);
        }
        for (y, (s, sign)) in self.y.iter_mut().zip(s.iter().zip(&self.signs)) {
            *y = *s * *sign;
        }
        let (mut square, mut size) = (Pack::zero(c), Pack::zero(c));
        for (a, u) in a.chunks_exact(n).zip(u.chunks_exact(n)) {
            let miss = dot(c, a, &self.x) - dot(c, u, &self.y);
            square = miss.mul_add(miss, square);
            size = size + dot(c, a, a);
        }
        square.sqrt().le(self.unit * size.sqrt())
    }

    /// Where `QᵀQ = I` along the signs, up to `16 n eps`.
    #[inline(always)]
    pub(super) fn orthonormality(&mut self, q: &[Pack<C>]) -> Mask<C> {
        let (c, n) = (self.c, self.signs.len());
        self.y.copy_from_slice(&self.signs);
        for row in q.chunks_exact(n) {
            let x = dot(c, row, &self.signs);
            axpy(&mut self.y, -x, row);
        }
        dot(c, &self.y, &self.y).sqrt().le(self.unit)
    }

    /// Where `Σλ = tr A` and `Σλ² = ‖A‖_F²`; the bounds are those of [`crate::eigen`].
    #[inline(always)]
    pub(super) fn eigenvalues(&self, a: &[Pack<C>], values: &[Pack<C>]) -> Mask<C> {
        let (c, n) = (self.c, values.len());
        let mut trace = Pack::zero(c);
        for (a, v) in a.iter().step_by(n + 1).zip(values) {
            trace = trace + (*a - *v);
        }
        let square = self.square(a);
        let allowed = self.unit * (Pack::of(c, n as f64) * square).sqrt();
        trace.abs().le(allowed) & self.squares(square, values)
    }

    /// Where `Σs² = ‖A‖_F²`.
    #[inline(always)]
    pub(super) fn singular_values(&self, a: &[Pack<C>], values: &[Pack<C>]) -> Mask<C> {
        self.squares(self.square(a), values)
    }

    /// `‖A‖_F²`.
    #[inline(always)]
    fn square(&self, a: &[Pack<C>]) -> Pack<C> {
        let mut square = Pack::zero(self.c);
        for row in a.chunks_exact(self.signs.len()) {
            square = square + dot(self.c, row, row);
        }
        square
    }

    #[inline(always)]
    fn squares(&self, square: Pack<C>, values: &[Pack<C>]) -> Mask<C> {
        let miss = dot(self.c, values, values) - square;
        miss.abs().le((self.unit + self.unit) * square)
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::Single;
    use super::*;

    type One = Single<f64, false>;

    fn packs(x: &[f64]) -> Vec<Pack<One>> {
        x.iter().map(|&x| Pack::splat(One::new(), x)).collect()
    }

    /// `I = Q diag(1) Qᵀ` holds; off by a thousand times what is allowed, nothing does.
    #[test]
    fn a_wrong_decomposition_is_refused() {
        let n = 12;
        let identity = packs(crate::Matrix::<f64>::identity(n).data());
        let ones = packs(&vec![1.0; n]);
        let off = Pack::splat(One::new(), 16_000.0 * n as f64 * f64::EPSILON);
        let mut guard = Guard::new(One::new(), n);
        let q = &identity[..];
        assert!(guard.factorisation(q, q, &ones, q).any() && guard.orthonormality(q).any());
        assert!(guard.eigenvalues(q, &ones).any() && guard.singular_values(q, &ones).any());
        for k in [0, 5, 30, n * n - 1] {
            let mut wrong = identity.clone();
            wrong[k] = wrong[k] + off;
            assert!(!guard.factorisation(q, &wrong, &ones, q).any());
            assert!(!guard.factorisation(q, q, &ones, &wrong).any());
            assert!(!guard.orthonormality(&wrong).any());
        }
        let mut wrong = ones.clone();
        wrong[3] = wrong[3] + off * Pack::splat(One::new(), n as f64);
        assert!(!guard.factorisation(q, q, &wrong, q).any());
        assert!(!guard.eigenvalues(q, &wrong).any() && !guard.singular_values(q, &wrong).any());
        let nan = packs(&vec![f64::NAN; n]);
        assert!(!guard.factorisation(q, q, &nan, q).any() && !guard.eigenvalues(q, &nan).any());
    }
}
