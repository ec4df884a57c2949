//! `train DATA --out MODEL`.

use super::checkpoint::{self, with_record};
use super::context;
use super::failure::Failure;
use super::interrupt;
use super::output::{number, print, print_json};
use super::parts::{Parts, whole_numbers};
use super::progress::Progress;
use super::session::{Dtype, Session, warn};
use super::settings::{Settings, WithFile};
use crate::data::{Element, Table};
use crate::flow::bijections::Squash;
use crate::flow::{AnyModel, Base, Dequantize, Layer, Model, Variable};
use crate::train::{self, Design, EpochRow, HeldOut, Preprocess, Race, State, TrainOptions, TrainingRecord};
use eigenflow_linalg::Matrix;
use serde_json::{Value, json};
use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Options of `train`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The rows to fit
    data: String,
    /// The model file, .safetensors; MODEL.checkpoint is kept beside it
    #[arg(long, value_name = "MODEL")]
    out: PathBuf,
    #[command(flatten)]
    settings: WithFile,
    /// The data are whole numbers: give them the rest with uniform noise on [0, 1), new in each epoch, or with a conditional flow that is
    /// trained too (variational), for the better bound of their probability [default: none, or the model's with --from and --resume]
    #[arg(long, value_name = "uniform|variational")]
    dequantize: Option<Kind>,
    /// Go on from MODEL.checkpoint up to --epochs in all, to the same bits as a run that never stopped (with the same
    /// options; more epochs stretch the schedule)
    #[arg(long)]
    resume: bool,
    /// Train with this many seeds, --seed and the ones after it, on the same parts of the data; MODEL is the one that is best
    /// on the validation rows, and all are reported with mean and standard error
    #[arg(long, value_name = "K", default_value = "1", conflicts_with = "resume")]
    seeds: std::num::NonZeroU32,
    /// Go on from this model instead of a new one, its preprocessing and its architecture included [default: a new model]
    #[arg(long, value_name = "MODEL", conflicts_with = "resume")]
    from: Option<PathBuf>,
}

/// Ways to dequantise.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Uniform noise
    Uniform,
    /// A conditional flow
    Variational,
}

/// Least time between two checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    let settings = a.settings.settings()?.or_default_flow();
    if a.out.extension().is_none_or(|e| !e.eq_ignore_ascii_case("safetensors")) {
        let file = a.out.display();
        return Err(Failure::Input(format!("--out {file}: a model is a .safetensors file; name it so")));
    }
    settings.options(s.seed()).check()?;
    probe(&a.out)?;
    let checkpoint = checkpoint::place(&a.out);
    let resumed = match &a.from {
        Some(path) => Some(AnyModel::load(path)?),
        None if a.resume => Some(AnyModel::load(&checkpoint)?),
        None => None,
    };
    let single = match (s.global.dtype, &resumed) {
        (Some(given), Some(model)) if (given == Dtype::F32) != (model.dtype() == "f32") => {
            let (file, has) = (a.from.as_ref().unwrap_or(&checkpoint).display(), model.dtype());
            return Err(Failure::Input(format!("--dtype: {file} is {has}; resume in that precision")));
        }
        (given, None) => given == Some(Dtype::F32),
        (_, Some(model)) => model.dtype() == "f32",
    };
    let job = Job { s, a, settings, checkpoint };
    if single { job.train::<f32>(resumed.as_ref()) } else { job.train::<f64>(resumed.as_ref()) }
}

/// That the model's folder can be written, asked before training and not after it.
fn probe(model: &Path) -> Result<(), Failure> {
    let folder = model.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(folder).map(drop).map_err(|error| {
        Failure::Output(format!("--out {}: cannot be written: {error}; nothing was changed", model.display()))
    })
}

/// An error of training with the name of the data, where it is the data's fault.
fn named(error: train::Error, training: &Table) -> Failure {
    match error {
        train::Error::Flow(crate::flow::Error::Option { .. }) | train::Error::Option { .. } => error.into(),
        other => Failure::Input(format!("{} (training rows): {other}", training.source)),
    }
}

