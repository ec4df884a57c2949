//! `verify [DATA]`: takes a model or trains one, and checks every claim that applies.

use super::context;
use super::failure::Failure;
use super::output::{print, print_json};
use super::progress::Progress;
use super::session::Session;
use super::settings::{Settings, Valid, WithFile};
use super::stability::study as study_of;
use crate::data::{Source, Table};
use crate::flow::presets::Name;
use crate::flow::{AnyModel, Flow, Model};
use crate::random::generator;
use crate::report::pictures::pictures;
use crate::report::{Check, Report, Section, html, json, table};
use crate::theory::power::power;
use crate::theory::{Context, Outcome, alarm, registry};
use crate::train::polish::{output_affine, polish};
use crate::train::{self, Design, Preprocess, TrainOptions, TrainingRecord, build_given, fit};
use eigenflow_linalg::Matrix;
use rand::RngExt;
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Options of `verify`.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Arguments {
    /// The rows [default: the embedded sets; with --model the model's own samples]
    pub data: Option<String>,
    /// Check this model instead of training one
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// Check these claims only, comma separated [default: all that apply]
    #[arg(long, value_name = "L1,G1", value_delimiter = ',')]
    pub claims: Option<Vec<String>>,
    /// Count undecided claims as failures
    #[arg(long)]
    pub strict: bool,
    /// Fewer training steps, points and draws, at the same false-alarm rate
    #[arg(long)]
    pub quick: bool,
    /// Study what the Tikhonov weight does to likelihood and condition, for linear flows and for this one, which is
    /// trained for several weights [default: where the data have null directions, unless --quick]
    #[arg(long, conflicts_with = "model")]
    pub stability: bool,
    /// Find for each claim about Jacobians the smallest relative error of J that it notices (a decade), by putting errors in;
    /// about five times the work
    #[arg(long)]
    pub power: bool,
    /// Folder for report.html, report.json and model.safetensors (further embedded sets: model-NAME.safetensors)
    /// [default: none is written]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub settings: WithFile,
}

/// What is verified when no data is named: a manifold of known geometry, and real data.
const EMBEDDED: [&str; 2] = ["builtin:s-curve?n=20000&noise=0.1", "builtin:magic"];
/// Gradient steps of a training run, unless `--epochs` says otherwise.
const STEPS: usize = 3000;
const QUICK_STEPS: usize = 400;
/// Tikhonov weight where the data has null directions and no regulariser is asked for: the optimum of input
/// noise 0.1, since `σ² = 2α`.
const ALPHA: f64 = 0.005;
/// Most columns for which training takes the exact penalty, unless `--stochastic-penalty` says otherwise.
const EXACT_COLUMNS: usize = 12;
/// Rows times columns (squared, with a penalty) up to which the output layer is polished.
const POLISH_WORK: usize = 4_000_000;
/// Fresh draws for the gap to a known density.
const FRESH: usize = 200_000;
/// Draws that are shown of a model without data.
const OWN: usize = 1000;
/// Integers with at most this many values are counts or grey levels, not measurements.
const LEVELS: usize = 257;

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    let settings = a.settings.settings()?;
    for (given, option) in
        [(settings.test.is_some(), "--test"), (settings.jitter_columns.is_some(), "--jitter-columns")]
    {
        if given {
            return Err(Failure::Input(format!("{option} is an option of train; leave it out")));
        }
    }
    let ids = claims(a)?;
    if let Some(folder) = &a.out {
        std::fs::create_dir_all(folder).map_err(|e| Failure::Output(format!("{}: {e}", folder.display())))?;
    }
    let mut sections = Vec::new();
    if let Some(path) = &a.model {
        let model: Model<f64> = match s.model(path)? {
            AnyModel::F64(model) => model,
            AnyModel::F32(model) => model.cast(),
        };
        sections.extend(given(s, a, &ids, &model, path)?);
    } else {
        if s.global.context.is_some() {
            let message = "--context: a conditional model is trained first (`train --context`), and then verified with --model";
            return Err(Failure::Input(message.to_owned()));
        }
        let data: Vec<&str> = a.data.as_deref().map_or_else(|| EMBEDDED.to_vec(), |d| vec![d]);
        for (k, data) in data.into_iter().enumerate() {
            let (section, model, study) = trained(s, a, &ids, &settings, data)?;
            if let Some(folder) = &a.out {
                let name = if k == 0 {
                    "model.safetensors".to_owned()
                } else {
                    format!("model-{}.safetensors", short(data))
                };
                model.save(&folder.join(name))?;
            }
            for section in std::iter::once(section).chain(study) {
                if !s.global.json {
                    print(&format!("{}\n", table::text(&section)))?;
                }
                sections.push(section);
            }
        }
    }
    finish(s, a, &Report::new(s.seed(), sections))
}

