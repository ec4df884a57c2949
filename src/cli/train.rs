//! `train DATA --out MODEL`.

use super::context;
use super::failure::Failure;
use super::interrupt;
use super::output::{number, print, print_json};
use super::progress::Progress;
use super::session::{Dtype, Session, warn};
use super::settings::{Settings, Valid, WithFile};
use crate::data::{Element, Table};
use crate::flow::bijections::Squash;
use crate::flow::{AnyModel, Base, Dequantize, Layer, Model, Variable, dequantizing_noise};
use crate::train::{self, Design, EpochRow, TrainOptions, TrainingRecord};
use eigenflow_linalg::Matrix;
use serde_json::{Value, json};
use std::ffi::OsString;
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
    /// Go on from MODEL.checkpoint up to --epochs in all: weights and preprocessing are kept, the moments
    /// of the optimiser and the learning-rate schedule start anew
    #[arg(long)]
    resume: bool,
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
    let settings = a.settings.settings()?;
    if a.out.extension().is_none_or(|e| !e.eq_ignore_ascii_case("safetensors")) {
        let file = a.out.display();
        return Err(Failure::Input(format!("--out {file}: a model is a .safetensors file; name it so")));
    }
    settings.options(s.seed()).check()?;
    probe(&a.out)?;
    let checkpoint = checkpoint_of(&a.out);
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

/// `MODEL.checkpoint`.
fn checkpoint_of(model: &Path) -> PathBuf {
    let mut name = OsString::from(model);
    name.push(".checkpoint");
    name.into()
}

/// An error of training with the name of the data, where it is the data's fault.
fn named(error: train::Error, training: &Table) -> Failure {
    match error {
        train::Error::Flow(crate::flow::Error::Option { .. }) | train::Error::Option { .. } => error.into(),
        other => Failure::Input(format!("{} (training rows): {other}", training.source)),
    }
}

/// Where a run starts: a model, what to warn of, and the epochs that it has behind it.
struct Start<T> {
    model: Model<T>,
    warnings: Vec<String>,
    done: usize,
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
        let known = resumed.map(AnyModel::context);
        let (table, variables) = context::joint(s, &self.a.data, known)?;
        let (training, valid) = match &self.settings.valid {
            Some(Valid::Data(data)) => {
                let valid = context::joint(s, data, Some(&variables))?.0;
                if valid.cols() != table.cols() {
                    let (given, needed) = (valid.cols(), table.cols());
                    let message = format!("--valid {data}: {given} columns where the data has {needed}");
                    return Err(Failure::Input(message));
                }
                (table, Some(valid))
            }
            _ if options.valid > 0.0 => {
                let (training, valid) = table.split(options.valid, s.seed())?;
                (training, Some(valid))
            }
            _ => (table, None),
        };
        let x: Matrix<T> = training.cast()?;
        let held: Option<Matrix<T>> = valid.as_ref().map(Table::cast).transpose()?;
        let Start { mut model, warnings, done } = match resumed {
            None => self.fresh(&training, &variables, &options)?,
            Some(given) if self.a.from.is_some() => self.continued(given.cast(), &training)?,
            Some(checkpoint) => self.resumed(checkpoint.cast(), &training, &mut options)?,
        };
        for warning in &warnings {
            warn(warning);
        }

