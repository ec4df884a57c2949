//! Batches of small matrices, as local covariance has them: times are for the whole batch, on rayon's threads.

use criterion::{Criterion, criterion_group, criterion_main};
use eigenflow_linalg::eigen::{eigh_batch, eigvalsh_batch};
use eigenflow_linalg::lu::{inverse_batch, slogdet_batch};
use eigenflow_linalg::svd::{SvdKind, svd_batch};
use eigenflow_linalg::{Batch, Matrix, Real};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::hint::black_box;

/// Matrices and rows.
const CASES: [(usize, usize); 6] = [(4096, 2), (1024, 8), (1000, 16), (400, 32), (100, 64), (256, 64)];

fn uniform<T: Real>(count: usize, n: usize) -> Batch<T> {
    let mut rng = Pcg64::seed_from_u64(n as u64);
    Batch::new(count, n, n, (0..count * n * n).map(|_| T::of(rng.random_range(-1.0..1.0))).collect())
}

fn symmetric<T: Real>(count: usize, n: usize) -> Batch<T> {
    let a = uniform::<T>(count, n);
    let data = (0..count).flat_map(|k| {
        let a = a.matrix(k);
        Matrix::from_fn(n, n, |i, j| a[(i, j)] + a[(j, i)]).into_data()
    });
    Batch::new(count, n, n, data.collect())
}

fn run<T: Real, R>(
    c: &mut Criterion,
    name: &str,
    make: fn(usize, usize) -> Batch<T>,
    f: impl Fn(&Batch<T>) -> R,
) {
    let mut group = c.benchmark_group(format!("{name}/{}", T::NAME));
    group.sample_size(10);
    for (count, n) in CASES {
        let a = make(count, n);
        group.bench_function(format!("{count}x{n}"), |b| b.iter(|| f(black_box(&a))));
    }
    group.finish();
}

fn all<T: Real>(c: &mut Criterion) {
    run::<T, _>(c, "eigh", symmetric, |a| eigh_batch(a).unwrap());
    run::<T, _>(c, "eigvalsh", symmetric, |a| eigvalsh_batch(a).unwrap());
    run::<T, _>(c, "svd", uniform, |a| svd_batch(a, SvdKind::Full).unwrap());
    run::<T, _>(c, "svdvals", uniform, |a| svd_batch(a, SvdKind::Values).unwrap());
    run::<T, _>(c, "slogdet", uniform, |a| slogdet_batch(a).unwrap());
    run::<T, _>(c, "inverse", uniform, |a| inverse_batch(a).unwrap());
}

criterion_group!(benches, all::<f32>, all::<f64>);
criterion_main!(benches);
