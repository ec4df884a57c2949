//! Replays of recorded programs: values, gradients and Jacobians of a network.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use eigenflow_autodiff::{Error, Program, Recorder, Var, push_jacobian};
use eigenflow_linalg::Real;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;
use std::hint::black_box;

const D: usize = 64;
const LAYERS: usize = 3;

/// Weights and biases of `LAYERS` layers of `D` to `D`, tanh between.
fn network<'t, T: Real>(r: &'t Recorder<T>, x: Var<'t, T>) -> (Var<'t, T>, Vec<Var<'t, T>>) {
    let mut parameters = Vec::new();
    let mut y = x;
    for layer in 0..LAYERS {
        let (w, b) = (r.shared(D, D), r.shared(1, D));
        y = y.matmul(w) + b;
        if layer + 1 < LAYERS {
            y = y.tanh();
        }
        parameters.extend([w, b]);
    }
    (y, parameters)
}

fn sample<T: Real>(len: usize, rng: &mut Pcg64) -> Vec<T> {
    (0..len).map(|_| T::of(rng.random::<f64>() / 4.0 - 0.125)).collect()
}

fn replay<T: Real>(c: &mut Criterion, name: &str, rows: usize, program: &Program<T>) {
    let mut rng = Pcg64::seed_from_u64(1);
    let x: Vec<T> = sample(rows * D, &mut rng);
    let parameters: Vec<Vec<T>> =
        (0..2 * LAYERS).map(|k| sample(if k % 2 == 0 { D * D } else { D }, &mut rng)).collect();
    let shared: Vec<&[T]> = parameters.iter().map(Vec::as_slice).collect();
    let mut outputs: Vec<Vec<T>> =
        program.output_shapes().iter().map(|s| vec![T::ZERO; s.len(rows)]).collect();
    let mut views: Vec<&mut [T]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    let mut runner = program.runner();
    let mut group = c.benchmark_group("tape replay");
    group.throughput(Throughput::Elements(rows as u64));
    group.bench_function(format!("{name} {} {rows}x{D}", T::NAME), |b| {
        b.iter(|| runner.run(rows, &[black_box(&x)], &shared, &mut views).expect("inputs fit"));
    });
    group.finish();
}

fn all<T: Real>(c: &mut Criterion) {
    let forward = Program::<T>::record(|r| vec![network(r, r.batch(D)).0]);
    replay(c, "forward", 4096, &forward);
    let gradient = Program::<T>::try_record(|r| {
        let (y, parameters) = network(r, r.batch(D));
        let loss = y.square().sum_all();
        let mut out = vec![loss];
        out.extend(r.gradient(loss, &parameters)?);
        Ok::<_, Error>(out)
    });
    replay(c, "gradient", 4096, &gradient.expect("differentiable"));
    let jacobian = Program::<T>::try_record(|r| {
        let x = r.batch(D);
        let (y, _) = network(r, x);
        Ok::<_, Error>(vec![push_jacobian(r, y, x)?])
    });
    replay(c, "jacobian", 256, &jacobian.expect("differentiable"));
}

criterion_group!(benches, all::<f32>, all::<f64>);
criterion_main!(benches);
