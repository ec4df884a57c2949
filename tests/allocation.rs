//! A training step and a replayed batch of Jacobians allocate nothing after the first, with one thread and with two. One
//! test alone in its process, for the allocator counts what every thread does.

use eigenflow::flow::Flow;
use eigenflow::flow::presets::{Mask, Name, Nonlinearity, Preset};
use eigenflow::train::{Stepper, TrainOptions};
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

fn check<T: Real>(pools: &[ThreadPool], dim: usize, activation: Nonlinearity) {
    let rows = 512;
    let x: Vec<T> = (0..rows * dim).map(|k| T::of((k as f64 * 0.37).sin())).collect();
    // All that a step can keep: moments, the average of weights, their decay.
    let options = TrainOptions { average: Some(0.99), weight_decay: 0.01, ..TrainOptions::default() };
    for pool in pools {
        let threads = pool.current_num_threads();
        let mut flow = flow::<T>(dim, activation);
        let mut stepper = Stepper::new(&flow, rows, &options).unwrap();
        let step = || assert!(stepper.step(&mut flow, &x, &[], 1e-3).unwrap().is_finite());
        assert_eq!(calls(pool, step), 0, "step, {dim} columns, {activation:?}, {threads} threads");

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
    // The counter does count.
    let region = Region::new(ALLOCATOR);
    drop(std::hint::black_box(vec![1.0; 10]));
    assert_eq!(region.change().allocations, 1);
}
