//! One training step: the objective and its gradient, Adam in place, and the average of weights.

use super::adam::{Adam, Change};
use super::average::{Average, follow};
use super::columns::Columns;
use super::gauge::Contrast;
use super::objective::{Penalty, Step, step};
use super::{Error, State, TrainOptions};
use crate::flow::{Flow, Role};
use crate::random::generator;
use eigenflow_autodiff::Runner;
use eigenflow_linalg::Real;
use rand::RngExt;
use smallvec::SmallVec;

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
    /// Its outputs: the objective, the mean negative log-likelihood, gradients, new values.
    runner: Runner<T>,
    adam: Adam<T>,
    /// Of the trained parameters and the updated ones, in that order.
    average: Option<Average<T>>,
    batch: usize,
    columns: Columns<T>,
    clip: f64,
    weight_decay: f64,
    /// One in the place of the column of `J_g` that stands for all (stochastic gauge).
    column: Vec<T>,
    seed: u64,
}

/// Parameters whose slices stand on the stack.
const MANY: usize = 512;

impl<T: Real> Stepper<T> {
    /// Steps on batches of `batch` rows. No average is kept unless the options state its decay, for that of a run depends on
    /// its length.
    ///
    /// # Errors
    /// If an exact penalty would need too much memory, or a layer has no derivative.
    pub fn new(flow: &Flow<T>, batch: usize, options: &TrainOptions) -> Result<Self, Error> {
        let step = step(flow, flow.core(), options)?;
        let moving = step.trained.iter().chain(&step.updated).map(|&k| flow.parameters()[k].data.len());
        let average = options.average.filter(|&b| b > 0.0).map(|decay| Average::new(moving, decay));
        Ok(Self {
            runner: step.program.runner(),
            adam: Adam::new(step.trained.iter().map(|&k| flow.parameters()[k].data.len())),
            average,
            step,
            batch,
            columns: Columns::of(flow),
            clip: options.clip,
            weight_decay: options.weight_decay,
            column: vec![T::ZERO; flow.dim()],
            seed: options.seed,
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
        if self.step.contrast == Contrast::Stochastic {
            let mut random = generator(self.seed, "gauge", self.adam.steps as u64);
            self.column.fill(T::ZERO);
            let chosen = random.random_range(0..self.column.len() as u64) as usize;
            self.column[chosen] = T::ONE;
        }
        {
            let signs = self.takes_signs().then_some(signs);
            let parts = self.columns.apart(rows);
            let mut batches: SmallVec<[&[T]; 4]> = SmallVec::from_slice(&parts[..1]);
            batches.extend(signs);
            batches.extend_from_slice(&parts[1..]);
            // Estimates are drawn anew.
            let draws = flow.draws(self.seed, self.adam.steps as u64);
            let mut shared: SmallVec<[&[T]; MANY]> =
                flow.parameters().iter().map(|p| p.data.as_slice()).collect();
            draws.iter().for_each(|(p, draw)| shared[*p] = draw);
            shared.push(&per_row);
            if self.step.contrast == Contrast::Stochastic {
                shared.push(&self.column);
            }
            self.runner.run_in_place(self.batch, &batches, &shared)?;
        }
        let norm = self.norm();
        if !norm.is_finite() || !self.runner.output(0)[0].is_finite() {
            return Err(Error::StepNotFinite { parameter: self.not_finite() });
        }
        let scale = if norm > self.clip { self.clip / norm } else { 1.0 };
        self.descend(flow, scale, rate);
        let first = 2 + self.step.trained.len();
        for (i, &p) in self.step.updated.iter().enumerate() {
            flow.parameters_mut()[p].data.copy_from_slice(self.runner.output(first + i));
        }
        if let Some(average) = &mut self.average {
            let gain = average.gain(self.adam.steps);
            let updated = average.weights[self.step.trained.len()..].iter_mut().zip(&self.step.updated);
            updated.for_each(|(average, &p)| follow(average, &flow.parameters()[p].data, gain));
        }
        Ok(self.runner.output(1)[0])
    }

    /// Of all gradients of the last run together.
    fn norm(&self) -> f64 {
        (0..self.step.trained.len()).map(|k| self.runner.square(2 + k)).sum::<f64>().sqrt()
    }

    /// The gradients of the last run, in the order of the trained parameters.
    fn gradients(&self) -> impl Iterator<Item = &[T]> {
        (0..self.step.trained.len()).map(|k| self.runner.output(2 + k))
    }

    /// The optimiser's step, with the gradients of the last run.
    fn descend(&mut self, flow: &mut Flow<T>, scale: f64, rate: f64) {
        let runner = &self.runner;
        let gain = self.average.as_ref().map_or(T::ZERO, |a| a.gain(self.adam.steps + 1));
        let mut averages = self.average.iter_mut().flat_map(|a| &mut a.weights);
        let all = flow.parameters_mut().iter_mut().enumerate();
        let trained = all.filter(|(p, _)| self.step.trained.binary_search(p).is_ok());
        let mut changes: SmallVec<[Change<'_, T>; MANY]> = SmallVec::new();
        for (k, (_, parameter)) in trained.enumerate() {
            let decay = if parameter.role == Role::Weight { self.weight_decay } else { 0.0 };
            let average = averages.next().map(Vec::as_mut_slice);
            let gradient = runner.output(2 + k);
            changes.push(Change { parameter: &mut parameter.data, gradient, decay, average });
        }
        self.adam.step(&mut changes, scale, rate, gain);
    }

    /// Exchanges the flow's weights and their moving average, where one is kept: once before the averaged flow is looked
    /// at, and once after.
    pub fn swap_average(&mut self, flow: &mut Flow<T>) {
        let Some(average) = self.average.as_mut().filter(|_| self.adam.steps > 0) else { return };
        let moving = self.step.trained.iter().chain(&self.step.updated);
        for (mine, &p) in average.weights.iter_mut().zip(moving) {
            std::mem::swap(mine, &mut flow.parameters_mut()[p].data);
        }
    }

    /// The optimiser's part of a [`State`].
    pub(super) fn save(&self, state: &mut State<T>) {
        state.steps = self.adam.steps;
        state.moments.clone_from(&self.adam.moments);
        state.average = self.average.as_ref().map_or_else(Vec::new, |a| a.weights.clone());
    }

    /// The state of a run whose flow is the averaged one now (between two [`Stepper::swap_average`]).
    pub(super) fn save_swapped(&self, state: &mut State<T>, averaged: &Flow<T>) {
        self.save(state);
        state.last = averaged.parameters().iter().map(|p| p.data.clone()).collect();
        let moving = self.step.trained.iter().chain(&self.step.updated);
        for (mine, &p) in state.average.iter_mut().zip(moving) {
            std::mem::swap(mine, &mut state.last[p]);
        }
    }

    /// Goes on from a state of a run on the same flow. An average that the state does not have starts anew from the weights
    /// of the flow.
    pub(super) fn restore(&mut self, state: &State<T>, flow: &Flow<T>) {
        self.adam.steps = state.steps;
        self.adam.moments.clone_from(&state.moments);
        if let Some(average) = &mut self.average {
            if state.average.is_empty() {
                let moving = self.step.trained.iter().chain(&self.step.updated);
                average.weights = moving.map(|&p| flow.parameters()[p].data.clone()).collect();
            } else {
                average.weights.clone_from(&state.average);
            }
        }
    }

    /// Whether a state has the sizes of this run.
    pub(super) fn fits(&self, state: &State<T>) -> bool {
        let same = |a: &[Vec<T>], b: &[Vec<T>]| a.iter().map(Vec::len).eq(b.iter().map(Vec::len));
        let [m, v] = &state.moments;
        let average = self
            .average
            .as_ref()
            .is_none_or(|a| state.average.is_empty() || same(&a.weights, &state.average));
        average && same(&self.adam.moments[0], m) && same(&self.adam.moments[1], v)
    }

    /// The first parameter whose gradient is not finite, by index.
    fn not_finite(&self) -> Option<usize> {
        let i = self.gradients().position(|g| g.iter().any(|x| !x.is_finite()))?;
        Some(self.step.trained[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Layer;
    use crate::flow::bijections::{Affine, Coupling, Form};
    use crate::flow::conditioner::Activation;
    use crate::train::{EpochRow, Schedule, Stop, fit};
    use eigenflow_linalg::Matrix;
    use std::ops::ControlFlow;

    fn line() -> Flow<f64> {
        let mut flow = Flow::<f64>::new(vec![Affine::new(1, Form::Full).into()], 0, 0).unwrap();
        flow.parameters_mut().iter_mut().zip([0.5, 0.25]).for_each(|(p, v)| p.data[0] = v);
        flow
    }

    /// `f = w x + b` on the rows -1 and 2: the mean loss has the gradients `E[f x] - 1/w` and `E[f]`.
    fn gradients(w: f64, b: f64) -> [f64; 2] {
        let f = [-w + b, 2.0 * w + b];
        [0.5 * (2.0 * f[1] - f[0]) - 1.0 / w, 0.5 * (f[0] + f[1])]
    }

    /// AdamW on a line, by hand: the norm of the gradient is cut at 0.3, the weight decays and the offset does not.
    fn by_hand(steps: usize, rate: f64, decay: f64, clip: f64) -> Vec<[f64; 2]> {
        let (mut p, mut m, mut v) = ([0.5, 0.25], [0.0; 2], [0.0; 2]);
        let mut path = Vec::new();
        for t in 1..=steps as i32 {
            let g = gradients(p[0], p[1]);
            let norm = g[0].hypot(g[1]);
            let scale = if norm > clip { clip / norm } else { 1.0 };
            for i in 0..2 {
                let g = g[i] * scale;
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let (first, second) = (m[i] / (1.0 - 0.9_f64.powi(t)), v[i] / (1.0 - 0.999_f64.powi(t)));
                let decay = if i == 0 { decay } else { 0.0 };
                p[i] -= rate * (first / (second.sqrt() + 1e-8) + decay * p[i]);
            }
            path.push(p);
        }
        path
    }

    #[test]
    fn a_short_trajectory_by_hand() {
        let options =
            TrainOptions { clip: 0.3, weight_decay: 0.2, average: Some(0.75), ..TrainOptions::default() };
        let mut flow = line();
        let mut stepper = Stepper::new(&flow, 2, &options).unwrap();
        let path = by_hand(6, 0.05, 0.2, 0.3);
        for p in &path {
            stepper.step(&mut flow, &[-1.0, 2.0], &[], 0.05).unwrap();
            for (got, expected) in flow.parameters().iter().zip(p) {
                assert!((got.data[0] - expected).abs() < 1e-12, "{} and {expected}", got.data[0]);
            }
        }
        // The average, from its definition: weights 0.75^(6-t) over their sum.
        let weights: Vec<f64> = (0..6).map(|t| 0.75_f64.powi(5 - t)).collect();
        let mean = |i: usize| {
            path.iter().zip(&weights).map(|(p, w)| p[i] * w).sum::<f64>() / weights.iter().sum::<f64>()
        };
        let last = flow.clone();
        stepper.swap_average(&mut flow);
        for i in 0..2 {
            assert!((flow.parameters()[i].data[0] - mean(i)).abs() < 1e-12);
        }
        stepper.swap_average(&mut flow);
        assert_eq!(flow, last);
        // Without the cut it is another trajectory.
        assert!((by_hand(6, 0.05, 0.2, 1e9)[5][0] - path[5][0]).abs() > 1e-4);
    }

    #[test]
    fn rows_that_do_not_fit_are_refused() {
        let affine = Affine { dim: 2, form: Form::Full, frozen: false };
        let coupling =
            Coupling { dim: 2, moved: vec![1], hidden: vec![4], activation: Activation::Tanh, bound: 2.0 };
        let layers = vec![Layer::from(affine), Layer::from(coupling).given(1)];
        let mut flow = Flow::<f64>::new(layers, 0, 0).unwrap();
        let mut stepper = Stepper::new(&flow, 2, &TrainOptions::default()).unwrap();
        let before = flow.clone();
        for count in [0, 3, 5, 7, 9] {
            let error = stepper.step(&mut flow, &vec![0.5; count], &[], 0.1).unwrap_err();
            assert!(error.to_string().contains("batch input"), "{count} numbers: {error}");
        }
        assert_eq!(flow, before);
        stepper.step(&mut flow, &[0.5; 6], &[], 0.1).unwrap();
    }

    /// A batch of 0 is all rows: an epoch is one step, and the loop around it has the same trajectory.
    #[test]
    fn full_batches_make_one_step_an_epoch() {
        let options = TrainOptions {
            batch: 0,
            epochs: 5,
            lr: 0.05,
            clip: 1e9,
            schedule: Schedule::Constant,
            warm_up: Some(2.0),
            ..TrainOptions::default()
        };
        let mut flow = line();
        let rows = Matrix::new(2, 1, vec![-1.0, 2.0]);
        let mut seen = Vec::new();
        let mut look = |row: &EpochRow, flow: &Flow<f64>| {
            seen.push((row.lr, flow.parameters()[0].data[0]));
            ControlFlow::Continue(())
        };
        fit(&mut flow, &rows, None, &options, &mut look).unwrap();
        assert_eq!(seen.iter().map(|s| s.0).collect::<Vec<_>>(), [0.025, 0.05, 0.05, 0.05, 0.05]);
        let first = 0.5 - 0.025 * gradients(0.5, 0.25)[0].signum();
        assert!((seen[0].1 - first).abs() < 1e-8, "{seen:?}");
    }
    /// Epochs that change nothing use patience up; who asks to stop at the last of them stops a run that is at its end.
    #[test]
    fn a_run_whose_patience_is_out_was_not_interrupted() {
        let rows = Matrix::new(2, 1, vec![-1.0, 2.0]);
        for (patience, stop) in [(1, Stop::EarlyStopping), (0, Stop::Interrupted)] {
            let options =
                TrainOptions { batch: 0, epochs: 9, lr: 1e-300, patience, ..TrainOptions::default() };
            let mut look = |row: &EpochRow, _: &Flow<f64>| match row.epoch {
                2 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
            let record = fit(&mut line(), &rows, None, &options, &mut look).unwrap();
            assert_eq!((record.stop, record.epochs.len()), (stop, 2));
        }
    }
    /// Without patience the plateau's rate waits for a third of the default one.
    #[test]
    fn a_plateau_waits_before_halving() {
        let rows = Matrix::new(2, 1, vec![-1.0, 2.0]);
        let rates = |patience| {
            let schedule = Schedule::Plateau;
            let options = TrainOptions {
                batch: 0,
                epochs: 16,
                lr: 1e-300,
                patience,
                schedule,
                ..TrainOptions::default()
            };
            let record =
                fit(&mut line(), &rows, None, &options, &mut |_, _| ControlFlow::Continue(())).unwrap();
            record.epochs.iter().map(|e| (e.lr / 1e-300 * 8.0).round() as u32).collect::<Vec<_>>()
        };
        let expected: Vec<u32> = [8, 4, 2].iter().zip([7, 6, 3]).flat_map(|(&r, n)| vec![r; n]).collect();
        assert_eq!(rates(0), expected);
        assert_eq!(rates(20), expected);
    }
}
