//! `A = Q T Qᵀ` with a tridiagonal `T`, by reflections, and `Q U`.
//!
//! Sixteen columns at a time: the reflections `I - τ v vᵀ` of a panel are not applied to what is right of it but kept as
//! `A - V Wᵀ - W Vᵀ`, which one product takes off at the end of the panel (J. J. Dongarra, D. C. Sorensen and S. J. Hammarling,
//! Block reduction of matrices to condensed forms, J. Comput. Appl. Math. 27 (1989)). Half of the work remains, the product of
//! the matrix and each `v`; it reads each number of the lower triangle once, for both triangles. The way back goes by larger
//! blocks, `I - V S Vᵀ` (R. Schreiber and C. Van Loan, SIAM J. Sci. Stat. Comput. 10 (1989)).

use super::columns::{combine, dots, symmetric};
use crate::small::Lanes;
use crate::{Aligned, Real};
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, MatMut, MatRef, Par};
use pulp::{Arch, Simd, WithSimd};

/// Columns of a panel, rows of a block on the diagonal that is kept in full, and a multiple of all vectors.
pub(super) const PANEL: usize = 16;
/// Reflections that go back together.
const BACK: usize = 48;

/// Buffers for symmetric matrices of one size.
pub(super) struct Reduction<T> {
    n: usize,
    /// Rows of a column in memory; those after `n` are zero.
    stride: usize,
    /// Column-major. A column that is done holds its `v`, zeros above.
    a: Aligned<T>,
    /// The panel's `W`, `V` and `W`, as columns.
    panel: Aligned<T>,
    tau: Vec<T>,
    /// For the way back: `VᵀV`, `S`, `Vᵀ U` and `S Vᵀ U`.
    gram: Vec<T>,
    factor: Vec<T>,
    inner: Vec<T>,
    scaled: Vec<T>,
}

impl<T: Real> Reduction<T> {
    pub(super) fn new(n: usize) -> Self {
        let stride = n.next_multiple_of(PANEL);
        Self {
            n,
            stride,
            a: Aligned::zeros(stride * stride),
            panel: Aligned::zeros(3 * PANEL * stride),
            tau: vec![T::ZERO; n],
            gram: vec![T::ZERO; BACK * BACK],
            factor: vec![T::ZERO; BACK * BACK],
            inner: vec![T::ZERO; BACK * n],
            scaled: vec![T::ZERO; BACK * n],
        }
    }

    /// The diagonal and the subdiagonal of `T`, from both triangles of a symmetric matrix at unit scale.
    pub(super) fn run(&mut self, a: &[T], d: &mut [T], e: &mut [T]) {
        let (n, stride) = (self.n, self.stride);
        for (to, from) in self.a.chunks_exact_mut(stride).zip(a.chunks_exact(n)) {
            to[..n].copy_from_slice(from);
            to[n..].fill(T::ZERO);
        }
        self.a[n * stride..].fill(T::ZERO);
        self.panel.fill(T::ZERO);
        for first in (0..n).step_by(PANEL) {
            let last = (first + PANEL).min(n);
            let panel = Panel {
                stride,
                n,
                first,
                last,
                a: &mut self.a,
                w: &mut self.panel,
                d,
                e,
                tau: &mut self.tau,
            };
            Arch::new().dispatch(panel);
            if last < n {
                self.take_off_panel(first, last);
            }
        }
    }

    /// `A - V Wᵀ - W Vᵀ` right of a panel: the lower triangle, and the blocks on the diagonal in full.
    fn take_off_panel(&mut self, first: usize, last: usize) {
        let (n, stride, width) = (self.n, self.stride, PANEL * self.stride);
        let (w, rest) = self.panel.split_at_mut(width);
        let (v, second) = rest.split_at_mut(width);
        v.copy_from_slice(&self.a[first * stride..last * stride]);
        second.copy_from_slice(w);
        let columns = |from: usize| {
            let columns = &self.panel[from * stride..(from + 2 * PANEL) * stride];
            MatRef::from_column_major_slice(columns, stride, 2 * PANEL).subrows(last, n - last)
        };
        let right = MatMut::from_column_major_slice_mut(&mut self.a[last * stride..], stride, stride - last);
        let whole = BlockStructure::Rectangular;
        triangular::matmul(
            right.submatrix_mut(last, 0, n - last, n - last),
            BlockStructure::TriangularLower,
            Accum::Add,
            columns(PANEL),
            whole,
            columns(0).transpose(),
            whole,
            -T::ONE,
            Par::Seq,
        );
        for block in (last..n).step_by(PANEL) {
            for i in block..(block + PANEL).min(n) {
                for j in block..i {
                    self.a[i * stride + j] = self.a[j * stride + i];
                }
            }
        }
    }

