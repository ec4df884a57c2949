//! Symmetric eigendecomposition and determinants: batches of eight matrices, threaded over the matrices: times are for eight.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use eigenflow_linalg::eigen::{eigh_batch, eigvalsh_batch};
use eigenflow_linalg::lu::slogdet_batch;
use eigenflow_linalg::{Batch, Matrix, Real};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::hint::black_box;

const COUNT: usize = 8;
const SIZES: [usize; 3] = [16, 64, 256];

fn symmetric<T: Real>(n: usize) -> Batch<T> {
    let mut rng = Pcg64::seed_from_u64(n as u64);
    let data = (0..COUNT).flat_map(|_| {
        let a = Matrix::from_fn(n, n, |_, _| rng.random_range(-1.0..1.0));
        Matrix::from_fn(n, n, |i, j| T::of(a[(i, j)] + a[(j, i)])).into_data()
    });
    Batch::new(COUNT, n, n, data.collect())
}

fn eigh<T: Real>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("eigh/{}", T::NAME));
    group.throughput(Throughput::Elements(COUNT as u64));
    for n in SIZES {
        let a = symmetric::<T>(n);
        group.bench_function(BenchmarkId::new("vectors", n), |b| {
            b.iter(|| eigh_batch(black_box(&a)).unwrap());
        });
        group.bench_function(BenchmarkId::new("values", n), |b| {
            b.iter(|| eigvalsh_batch(black_box(&a)).unwrap());
        });
    }
    group.finish();
}

fn slogdet<T: Real>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("slogdet/{}", T::NAME));
    group.throughput(Throughput::Elements(COUNT as u64));
    for n in SIZES {
        let a = symmetric::<T>(n);
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| slogdet_batch(black_box(&a)).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, eigh::<f32>, eigh::<f64>, slogdet::<f32>, slogdet::<f64>);
criterion_main!(benches);
