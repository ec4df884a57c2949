//! One flow trained along a path of scales, each from the one before.

use crate::flow::Flow;
use crate::random::hash_words;
use crate::train::polish::{output_affine, polish};
use crate::train::{self, TrainOptions, fit, to_training_units};
use eigenflow_linalg::Matrix;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// What sets the scale of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The Tikhonov weight `α = σ²/2`.
    #[default]
    Alpha,
    /// Input noise `σ`.
    Noise,
}

/// A model at a scale.
#[derive(Clone, Debug)]
pub struct Rung {
    /// Scale `σ`, training units.
    pub scale: f64,
    /// What set it.
    pub by: By,
    /// The core of the flow: rows in training units come in.
    pub core: Flow<f64>,
}

impl Rung {
    /// `σ² = 2α`.
    pub fn variance(&self) -> f64 {
        self.scale * self.scale
    }
}

/// Trains `flow` at every scale, the largest first, each model from the one before; gives them in ascending order of scale.
///
/// A linear flow (one affine layer after preprocessing) goes to its certified optimum, which for noise and for the weight is
/// the same; others are trained in `f32` with `options`, for its number of epochs at each scale. `rows` and `held` are in data units.
/// `observer` hears of every scale before it is trained, and may stop the path there.
///
/// # Errors
/// As [`fit`].
pub fn path(
    flow: &Flow<f64>,
    rows: &Matrix<f64>,
    held: Option<&Matrix<f64>>,
    scales: &[f64],
    by: By,
    options: &TrainOptions,
    observer: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Vec<Rung>, train::Error> {
    let mut scales = scales.to_vec();
    scales.sort_by(|a, b| b.total_cmp(a));
    // Columns far from zero would lose their spread in single precision: they become training units first. Whole numbers get their rest before that,
    // a new one in each epoch.
    let (mut flow, rows, held) = if flow.dequantize().is_none() {
        let held = held.map(|held| to_training_units(flow, held)).transpose()?;
        (flow.part(flow.core())?, to_training_units(flow, rows)?, held)
    } else {
        (flow.clone(), rows.clone(), held.cloned())
    };
    let mut rungs = Vec::new();
    for (k, scale) in scales.into_iter().enumerate() {
        if observer(scale).is_break() {
            break;
        }
        let (alpha, noise) = match by {
            By::Alpha => (0.5 * scale * scale, 0.0),
            By::Noise => (0.0, scale),
        };
        if flow.core().len() == 1 && output_affine(&flow).is_some() {
            let mut core = flow.part(flow.core())?;
            let units = to_training_units(&flow, &rows)?;
            polish(&mut core, &units, 0.5 * scale * scale)?;
            flow.replace(flow.preprocessing(), &core);
        } else {
            let seed = hash_words(options.seed, [k as u64]);
            let options = TrainOptions { alpha, noise, seed, ..options.clone() };
            flow = further(&flow, &rows, held.as_ref(), &options)?;
        }
        rungs.push(Rung { scale, by, core: flow.part(flow.core())? });
    }
    rungs.reverse();
    Ok(rungs)
}

/// The flow trained further, in single precision.
fn further(
    flow: &Flow<f64>,
    rows: &Matrix<f64>,
    held: Option<&Matrix<f64>>,
    options: &TrainOptions,
) -> Result<Flow<f64>, train::Error> {
    let mut own = flow.cast::<f32>();
    let held = held.map(Matrix::cast::<f32>);
    fit(&mut own, &rows.cast(), held.as_ref(), options, &mut |_, _| ControlFlow::Continue(()))?;
    Ok(own.cast())
}
