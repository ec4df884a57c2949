//! A run: epochs of steps, validation and the guard.

use super::rows::{add_noise, refreshed, sample_rows};
use super::{Epoch, check_memory};
use crate::data::formats::numbers::available_memory;
use crate::flow::{Flow, Layer};
use crate::random::generator;
use crate::train::columns::Columns;
use crate::train::gauge::mean_contrast;
use crate::train::guard::{self, Guard};
use crate::train::objective::validation;
use crate::train::{EpochRow, Error, Gauge, Schedule, State, Stepper, Stop, TrainOptions};
use eigenflow_autodiff::Runner;
use eigenflow_linalg::{Matrix, Real, awake};
use rand::{Rng, RngExt};
use std::ops::ControlFlow;

/// Everything a run holds.
pub(super) struct Run<'a, T> {
    options: &'a TrainOptions,
    x: Matrix<T>,
    noisy: Matrix<T>,
    held: Matrix<T>,
    held_columns: Columns<T>,
    guard: Guard<T>,
    stepper: Stepper<T>,
    validation: Runner<T>,
    rows: Vec<T>,
    signs: Vec<T>,
    order: Vec<usize>,
    batch: usize,
    /// Up to date where the last epoch ended, but for weights and moments.
    pub state: State<T>,
}

impl<'a, T: Real> Run<'a, T> {
    pub(super) fn new(
        flow: &mut Flow<T>,
        x: Matrix<T>,
        held: Matrix<T>,
        seen: &Matrix<T>,
        options: &'a TrainOptions,
        from: Option<State<T>>,
    ) -> Result<Self, Error> {
        let batch = if options.batch == 0 { x.rows() } else { options.batch.min(x.rows()) };
        check_memory(flow, batch, available_memory())?;
        // Rows of an epoch have the columns of those that are held.
        let (dim, width) = (flow.dim(), held.cols());
        let steps = (x.rows() / batch).max(1).saturating_mul(options.epochs);
        let average = Some(options.decay(steps));
        let mut stepper = Stepper::new(flow, batch, &TrainOptions { average, ..options.clone() })?;
        let watched =
            sample_rows(seen, guard::rows(dim, x.rows(), options.max_condition.is_finite()), options.seed);
        let weights: Vec<Vec<T>> = flow.parameters().iter().map(|p| p.data.clone()).collect();
        let sizes = || weights.iter().map(Vec::len);
        let mut state = match from {
            None => State { best: weights, ..State::default() },
            Some(s) if stepper.fits(&s) && sizes().eq(s.last.iter().map(Vec::len)) => {
                s.restore_last(flow);
                stepper.restore(&s, flow);
                s
            }
            Some(_) => return Err(Error::State),
        };
        state.record.options = options.clone();
        state.record.rows = x.rows();
        state.record.stop = Stop::default();
        Ok(Self {
            options,
            noisy: x.clone(),
            order: (0..x.rows()).collect(),
            held,
            held_columns: Columns::of(flow),
            guard: Guard::new(flow, watched)?,
            signs: vec![T::ONE; if stepper.takes_signs() { batch * dim } else { 0 }],
            validation: validation(flow, flow.core())?.runner(),
            stepper,
            rows: vec![T::ZERO; batch * width],
            batch,
            state,
            x,
        })
    }