/// The claims asked for, all known.
fn claims(a: &Arguments) -> Result<Vec<String>, Failure> {
    let asked = a.claims.clone().unwrap_or_default();
    let known: Vec<&str> = registry::claims().iter().map(|c| c.id()).collect();
    match asked.iter().find(|id| !known.iter().any(|k| k.eq_ignore_ascii_case(id))) {
        None => Ok(asked),
        Some(id) => Err(Failure::Input(format!(
            "--claims {id}: there is no such claim; there are: {}",
            known.join(", ")
        ))),
    }
}

/// `NAME` of `builtin:NAME?…`.
fn short(data: &str) -> &str {
    data.trim_start_matches("builtin:").split('?').next().unwrap_or(data)
}

/// Checks of the claims on one model and its data.
fn check(
    name: &str,
    ids: &[String],
    cx: &Context<'_>,
    mut notes: Vec<String>,
    s: &Session,
    with_power: bool,
) -> Section {
    s.note(&format!("{name}: checking claims"));
    notes.push(format!(
        "false alarms: a healthy model fails anything in the whole run with a chance of at most 1 in {:.0}, over all claims, \
         points and data sets",
        1.0 / alarm::RUN
    ));
    let claims = registry::claims();
    let claim = |id: &str| claims.iter().find(|c| c.id() == id);
    let mut outcomes = registry::verify(cx, ids);
    if with_power {
        s.note(&format!("{name}: putting errors into Jacobians"));
        for o in &mut outcomes {
            let applies = registry::missing(&o.id, cx.flow).is_none();
            if let Some(found) = claim(&o.id).filter(|_| applies).and_then(|c| power(c.as_ref(), cx)) {
                let seen = if found.is_finite() {
                    format!("notices errors of {found:.0e} in J")
                } else {
                    "does not notice errors in J here".to_owned()
                };
                let tolerance = format!("{}; {seen}", o.tolerance);
                *o = o.clone().tolerance(tolerance).figure("power", found);
            }
        }
    }
    let check = |o: Outcome| claim(&o.id).map(|c| Check::of(c.as_ref(), o));
    let checks = outcomes.into_iter().filter_map(check).collect();
    Section { notes, ..Section::new(name, checks) }
}

/// Adds the pictures of the model on these rows; where they cannot be made, a note says why.
fn show(
    section: &mut Section,
    cx: &Context<'_>,
    data: &Matrix<f64>,
    names: &[String],
    record: Option<&TrainingRecord>,
) {
    match pictures(cx.flow, data, cx.held_out, names, record) {
        Ok(charts) => section.charts = charts,
        Err(error) => section.notes.push(format!("no pictures: {error}")),
    }
}

/// A model from a file: its own samples, or the rows given. A conditional one is checked at contexts.
fn given(
    s: &Session,
    a: &Arguments,
    ids: &[String],
    model: &Model<f64>,
    path: &Path,
) -> Result<Vec<Section>, Failure> {
    let rows = match &a.data {
        None => None,
        Some(data) => {
            // Claims are about the continuous rows that a dequantiser makes of whole numbers.
            let mut rows = s.data_for(data, model)?;
            rows.x = model.flow.dequantized(&rows.x, s.seed(), 0).map_err(|e| rows.at(e))?.0;
            Some(rows)
        }
    };
    let on = rows.as_ref().map_or_else(|| "its own samples".to_owned(), |r| r.table.source.clone());
    let name = path.display().to_string();
    if model.flow.context().is_empty() {
        if rows.is_none() && s.global.context.is_some() {
            return Err(context::superfluous());
        }
        let x = rows.as_ref().map(|r| &r.x);
        return Ok(vec![checked(s, a, ids, &name, &on, model, &model.flow, x)?]);
    }
    let known = model.flow.context();
    let contexts = match &rows {
        Some(rows) => some_contexts(&model.flow.contexts(&rows.x), s.seed()),
        None => some_contexts(&context::encode(&context::alone(s, known)?, known, None)?, s.seed()),
    };
    let mut sections = Vec::new();
    for context in contexts {
        let flow = model.flow.at(&context)?;
        // The rows of just this context are data of the flow at it.
        let own = rows.as_ref().and_then(|r| with_context(&r.x, flow.dim(), &context));
        let on = match &own {
            Some(own) => format!("the {} rows of {on} with this context", own.rows()),
            None => "its own samples".to_owned(),
        };
        let name = format!("{name} at {}", context::describe(known, &context));
        sections.push(checked(s, a, ids, &name, &on, model, &flow, own.as_ref())?);
    }
    Ok(sections)
}

