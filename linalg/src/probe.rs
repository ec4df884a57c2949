//! Guards that cost `O(n²)`: a factorisation is checked along one vector of signs.
//!
//! For a matrix of errors `R` and a vector `x` of independent random signs, `E‖R x‖² = ‖R‖_F²`, so
//! `‖R x‖` estimates the Frobenius norm of the error without forming a product of matrices
//! (R. Freivalds, Probabilistic machines can use less running time, IFIP 1977; the norm estimate is
//! Hutchinson's). The signs are fixed, so the same input gives the same answer.

use crate::Real;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Buffers for the products of a guard.
#[derive(Debug)]
pub(crate) struct Probe<T> {
    x: Vec<T>,
    inner: Vec<T>,
    outer: Vec<T>,
}

impl<T: Real> Probe<T> {
    /// Buffers for factors with at most `size` rows and columns.
    pub(crate) fn new(size: usize) -> Self {
        Self { x: vec![T::ZERO; size], inner: vec![T::ZERO; size], outer: vec![T::ZERO; size] }
    }

    /// `‖A V x − U diag(s) x‖₂` with signs `x`: how far `A V = U diag(s)` is from holding.
    pub(crate) fn factorisation(&mut self, a: MatRef<T>, u: MatRef<T>, s: &[T], v: MatRef<T>) -> T {
        let k = s.len();
        let (x, inner, outer) =
            (&mut self.x[..k], &mut self.inner[..a.ncols()], &mut self.outer[..a.nrows()]);
        (0..k).for_each(|i| x[i] = sign(i));
        apply(inner, Accum::Replace, v, x, T::ONE);
        apply(outer, Accum::Replace, a, inner, T::ONE);
        (0..k).for_each(|i| x[i] *= s[i]);
        apply(outer, Accum::Add, u, x, -T::ONE);
        norm(outer)
    }

    /// `‖Qᵀ Q x − x‖₂` with signs `x`: how far the columns of `Q` are from orthonormal.
    pub(crate) fn orthonormality(&mut self, q: MatRef<T>) -> T {
        let k = q.ncols();
        let (x, inner, outer) = (&mut self.x[..k], &mut self.inner[..q.nrows()], &mut self.outer[..k]);
        (0..k).for_each(|i| x[i] = sign(i));
        apply(inner, Accum::Replace, q, x, T::ONE);
        outer.copy_from_slice(x);
        apply(outer, Accum::Add, q.transpose(), inner, -T::ONE);
        norm(outer)
    }
}

/// `y = alpha A x`, or `y += alpha A x`.
fn apply<T: Real>(y: &mut [T], accum: Accum, a: MatRef<T>, x: &[T], alpha: T) {
    let (rows, cols) = (y.len(), x.len());
    matmul(
        MatMut::from_column_major_slice_mut(y, rows, 1),
        accum,
        a,
        MatRef::from_column_major_slice(x, cols, 1),
        alpha,
        Par::Seq,
    );
}

/// Euclidean norm of a vector whose squares stay in range.
fn norm<T: Real>(x: &[T]) -> T {
    x.iter().map(|&v| v * v).sum::<T>().sqrt()
}

/// The `i`-th sign: one bit of the SplitMix64 sequence.
pub(crate) fn sign<T: Real>(i: usize) -> T {
    let mut z = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    if (z ^ (z >> 31)) & 1 == 0 { T::ONE } else { -T::ONE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matrix;

    /// `I = Q diag(1) Qᵀ` with one wrong entry in a factor of 40 columns.
    #[test]
    fn one_wrong_entry_is_seen_wherever_it_is() {
        let n = 40;
        let one = vec![1.0; n];
        let good = Matrix::<f64>::identity(n);
        let mut probe = Probe::new(n);
        let clean = probe.factorisation(good.view(), good.view(), &one, good.view());
        assert_eq!(clean.to_bits(), 0);
        assert_eq!(probe.orthonormality(good.view()).to_bits(), 0);
        for (i, j) in [(0, 0), (3, 17), (39, 2), (39, 39)] {
            let mut bad = good.clone();
            bad[(i, j)] += 1e-6;
            assert!(probe.factorisation(good.view(), bad.view(), &one, good.view()) > 0.9e-6);
            assert!(probe.orthonormality(bad.view()) > 0.9e-6);
        }
    }
}
