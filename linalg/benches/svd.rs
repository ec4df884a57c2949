//! Singular value decomposition: batches of eight square matrices, threaded over the matrices: times are for eight.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use eigenflow_linalg::svd::{SvdKind, svd_batch};
use eigenflow_linalg::{Batch, Real};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::hint::black_box;

const COUNT: usize = 8;

fn bench<T: Real>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("svd/{}", T::NAME));
    group.throughput(Throughput::Elements(COUNT as u64));
    for n in [16, 64, 256] {
        let mut rng = Pcg64::seed_from_u64(n as u64);
        let data = (0..COUNT * n * n).map(|_| T::of(rng.random_range(-1.0..1.0))).collect();
        let a = Batch::new(COUNT, n, n, data);
        for (name, kind) in [("thin", SvdKind::Thin), ("values", SvdKind::Values)] {
            group.bench_function(BenchmarkId::new(name, n), |b| {
                b.iter(|| svd_batch(black_box(&a), kind).unwrap());
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench::<f32>, bench::<f64>);
criterion_main!(benches);