/// Where a run starts: a model, what to warn of, and the state of an earlier run.
struct Start<T> {
    model: Model<T>,
    warnings: Vec<String>,
    state: Option<State<T>>,
}

/// A model that is trained, and how it does.
struct Trained<T> {
    seed: u64,
    model: Model<T>,
    state: State<T>,
    provenance: Value,
    warnings: Vec<String>,
    test: Option<HeldOut>,
}

impl<T> Trained<T> {
    /// What seeds are compared by: validation NLL, training units.
    fn valid_nll(&self) -> f64 {
        self.state.record.best().map_or(f64::INFINITY, |e| e.valid_nll)
    }
}

/// A training run with all that it needs.
struct Job<'a> {
    s: &'a Session,
    a: &'a Arguments,
    settings: Settings,
    checkpoint: PathBuf,
}

impl Job<'_> {
    fn train<T: Element>(&self, resumed: Option<&AnyModel>) -> Result<(), Failure> {
        let s = self.s;
        let mut options = self.settings.options(s.seed());
        let (table, variables) = context::joint(s, &self.a.data, resumed.map(AnyModel::context))?;
        if resumed.is_none() {
            self.check_support(&table, &variables)?;
        }
        let parts = Parts::of(s, table, &variables, &self.settings, options.valid)?;
        if self.settings.epochs.is_none() {
            options.epochs = TrainOptions::epochs_for(parts.training.rows());
        }
        if let Some(warning) = parts.discrete().filter(|_| self.a.dequantize.is_none()) {
            warn(&warning);
        }
        let race = match resumed {
            None => Some(self.race::<T>(&parts, &options)?),
            Some(_) => None,
        };
        let mut runs: Vec<Trained<T>> = Vec::new();
        let mut best = 0;
        for k in 0..self.a.seeds.get() {
            let options = TrainOptions { seed: options.seed.wrapping_add(u64::from(k)), ..options.clone() };
            runs.push(self.one(options, &parts, resumed, race.as_ref())?);
            let (last, worse) =
                (runs.len() - 1, |a: &Trained<T>, b: &Trained<T>| a.valid_nll() > b.valid_nll());
            if worse(&runs[best], &runs[last]) {
                best = last;
            }
        }
        let chosen = &runs[best];
        let mut model = chosen.model.clone();
        let mut record = chosen.state.record.clone();
        record.warnings.splice(0..0, chosen.warnings.clone());
        model.record = Some(with_record(&chosen.provenance, &record));
        model.save(&self.a.out)?;
        checkpoint::save(&self.checkpoint, model, &chosen.state, &chosen.provenance)?;
        self.summary(&runs, best, &record, parts.valid.as_ref().unwrap_or(&parts.training))
    }

    /// That all rows lie where the settings say, before they are split: those of the file are named.
    fn check_support(&self, table: &Table, variables: &[Variable]) -> Result<(), Failure> {
        let own = table.cols() - variables.iter().map(Variable::width).sum::<usize>();
        let x = Matrix::from_fn(table.rows(), own, |i, j| table.values[(i, j)]);
        train::check_support(&self.settings.preset(), &x).map_err(|e| match e {
            train::Error::OutsideSupport { row, column, value, support } => Failure::Input(format!(
                "{}: row {}, column '{}' is {value}, outside the support {support} (ends do not belong to it); mend or remove \
                 the row, or widen --support",
                table.source,
                row + 1,
                table.names[column]
            )),
            other => other.into(),
        })
    }

    /// One run, with one seed.
    fn one<T: Element>(
        &self,
        options: TrainOptions,
        parts: &Parts,
        resumed: Option<&AnyModel>,
        race: Option<&Race>,
    ) -> Result<Trained<T>, Failure> {
        let (s, training) = (self.s, &parts.training);
        let x: Matrix<T> = training.cast()?;
        let held: Option<Matrix<T>> = parts.valid.as_ref().map(Table::cast).transpose()?;
        let Start { mut model, warnings, state } = match resumed {
            None => self.fresh(parts, race.map_or(Preprocess::Standardize, |r| r.chosen), &options)?,
            Some(given) if self.a.from.is_some() => self.continued(given.cast(), training)?,
            Some(checkpoint) => self.resumed(checkpoint, training, &options)?,
        };
        for warning in &warnings {
            warn(warning);
        }

        interrupt::wait_for_epoch();
        s.note(&format!(
            "training {} on {} rows, {} for validation{}; Ctrl-C stops after an epoch and keeps a checkpoint",
            self.what(),
            x.rows(),
            held.as_ref().map_or(0, Matrix::rows),
            if self.a.seeds.get() > 1 { format!(", seed {}", options.seed) } else { String::new() }
        ));
        let progress = Progress::new(s, options.epochs);
        let mut last = Instant::now();
        let mut lost: Option<Failure> = None;
        let before = state.as_ref().map(|s| s.record.epochs.clone());
        let mut epochs: Vec<EpochRow> = before.unwrap_or_default();
        let (columns, provenance) = (model.columns.clone(), self.provenance(parts, race, resumed));
        let result = train::fit_from(&mut model.flow, &x, held.as_ref(), &options, state, &mut |epoch| {
            progress.show(epoch.row);
            epochs.push(epoch.row.clone());
            if interrupt::wanted() {
                return ControlFlow::Break(());
            }
            if last.elapsed() >= CHECKPOINT_EVERY {
                let now = Model { flow: epoch.flow.clone(), columns: columns.clone(), record: None };
                if let Err(failure) = checkpoint::save(&self.checkpoint, now, &epoch.state(), &provenance) {
                    lost = Some(failure);
                    return ControlFlow::Break(());
                }
                last = Instant::now();
            }
            ControlFlow::Continue(())
        });
        progress.finish();
        if let Some(failure) = lost {
            return Err(failure);
        }
        let place = self.checkpoint.display();
        let state = match result {
            Ok(state) => state,
            Err(error) if error.is_answer() => {
                let record = TrainingRecord { options, epochs, ..Default::default() };
                model.record = Some(with_record(&provenance, &record));
                model.save(&self.checkpoint)?;
                return Err(Failure::Answer(format!("{error}; the last good model is in {place}")));
            }
            Err(error) => return Err(named(error, training)),
        };
        for warning in &state.record.warnings {
            warn(warning);
        }
        if interrupt::wanted() {
            let best = state.record.best_epoch;
            checkpoint::save(&self.checkpoint, model, &state, &provenance)?;
            let go_on = if self.a.seeds.get() == 1 { "--resume" } else { "--from" };
            return Err(Failure::Interrupted(format!(
                "interrupted; the weights of epoch {best} are in {place}, go on with {go_on}"
            )));
        }
        // The model is worth keeping whatever comes of the test rows.
        let scored = parts.test.as_ref().map(|test| {
            if !model.flow.dequantize().is_none() {
                return Err(
                    "rows of whole numbers have a bound of their probability, which `score` gives".to_owned()
                );
            }
            let x: Matrix<T> = test.cast().map_err(|e| e.to_string())?;
            train::held_out(&model.flow, &x, &options)
                .map_err(|e| format!("{} (test rows): {e}", test.source))
        });
        let test = match scored.transpose() {
            Ok(test) => test,
            Err(problem) => {
                warn(&format!("no test: {problem}"));
                None
            }
        };
        Ok(Trained { seed: options.seed, model, state, provenance, warnings, test })
    }

    /// The preprocessing, chosen by validation unless it is given.
    fn race<T: Element>(&self, parts: &Parts, options: &TrainOptions) -> Result<Race, Failure> {
        let (training, valid) = (&parts.training, parts.valid.as_ref());
        // Numbers that the precision does not hold are found here, by name.
        let _: Matrix<T> = training.cast()?;
        let open = self.settings.preprocess.is_none_or(|p| p == Preprocess::Auto);
        if self.a.dequantize.is_some() && open {
            // Whole numbers as such have no likelihood to compare.
            return Ok(Race { chosen: Preprocess::Standardize, losses: Vec::new() });
        }
        let (preset, base) = (self.settings.preset(), self.settings.base()?);
        let design =
            Design { preset: &preset, preprocess: Preprocess::Auto, base: &base, context: &parts.context };
        let race = self
            .settings
            .preprocess::<T>(Preprocess::Auto, &design, training, valid, options)
            .map_err(|e| named(e, training))?;
        if let [(_, standardized), (_, whitened)] = race.losses[..] {
            self.s.note(&format!(
                "preprocessing: {} (after a short run, NLL {standardized:.4} standardised, {whitened:.4} whitened)",
                if race.chosen == Preprocess::Whiten { "whiten" } else { "standardize" }
            ));
        }
        Ok(race)
    }

    /// A new model.
    fn fresh<T: Element>(
        &self,
        parts: &Parts,
        preprocess: Preprocess,
        options: &TrainOptions,
    ) -> Result<Start<T>, Failure> {
        let training = &parts.training;
        let own = parts.own_columns();
        let (preset, base) = (self.settings.preset(), self.settings.base()?);
        let dequantize = match self.a.dequantize {
            None => Dequantize::None,
            Some(Kind::Uniform) => Dequantize::Uniform,
            Some(Kind::Variational) => Dequantize::variational(own),
        };
        let rows = whole_numbers(training, own, &dequantize, options.seed)?;
        let design = Design { preset: &preset, preprocess, base: &base, context: &parts.context };
        let built = train::build_given::<T>(&design, &rows, options).map_err(|e| named(e, training))?;
        let flow = train::dequantizing(&built.flow, dequantize, &training.values, options.seed)?;
        // Told here by name instead of by number.
        let mut warnings = built.warnings;
        warnings.retain(|w| !w.starts_with("constant columns"));
        if !built.constant.is_empty() {
            let names: Vec<&str> = built.constant.iter().map(|&j| training.names[j].as_str()).collect();
            warnings.insert(
                0,
                format!(
                    "{}: constant columns keep scale 1 and count as null directions: {}; drop them with --exclude",
                    training.source,
                    names.join(", ")
                ),
            );
        }
        let columns = training.names[..own].to_vec();
        let model = Model { flow, columns, record: None };
        Ok(Start { model, warnings, state: None })
    }

    /// The model given, whatever its layers.
    fn continued<T: Element>(&self, mut model: Model<T>, training: &Table) -> Result<Start<T>, Failure> {
        let given = training.cols() - model.flow.context_columns();
        if model.flow.dim() != given {
            let file = self.a.from.as_deref().unwrap_or(&self.checkpoint).display();
            let has = model.flow.dim();
            let message =
                format!("--from {file}: the model has {has} columns, {} has {given}", training.source);
            return Err(Failure::Input(message));
        }
        model.columns = training.names[..given].to_vec();
        Ok(Start { model, warnings: Vec::new(), state: None })
    }

    /// The model of a checkpoint, and its state.
    fn resumed<T: Element>(
        &self,
        checkpoint: &AnyModel,
        training: &Table,
        options: &TrainOptions,
    ) -> Result<Start<T>, Failure> {
        let file = self.checkpoint.display();
        let fail = |problem: String| Failure::Input(format!("{file}: {problem}"));
        let model: Model<T> = checkpoint.cast();
        let (context, has) = (model.flow.context_columns(), model.flow.dim());
        let given = training.cols() - context;
        if has != given {
            return Err(fail(format!("the checkpoint has {has} columns, {} has {given}", training.source)));
        }
        if checkpoint.record().and_then(|r| r.get("seeds")).and_then(Value::as_u64).is_some_and(|n| n > 1) {
            return Err(fail(
                "is one of several seeds; give it as --from, which goes on from its weights".into(),
            ));
        }
        let mut wanted: Vec<Layer> = self.settings.preset().layers(given, options.seed)?;
        wanted = wanted.into_iter().map(|layer| layer.given(context)).collect();
        let base = self.settings.base()?;
        if let Base::Uniform { low, high } = base {
            wanted.push(Squash { dim: given, low, high }.into());
        }
        if !model.flow.layers().ends_with(&wanted) || *model.flow.base() != base {
            let name = self.settings.preset().flow.as_str();
            return Err(fail(format!(
                "the checkpoint is another flow than {name} with these options; give the options it was trained with"
            )));
        }
        let state = checkpoint::state(&self.checkpoint, checkpoint, options)?;
        self.s.note(&format!("going on from {file} after {} epochs", state.record.epochs.len()));
        Ok(Start { model, warnings: Vec::new(), state: Some(state) })
    }

    /// What is trained, in messages.
    fn what(&self) -> String {
        let preset = || self.settings.preset().flow.as_str().to_owned();
        self.a.from.as_ref().map_or_else(preset, |path| path.display().to_string())
    }

    /// What the record says beside the training itself.
    fn provenance(&self, parts: &Parts, race: Option<&Race>, resumed: Option<&AnyModel>) -> Value {
        let before = |key: &str| resumed.filter(|_| self.a.resume)?.record()?.get(key).cloned();
        json!({
            "flow": self.a.from.is_none().then(|| self.settings.preset()),
            "preprocess": race.map(|r| json!(r.chosen)).or_else(|| before("preprocess")),
            "dequantize": self.a.dequantize.map(|kind| format!("{kind:?}").to_lowercase()),
            "race": race.filter(|r| !r.losses.is_empty()).map(|r| {
                let loss = |(p, loss): &(Preprocess, f64)| json!({ "preprocess": p, "nll": number(*loss) });
                r.losses.iter().map(loss).collect::<Vec<_>>()
            }),
            "from": self.a.from.as_ref().map(|path| path.display().to_string()),
            "data": parts.training.source,
            "validation-data": parts.valid.as_ref().map(|v| &v.source),
            "seeds": self.a.seeds.get(),
            "test-rows": parts.test.as_ref().map(Table::rows),
        })
    }

    fn summary<T: Element>(
        &self,
        runs: &[Trained<T>],
        best: usize,
        record: &TrainingRecord,
        held: &Table,
    ) -> Result<(), Failure> {
        let Trained { model, test, .. } = &runs[best];
        let x: Matrix<T> = held.cast()?;
        // A validation row may be out of the support of the model; the model is saved all the same.
        let log_p = if model.flow.dequantize().is_none() {
            model.flow.log_density(&x).map(|p| p.iter().map(|p| p.f64()).collect::<Vec<f64>>())
        } else {
            model.flow.log_probability_bound(&x, 1, self.s.seed())
        };
        let nll = log_p.ok().map(|p| -p.iter().sum::<f64>() / p.len() as f64);
        let out = self.a.out.display().to_string();
        if self.s.global.json {
            return print_json(&json!({
                "out": out,
                "checkpoint": self.checkpoint.display().to_string(),
                "epochs": record.epochs.len(),
                "best_epoch": record.best_epoch,
                "stop": record.stop,
                "preprocess": runs[best].provenance["preprocess"],
                "race": runs[best].provenance["race"],
                "nll": nll.map(number),
                "validation_rows": record.valid_rows,
                "trained_parameters": model.flow.trained(),
                "best": record.best().map(|e| json!({
                    "nll": number(e.nll), "valid_nll": number(e.valid_nll), "condition": number(e.condition),
                    "virial": number(e.virial),
                })),
                "test": test.as_ref().map(test_json),
                "seeds": seeds_json(runs, best),
                "warnings": record.warnings,
            }));
        }
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "{out}: {} parameters, {}, {} epochs, best {}",
            model.flow.trained(),
            T::NAME,
            record.epochs.len(),
            record.best_epoch
        );
        let rows = if record.valid_rows > 0 { "validation" } else { "training" };
        if let Some(nll) = nll {
            let _ = writeln!(text, "NLL of the {rows} rows  {nll:.6} nats (data units)");
        }
        if let Some(test) = test {
            let ((nll, error), (units, _)) = (test.nll(), test.nll_training_units());
            let _ = writeln!(
                text,
                "NLL of the test rows        {nll:.6} ± {error:.6} nats (data units); {units:.6} (training units)"
            );
        }
        if let Some(e) = record.best() {
            let _ = writeln!(text, "condition of J (99 %)  {:.3e} (training units)", e.condition);
            if model.flow.base().is_standard() {
                let _ = writeln!(text, "virial residual        {:+.2e}", e.virial);
            }
        }
        if runs.len() > 1 {
            text.push_str(&seeds_text(runs, best));
        }
        print(&text)
    }
}

