//! Products of square matrices on one thread.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use eigenflow_linalg::product::{Accum, matmul};
use eigenflow_linalg::{Matrix, Real};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::hint::black_box;

fn bench<T: Real>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("product/{}", T::NAME));
    for n in [16, 64, 256, 1024] {
        let mut rng = Pcg64::seed_from_u64(n as u64);
        let mut random = || Matrix::from_fn(n, n, |_, _| T::of(rng.random_range(-1.0..1.0)));
        let (a, b, mut out) = (random(), random(), Matrix::zeros(n, n));
        // Multiply-adds a second.
        group.throughput(Throughput::Elements((n * n * n) as u64));
        group.bench_function(BenchmarkId::from_parameter(n), |bench| {
            bench.iter(|| {
                matmul(out.view_mut(), Accum::Replace, T::ONE, black_box(&a).view(), b.view()).unwrap();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench::<f32>, bench::<f64>);
criterion_main!(benches);