    pub(super) fn epochs(
        &mut self,
        flow: &mut Flow<T>,
        observer: &mut dyn FnMut(&Epoch<'_, T>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let per_epoch = (self.x.rows() / self.batch).max(1);
        let steps = per_epoch.saturating_mul(self.options.epochs);
        for epoch in self.state.record.epochs.len() + 1..=self.options.epochs {
            self.shuffle(epoch);
            if flow.dequantize().is_none() {
                self.noisy.data_mut().copy_from_slice(self.x.data());
                add_noise(&mut self.noisy, flow.dim(), self.options, "noise", epoch);
            } else {
                self.noisy = refreshed(flow, &self.x, self.options, "noise", epoch)?;
            }
            let (row, score) = awake(|| {
                let (mut nll, mut rate) = (0.0, 0.0);
                for k in 0..per_epoch {
                    let step = (epoch - 1) * per_epoch + k;
                    rate = self.state.progress.factor * self.options.rate(step, steps);
                    nll += self.one_step(flow, k, step + 1, epoch, rate)? / per_epoch as f64;
                }
                self.stepper.swap_average(flow);
                self.look(flow, epoch, nll, rate)
            })?;
            self.judge(flow, epoch, score);
            self.state.record.epochs.push(row);
            let row = &self.state.record.epochs[self.state.record.epochs.len() - 1];
            let go_on = observer(&Epoch { row, flow, run: self });
            self.stepper.swap_average(flow);
            // A run that is at its end cannot be interrupted.
            let patience = self.options.patience;
            if patience > 0 && self.state.progress.idle >= patience {
                self.state.record.stop = Stop::EarlyStopping;
                break;
            }
            if go_on.is_break() {
                self.state.record.stop = Stop::Interrupted;
                break;
            }
        }
        Ok(())
    }

    /// Keeps the flow if it is the best so far; otherwise patience runs out by an epoch.
    fn judge(&mut self, flow: &Flow<T>, epoch: usize, score: f64) {
        let progress = &mut self.state.progress;
        if score < progress.best {
            (progress.best, progress.idle) = (score, 0);
            self.state.record.best_epoch = epoch;
            copy(flow, &mut self.state.best);
            return;
        }
        progress.idle += 1;
        // Who never stops early still waits before halving.
        let patience = match self.options.patience {
            0 => TrainOptions::default().patience,
            patience => patience,
        };
        let third = (patience / 3).max(1);
        if self.options.schedule == Schedule::Plateau && progress.idle.is_multiple_of(third) {
            progress.factor *= 0.5;
        }
    }

    /// The weights of the last step, and the optimiser, into the state.
    pub(super) fn save_last(&mut self, flow: &Flow<T>) {
        self.stepper.save(&mut self.state);
        self.state.last = flow.parameters().iter().map(|p| p.data.clone()).collect();
    }

    /// The state while the averaged flow is looked at.
    pub(super) fn seen(&self, averaged: &Flow<T>) -> State<T> {
        let mut state = self.state.clone();
        self.stepper.save_swapped(&mut state, averaged);
        state
    }

    /// A new order of rows: Fisher-Yates with a generator of this epoch, whatever the orders before.
    fn shuffle(&mut self, epoch: usize) {
        self.order.iter_mut().enumerate().for_each(|(i, row)| *row = i);
        let mut random = generator(self.options.seed, "order", epoch as u64);
        for i in (1..self.order.len()).rev() {
            self.order.swap(i, random.random_range(0..=i));
        }
    }

    /// One step on batch `k` of the epoch; gives the mean negative log-likelihood.
    fn one_step(
        &mut self,
        flow: &mut Flow<T>,
        k: usize,
        step: usize,
        epoch: usize,
        rate: f64,
    ) -> Result<f64, Error> {
        let d = self.noisy.cols();
        let chosen = &self.order[k * self.batch..(k + 1) * self.batch];
        for (to, &from) in self.rows.chunks_exact_mut(d).zip(chosen) {
            to.copy_from_slice(self.noisy.row(from));
        }
        if self.stepper.takes_signs() {
            let mut random = generator(self.options.seed, "signs", step as u64);
            for bits in self.signs.chunks_mut(64) {
                let word = random.next_u64();
                for (i, s) in bits.iter_mut().enumerate() {
                    *s = if word >> i & 1 == 1 { T::ONE } else { -T::ONE };
                }
            }
        }
        match self.stepper.step(flow, &self.rows, &self.signs, rate) {
            Ok(nll) => Ok(nll.f64()),
            Err(Error::StepNotFinite { parameter }) => Err(self.not_finite(flow, k, step, epoch, parameter)),
            Err(error) => Err(error),
        }
    }

    /// Finds the layer and the row, or the parameter, at which numbers stopped being finite.
    fn not_finite(
        &self,
        flow: &Flow<T>,
        k: usize,
        step: usize,
        epoch: usize,
        parameter: Option<usize>,
    ) -> Error {
        let d = flow.dim();
        let batch = Matrix::new(self.batch, self.noisy.cols(), self.rows.clone());
        let place = flow
            .part(flow.core())
            .and_then(|core| core.layer_values(&batch))
            .ok()
            .and_then(|values| {
                values.iter().enumerate().find_map(|(layer, v)| {
                    let at = v.data().iter().position(|x| !x.is_finite())?;
                    let row = self.order[k * self.batch + at / d];
                    let layer = layer + flow.preprocessing();
                    let kind = flow.layers().get(layer).map_or("base", Layer::kind);
                    Some(format!("layer {layer} ({kind}), training row {row}, column {}", at % d))
                })
            })
            .or_else(|| Some(format!("gradient of {}", flow.parameters()[parameter?].name)))
            .unwrap_or_else(|| "the log-determinant".to_owned());
        Error::NotFinite { step, epoch, place }
    }

    /// Validation and the guard. Gives the epoch's row and the score that selects weights.
    fn look(&mut self, flow: &Flow<T>, epoch: usize, nll: f64, lr: f64) -> Result<(EpochRow, f64), Error> {
        let step = epoch * (self.x.rows() / self.batch).max(1);
        let (mut sum, mut square) = ([T::ZERO], [T::ZERO]);
        let sums = &mut [&mut sum[..], &mut square[..]];
        let (held, columns) = (&self.held, &mut self.held_columns);
        self.validation.run(held.rows(), &columns.apart(held.data()), &flow.slices(), sums)?;
        let n = self.held.rows() as f64;
        let valid_nll = sum[0].f64() / n;
        if !valid_nll.is_finite() {
            return Err(Error::NotFinite { step, epoch, place: "the validation likelihood".to_owned() });
        }
        let look =
            self.guard.look(flow).map_err(|error| past_range(error, flow.preprocessing(), step, epoch))?;
        let limit = self.options.max_condition;
        // A condition that is NaN is past any limit.
        if limit.is_finite() && !(look.condition <= limit) {
            return Err(Error::Condition { condition: look.condition, limit, epoch });
        }
        if !(look.condition <= guard::WARN)
            && !self.state.record.warnings.iter().any(|w| w.contains("condition"))
        {
            self.state.record.warnings.push(format!(
                "the condition number of the Jacobian passed {:.0e} at epoch {epoch}: the likelihood may be \
                 running along a null direction; --alpha or --noise bounds it, --max-condition stops it",
                guard::WARN
            ));
        }
        let alpha = self.options.alpha;
        let virial = 1.0 - (square[0].f64() / n + 2.0 * alpha * look.norm) / flow.dim() as f64;
        let row = EpochRow { epoch, nll, valid_nll, condition: look.condition, virial, lr };
        let contrast = self.contrast(flow).map_err(|error| past_range(error, 0, step, epoch))?;
        Ok((row, valid_nll + alpha * look.norm + contrast))
    }

    /// What the gauge adds to the objective at the watched rows.
    fn contrast(&self, flow: &Flow<T>) -> Result<f64, Error> {
        let weight = self.options.gauge_weight;
        if self.options.gauge == Gauge::None || weight == 0.0 {
            return Ok(0.0);
        }
        let watched = self.guard.rows();
        let data = match flow.preprocessing() {
            0 => watched.clone(),
            n => flow.with_contexts_of(flow.part(0..n)?.generate(watched)?, watched)?,
        };
        Ok(weight * mean_contrast(flow, &data)?)
    }
}

/// A watched row whose Jacobian is not finite stops training as a likelihood that is not does. Layers are counted from layer `first`.
fn past_range(error: Error, first: usize, step: usize, epoch: usize) -> Error {
    match error {
        Error::Flow(crate::flow::Error::OutOfRange { direction, layer, kind, .. }) => {
            let place =
                format!("{direction}, layer {} ({kind}), at one of the rows that are watched", layer + first);
            Error::NotFinite { step, epoch, place }
        }
        other => other,
    }
}

fn copy<T: Real>(flow: &Flow<T>, weights: &mut [Vec<T>]) {
    for (to, from) in weights.iter_mut().zip(flow.parameters()) {
        to.copy_from_slice(&from.data);
    }
}
