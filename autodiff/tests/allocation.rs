//! A replay allocates nothing, with one thread and with two. One test alone in its process, for
//! the allocator counts what every thread does.

use eigenflow_autodiff::{Error, Program, Runner, Var};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A training step with everything that needs room: products, sums over rows that feed back,
/// concatenations of many parts, solves with scratch, penalties through recorded tangents.
fn step() -> Program<f64> {
    Program::try_record(|r| {
        let (x, w, v, b) = (r.batch(8), r.shared(8, 8), r.shared(8, 8), r.shared(1, 8));
        let h = (x.matmul(w) + b).tanh();
        let mean = h.sum_rows() * 0.001;
        let parts: Vec<_> = (0..8).rev().map(|k| ((h - mean).slice(k..k + 1) * (k as f64)).sin()).collect();
        let y = v.solve_lines(Var::concat(&parts)) + x;
        let t = r.jvp(&[y], &[(x, x)])?[0];
        let loss = y.square().sum_all() + t.square().sum_all() - w.log_abs_det() * 10.0;
        let mut out = vec![loss];
        out.extend(r.gradient(loss, &[w, v, b])?);
        out.push(y);
        Ok::<_, Error>(out)
    })
    .unwrap()
}

fn run(runner: &mut Runner<f64>, rows: usize, x: &[f64], parameters: &[&[f64]], out: &mut [&mut [f64]]) {
    runner.run(rows, &[x], parameters, out).unwrap();
}

#[test]
fn a_replay_allocates_nothing() {
    let rows = 5000;
    let program = step();
    assert!(rows > 4 * program.shard_rows(), "several shards");
    let x: Vec<f64> = (0..rows * 8).map(|k| (k as f64 * 0.37).sin()).collect();
    let matrix: Vec<f64> =
        (0..64).map(|k| if k / 8 == k % 8 { 1.0 } else { 0.1 * (k as f64).cos() }).collect();
    let bias = [0.1; 8];
    let parameters: [&[f64]; 3] = [&matrix, &matrix, &bias];
    let mut outputs: Vec<Vec<f64>> = program.output_shapes().iter().map(|s| vec![0.0; s.len(rows)]).collect();
    let mut views: Vec<&mut [f64]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    // Kept to the end: threads that end give memory back at any time.
    let pools = [1, 2].map(|n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap());
    for pool in &pools {
        let threads = pool.current_num_threads();
        let mut runner = program.runner();
        let counts = pool.install(|| {
            run(&mut runner, rows, &x, &parameters, &mut views);
            let region = Region::new(ALLOCATOR);
            for _ in 0..20 {
                run(&mut runner, rows, &x, &parameters, &mut views);
            }
            region.change()
        });
        let calls = counts.allocations + counts.reallocations + counts.deallocations;
        assert_eq!(calls, 0, "{threads} threads: {counts:?}");
    }
    // The counter does count.
    let region = Region::new(ALLOCATOR);
    drop(std::hint::black_box(vec![1.0; 10]));
    assert_eq!(region.change().allocations, 1);
}