    /// Room for `n²` numbers, at the cost of the reflections.
    pub(super) fn spare(&mut self) -> &mut [T] {
        &mut self.a[..self.n * self.n]
    }

    /// `U := Q U`, column-major, of the last matrix that was reduced.
    pub(super) fn back(&mut self, u: &mut [T]) {
        let (n, stride) = (self.n, self.stride);
        let mut u = MatMut::from_column_major_slice_mut(u, n, n);
        for first in (0..n.saturating_sub(1)).step_by(BACK).rev() {
            let count = BACK.min(n - 1 - first);
            self.block_factor(first, count);
            let v = &self.a[first * stride..(first + count) * stride];
            let v = MatRef::from_column_major_slice(v, stride, count).subrows(first, n - first);
            let rows = u.as_mut().subrows_mut(first, n - first);
            let mut inner = MatMut::from_column_major_slice_mut(&mut self.inner[..count * n], count, n);
            matmul(inner.as_mut(), Accum::Replace, v.transpose(), rows.as_ref(), T::ONE, Par::Seq);
            let factor = MatRef::from_column_major_slice(&self.factor[..count * count], count, count);
            let mut scaled = MatMut::from_column_major_slice_mut(&mut self.scaled[..count * n], count, n);
            matmul(scaled.as_mut(), Accum::Replace, factor, inner.as_ref(), T::ONE, Par::Seq);
            matmul(rows, Accum::Add, v, scaled.as_ref(), -T::ONE, Par::Seq);
        }
    }

    /// The upper triangular `S` of `H_1 H_2 … = I - V S Vᵀ`: column `k` is `τ_k (-S Vᵀ v_k, 1)`.
    fn block_factor(&mut self, first: usize, count: usize) {
        let (n, stride) = (self.n, self.stride);
        let v = &self.a[first * stride..(first + count) * stride];
        let v = MatRef::from_column_major_slice(v, stride, count).subrows(first, n - first);
        let gram = &mut self.gram[..count * count];
        matmul(
            MatMut::from_column_major_slice_mut(gram, count, count),
            Accum::Replace,
            v.transpose(),
            v,
            T::ONE,
            Par::Seq,
        );
        let factor = &mut self.factor[..count * count];
        factor.fill(T::ZERO);
        for k in 0..count {
            let tau = self.tau[first + k];
            let (before, column) = factor.split_at_mut(k * count);
            for (s, &along) in before.chunks_exact(count).zip(&gram[k * count..]) {
                for (to, &s) in column[..k].iter_mut().zip(s) {
                    *to -= tau * along * s;
                }
            }
            column[k] = tau;
        }
    }
}

/// The columns `first..last`.
struct Panel<'a, T> {
    stride: usize,
    n: usize,
    first: usize,
    last: usize,
    a: &'a mut [T],
    w: &'a mut [T],
    d: &'a mut [T],
    e: &'a mut [T],
    tau: &'a mut [T],
}

impl<T: Real> WithSimd for Panel<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let c = T::wide(simd);
        let Self { stride, n, first, last, a, w, d, e, tau } = self;
        let (mut by_v, mut by_w) = ([T::ZERO; PANEL], [T::ZERO; PANEL]);
        for j in first..last {
            let k = j - first;
            let (before, rest) = a.split_at_mut(j * stride);
            let v = &before[first * stride..];
            let (column, right) = rest.split_at_mut(stride);
            let (w, rest) = w.split_at_mut(k * stride);
            let y = &mut rest[..stride];
            // What the panel's reflections have left of this column.
            for i in 0..k {
                (by_v[i], by_w[i]) = (-w[i * stride + j], -v[i * stride + j]);
            }
            combine(c, column, v, &by_v[..k], first);
            combine(c, column, w, &by_w[..k], first);
            d[j] = column[j];
            if j + 1 == n {
                break;
            }
            (e[j], tau[j]) = reflect(c, column, j + 1, first);
            // w = τ (A - V Wᵀ - W Vᵀ) v, and then w - τ/2 (wᵀ v) v.
            symmetric(c, y, right, column, j + 1);
            let from = (j + 1) / PANEL * PANEL;
            dots(c, &mut by_w[..k], v, column, from);
            dots(c, &mut by_v[..k], w, column, from);
            for i in 0..k {
                (by_v[i], by_w[i]) = (-by_v[i], -by_w[i]);
            }
            combine(c, y, v, &by_v[..k], from);
            combine(c, y, w, &by_w[..k], from);
            let mut along = [T::ZERO];
            dots(c, &mut along, y, column, from);
            let half = T::of(-0.5) * tau[j] * along[0];
            for (y, v) in y[from..].iter_mut().zip(&column[from..]) {
                *y = tau[j] * (*y + half * *v);
            }
        }
    }
}