        interrupt::wait_for_epoch();
        s.note(&format!(
            "training {} on {} rows, {} for validation; Ctrl-C stops after an epoch and keeps a checkpoint",
            self.what(),
            x.rows(),
            held.as_ref().map_or(0, Matrix::rows)
        ));
        let progress = Progress::new(s, options.epochs);
        let mut last = Instant::now();
        let mut lost: Option<Failure> = None;
        let mut epochs: Vec<EpochRow> = Vec::new();
        let (columns, provenance) = (model.columns.clone(), self.provenance(&training, valid.as_ref(), done));
        let result = train::fit(&mut model.flow, &x, held.as_ref(), &options, &mut |row, flow| {
            progress.show(row);
            epochs.push(row.clone());
            if interrupt::wanted() {
                return ControlFlow::Break(());
            }
            if last.elapsed() >= CHECKPOINT_EVERY {
                last = Instant::now();
                let record =
                    TrainingRecord { options: options.clone(), epochs: epochs.clone(), ..Default::default() };
                let now = Model {
                    flow: flow.clone(),
                    columns: columns.clone(),
                    record: Some(with_record(&provenance, &record)),
                };
                if let Err(error) = now.save(&self.checkpoint) {
                    lost = Some(error.into());
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        progress.finish();
        if let Some(failure) = lost {
            return Err(failure);
        }
        let place = self.checkpoint.display();
        let mut record = match result {
            Ok(record) => record,
            Err(error) if error.is_answer() => {
                let record = TrainingRecord { options, epochs, ..Default::default() };
                model.record = Some(with_record(&provenance, &record));
                model.save(&self.checkpoint)?;
                return Err(Failure::Answer(format!("{error}; the last good model is in {place}")));
            }
            Err(error) => return Err(named(error, &training)),
        };
        for warning in &record.warnings {
            warn(warning);
        }
        record.warnings.splice(0..0, warnings);
        model.record = Some(with_record(&provenance, &record));
        if interrupt::wanted() {
            model.save(&self.checkpoint)?;
            let best = done + record.best_epoch;
            return Err(Failure::Interrupted(format!(
                "interrupted; the weights of epoch {best} are in {place}, go on with --resume"
            )));
        }
        model.save(&self.a.out)?;
        model.save(&self.checkpoint)?;
        self.summary(&model, &record, valid.as_ref().unwrap_or(&training), done)
    }

    /// A new model.
    fn fresh<T: Element>(
        &self,
        training: &Table,
        variables: &[Variable],
        options: &TrainOptions,
    ) -> Result<Start<T>, Failure> {
        let own = training.cols() - variables.iter().map(Variable::width).sum::<usize>();
        let (preset, preprocess, base) =
            (self.settings.preset(), self.settings.preprocess(), self.settings.base()?);
        let dequantize = match self.a.dequantize {
            None => Dequantize::None,
            Some(Kind::Uniform) => Dequantize::Uniform,
            Some(Kind::Variational) => Dequantize::variational(own),
        };
        let rows = whole_numbers(training, own, &dequantize, options.seed)?;
        let design = Design { preset: &preset, preprocess, base: &base, context: variables };
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
        Ok(Start { model, warnings, done: 0 })
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
        Ok(Start { model, warnings: Vec::new(), done: 0 })
    }

    /// The model of a checkpoint; `options` become those of what is left to do.
    fn resumed<T: Element>(
        &self,
        model: Model<T>,
        training: &Table,
        options: &mut TrainOptions,
    ) -> Result<Start<T>, Failure> {
        let file = self.checkpoint.display();
        let fail = |problem: String| Failure::Input(format!("{file}: {problem}"));
        let (context, has) = (model.flow.context_columns(), model.flow.dim());
        let given = training.cols() - context;
        if has != given {
            return Err(fail(format!("the checkpoint has {has} columns, {} has {given}", training.source)));
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
        let record = model.record.as_ref();
        let count = |key: &str| record.and_then(|r| r.get(key)).and_then(Value::as_u64).unwrap_or(0) as usize;
        let of_run = record.and_then(|r| r.get("epochs")).and_then(Value::as_array).map_or(0, Vec::len);
        let done = count("epochs-before") + of_run;
        if done >= options.epochs {
            return Err(fail(format!("has {done} epochs behind it; give --epochs above that")));
        }
        options.epochs -= done;
        self.s.note(&format!(
            "going on from {file} after {done} epochs: weights and preprocessing are kept, optimiser and schedule start anew"
        ));
        // Another order of rows than in the epochs behind it; the split keeps the seed given.
        options.seed = crate::random::hash_words(options.seed, [done as u64]);
        Ok(Start { model, warnings: Vec::new(), done })
    }

    /// What is trained, in messages.
    fn what(&self) -> String {
        let preset = || self.settings.preset().flow.as_str().to_owned();
        self.a.from.as_ref().map_or_else(preset, |path| path.display().to_string())
    }

    /// What the record says beside the training itself.
    fn provenance(&self, training: &Table, valid: Option<&Table>, done: usize) -> Value {
        json!({
            "flow": self.a.from.is_none().then(|| self.settings.preset()),
            "preprocess": self.a.from.is_none().then(|| self.settings.preprocess()),
            "dequantize": self.a.dequantize.map(|kind| format!("{kind:?}").to_lowercase()),
            "from": self.a.from.as_ref().map(|path| path.display().to_string()),
            "data": training.source,
            "validation-data": valid.map(|v| &v.source),
            "epochs-before": done,
        })
    }

    fn summary<T: Element>(
        &self,
        model: &Model<T>,
        record: &TrainingRecord,
        held: &Table,
        done: usize,
    ) -> Result<(), Failure> {
        let x: Matrix<T> = held.cast()?;
        // A validation row may be out of the support of the model; the model is saved all the same.
        let log_p = if model.flow.dequantize().is_none() {
            model.flow.log_density(&x).map(|p| p.iter().map(|p| p.f64()).collect::<Vec<f64>>())
        } else {
            model.flow.log_probability_bound(&x, 1, self.s.seed())
        };
        let nll = log_p.ok().map(|p| -p.iter().sum::<f64>() / p.len() as f64);
        let out = self.a.out.display().to_string();
        let (epochs, best) = (done + record.epochs.len(), done + record.best_epoch);
        if self.s.global.json {
            return print_json(&json!({
                "out": out,
                "checkpoint": self.checkpoint.display().to_string(),
                "epochs": epochs,
                "best_epoch": best,
                "stop": record.stop,
                "nll": nll.map(number),
                "validation_rows": record.valid_rows,
                "trained_parameters": model.flow.trained(),
                "best": record.best().map(|e| json!({
                    "nll": number(e.nll), "valid_nll": number(e.valid_nll), "condition": number(e.condition),
                    "virial": number(e.virial),
                })),
                "warnings": record.warnings,
            }));
        }
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "{out}: {} parameters, {}, {epochs} epochs, best {best}",
            model.flow.trained(),
            T::NAME
        );
        let rows = if record.valid_rows > 0 { "validation" } else { "training" };
        if let Some(nll) = nll {
            let _ = writeln!(text, "NLL of the {rows} rows  {nll:.6} nats (data units)");
        }
        if let Some(e) = record.best() {
            let _ = writeln!(text, "condition of J (99 %)  {:.3e} (training units)", e.condition);
            if model.flow.base().is_standard() {
                let _ = writeln!(text, "virial residual        {:+.2e}", e.virial);
            }
        }
        print(&text)
    }
}

/// The rows from which preprocessing is set: whole numbers with a uniform rest, others as they are.
fn whole_numbers(
    table: &Table,
    own: usize,
    dequantize: &Dequantize,
    seed: u64,
) -> Result<Matrix<f64>, Failure> {
    if dequantize.is_none() {
        return Ok(table.values.clone());
    }
    if let Some(j) = (0..own).find(|&j| !table.integer[j]) {
        let (source, name) = (&table.source, &table.names[j]);
        return Err(Failure::Input(format!(
            "--dequantize: column '{name}' of {source} holds numbers that are not whole; leave it out or train without --dequantize"
        )));
    }
    let u = dequantizing_noise::<f64>(table.rows(), own, false, seed);
    Ok(Matrix::from_fn(table.rows(), table.cols(), |i, j| {
        table.values[(i, j)] + if j < own { u[(i, j)] } else { 0.0 }
    }))
}

/// A training record with its provenance, as it stands in a model file. Nothing in it depends on the
/// clock, so the same run gives the same file.
fn with_record(provenance: &Value, record: &TrainingRecord) -> Value {
    let mut value = serde_json::to_value(record).unwrap_or_default();
    if let (Some(to), Some(from)) = (value.as_object_mut(), provenance.as_object()) {
        to.extend(from.clone());
    }
    value
}