/// Mean over seeds and its standard error.
fn over_seeds(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    (mean, (x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0) / n).sqrt())
}

/// Validation and, where there are such rows, test NLL of all runs, training units.
fn figures<T>(runs: &[Trained<T>]) -> (Vec<f64>, Option<Vec<f64>>) {
    let test = runs.iter().map(|r| r.test.as_ref().map(|t| t.nll_training_units().0)).collect();
    (runs.iter().map(Trained::valid_nll).collect(), test)
}

fn test_json(test: &HeldOut) -> Value {
    let ((nll, error), (units, units_error)) = (test.nll(), test.nll_training_units());
    json!({
        "rows": test.log_density.len(),
        "nll": number(nll), "standard_error": number(error),
        "nll_training_units": number(units), "standard_error_training_units": number(units_error),
        "worst_log_density_training_units": number(test.worst()),
    })
}

fn seeds_json<T>(runs: &[Trained<T>], best: usize) -> Value {
    let (valid, test) = figures(runs);
    let spread = |x: &[f64]| {
        let (mean, error) = over_seeds(x);
        json!({ "mean": number(mean), "standard_error": number(error) })
    };
    let each: Vec<Value> = runs
        .iter()
        .enumerate()
        .map(|(k, run)| {
            json!({
                "seed": run.seed, "valid_nll": number(valid[k]), "test_nll": test.as_ref().map(|t| number(t[k])),
                "epochs": run.state.record.epochs.len(), "best_epoch": run.state.record.best_epoch, "kept": k == best,
            })
        })
        .collect();
    json!({ "runs": each, "valid_nll": spread(&valid), "test_nll": test.as_deref().map(spread) })
}

