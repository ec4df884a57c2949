//! A model that is trained to be verified.

use super::Arguments;
use super::check::{check, show, tell};
use super::gap::Gap;
use super::given::Conditional;
use super::polished::{is_polished, polished};
use super::rows::dequantise;
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::cli::parts::{Parts, check_support};
use crate::cli::progress::Progress;
use crate::cli::session::Session;
use crate::cli::settings::Settings;
use crate::cli::stability::study as study_of;
use crate::data::Table;
use crate::flow::presets::Name;
use crate::flow::{Flow, Model, Variable};
use crate::report::Section;
use crate::theory::Context;
use crate::train::{self, Design, Preprocess, TrainOptions, TrainingRecord, build_given, fit};
use std::ops::ControlFlow;

/// Gradient steps of a training run, unless `--epochs` says otherwise.
const STEPS: usize = 3000;
const QUICK_STEPS: usize = 400;
/// Tikhonov weight where the data has null directions and no regulariser is asked for: the optimum of input
/// noise 0.1, since `σ² = 2α`.
const ALPHA: f64 = 0.005;
/// Most columns for which training takes the exact penalty, unless `--stochastic-penalty` says otherwise.
const EXACT_COLUMNS: usize = 12;

/// A model trained on the data, the checks on it, and the stability study where it is wanted; printed.
pub(super) fn trained(
    s: &Session,
    a: &Arguments,
    ids: &[String],
    settings: &Settings,
    data: &str,
) -> Result<(Vec<Section>, Model<f64>), Failure> {
    let mut notes = Vec::new();
    let (table, variables) = context::joint(s, data, None)?;
    let own = table.cols() - variables.iter().map(Variable::width).sum::<usize>();
    let mut options = settings.options(s.seed());
    let fits = |table: &Table| check_support(table, own, &settings.preset());
    fits(&table)?;
    let valid = if table.rows() > 1 { options.valid } else { 0.0 };
    let mut parts = Parts::of(s, table, &variables, settings, valid, &fits)?;
    dequantise(s.seed(), &mut parts, &mut notes);
    let Parts { training, valid: held, .. } = parts;
    let mut preset = settings.preset();
    // The stability claims want an affine layer at the latent end.
    preset.output_affine = settings.output_affine.unwrap_or(true);
    let named = |e: train::Error| match e {
        e if e.is_answer() => Failure::from(e),
        e => Failure::Input(format!("{}: {e}", training.source)),
    };

    if settings.epochs.is_none() {
        options.epochs = epochs(training.rows(), &options, a.quick);
    }
    let base = settings.base()?;
    let open = Design { preset: &preset, preprocess: Preprocess::Auto, base: &base, context: &variables };
    let preprocess = settings
        .preprocess::<f64>(Preprocess::Standardize, &open, &training, held.as_ref(), &options)
        .map_err(named)?
        .chosen;
    let design = Design { preprocess, ..open };
    let mut prepared = build_given::<f64>(&design, &training.values, &options).map_err(named)?;
    if prepared.null_directions > 0 {
        notes.push(ill_posed(&training, own, prepared.null_directions, &prepared.constant));
        if settings.alpha.is_none() && settings.noise.is_none() {
            options.alpha = ALPHA;
            notes.push(format!(
                "so α = {ALPHA} is taken (the optimum of input noise 0.1): every variance is floored at 2α = {:.3}, and \
                 log p - α|J|² is at most {:.2} nats for any model; --alpha or --noise choose another",
                2.0 * ALPHA,
                -0.5 * own as f64 * (4.0 * std::f64::consts::PI * std::f64::consts::E * ALPHA).ln()
            ));
            prepared = build_given(&design, &training.values, &options).map_err(named)?;
        }
    }
    // The exact penalty costs D tangents a step; its estimate has the same mean.
    if options.stochastic_penalty.is_none() && own > EXACT_COLUMNS {
        options.stochastic_penalty = Some(true);
    }
    let mut flow = prepared.flow.clone();
    let mut record = None;
    // An affine flow on a normal base has its optimum by polishing alone.
    let closed = preset.flow == Name::Affine && base.is_standard();
    if !(closed && is_polished(&flow, training.rows(), &options)) {
        record = Some(train(s, &mut flow, &training, held.as_ref(), &options, &mut notes).map_err(named)?);
    }
    polished(s, &mut flow, &training, &options, &mut notes);
    let record_of = serde_json::json!({ "options": options, "data": training.source, "flow": preset });
    let model = Model { flow, columns: training.names[..own].to_vec(), record: Some(record_of) };
    if !variables.is_empty() {
        notes.push(
            "no stability study and no polished output layer: those are of flows without a context"
                .to_owned(),
        );
        let (name, x) = (training.source.as_str(), &training.values);
        let conditional = Conditional { model: &model, name, on: name, notes: &notes };
        let rows = (x, held.as_ref().map_or(x, |h| &h.values));
        let sections = conditional.sections(s, a, ids, &model.flow.contexts(x), Some(rows))?;
        return Ok((sections, model));
    }
    let gap = Gap::measure(&data.parse()?, &training, &model.flow, s.seed(), a.quick);
    notes.extend(gap.map(|g| g.note()));
    let cx = Context {
        flow: &model.flow,
        training: Some(&training.values),
        held_out: held.as_ref().map(|h| &h.values),
        alpha: options.alpha,
        other_regularisers: options.has_other_regularisers(),
        seed: s.seed(),
        quick: a.quick,
    };
    let mut section = check(&training.source, ids, &cx, notes, s, a.power);
    section.checks.extend(gap.and_then(|g| g.failure()));
    show(&mut section, &cx, &training.values, &training.names, record.as_ref());
    let wanted = a.stability || (prepared.null_directions > 0 && !a.quick);
    let study = match &held {
        Some(held) if wanted => Some(study_of(s, settings, preprocess, &training, held, &options, a.quick)?),
        None if wanted => {
            section.notes.push("no stability study: it needs held-out rows (--valid)".to_owned());
            None
        }
        _ => None,
    };
    let sections: Vec<Section> = std::iter::once(section).chain(study).collect();
    sections.iter().try_for_each(|section| tell(s, section))?;
    Ok((sections, model))
}

