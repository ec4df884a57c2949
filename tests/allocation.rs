//! A training step and a batched Jacobian allocate nothing after the first, with one thread and with two. One
//! test alone in its process, for the allocator counts what every thread does.

use eigenflow::flow::Flow;
use eigenflow::flow::presets::{Mask, Name, Nonlinearity, Preset};
use eigenflow::train::{Stepper, TrainOptions};
use eigenflow_autodiff::{Program, push_jacobian};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROWS: usize = 512;
const DIM: usize = 8;

fn realnvp(activation: Nonlinearity, mask: Mask) -> Flow<f32> {
    let preset = Preset {
        hidden: Some(vec![64, 64]),
        activation: Some(activation),
        mask: Some(mask),
        ..Preset::named(Name::Realnvp)
    };
    Flow::new(preset.layers(DIM, 0).unwrap(), 0, 0).unwrap()
}

fn calls(work: &mut dyn FnMut()) -> usize {
    work();
    let region = Region::new(ALLOCATOR);
    (0..10).for_each(|_| work());
    let counts = region.change();
    counts.allocations + counts.reallocations + counts.deallocations
}

#[test]
fn steps_and_jacobians_allocate_nothing() {
    let x: Vec<f32> = (0..ROWS * DIM).map(|k| (k as f32 * 0.37).sin()).collect();
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for (activation, mask) in [(Nonlinearity::Tanh, Mask::Halves), (Nonlinearity::Silu, Mask::Random)] {
            let mut flow = realnvp(activation, mask);
            let mut stepper = Stepper::new(&flow, ROWS, &TrainOptions::default()).unwrap();
            let step = pool.install(|| {
                calls(&mut || {
                    stepper.step(&mut flow, &x, &[], 1e-3).unwrap();
                })
            });
            assert_eq!(step, 0, "a step with {activation:?}, {threads} threads");

            let program = Program::try_record(|r| {
                let (params, x) = (flow.declare(r), r.batch(DIM));
                let z = flow.record_normalize(&params, x, flow.core(), false).out;
                push_jacobian(r, z, x).map(|block| vec![block])
            })
            .unwrap();
            let (mut runner, mut block) = (program.runner(), vec![0.0; ROWS * DIM * DIM]);
            let parameters = flow.slices();
            let jacobian = pool
                .install(|| calls(&mut || runner.run(ROWS, &[&x], &parameters, &mut [&mut block]).unwrap()));
            assert_eq!(jacobian, 0, "Jacobians with {activation:?}, {threads} threads");
        }
    }
    // The counter does count.
    assert_eq!(calls(&mut || drop(std::hint::black_box(vec![1.0; 10]))), 20);
}
