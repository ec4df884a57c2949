//! Log-density of a batch of 512 rows and its gradient with respect to all parameters: RealNVP of
//! eight couplings (halves, reversal, tanh conditioner 2 x 64, log-scale in ±1).

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use eigenflow::flow::Flow;
use eigenflow::flow::presets::{Name, Nonlinearity, Preset};
use eigenflow::random::generator;
use eigenflow_autodiff::Program;
use eigenflow_linalg::Real;
use rand::RngExt;
use rand_distr::StandardNormal;
use std::hint::black_box;

const ROWS: usize = 512;

fn steps<T: Real>(c: &mut Criterion) {
    let mut group = c.benchmark_group(format!("train_step/realnvp/{}", T::NAME));
    for d in [2, 8, 64] {
        let preset = Preset {
            hidden: Some(vec![64, 64]),
            activation: Some(Nonlinearity::Tanh),
            scale_bound: Some(1.0),
            ..Preset::named(Name::Realnvp)
        };
        let layers = preset.layers(d, 0).expect("a valid preset");
        let flow = Flow::<T>::new(layers, 0, 0).expect("a valid flow");
        let program = Program::try_record(|r| {
            let (params, x) = (flow.declare(r), r.batch(d));
            let log_p = flow.record_log_density(&params, x, 0..flow.layers().len());
            let loss = log_p.sum_all() * T::of(-1.0 / ROWS as f64);
            let mut out = vec![loss];
            out.extend(r.gradient(loss, &params)?);
            Ok::<_, eigenflow_autodiff::Error>(out)
        })
        .expect("every layer has a derivative");
        let mut random = generator(0, "bench", 0);
        let x: Vec<T> = (0..ROWS * d).map(|_| T::of(random.sample::<f64, _>(StandardNormal))).collect();
        let mut outputs: Vec<Vec<T>> =
            program.output_shapes().iter().map(|s| vec![T::ZERO; s.len(ROWS)]).collect();
        let mut runner = program.runner();
        let parameters = flow.slices();
        group.bench_function(BenchmarkId::from_parameter(format!("{ROWS}x{d}")), |b| {
            let mut views: Vec<&mut [T]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
            b.iter(|| {
                runner.run(ROWS, &[black_box(&x)], &parameters, &mut views).expect("the buffers fit");
                black_box(&views);
            });
        });
    }
    group.finish();
}

fn both(c: &mut Criterion) {
    steps::<f32>(c);
    steps::<f64>(c);
}

criterion_group!(benches, both);
criterion_main!(benches);
