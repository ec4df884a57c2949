//! Programs of a flow that are recorded once and replayed: Jacobians, log-densities, samples.

use super::given::Given;
use super::{Case, Kind, Work};
use eigenflow::flow::Flow;
use eigenflow_autodiff::{Error, Program, Runner, push_jacobian};
use eigenflow_linalg::Real;
use std::hint::black_box;

/// A program, its memory, and its input and output.
pub struct Replay<T> {
    kind: Kind,
    flow: Flow<T>,
    runner: Runner<T>,
    rows: usize,
    input: Vec<T>,
    output: Vec<T>,
    seed: u64,
}

/// The pushed block `[n, j, i] = dz_i / dx_j` of a flow.
pub fn pushed<T: Real>(flow: &Flow<T>) -> Result<Program<T>, Error> {
    Program::try_record(|r| {
        let (params, x) = (flow.declare(r), r.batch(flow.dim()));
        let z = flow.record_normalize(&params, x, 0..flow.layers().len(), false).out;
        push_jacobian(r, z, x).map(|block| vec![block])
    })
}

impl<T: Real> Replay<T> {
    pub fn new(case: Case, given: &Given) -> Result<Self, String> {
        let flow = given.flow::<T>(case)?;
        let (rows, d) = (case.count, case.dim);
        let all = 0..flow.layers().len();
        let program = match case.kind {
            Kind::LogDensity => Program::record(|r| {
                let (params, x) = (flow.declare(r), r.batch(d));
                vec![flow.record_log_density(&params, x, all)]
            }),
            Kind::Sample => Program::record(|r| {
                let (params, z) = (flow.declare(r), r.batch(d));
                vec![flow.record_generate(&params, z, all).out]
            }),
            _ => pushed(&flow).map_err(|e| e.to_string())?,
        };
        let output = vec![T::ZERO; program.output_shapes()[0].len(rows)];
        let input = given.input(case, rows * d)?;
        Ok(Self { kind: case.kind, runner: program.runner(), flow, rows, input, output, seed: 0 })
    }

    fn run(&mut self) {
        let (flow, output) = (&self.flow, &mut self.output);
        let run = self.runner.run(self.rows, &[black_box(&self.input)], &flow.slices(), &mut [output]);
        run.expect("the buffers fit");
    }
}

impl<T: Real> Work for Replay<T> {
    fn call(&mut self) {
        if self.kind == Kind::Sample {
            // Drawing is part of sampling.
            self.seed += 1;
            self.input = self.flow.draw_latents(self.rows, 1.0, self.seed).into_data();
        }
        self.run();
        black_box(&self.output);
    }

    /// `[N, D, D]` Jacobians, `[N]` log-densities, or `[N, D]` data of the given latents.
    fn answer(&mut self) -> Vec<f64> {
        self.run();
        let d = self.flow.dim();
        if self.kind != Kind::Jacobian {
            return self.output.iter().map(|v| v.f64()).collect();
        }
        let entry = |block: &[T], k: usize| block[k % d * d + k / d].f64();
        let blocks = self.output.chunks_exact(d * d);
        blocks.flat_map(|block| (0..d * d).map(move |k| entry(block, k))).collect()
    }
}
