//! One flow trained along a path of weights: what the penalty does to likelihood and condition where there is no closed form.

use super::bound::S1;
use crate::flow::presets::Preset;
use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, condition_numbers, jacobians};
use crate::train::{self, EpochRow, Preprocess, TrainOptions, build, fit};
use eigenflow_linalg::Matrix;
use std::ops::ControlFlow;

/// Most held-out rows whose Jacobians are looked at.
const ROWS: usize = 256;

/// A training run of one weight.
#[derive(Clone, Debug)]
pub struct DeepRun {
    /// The weight.
    pub alpha: f64,
    /// Every epoch, up to where training stopped.
    pub epochs: Vec<EpochRow>,
    /// Why training stopped before its end, if it did.
    pub stopped: Option<String>,
    /// Mean log-likelihood of the held-out rows, training units, with its standard error.
    pub likelihood: (f64, f64),
    /// Mean of `log p - α‖J‖²_F` over held-out rows, at most [`DeepRun::bound`] (S1).
    pub penalised: f64,
    /// Median condition number of `J` over held-out rows.
    pub condition: f64,
}

impl DeepRun {
    /// `-(D/2) log(4πeα)`; infinite without penalty.
    pub fn bound(&self, dim: usize) -> f64 {
        if self.alpha > 0.0 { S1::bound(dim, self.alpha) } else { f64::INFINITY }
    }
}

/// Trains a flow of the preset for one weight and measures it on held-out rows. A run that breaks down (not a number, a guard)
/// is an answer, not an error: it keeps the weights of its best epoch and says why.
///
/// # Errors
/// If the options or the rows are at fault.
pub fn deep_run(
    preset: &Preset,
    preprocess: Preprocess,
    training: &Matrix<f64>,
    held_out: &Matrix<f64>,
    options: &TrainOptions,
) -> Result<DeepRun, train::Error> {
    let mut flow: Flow<f64> = build(preset, preprocess, training, options)?.flow;
    let mut epochs = Vec::new();
    let result = fit(&mut flow, training, Some(held_out), options, &mut |row, _| {
        epochs.push(row.clone());
        ControlFlow::Continue(())
    });
    let stopped = match result {
        Ok(_) => None,
        Err(error) if error.is_answer() => Some(error.to_string()),
        Err(error) => return Err(error),
    };
    let alpha = options.alpha;
    let mut run = DeepRun {
        alpha,
        epochs,
        stopped,
        likelihood: (f64::NAN, f64::NAN),
        penalised: f64::NAN,
        condition: f64::NAN,
    };
    // A flow that broke down may have held-out rows out of its range.
    if let Err(error) = measure(&mut run, &flow, held_out) {
        run.stopped.get_or_insert(error.to_string());
    }
    Ok(run)
}

fn measure(run: &mut DeepRun, flow: &Flow<f64>, held_out: &Matrix<f64>) -> Result<(), Error> {
    let rows = match flow.preprocessing() {
        0 => held_out.clone(),
        n => flow.part(0..n)?.normalize(held_out)?.0,
    };
    let core = flow.part(flow.core())?;
    let log_p = core.log_density(&rows)?;
    let n = log_p.len() as f64;
    let mean = log_p.iter().sum::<f64>() / n;
    let square = log_p.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    run.likelihood = (mean, (square / (n - 1.0).max(1.0) / n).sqrt());
    let count = rows.rows().min(ROWS);
    let some = Matrix::new(count, rows.cols(), rows.data()[..count * rows.cols()].to_vec());
    let j = jacobians(&core, &some, Direction::Normalize, Route::Push)?;
    let norm = |row: usize| j.get(row).iter().map(|v| v * v).sum::<f64>();
    let penalised: f64 = (0..count).map(|row| log_p[row] - run.alpha * norm(row)).sum();
    run.penalised = penalised / count as f64;
    let mut condition = condition_numbers(&core, &some)?;
    condition.sort_by(f64::total_cmp);
    run.condition = condition.get(count / 2).copied().unwrap_or(f64::NAN);
    Ok(())
}