/// Makes `v` of a column whose rows from `head` on are to become `(β, 0, …)`: one in row `head`, zeros above. Gives `β` and `τ`. Rows
/// before `first`, a multiple of [`PANEL`], are not touched after they are zero.
#[inline(always)]
fn reflect<C: Lanes>(c: C, column: &mut [C::T], head: usize, first: usize) -> (C::T, C::T) {
    let alpha = column[head];
    column[..=head].fill(C::T::ZERO);
    let mut square = [C::T::ZERO];
    dots(c, &mut square, column, column, first);
    // Beside a matrix at unit scale such a tail is zero, and its square has lost digits.
    if square[0] <= C::T::MIN_POSITIVE / C::T::EPS {
        column[first..].fill(C::T::ZERO);
        column[head] = C::T::ONE;
        return (alpha, C::T::ZERO);
    }
    let size = (alpha * alpha + square[0]).sqrt();
    let beta = if alpha > C::T::ZERO { -size } else { size };
    let scale = C::T::ONE / (alpha - beta);
    column[first..].iter_mut().for_each(|x| *x *= scale);
    column[head] = C::T::ONE;
    (beta, (beta - alpha) / beta)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `A = Q T Qᵀ` and `QᵀQ = I` within `4 n eps`.
    fn check<T: Real>(name: &str, n: usize, entry: impl Fn(usize, usize) -> f64) {
        let a: Vec<T> =
            (0..n * n).map(|at| T::of(entry((at / n).max(at % n), (at / n).min(at % n)))).collect();
        let (mut d, mut e, mut q) = (vec![T::ZERO; n], vec![T::ZERO; n], vec![T::ZERO; n * n]);
        q.iter_mut().step_by(n + 1).for_each(|x| *x = T::ONE);
        let mut reduction = Reduction::new(n);
        // What is left of another matrix does not matter.
        reduction.run(&vec![T::ONE; n * n], &mut d, &mut e);
        reduction.spare().fill(T::of(7.0));
        reduction.run(&a, &mut d, &mut e);
        reduction.back(&mut q);
        let q: Vec<f64> = q.iter().map(|x| x.f64()).collect();
        let (mut residual, mut loss, mut size) = (0.0, 0.0, 0.0);
        for i in 0..n {
            // Row i of Q T.
            let mut row = vec![0.0; n];
            for k in 0..n {
                row[k] += q[k * n + i] * d[k].f64();
                if k + 1 < n {
                    row[k] += q[(k + 1) * n + i] * e[k].f64();
                    row[k + 1] += q[k * n + i] * e[k].f64();
                }
            }
            for j in 0..n {
                let sum: f64 = (0..n).map(|k| row[k] * q[k * n + j]).sum();
                residual += (sum - a[i * n + j].f64()).powi(2);
                size += a[i * n + j].f64().powi(2);
                let dot: f64 = (0..n).map(|k| q[i * n + k] * q[j * n + k]).sum();
                loss += (dot - f64::from(u8::from(i == j))).powi(2);
            }
        }
        let unit = 4.0 * n as f64 * T::EPS.f64();
        assert!(
            residual.sqrt() <= unit * size.sqrt(),
            "{name} of {n} in {}: {:e}",
            T::NAME,
            (residual / size).sqrt()
        );
        assert!(loss.sqrt() <= unit, "{name} of {n} in {}: orthonormality {:e}", T::NAME, loss.sqrt());
    }

    fn both(name: &str, n: usize, entry: impl Fn(usize, usize) -> f64) {
        check::<f64>(name, n, &entry);
        check::<f32>(name, n, &entry);
    }

    #[test]
    fn matrices_are_reduced() {
        for n in [1, 2, 3, 15, 16, 17, 31, 33, 64, 65, 66, 100, 131] {
            both("mixed", n, |i, j| ((i * 7919 + j * 104_729 + 13) % 2003) as f64 / 1001.0 - 1.0);
            both("identity", n, |i, j| f64::from(u8::from(i == j)));
            both("tridiagonal", n, |i, j| if i <= j + 1 { 0.5 } else { 0.0 });
            both("of rank one", n, |i, j| 1.0 / ((i + 1) * (j + 1)) as f64);
            // Squares that are subnormal numbers, or none.
            both("tiny beside its first entry", n, |i, j| {
                if i == 0 { 1.0 } else { 1e-21 * ((i * 5 + j * 3) % 7) as f64 }
            });
            both("steeply graded", n, |i, j| 10_f64.powi(-((i + j).min(30) as i32)));
        }
    }
}