/// Epochs that make about the number of steps that verification takes.
fn epochs(rows: usize, options: &TrainOptions, quick: bool) -> usize {
    let steps = if quick { QUICK_STEPS } else { STEPS };
    let batch = if options.batch == 0 { rows } else { options.batch.min(rows) };
    (steps * batch).div_ceil(rows.max(1)).clamp(1, if quick { 40 } else { 200 })
}

/// What null directions mean, with the constant columns among them by name.
fn ill_posed(training: &Table, own: usize, null: usize, constant: &[usize]) -> String {
    let names: Vec<&str> = constant.iter().map(|&j| training.names[j].as_str()).collect();
    let among =
        if names.is_empty() { String::new() } else { format!(" (constant columns: {})", names.join(", ")) };
    format!(
        "ill-posed: the covariance has {null} null directions{among}, rank {} of {}; without a regulariser each lets the \
         likelihood grow by ln c nats when it is scaled by c, without bound",
        own - null,
        own
    )
}

fn train(
    s: &Session,
    flow: &mut Flow<f64>,
    training: &Table,
    held: Option<&Table>,
    options: &TrainOptions,
    notes: &mut Vec<String>,
) -> Result<TrainingRecord, train::Error> {
    s.note(&format!(
        "{}: training {} parameters on {} rows",
        training.source,
        flow.trained(),
        training.rows()
    ));
    let progress = Progress::new(s, options.epochs);
    let record = fit(flow, &training.values, held.map(|h| &h.values), options, &mut |row, _| {
        progress.show(row);
        ControlFlow::Continue(())
    });
    progress.finish();
    let record = record?;
    notes.extend(record.warnings.iter().cloned());
    if let Some(best) = record.best() {
        let null = |k: f64| if k.is_finite() { format!("{k:.2e}") } else { "infinite".to_owned() };
        let rows = if record.valid_rows > 0 { "held-out" } else { "training" };
        notes.push(format!(
            "trained: {} epochs, best {}; {rows} NLL {:.4} nats a row (training units), condition of J {} (99 %)",
            record.epochs.len(),
            record.best_epoch,
            best.valid_nll,
            null(best.condition)
        ));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_set_the_number_of_epochs() {
        let options = TrainOptions::default();
        assert_eq!(epochs(18_000, &options, false), (STEPS * 256).div_ceil(18_000));
        assert_eq!(epochs(10, &options, true), 40);
    }
}
