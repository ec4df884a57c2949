//! A training step and a replayed batch of Jacobians allocate nothing after the first, with one thread and with two: for every
//! layer, every preset, the penalties, the gauge, contexts and dequantisers. One test alone in its process, for the allocator counts what
//! every thread does.

#[path = "suite/zoo/mod.rs"]
#[expect(dead_code, reason = "the laws of the suite use the rest")]
mod zoo;

use eigenflow::flow::presets::{Mask, Name, Nonlinearity, Preset};
use eigenflow::flow::{Dequantize, Flow, Role};
use eigenflow::train::{Gauge, Stepper, TrainOptions};
use eigenflow_autodiff::{Program, push_jacobian};
use eigenflow_linalg::Real;
use rayon::ThreadPool;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls of the allocator while `work` runs in a pool, its first run left out.
fn calls(pool: &ThreadPool, mut work: impl FnMut() + Send) -> usize {
    let counts = pool.install(|| {
        work();
        let region = Region::new(ALLOCATOR);
        (0..10).for_each(|_| work());
        region.change()
    });
    counts.allocations + counts.reallocations + counts.deallocations
}

fn flow<T: Real>(dim: usize, activation: Nonlinearity) -> Flow<T> {
    let preset = Preset {
        hidden: Some(vec![64, 64]),
        activation: Some(activation),
        mask: Some(Mask::Halves),
        ..Preset::named(Name::Realnvp)
    };
    Flow::new(preset.layers(dim, 0).unwrap(), 0, 0).unwrap()
}

fn numbers<T: Real>(count: usize) -> Vec<T> {
    (0..count).map(|k| T::of((k as f64 * 0.37).sin())).collect()
}

fn check_step<T: Real>(pool: &ThreadPool, name: &str, flow: &Flow<T>, rows: usize, options: &TrainOptions) {
    let noise = if matches!(flow.dequantize(), Dequantize::Variational { .. }) { flow.dim() } else { 0 };
    let columns = flow.dim() + flow.context_columns() + noise;
    let (mut flow, x) = (flow.clone(), numbers::<T>(rows * columns));
    let mut stepper = Stepper::new(&flow, rows, options).unwrap();
    let signs = if stepper.takes_signs() { vec![T::ONE; rows * flow.dim()] } else { Vec::new() };
    let step = || assert!(stepper.step(&mut flow, &x, &signs, 1e-4).unwrap().is_finite(), "{name}");
    let threads = pool.current_num_threads();
    assert_eq!(calls(pool, step), 0, "step, {name}, {threads} threads");
}

/// Every layer and every preset, penalties and the gauge, contexts and dequantisers.
fn check_everything(pool: &ThreadPool) {
    let plain = TrainOptions::default;
    // One shard for the smallest of these flows, up to 1024 rows: threads share the larger ones, and those of `check`.
    let rows = 200;
    let is_trained = |case: &zoo::Case| case.flow.parameters().iter().any(|p| p.role != Role::Frozen);
    for case in zoo::everything(3).into_iter().filter(is_trained) {
        check_step(pool, &case.name, &case.flow, rows, &plain());
    }
    let penalties = [
        ("exact", TrainOptions { alpha: 0.1, stochastic_penalty: Some(false), ..plain() }),
        ("stochastic", TrainOptions { alpha: 0.1, stochastic_penalty: Some(true), ..plain() }),
        ("weights", TrainOptions { alpha_weights: 0.1, ..plain() }),
        ("principal", TrainOptions { gauge: Gauge::Principal, gauge_weight: 1.0, ..plain() }),
    ];
    let preset = |name, layers, dim| {
        let preset = Preset { layers: Some(layers), ..Preset::named(name) };
        Flow::<f64>::new(preset.layers(dim, 0).unwrap(), 0, 0).unwrap()
    };
    for name in [Name::Realnvp, Name::Maf, Name::Iaf, Name::Nsf, Name::Residual, Name::Sylvester] {
        for (penalty, options) in &penalties {
            check_step(pool, &format!("{name:?}, {penalty}"), &preset(name, 2, 5), rows, options);
        }
        check_step(pool, &format!("{name:?}, deep"), &preset(name, 30, 5), rows, &plain());
    }
    for name in [Name::Realnvp, Name::Nice, Name::Glow, Name::Nsf, Name::Maf, Name::Iaf, Name::NsfAr] {
        let layers = Preset { layers: Some(2), ..Preset::named(name) }.layers(5, 0).unwrap();
        let layers = layers.into_iter().map(|layer| layer.given(3)).collect();
        let given = Flow::<f64>::new(layers, 0, 0).unwrap();
        assert_eq!(given.context_columns(), 3, "{name:?}");
        check_step(pool, &format!("{name:?} given three columns"), &given, rows, &plain());
        let counts = given.with_dequantizer(Dequantize::variational(5), 0).unwrap();
        check_step(pool, &format!("{name:?} given three columns, dequantised"), &counts, rows, &plain());
        if name == Name::Realnvp {
            // Samples, signs, contexts and noise, in this order.
            for (penalty, options) in &penalties {
                check_step(
                    pool,
                    &format!("given three columns, dequantised, {penalty}"),
                    &counts,
                    rows,
                    options,
                );
            }
        }
    }
    let counts = preset(Name::Realnvp, 2, 5).with_dequantizer(Dequantize::variational(5), 0).unwrap();
    check_step(pool, "dequantised", &counts, rows, &plain());
    // Beyond 64 columns the log-determinant is estimated.
    check_step(pool, "residual, estimated", &preset(Name::Residual, 2, 70), rows, &plain());
}

fn check<T: Real>(pools: &[ThreadPool], dim: usize, activation: Nonlinearity) {
    let rows = 512;
    let x = numbers::<T>(rows * dim);
    // All that a step can keep: moments, the average of weights, their decay.
    let options = TrainOptions { average: Some(0.99), weight_decay: 0.01, ..TrainOptions::default() };
    for pool in pools {
        let threads = pool.current_num_threads();
        let flow = flow::<T>(dim, activation);
        check_step(pool, &format!("{dim} columns, {activation:?}"), &flow, rows, &options);

        let program = Program::try_record(|r| {
            let (params, x) = (flow.declare(r), r.batch(dim));
            let z = flow.record_normalize(&params, x, 0..flow.layers().len(), false).out;
            push_jacobian(r, z, x).map(|block| vec![block])
        })
        .unwrap();
        let shared = flow.slices();
        let mut block = vec![T::ZERO; rows * dim * dim];
        let mut runner = program.runner();
        let push = || runner.run(rows, &[&x], &shared, &mut [&mut block]).unwrap();
        assert_eq!(calls(pool, push), 0, "Jacobians, {dim} columns, {activation:?}, {threads} threads");
    }
}

#[test]
fn steps_and_jacobians_allocate_nothing_after_the_first() {
    // Kept to the end: threads that end give memory back at any time.
    let pools = [1, 2].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap());
    // All threads have started, and have taken what they take for themselves.
    for pool in &pools {
        pool.broadcast(|_| ());
    }
    for dim in [2, 8, 64] {
        check::<f32>(&pools, dim, Nonlinearity::Tanh);
    }
    check::<f64>(&pools, 8, Nonlinearity::Silu);
    check::<f64>(&pools, 5, Nonlinearity::Relu);
    pools.iter().for_each(check_everything);
    // The counter does count.
    let region = Region::new(ALLOCATOR);
    drop(std::hint::black_box(vec![1.0; 10]));
    assert_eq!(region.change().allocations, 1);
}
