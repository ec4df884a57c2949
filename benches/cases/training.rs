//! A step of training: mean log-density of a batch, its gradient, Adam.

use super::given::Given;
use super::{Case, Work};
use eigenflow::flow::Flow;
use eigenflow_autodiff::{Error, Program, Runner};
use eigenflow_linalg::Real;
use std::hint::black_box;

/// Steps that an answer takes.
const ANSWER_STEPS: usize = 10;
/// Learning rate.
const RATE: f64 = 1e-3;

/// A flow that takes one step after another on the same rows.
///
/// STEP: `eigenflow::train` has no public way to take one step. When it has (a type that holds the recorded
/// program, its memory and the moments: `Stepper::new(&flow, &options, rows)`, then
/// `stepper.step(&mut flow, &rows, rate) -> nll`), it replaces `runner`, `outputs` and `adam` here, and
/// [`Adam`] below goes. `new` and `step` are the two places.
pub struct TrainStep<T> {
    flow: Flow<T>,
    rows: usize,
    input: Vec<T>,
    runner: Runner<T>,
    /// The loss, then a gradient for each parameter.
    outputs: Vec<Vec<T>>,
    adam: Adam<T>,
}

impl<T: Real> TrainStep<T> {
    pub fn new(case: Case, given: &Given) -> Result<Self, String> {
        let (rows, d) = (case.count, case.dim);
        let flow = given.flow::<T>(case)?;
        let program = Program::try_record(|r| {
            let (params, x) = (flow.declare(r), r.batch(d));
            let log_p = flow.record_log_density(&params, x, 0..flow.layers().len());
            let loss = log_p.sum_all() * T::of(-1.0 / rows as f64);
            let mut out = vec![loss];
            out.extend(r.gradient(loss, &params)?);
            Ok::<_, Error>(out)
        })
        .map_err(|e| e.to_string())?;
        let outputs = program.output_shapes().iter().map(|s| vec![T::ZERO; s.len(rows)]).collect();
        let adam = Adam::new(flow.parameters().iter().map(|p| p.data.len()));
        Ok(Self { rows, input: given.input(case, rows * d)?, runner: program.runner(), outputs, adam, flow })
    }

    /// One step; gives the loss before it.
    fn step(&mut self) -> T {
        {
            let mut views: Vec<&mut [T]> = self.outputs.iter_mut().map(Vec::as_mut_slice).collect();
            let run = self.runner.run(self.rows, &[black_box(&self.input)], &self.flow.slices(), &mut views);
            run.expect("the buffers fit");
        }
        self.adam.begin();
        for (k, parameter) in self.flow.parameters_mut().iter_mut().enumerate() {
            self.adam.update(k, &mut parameter.data, &self.outputs[k + 1]);
        }
        self.outputs[0][0]
    }
}

impl<T: Real> Work for TrainStep<T> {
    fn call(&mut self) {
        black_box(self.step());
    }

    /// The losses before each of ten steps, then all weights after them.
    fn answer(&mut self) -> Vec<f64> {
        let losses: Vec<T> = (0..ANSWER_STEPS).map(|_| self.step()).collect();
        let weights = self.flow.parameters().iter().flat_map(|p| p.data.iter().copied());
        losses.into_iter().chain(weights).map(Real::f64).collect()
    }
}

/// Adam as in the paper, one loop; stands in for the one of `train`, which is private.
struct Adam<T> {
    moments: Vec<(Vec<T>, Vec<T>)>,
    steps: i32,
}

impl<T: Real> Adam<T> {
    fn new(sizes: impl Iterator<Item = usize>) -> Self {
        Self { moments: sizes.map(|n| (vec![T::ZERO; n], vec![T::ZERO; n])).collect(), steps: 0 }
    }

    fn begin(&mut self) {
        self.steps += 1;
    }

    fn update(&mut self, k: usize, parameter: &mut [T], gradient: &[T]) {
        let (beta1, beta2) = (0.9_f64, 0.999_f64);
        let step = T::of(RATE / (1.0 - beta1.powi(self.steps)));
        let root = T::of((1.0 - beta2.powi(self.steps)).sqrt().recip());
        let (b1, b2, c1, c2) = (T::of(beta1), T::of(beta2), T::of(1.0 - beta1), T::of(1.0 - beta2));
        let epsilon = T::of(1e-8);
        let (m, v) = &mut self.moments[k];
        for (((p, &g), m), v) in parameter.iter_mut().zip(gradient).zip(m).zip(v) {
            *m = b1 * *m + c1 * g;
            *v = b2 * *v + c2 * g * g;
            *p -= step * *m / (v.sqrt() * root + epsilon);
        }
    }
}
