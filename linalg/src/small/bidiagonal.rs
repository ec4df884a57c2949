//! A square matrix to upper bidiagonal form, `A = U B Vᵀ`.
//!
//! G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013), section 5.4.8.

use super::householder::{axpy, combine_rows, dot, reflect_rows, reflector};
use super::lanes::Lanes;
use super::vector::Pack;

/// Buffers of `n` for the reduction.
pub(super) struct Reflections<C: Lanes> {
    /// Factors of the reflections of columns.
    left: Vec<Pack<C>>,
    /// Factors of the reflections of rows.
    right: Vec<Pack<C>>,
    /// The vector at hand, on either side.
    v: Vec<Pack<C>>,
    u: Vec<Pack<C>>,
    w: Vec<Pack<C>>,
}

impl<C: Lanes> Reflections<C> {
    pub(super) fn new(c: C, n: usize) -> Self {
        let zeros = || vec![Pack::zero(c); n];
        Self { left: zeros(), right: zeros(), v: zeros(), u: zeros(), w: zeros() }
    }

    /// Reduces `a`, row-major `[n, n]`. The diagonal of `B` goes to `d`, what is beside it to the first `n − 1`
    /// of `e`; the reflections to the rows of `u` and `v`, unless these are empty.
    #[inline(always)]
    pub(super) fn reduce(
        &mut self,
        c: C,
        a: &mut [Pack<C>],
        d: &mut [Pack<C>],
        e: &mut [Pack<C>],
        u: &mut [Pack<C>],
        v: &mut [Pack<C>],
    ) {
        let n = d.len();
        for k in 0..n {
            let rest = &mut a[k * n..];
            let left = &mut self.v[k..];
            for (v, row) in left.iter_mut().zip(rest.chunks_exact(n)) {
                *v = row[k];
            }
            (self.left[k], d[k]) = reflector(c, left);
            if let Some(row) = u.get_mut(k * n + k..(k + 1) * n) {
                row.copy_from_slice(left);
            }
            if k + 1 == n {
                break;
            }
            let w = &mut self.w[k + 1..];
            combine_rows(c, rest, (n, k + 1), left, w);
            let (top, rest) = rest.split_at_mut(n);
            let top = &mut top[k + 1..];
            axpy(top, -(self.left[k] * left[0]), w);
            let right = &mut self.u[k + 1..];
            right.copy_from_slice(top);
            (self.right[k], e[k]) = reflector(c, right);
            if let Some(row) = v.get_mut(k * n + k + 1..(k + 1) * n) {
                row.copy_from_slice(right);
            }
            // Both reflections of a row while it is in the cache.
            for (row, v) in rest.chunks_exact_mut(n).zip(&left[1..]) {
                let row = &mut row[k + 1..];
                axpy(row, -(self.left[k] * *v), w);
                let along = dot(c, row, right);
                axpy(row, -(self.right[k] * along), right);
            }
        }
    }

    /// Turns what [`Self::reduce`] left in `u` and `v` into the orthogonal factors.
    #[inline(always)]
    pub(super) fn accumulate(&mut self, c: C, u: &mut [Pack<C>], v: &mut [Pack<C>]) {
        let n = self.left.len();
        for k in (0..n).rev() {
            let left = &mut self.v[k..];
            take_row(c, u, (n, k), k, left);
            reflect_rows(c, &mut u[k * n..], (n, k), left, self.left[k], &mut self.w);
            let right = &mut self.u[k + 1..];
            take_row(c, v, (n, k), k + 1, right);
            if k + 1 < n {
                reflect_rows(c, &mut v[(k + 1) * n..], (n, k + 1), right, self.right[k], &mut self.w);
            }
        }
    }
}

/// Moves the vector in columns `from..` of row `k` out; the row and the column become those of the identity.
#[inline(always)]
fn take_row<C: Lanes>(c: C, q: &mut [Pack<C>], (n, k): (usize, usize), from: usize, to: &mut [Pack<C>]) {
    let row = &mut q[k * n..(k + 1) * n];
    to.copy_from_slice(&row[from..]);
    row.fill(Pack::zero(c));
    row[k] = Pack::one(c);
    for row in q[(k + 1) * n..].chunks_exact_mut(n) {
        row[k] = Pack::zero(c);
    }
}
