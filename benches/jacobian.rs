//! Exact Jacobians of a batch: RealNVP of eight couplings (halves, reversal, tanh conditioner
//! 2 x 64, log-scale in ±1), one push of `D` tangents, the program and its memory reused.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use eigenflow::flow::Flow;
use eigenflow::flow::presets::{Name, Nonlinearity, Preset};
use eigenflow::random::generator;
use eigenflow_autodiff::{Program, push_jacobian};
use eigenflow_linalg::Real;
use rand::RngExt;
use rand_distr::StandardNormal;
use std::hint::black_box;

fn realnvp<T: Real>(dim: usize) -> Flow<T> {
    let preset = Preset {
        layers: Some(8),
        hidden: Some(vec![64, 64]),
        activation: Some(Nonlinearity::Tanh),
        scale_bound: Some(1.0),
        ..Preset::named(Name::Realnvp)
    };
    Flow::new(preset.layers(dim, 0).expect("a valid preset"), 0, 0).expect("a valid flow")
}

fn normal<T: Real>(len: usize) -> Vec<T> {
    let mut random = generator(0, "bench", 0);
    (0..len).map(|_| T::of(random.sample::<f64, _>(StandardNormal))).collect()
}

fn jacobians<T: Real>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("jacobian/realnvp/{}", T::NAME));
    for (n, d) in [(4096, 2), (1024, 8), (256, 64), (64, 256), (4, 784)] {
        let flow = realnvp::<T>(d);
        let program = Program::try_record(|r| {
            let (params, x) = (flow.declare(r), r.batch(d));
            let z = flow.record_normalize(&params, x, 0..flow.layers().len(), false).out;
            push_jacobian(r, z, x).map(|block| vec![block])
        })
        .expect("every layer has a derivative");
        let x = normal::<T>(n * d);
        let mut block = vec![T::ZERO; n * d * d];
        let mut runner = program.runner();
        let parameters = flow.slices();
        group.bench_function(BenchmarkId::from_parameter(format!("{n}x{d}")), |b| {
            b.iter(|| {
                let run = runner.run(n, &[black_box(&x)], &parameters, &mut [&mut block]);
                run.expect("the buffers fit");
                black_box(&block);
            });
        });
    }
    group.finish();
}

fn both(c: &mut Criterion) {
    jacobians::<f32>(c);
    jacobians::<f64>(c);
}

criterion_group!(benches, both);
criterion_main!(benches);