fn seeds_text<T>(runs: &[Trained<T>], best: usize) -> String {
    let (valid, test) = figures(runs);
    let mut text = "seed  validation NLL      test NLL  best epoch  (training units)\n".to_owned();
    let cell = |x: Option<f64>| x.map_or_else(|| format!("{:>14}", "–"), |x| format!("{x:>14.6}"));
    // Writing into a String cannot fail.
    for (k, run) in runs.iter().enumerate() {
        let kept = if k == best { "  kept" } else { "" };
        let (v, t) = (cell(Some(valid[k])), cell(test.as_ref().map(|t| t[k])));
        let _ = writeln!(text, "{:>4}  {v}{t}  {:>10}{kept}", run.seed, run.state.record.best_epoch);
    }
    for (name, x) in [("validation", Some(valid)), ("test", test)] {
        if let Some((mean, error)) = x.as_deref().map(over_seeds) {
            let _ = writeln!(text, "mean {name} NLL {mean:.6} ± {error:.6} over {} seeds", runs.len());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_errors_over_seeds() {
        // Deviations -1, 0, 1: variance 1, standard error of the mean 1/√3.
        let (mean, error) = over_seeds(&[1.0, 2.0, 3.0]);
        assert!((mean - 2.0).abs() < 1e-15 && (error - 3.0_f64.sqrt().recip()).abs() < 1e-15);
    }
}
