//! Matrices to test on, and the measures their factorisations are judged by.
#![allow(dead_code)]

use eigenflow_linalg::{Matrix, Real, qr::qr};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// How the spectrum of a test matrix looks, at unit scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spectrum {
    /// Uniform in (-1, 1).
    Spread,
    /// Geometric from 1 down to `eps²`.
    Graded,
    /// Three quarters exact zeros.
    RankDeficient,
    /// Three distinct values.
    Repeated,
    /// Within a few eps of 1, and one zero.
    Clustered,
    /// All ones.
    Identity,
    /// All zeros.
    Zero,
}

pub fn spectra() -> impl Strategy<Value = Spectrum> {
    use Spectrum::{Clustered, Graded, Identity, RankDeficient, Repeated, Spread, Zero};
    prop_oneof![
        4 => Just(Spread), 4 => Just(Graded), 4 => Just(RankDeficient), 4 => Just(Repeated),
        4 => Just(Clustered), 1 => Just(Identity), 1 => Just(Zero),
    ]
}

/// Sizes `1..=200`: mostly small, some on either side of the thresholds of blocking and recursion.
pub fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 1..=8_usize, 6 => 9..=48_usize, 3 => 49..=127_usize, 2 => 128..=200_usize]
}

/// Decimal exponents of a scale: `±150` in f64, `±30` in f32.
pub fn exponents<T: Real>() -> std::ops::RangeInclusive<i32> {
    if T::NAME == "f32" { -30..=30 } else { -150..=150 }
}

pub fn rng(seed: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed)
}

/// Entries uniform in (-1, 1).
pub fn uniform<T: Real>(rows: usize, cols: usize, rng: &mut Pcg64) -> Matrix<T> {
    Matrix::from_fn(rows, cols, |_, _| T::of(rng.random_range(-1.0..1.0)))
}

/// Orthonormal columns, `cols <= rows`.
pub fn orthonormal<T: Real>(rows: usize, cols: usize, rng: &mut Pcg64) -> Matrix<T> {
    qr(&uniform(rows, cols, rng)).unwrap().q
}

impl Spectrum {
    /// `n` values of this kind.
    pub fn values(self, n: usize, eps: f64, rng: &mut Pcg64) -> Vec<f64> {
        (0..n)
            .map(|i| match self {
                Self::Spread => rng.random_range(-1.0..1.0),
                Self::Graded => (2.0 * eps.ln() * i as f64 / n as f64).exp(),
                Self::RankDeficient => f64::from(u8::from(i % 4 == 0)) * rng.random_range(0.5..1.0),
                Self::Repeated => [1.0, -0.5, 0.25][i % 3],
                Self::Clustered => f64::from(u8::from(i != 1)) * (1.0 + eps * (i % 7) as f64),
                Self::Identity => 1.0,
                Self::Zero => 0.0,
            })
            .collect()
    }

    /// A symmetric matrix `Q diag(λ) Qᵀ` at the given scale, and its eigenvalues up to rounding.
    pub fn symmetric<T: Real>(self, n: usize, scale: T, rng: &mut Pcg64) -> (Matrix<T>, Vec<T>) {
        let values: Vec<T> = self.values(n, T::EPS.f64(), rng).into_iter().map(T::of).collect();
        let q = orthonormal::<T>(n, n, rng);
        let ql = Matrix::from_fn(n, n, |i, j| q[(i, j)] * values[j]);
        let a = ql.mul(&q.transpose());
        let a = Matrix::from_fn(n, n, |i, j| scale * a[(i.max(j), i.min(j))]);
        (a, values.into_iter().map(|v| scale * v).collect())
    }

    /// An `m x n` matrix `U diag(|λ|) Vᵀ` at the given scale.
    pub fn rectangular<T: Real>(self, m: usize, n: usize, scale: T, rng: &mut Pcg64) -> Matrix<T> {
        let k = m.min(n);
        let values = self.values(k, T::EPS.f64(), rng);
        let (u, v) = (orthonormal::<T>(m, k, rng), orthonormal::<T>(n, k, rng));
        let us = Matrix::from_fn(m, k, |i, j| scale * (u[(i, j)] * T::of(values[j].abs())));
        us.mul(&v.transpose())
    }
}

/// `A` in `f64` and divided by a power of two near its largest entry, and that power: measures are taken
/// at unit scale and in full precision.
pub fn unit_scale<T: Real>(a: &Matrix<T>) -> (Matrix<f64>, f64) {
    let a = a.cast::<f64>();
    let m = a.max_abs();
    let power = if m == 0.0 { 1.0 } else { m.log2().floor().exp2() };
    (a.map(|x| x / power), power)
}

pub fn sub(a: &Matrix<f64>, b: &Matrix<f64>) -> Matrix<f64> {
    assert_eq!(a.shape(), b.shape());
    Matrix::from_fn(a.rows(), a.cols(), |i, j| a[(i, j)] - b[(i, j)])
}

/// `‖QᵀQ − I‖_F`.
pub fn orthonormality_error<T: Real>(q: &Matrix<T>) -> f64 {
    let q = q.cast::<f64>();
    sub(&q.transpose().mul(&q), &Matrix::identity(q.cols())).norm()
}

/// `‖A − U diag(s) Vᵀ‖_F / ‖A‖_F` (0 for a zero matrix that is reproduced).
pub fn reconstruction_error<T: Real>(a: &Matrix<T>, u: &Matrix<T>, s: &[T], v: &Matrix<T>) -> f64 {
    let (a, power) = unit_scale(a);
    let k = s.len();
    let us = Matrix::from_fn(u.rows(), k, |i, j| u[(i, j)].f64() * (s[j].f64() / power));
    let vt = Matrix::from_fn(k, v.rows(), |i, j| v[(j, i)].f64());
    relative(sub(&a, &us.mul(&vt)).norm(), a.norm())
}

/// What eigenvectors and singular vectors of `n x n` matrices may be off by, relative to the matrix: `4 (n + 2) eps`.
///
/// Backward stability gives a modest multiple of `n eps` (Golub and Van Loan, section 8.1; Higham, Accuracy and
/// Stability, section 19.9), and random rounding about `√n eps`; which multiple is not derived but measured. Of 100,000
/// random symmetric matrices in f32 for each size and spectrum the worst of eigh are off by 2.5, 4.12, 3.0 and 2.7 `n eps` at
/// `n` = 2, 3, 4 and 5, those of the SVD by 3.9, 3.6, 3.8 and 3.1, and larger ones by less; LAPACK's `ssyevd` by 4.03 at
/// `n = 3`, of 20,000. So `4 n eps` is no bound for the smallest; with two
/// rows more it is 1.59 times the worst that was seen, or more.
pub fn allowed<T: Real>(n: usize) -> f64 {
    4.0 * (n + 2) as f64 * T::EPS.f64()
}

/// `error / size`, where zero over zero is zero.
pub fn relative(error: f64, size: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error / size }
}

/// Two batches of results, one computed on one thread and one on two, must agree to the bit.
pub fn on_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

/// The bits of a slice.
pub fn bits<T: Real>(x: &[T]) -> Vec<u64> {
    x.iter().map(|v| v.f64().to_bits()).collect()
}
