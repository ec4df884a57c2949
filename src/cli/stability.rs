//! The stability study of `verify`: linear flows along the penalty in closed form, and the flow at hand trained for a few
//! weights.

use super::failure::Failure;
use super::session::Session;
use super::settings::Settings;
use crate::data::Table;
use crate::flow::presets::Name;
use crate::report::{Section, stability};
use crate::theory::stability::{LinearPath, deep_run};
use crate::train::{self, Preprocess, TrainOptions, build};

/// Weights for which the flow is trained.
const ALPHAS: [f64; 5] = [0.0, 1e-4, 1e-3, 1e-2, 1e-1];
/// Gradient steps of each of these runs.
const STEPS: usize = 600;
const QUICK_STEPS: usize = 100;

/// The section of a data set. Other regularisers are off, so that `α` alone acts.
pub(crate) fn study(
    s: &Session,
    settings: &Settings,
    preprocess: Preprocess,
    training: &Table,
    held_out: &Table,
    options: &TrainOptions,
    quick: bool,
) -> Result<Section, Failure> {
    let named = |e: train::Error| Failure::Input(format!("{}: {e}", training.source));
    let mut preset = settings.preset();
    preset.output_affine = settings.output_affine.unwrap_or(true);
    let plain = TrainOptions { noise: 0.0, alpha: 0.0, alpha_weights: 0.0, ..options.clone() };
    let flow = build::<f64>(&preset, preprocess, &training.values, &plain).map_err(named)?.flow;
    let units = |x: &Table| match flow.preprocessing() {
        0 => Ok(x.values.clone()),
        n => Ok::<_, Failure>(flow.part(0..n)?.normalize(&x.values)?.0),
    };
    let path = LinearPath::new(&units(training)?, &units(held_out)?)
        .map_err(|e| Failure::Input(format!("{}: {e}", training.source)))?;
    let mut runs = Vec::new();
    if preset.flow != Name::Affine {
        let steps = if quick { QUICK_STEPS } else { STEPS };
        let batch = if plain.batch == 0 { training.rows() } else { plain.batch.min(training.rows()) };
        let epochs =
            settings.epochs.unwrap_or_else(|| (steps * batch).div_ceil(training.rows()).clamp(3, 60));
        for alpha in ALPHAS {
            s.note(&format!("{}: training with α = {alpha}", training.source));
            let options = TrainOptions { alpha, epochs, patience: 0, ..plain.clone() };
            let (x, held) = (&training.values, &held_out.values);
            runs.push(deep_run(&preset, preprocess, x, held, &options).map_err(named)?);
        }
    }
    Ok(stability::section(&training.source, &path, &runs))
}
