//! A step of training: mean log-density of a batch, its gradient, Adam.

use super::given::Given;
use super::{Case, Work};
use eigenflow::flow::Flow;
use eigenflow::train::{Stepper, TrainOptions};
use eigenflow_linalg::{Real, awake};
use std::hint::black_box;

/// Steps that an answer takes.
const ANSWER_STEPS: usize = 10;
/// Learning rate.
const RATE: f64 = 1e-3;

/// A flow that takes one step after another on the same rows.
pub struct TrainStep<T> {
    flow: Flow<T>,
    input: Vec<T>,
    stepper: Stepper<T>,
}

impl<T: Real> TrainStep<T> {
    pub fn new(case: Case, given: &Given) -> Result<Self, String> {
        let (rows, d) = (case.count, case.dim);
        let flow = given.flow::<T>(case)?;
        // The peers do not clip.
        let options = TrainOptions { clip: f64::INFINITY, ..TrainOptions::default() };
        let stepper = Stepper::new(&flow, rows, &options).map_err(|e| e.to_string())?;
        Ok(Self { input: given.input(case, rows * d)?, stepper, flow })
    }

    /// One step; gives the loss before it.
    fn step(&mut self) -> T {
        let step = self.stepper.step(&mut self.flow, black_box(&self.input), &[], RATE);
        step.expect("the numbers fit and are finite")
    }
}

impl<T: Real> Work for TrainStep<T> {
    fn call(&mut self) {
        black_box(self.step());
    }

    /// As the training loop takes them.
    fn calls(&mut self, count: u64) {
        awake(|| (0..count).for_each(|_| self.call()));
    }

    /// The losses before each of ten steps, then all weights after them.
    fn answer(&mut self) -> Vec<f64> {
        let losses: Vec<T> = (0..ANSWER_STEPS).map(|_| self.step()).collect();
        let weights = self.flow.parameters().iter().flat_map(|p| p.data.iter().copied());
        losses.into_iter().chain(weights).map(Real::f64).collect()
    }
}