/// Contexts at which a conditional model is checked: as many as a run has data sets, drawn from the different ones that there are.
fn some_contexts(all: &Matrix<f64>, seed: u64) -> Vec<Vec<f64>> {
    let order = crate::data::table::permutation(all.rows(), seed, "contexts");
    let mut chosen: Vec<Vec<f64>> = Vec::new();
    for row in order {
        if chosen.len() < alarm::SETS && !chosen.iter().any(|c| c == all.row(row)) {
            chosen.push(all.row(row).to_vec());
        }
    }
    chosen
}

/// The rows with exactly this context, without it, if they are several.
fn with_context(rows: &Matrix<f64>, dim: usize, context: &[f64]) -> Option<Matrix<f64>> {
    let found: Vec<usize> = (0..rows.rows()).filter(|&i| rows.row(i)[dim..] == *context).collect();
    (found.len() > 1).then(|| Matrix::from_fn(found.len(), dim, |i, j| rows[(found[i], j)]))
}

/// The claims on one flow of a model, printed.
#[expect(clippy::too_many_arguments, reason = "a command's own and what it works on")]
fn checked(
    s: &Session,
    a: &Arguments,
    ids: &[String],
    name: &str,
    on: &str,
    model: &Model<f64>,
    flow: &Flow<f64>,
    x: Option<&Matrix<f64>>,
) -> Result<Section, Failure> {
    let record = model.record.as_ref().and_then(|r| r.get("options"));
    let number = |key: &str| record.and_then(|o| o.get(key)).and_then(Value::as_f64).unwrap_or(0.0);
    let cx = Context {
        flow,
        training: x,
        held_out: x,
        alpha: number("alpha"),
        other_regularisers: number("noise") > 0.0 || number("alpha-weights") > 0.0,
        seed: s.seed(),
        quick: a.quick,
    };
    let notes = vec![format!("model {name} on {on}; α = {}", cx.alpha)];
    let mut section = check(name, ids, &cx, notes, s, a.power);
    let drawn = match x {
        Some(x) => x.clone(),
        None => flow.sample(OWN, 1.0, s.seed())?,
    };
    let record = model.record.clone().and_then(|r| serde_json::from_value(r).ok());
    show(&mut section, &cx, &drawn, &model.columns, record.as_ref());
    if !s.global.json {
        print(&format!("{}\n", table::text(&section)))?;
    }
    Ok(section)
}

