//! The kernels by every instruction set: vectors of any width and fused scalars give the same bits, and the
//! portable path decomposes as well, within `4 n eps`, a quarter of what the guards allow.

use super::eigh::Eigh;
use super::lanes::Single;
use super::lu::Slogdet;
use super::svd::Svd;
use super::{Run, Span, singles};
use crate::elementary::levels::Level;
use crate::lu::Lu;
use crate::{Matrix, Real};
use std::marker::PhantomData;

/// How the kernels are run.
#[derive(Clone, Copy, Debug)]
enum By {
    /// As a user's call.
    Dispatch,
    Level(Level),
    /// One matrix at a time, fused, without any vector instructions.
    Fused,
}

impl By {
    /// Gives the matrices that are left to the solver of large ones.
    fn run<T: Real, K: Span<T>>(self, mut kernel: K, dispatch: impl FnOnce(K) -> Vec<usize>) -> Vec<usize> {
        match self {
            Self::Dispatch => dispatch(kernel),
            Self::Level(level) => level.run(Run(kernel, PhantomData)),
            Self::Fused => {
                let (count, mut failed) = (kernel.count(), Vec::new());
                singles(&mut kernel, Single::<T, true>::new(), 0..count, &mut failed);
                failed
            }
        }
    }
}

/// Everything the kernels compute of a batch.
struct Results<T> {
    values: Vec<T>,
    vectors: Vec<T>,
    u: Vec<T>,
    s: Vec<T>,
    v: Vec<T>,
    sign: Vec<T>,
    log: Vec<T>,
}

impl<T: Real> Results<T> {
    fn of(n: usize, count: usize, a: &[T], by: By) -> Self {
        let zeros = |len: usize| vec![T::ZERO; count * len];
        let (mut values, mut vectors) = (zeros(n), zeros(n * n));
        let kernel = Eigh { n, a, values: &mut values, vectors: &mut vectors };
        let left = by.run(kernel, |k| super::eigh(k.n, k.a, k.values, k.vectors));
        assert!(left.is_empty(), "{by:?}: {left:?}");
        let (mut u, mut s, mut v) = (zeros(n * n), zeros(n), zeros(n * n));
        let kernel = Svd { n, a, u: &mut u, s: &mut s, v: &mut v };
        let left = by.run(kernel, |k| super::svd(k.n, k.a, k.u, k.s, k.v));
        assert!(left.is_empty(), "{by:?}: {left:?}");
        let (mut sign, mut log) = (zeros(1), zeros(1));
        let kernel = Slogdet { n, a, sign: &mut sign, log: &mut log };
        for i in by.run(kernel, |k| super::slogdet(k.n, k.a, k.sign, k.log)) {
            let lu = Lu::new(&Matrix::new(n, n, a[i * n * n..(i + 1) * n * n].to_vec())).unwrap();
            (sign[i], log[i]) = lu.slogdet();
        }
        Self { values, vectors, u, s, v, sign, log }
    }

    fn bits(&self) -> Vec<u64> {
        let all = [&self.values, &self.vectors, &self.u, &self.s, &self.v, &self.sign, &self.log];
        all.into_iter().flatten().map(|x| x.f64().to_bits()).collect()
    }
}

/// `‖A − U diag(s) Vᵀ‖_F / ‖A‖_F`.
fn reconstruction<T: Real>(n: usize, a: impl Fn(usize, usize) -> f64, u: &[T], s: &[T], v: &[T]) -> f64 {
    let (mut error, mut size) = (0.0, 0.0);
    for i in 0..n {
        for j in 0..n {
            let sum: f64 = (0..n).map(|k| u[i * n + k].f64() * s[k].f64() * v[j * n + k].f64()).sum();
            error += (a(i, j) - sum).powi(2);
            size += a(i, j).powi(2);
        }
    }
    (error / size).sqrt()
}

fn agree<T: Real>(n: usize, count: usize) {
    let number = |i: usize| T::of(((i * 7919 + 13) % 2003) as f64 / 1001.0 - 1.0);
    let a: Vec<T> = (0..count * n * n).map(number).collect();
    let best = Results::of(n, count, &a, By::Dispatch);
    if !Level::vectors().is_empty() {
        for by in Level::vectors().into_iter().map(By::Level).chain([By::Fused]) {
            assert!(Results::of(n, count, &a, by).bits() == best.bits(), "{count} of {n}, {by:?}");
        }
    }
    let plain = Results::of(n, count, &a, By::Level(Level::Portable));
    let unit = 4.0 * n as f64 * T::EPS.f64();
    for m in 0..count {
        let one = m * n * n..(m + 1) * n * n;
        let (a, row) = (&a[one.clone()], m * n..(m + 1) * n);
        let (u, s, v) = (&plain.u[one.clone()], &plain.s[row.clone()], &plain.v[one.clone()]);
        assert!(reconstruction(n, |i, j| a[i * n + j].f64(), u, s, v) <= unit, "svd {m} of {n}");
        let (q, values) = (&plain.vectors[one], &plain.values[row.clone()]);
        let lower = |i: usize, j: usize| a[i.max(j) * n + i.min(j)].f64();
        assert!(reconstruction(n, lower, q, values, q) <= unit, "eigh {m} of {n}");
        // Either path is the exact answer for a matrix so near (Weyl).
        let size = a.iter().map(|x| x.f64().powi(2)).sum::<f64>().sqrt();
        for (x, y) in s.iter().zip(&best.s[row]) {
            assert!((x.f64() - y.f64()).abs() <= 2.0 * unit * size, "singular values {m} of {n}");
        }
        // Determinants are certain only where no matrix so near is singular.
        if 2.0 * unit * size < s[n - 1].f64() {
            // `|d log det| <= ‖A⁻¹‖₂ ‖dA‖_F`.
            let allowed = 2.0 * unit * size / s[n - 1].f64() + T::EPS.f64() * plain.log[m].f64().abs();
            let log = (plain.log[m].f64(), best.log[m].f64());
            assert!((log.0 - log.1).abs() <= allowed, "log-determinant {m} of {n}: {log:?}");
            assert!((plain.sign[m] - best.sign[m]).abs() == T::ZERO, "sign {m} of {n}");
        }
    }
}

/// Counts on either side of full vectors, and single matrices.
#[test]
fn levels_agree_on_small_matrices() {
    for n in [1, 2, 3, 5, 8, 16, 33] {
        for count in [1, 4, 21] {
            agree::<f32>(n, count);
            agree::<f64>(n, count);
        }
    }
}
