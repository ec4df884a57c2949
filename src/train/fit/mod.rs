//! The training loop.

mod rows;
mod run;

pub(super) use self::rows::add_noise;
pub(crate) use self::rows::to_training_units;

use self::rows::refreshed;
use self::run::Run;
use super::{EpochRow, Error, State, TrainOptions, TrainingRecord};
use crate::flow::{Dequantize, Flow};
use eigenflow_linalg::{Matrix, Real};
use std::ops::ControlFlow;

/// Fits the core of a flow to rows in data units by stochastic gradient descent. Rows of a conditional flow have their contexts
/// beside them ([`Flow::beside`]).
///
/// Minimises the mean of `-log p(x) + α‖J(x)‖²_F` plus the weight penalty, in training units, and the contrast of the
/// gauge, with `AdamW`. After each epoch the validation rows are scored (the training rows where there are
/// none), the guard looks at condition numbers, and `observer` sees the epoch with the current
/// flow; it may ask to stop. In the end the flow has the weights of the best epoch. With a moving average
/// of weights, the flow that is validated, guarded, observed and kept is the averaged one.
///
/// Same seed, same bits, whatever the number of threads of the current rayon pool.
///
/// # Errors
/// If an option is out of range, a row does not fit the flow, there is too little memory, a number becomes NaN or infinite, or
/// the guard's limit is passed. The flow then has its last good weights.
pub fn fit<T: Real>(
    flow: &mut Flow<T>,
    training: &Matrix<T>,
    valid: Option<&Matrix<T>>,
    options: &TrainOptions,
    observer: &mut dyn FnMut(&EpochRow, &Flow<T>) -> ControlFlow<()>,
) -> Result<TrainingRecord, Error> {
    let state = fit_from(flow, training, valid, options, None, &mut |epoch| observer(epoch.row, epoch.flow))?;
    Ok(state.record)
}

/// [`fit`] from where an earlier run on the same rows stood, and with its state for the next one.
///
/// With the same options, the epochs after `from` have the bits of a run that never stopped. More epochs stretch the
/// schedule: the rate is that of the epoch within all of them.
///
/// # Errors
/// As [`fit`], and if the state is not one of this flow.
pub fn fit_from<T: Real>(
    flow: &mut Flow<T>,
    training: &Matrix<T>,
    valid: Option<&Matrix<T>>,
    options: &TrainOptions,
    from: Option<State<T>>,
    observer: &mut dyn FnMut(&Epoch<'_, T>) -> ControlFlow<()>,
) -> Result<State<T>, Error> {
    options.check()?;
    if options.noise > 0.0 && matches!(flow.dequantize(), Dequantize::Variational { .. }) {
        let range = "0 with --dequantize variational, which learns its noise";
        return Err(Error::Option { option: "--noise", value: options.noise.to_string(), range });
    }
    if training.rows() == 0 {
        return Err(Error::TooFewRows { given: 0, needed: 1 });
    }
    flow.check_rows("data", training)?;
    let valid = valid.filter(|v| v.rows() > 0);
    let held = valid.unwrap_or(training);
    // What does not change from epoch to epoch: whole numbers as such, other rows in training units.
    let fixed = |rows| {
        if flow.dequantize().is_none() { to_training_units(flow, rows) } else { Ok(Matrix::clone(rows)) }
    };
    let x = fixed(training)?;
    // Validation rows are noisy too, always in the same way: the model is one of noisy rows.
    let noisy = refreshed(flow, &fixed(held)?, options, "validation-noise", 0)?;
    // The guard sees rows in training units, the same ones in every part of a run: what a dequantiser has learnt is another from part to part.
    let seen = match flow.dequantize() {
        Dequantize::Variational { .. } => {
            let uniform = flow.with_dequantizer(Dequantize::Uniform, 0)?;
            to_training_units(flow, &uniform.dequantized(held, options.seed, 0)?.0)?
        }
        _ => noisy.clone(),
    };
    let mut run = Run::new(flow, x, noisy, &seen, options, from)?;
    run.state.record.valid_rows = valid.map_or(0, Matrix::rows);
    let result = run.epochs(flow, observer);
    if result.is_ok() {
        run.save_last(flow);
    }
    run.state.restore_best(flow);
    result.map(|()| run.state)
}

/// That a run's numbers for each parameter fit: moments, the average, the best and the last weights, and a gradient of each of the eight lanes that
/// has rows, 64 or so in a shard.
fn check_memory<T: Real>(flow: &Flow<T>, batch: usize, available: u64) -> Result<(), Error> {
    let parameters = flow.parameters().iter().map(|p| p.data.len()).sum::<usize>();
    let numbers = 5 + batch.div_ceil(64).min(8);
    let bytes = parameters.saturating_mul(numbers * size_of::<T>()) as u64;
    if bytes > available { Err(Error::Memory { parameters, bytes, available }) } else { Ok(()) }
}

/// An epoch as its observer sees it.
pub struct Epoch<'a, T> {
    /// Its figures.
    pub row: &'a EpochRow,
    /// The flow after it: that with averaged weights, where an average is kept.
    pub flow: &'a Flow<T>,
    run: &'a Run<'a, T>,
}

impl<T: Real> Epoch<'_, T> {
    /// Where the run stands. Cost: a copy of up to five times the weights.
    pub fn state(&self) -> State<T> {
        self.run.seen(self.flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::bijections::{Affine, Form};

    /// `w` and `b` in double precision: six numbers each for a few rows, 13 for many.
    #[test]
    fn a_run_needs_memory_for_every_parameter() {
        let flow = Flow::<f64>::new(vec![Affine::new(1, Form::Full).into()], 0, 0).unwrap();
        assert!(check_memory(&flow, 64, 96).is_ok() && check_memory(&flow, 5000, 208).is_ok());
        assert!(check_memory(&flow, 5000, 207).is_err());
        let error = check_memory(&flow, 1, 95).unwrap_err();
        assert!(matches!(error, Error::Memory { parameters: 2, bytes: 96, available: 95 }));
        let text = Error::Memory { parameters: 7, bytes: 3 << 30, available: 1 << 29 }.to_string();
        for part in ["7 parameters", "3.0 GiB", "0.5 GiB", "--hidden", "--layers"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