/// A model trained on the data, the checks on it, and the stability study where it is wanted.
fn trained(
    s: &Session,
    a: &Arguments,
    ids: &[String],
    settings: &Settings,
    data: &str,
) -> Result<(Section, Model<f64>, Option<Section>), Failure> {
    let source: Source = data.parse().map_err(Failure::from)?;
    let mut notes = Vec::new();
    let table = dequantise(s, source.load(&s.selection())?, &mut notes);
    let mut options = settings.options(s.seed());
    let (training, held) = match &settings.valid {
        Some(Valid::Data(data)) => {
            let held = s.data(data)?;
            if held.cols() != table.cols() {
                let (given, needed) = (held.cols(), table.cols());
                let message = format!("--valid {data}: {given} columns where the data has {needed}");
                return Err(Failure::Input(message));
            }
            (table, Some(held))
        }
        _ if options.valid > 0.0 && table.rows() > 1 => {
            let (training, held) = table.split(options.valid, s.seed())?;
            (training, Some(held))
        }
        _ => (table, None),
    };
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
    let open = Design { preset: &preset, preprocess: Preprocess::Auto, base: &base, context: &[] };
    let preprocess = settings
        .preprocess::<f64>(Preprocess::Standardize, &open, &training, held.as_ref(), &options)
        .map_err(named)?
        .chosen;
    let design = Design { preprocess, ..open };
    let mut prepared = build_given::<f64>(&design, &training.values, &options).map_err(named)?;
    if prepared.null_directions > 0 {
        notes.push(ill_posed(&training, prepared.null_directions, &prepared.constant));
        if settings.alpha.is_none() && settings.noise.is_none() {
            options.alpha = ALPHA;
            notes.push(format!(
                "so α = {ALPHA} is taken (the optimum of input noise 0.1): every variance is floored at 2α = {:.3}, and \
                 log p - α|J|² is at most {:.2} nats for any model; --alpha or --noise choose another",
                2.0 * ALPHA,
                -0.5 * training.cols() as f64 * (4.0 * std::f64::consts::PI * std::f64::consts::E * ALPHA).ln()
            ));
            prepared = build_given(&design, &training.values, &options).map_err(named)?;
        }
    }
    // The exact penalty costs D tangents a step; its estimate has the same mean.
    if options.stochastic_penalty.is_none() && training.cols() > EXACT_COLUMNS {
        options.stochastic_penalty = Some(true);
    }
    let mut flow = prepared.flow.clone();
    let mut record = None;
    if preset.flow != Name::Affine || !base.is_standard() {
        record = Some(train(s, &mut flow, &training, held.as_ref(), &options, &mut notes).map_err(named)?);
    }
    polished(s, &mut flow, &training, &options, &mut notes);
    if let Some(note) = gap_to_truth(&source, &training, &flow, s.seed(), a.quick) {
        notes.push(note);
    }
    let cx = Context {
        flow: &flow,
        training: Some(&training.values),
        held_out: held.as_ref().map(|h| &h.values),
        alpha: options.alpha,
        other_regularisers: options.noise > 0.0 || options.alpha_weights > 0.0,
        seed: s.seed(),
        quick: a.quick,
    };
    let mut section = check(&training.source, ids, &cx, notes, s, a.power);
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
    let record = serde_json::json!({ "options": options, "data": training.source, "flow": preset });
    Ok((section, Model { flow: flow.clone(), columns: training.names, record: Some(record) }, study))
}

/// Epochs that make about the number of steps that verification takes.
fn epochs(rows: usize, options: &TrainOptions, quick: bool) -> usize {
    let steps = if quick { QUICK_STEPS } else { STEPS };
    let batch = if options.batch == 0 { rows } else { options.batch.min(rows) };
    (steps * batch).div_ceil(rows.max(1)).clamp(1, if quick { 40 } else { 200 })
}

/// Uniform noise on tables of whole numbers: without it a density could grow without bound on the atoms.
fn dequantise(s: &Session, mut table: Table, notes: &mut Vec<String>) -> Table {
    let levels = table.distinct();
    if !table.integer.iter().all(|&i| i) || levels.iter().any(|&n| n > LEVELS) {
        return table;
    }
    let varied: Vec<bool> = levels.iter().map(|&n| n > 1).collect();
    let mut random = generator(s.seed(), "dequantise", 0);
    for i in 0..table.rows() {
        for (v, &varied) in table.values.row_mut(i).iter_mut().zip(&varied) {
            let noise: f64 = random.random();
            if varied {
                *v += noise;
            }
        }
    }
    table.integer.iter_mut().zip(&varied).for_each(|(integer, &varied)| *integer = !varied);
    notes.push(
        "whole numbers: dequantised with uniform noise in [0, 1), constant columns excepted".to_owned(),
    );
    table
}

