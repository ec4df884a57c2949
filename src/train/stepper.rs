//! One training step: the objective and its gradient, and Adam in place.

use super::adam::Adam;
use super::objective::{Penalty, Step, step};
use super::{Error, TrainOptions};
use crate::flow::{Dequantize, Flow};
use eigenflow_autodiff::Runner;
use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::{Kernel, dispatch};
use eigenflow_linalg::lines::sum;
use smallvec::SmallVec;
use std::borrow::Cow;

/// Steps of Adam on the core of a flow, in training units; its buffers are kept from step to step.
///
/// [`super::fit`] is the loop around it, with epochs, validation and the guard.
///
/// ```
/// use eigenflow::flow::{Flow, bijections::{Affine, Form}};
/// use eigenflow::train::{Stepper, TrainOptions};
/// let mut flow = Flow::<f64>::new(vec![Affine::new(1, Form::Full).into()], 0, 0).unwrap();
/// let mut stepper = Stepper::new(&flow, 2, &TrainOptions::default()).unwrap();
/// // Rows -1 and 1 have variance 1: the likelihood is greatest at |w| = 1.
/// let before = stepper.step(&mut flow, &[-1.0, 1.0], &[], 0.01).unwrap();
/// let after = (0..200).map(|_| stepper.step(&mut flow, &[-1.0, 1.0], &[], 0.01).unwrap()).last().unwrap();
/// assert!(after <= before && (flow.parameters()[0].data[0].abs() - 1.0).abs() < 0.02);
/// ```
pub struct Stepper<T> {
    step: Step<T>,
    runner: Runner<T>,
    adam: Adam<T>,
    /// The objective, the mean negative log-likelihood, gradients, new values.
    outputs: Vec<Vec<T>>,
    batch: usize,
    clip: f64,
}

/// Parameters whose slices stand on the stack.
const MANY: usize = 512;

impl<T: Real> Stepper<T> {
    /// Steps on batches of `batch` rows.
    ///
    /// # Errors
    /// If an exact penalty would need too much memory, or a layer has no derivative.
    pub fn new(flow: &Flow<T>, batch: usize, options: &TrainOptions) -> Result<Self, Error> {
        let step = step(flow, flow.core(), options)?;
        Ok(Self {
            runner: step.program.runner(),
            outputs: step.program.output_shapes().iter().map(|s| vec![T::ZERO; s.unit()]).collect(),
            adam: Adam::new(step.trained.iter().map(|&k| flow.parameters()[k].data.len())),
            step,
            batch,
            clip: options.clip,
        })
    }

    /// Whether a step takes sign vectors beside the rows.
    pub fn takes_signs(&self) -> bool {
        self.step.penalty == Penalty::Stochastic
    }

    /// Bytes of workspace that one shard of a step in flight takes.
    pub fn workspace_bytes(&self) -> usize {
        self.step.program.workspace_bytes()
    }

    /// One step at the rate `rate` on rows in training units (`batch` of them, row-major, with their contexts if the flow takes
    /// them; whole numbers with normal noise behind, if it has a variational dequantiser), with as many sign vectors if the penalty is stochastic. Gives the mean negative log-likelihood before the step.
    ///
    /// # Errors
    /// If the numbers do not fit, or the objective or the gradient is not finite; the flow is then unchanged.
    pub fn step(&mut self, flow: &mut Flow<T>, rows: &[T], signs: &[T], rate: f64) -> Result<T, Error> {
        let per_row = [T::of(1.0 / self.batch as f64)];
        let parts = columns_apart(flow, rows);
        let mut batches: SmallVec<[&[T]; 4]> = SmallVec::new();
        batches.push(&parts[0]);
        batches.extend(self.takes_signs().then_some(signs));
        batches.extend(parts[1..].iter().map(|part| &part[..]));
        {
            let mut shared: SmallVec<[&[T]; MANY]> =
                flow.parameters().iter().map(|p| p.data.as_slice()).collect();
            shared.push(&per_row);
            let mut outputs: SmallVec<[&mut [T]; MANY]> =
                self.outputs.iter_mut().map(Vec::as_mut_slice).collect();
            self.runner.run(self.batch, &batches, &shared, &mut outputs)?;
        }
        let gradients = &self.outputs[2..2 + self.step.trained.len()];
        let norm = gradients.iter().map(|g| dispatch(Squares(g))).sum::<f64>().sqrt();
        if !norm.is_finite() || !self.outputs[0][0].is_finite() {
            return Err(Error::StepNotFinite { parameter: self.not_finite() });
        }
        let scale = if norm > self.clip { self.clip / norm } else { 1.0 };
        self.adam.begin();
        for (i, &p) in self.step.trained.iter().enumerate() {
            let data = &mut flow.parameters_mut()[p].data;
            self.adam.update(i, data, &self.outputs[2 + i], scale, rate);
        }
        let first = 2 + self.step.trained.len();
        for (i, &p) in self.step.updated.iter().enumerate() {
            flow.parameters_mut()[p].data.copy_from_slice(&self.outputs[first + i]);
        }
        Ok(self.outputs[1][0])
    }

    /// The first parameter whose gradient is not finite, by index.
    fn not_finite(&self) -> Option<usize> {
        let bad = |g: &Vec<T>| g.iter().any(|x| !x.is_finite());
        let i = self.outputs[2..].iter().take(self.step.trained.len()).position(bad)?;
        Some(self.step.trained[i])
    }
}

/// Samples, contexts and noise of rows, as programs of training take them; nothing is copied where there are samples alone.
pub(super) fn columns_apart<'a, T: Real>(flow: &Flow<T>, rows: &'a [T]) -> SmallVec<[Cow<'a, [T]>; 3]> {
    let noise = if matches!(flow.dequantize(), Dequantize::Variational { .. }) { flow.dim() } else { 0 };
    let widths = [flow.dim(), flow.context_columns(), noise];
    let all: usize = widths.iter().sum();
    let mut parts = SmallVec::new();
    if all == flow.dim() {
        parts.push(Cow::Borrowed(rows));
        return parts;
    }
    let mut first = 0;
    for width in widths {
        let own = first..first + width;
        first += width;
        if width > 0 {
            parts.push(rows.chunks_exact(all).flat_map(|row| row[own.clone()].iter().copied()).collect());
        }
    }
    parts
}

/// `Σ x²` in double precision.
struct Squares<'a, T>(&'a [T]);

/// Numbers that are added at a time.
const PARTS: usize = 64;

impl<T: Real> Kernel for Squares<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> f64 {
        let chunks = self.0.chunks_exact(PARTS);
        let rest: f64 = chunks.remainder().iter().map(|x| x.f64() * x.f64()).sum();
        let mut parts = [0.0; PARTS];
        for x in chunks {
            for i in 0..PARTS {
                parts[i] += x[i].f64() * x[i].f64();
            }
        }
        sum(&parts) + rest
    }
}