/// What null directions mean, with the constant columns among them by name.
fn ill_posed(training: &Table, null: usize, constant: &[usize]) -> String {
    let names: Vec<&str> = constant.iter().map(|&j| training.names[j].as_str()).collect();
    let among =
        if names.is_empty() { String::new() } else { format!(" (constant columns: {})", names.join(", ")) };
    format!(
        "ill-posed: the covariance has {null} null directions{among}, rank {} of {}; without a regulariser each lets the \
         likelihood grow by ln c nats when it is scaled by c, without bound",
        training.cols() - null,
        training.cols()
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
        notes.push(format!(
            "trained: {} epochs, best {}; held-out NLL {:.4} nats a row (training units), condition of J {} (99 %)",
            record.epochs.len(),
            record.best_epoch,
            best.valid_nll,
            null(best.condition)
        ));
    }
    Ok(record)
}

/// Brings the output affine layer to its optimum on the training rows, where that is affordable.
fn polished(
    s: &Session,
    flow: &mut Flow<f64>,
    training: &Table,
    options: &TrainOptions,
    notes: &mut Vec<String>,
) {
    let d = flow.dim();
    let work = training.rows() * if options.alpha > 0.0 { d * d } else { d };
    if output_affine(flow).is_none()
        || work > POLISH_WORK
        || options.noise > 0.0
        || options.alpha_weights > 0.0
    {
        return;
    }
    s.note(&format!("{}: polishing the output layer", training.source));
    let result = flow.part(flow.core()).and_then(|mut core| {
        let rows = if flow.preprocessing() == 0 {
            training.values.clone()
        } else {
            flow.part(0..flow.preprocessing())?.normalize(&training.values)?.0
        };
        let certificate = polish(&mut core, &rows, options.alpha)?;
        Ok((core, certificate))
    });
    match result {
        Ok((core, certificate)) => {
            flow.replace(flow.preprocessing(), &core);
            notes.push(format!(
                "output layer polished on the training rows: relative gradient {:.1e} after {} steps",
                certificate.residual, certificate.iterations
            ));
        }
        Err(error) => notes.push(format!("output layer not polished: {error}")),
    }
}

/// The paired gap to a known true density on fresh draws: the fit's Kullback-Leibler divergence.
fn gap_to_truth(
    source: &Source,
    training: &Table,
    flow: &Flow<f64>,
    seed: u64,
    quick: bool,
) -> Option<String> {
    let Source::Builtin(set, parameters) = source else { return None };
    let n = if quick { FRESH / 10 } else { FRESH };
    // Rows beyond those of the data: another seed.
    let fresh = crate::random::hash_words(seed, [parameters.seed(), 1]);
    let (n_text, noise, fresh) = (n.to_string(), parameters.real("noise").to_string(), fresh.to_string());
    let given = [("n", n_text.as_str()), ("noise", noise.as_str()), ("seed", fresh.as_str())];
    let draws = set.parameters_from(given).ok()?;
    // Only a known density is worth the draws.
    let one = set.make(&set.parameters_from([("n", "1")]).ok()?).ok()?;
    if one.names != training.names || set.log_densities(&draws, &one.values).is_none() {
        return None;
    }
    let rows = set.make(&draws).ok()?;
    let truth = set.log_densities(&draws, &rows.values)?;
    let model = flow.log_density(&rows.values).ok()?;
    let gaps: Vec<f64> = truth.iter().zip(&model).map(|(t, m)| t - m).collect();
    let (mean, error) = mean_and_error(&gaps);
    Some(format!("gap to the true density: {mean:.4} ± {error:.4} nats a row on {n} fresh draws, paired"))
}

/// Mean and its standard error.
fn mean_and_error(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// Writes the reports, prints the verdict, and gives the exit code.
fn finish(s: &Session, a: &Arguments, report: &Report) -> Result<(), Failure> {
    if let Some(folder) = &a.out {
        json::write(&folder.join("report.json"), report)?;
        html::write(&folder.join("report.html"), report)?;
    }
    let counts = report.counts();
    if s.global.json {
        print_json(&json::value(report))?;
    } else {
        print(&format!("{counts}\n"))?;
    }
    if counts.fails > 0 || (a.strict && counts.undecided > 0) {
        let strict = if counts.fails == 0 { " (--strict counts undecided claims)" } else { "" };
        return Err(Failure::Answer(format!("{counts}{strict}")));
    }
    Ok(())
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

    #[test]
    fn errors_of_means() {
        assert_eq!(mean_and_error(&[1.0, 3.0]), (2.0, 1.0));
    }
}
