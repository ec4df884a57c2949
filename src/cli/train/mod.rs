//! `train DATA --out MODEL`.

mod run;
mod start;
mod summary;

use super::checkpoint::{self, with_record};
use super::context;
use super::failure::Failure;
use super::interrupt;
use super::output::probe;
use super::parts::{Parts, check_support, check_whole};
use super::session::{Dtype, Session, by_name, warn};
use super::settings::Settings;
use crate::data::{Element, Table};
use crate::flow::presets::{Intervals, Preset};
use crate::flow::{AnyModel, Model, Variable};
use crate::train::{self, HeldOut, State, TrainOptions, TrainingRecord};
use serde_json::Value;
use std::path::PathBuf;

/// Options of `train`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The rows to fit
    data: String,
    /// The model file, .safetensors; MODEL.checkpoint is kept beside it
    #[arg(long, value_name = "MODEL")]
    out: PathBuf,
    #[command(flatten)]
    settings: Settings,
    /// The data are whole numbers: give them the rest with uniform noise on [0, 1), new in each epoch, or with a conditional flow that is
    /// trained too (variational), for the better bound of their probability [default: none, or the model's with --from and --resume]
    #[arg(long, value_name = "uniform|variational")]
    dequantize: Option<Kind>,
    /// Go on from MODEL.checkpoint up to --epochs in all, to the same bits as a run that never stopped (with the same
    /// options, on a machine with the same vector instructions; more epochs stretch the schedule)
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

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    let settings = a.settings.clone().or_default_flow();
    if a.out.extension().is_none_or(|e| !e.eq_ignore_ascii_case("safetensors")) {
        let file = a.out.display();
        return Err(Failure::Input(format!("--out {file}: a model is a .safetensors file; name it so")));
    }
    settings.options(s.seed()).check()?;
    let checkpoint = checkpoint::place(&a.out);
    probe("--out", &a.out)?;
    probe("--out", &checkpoint)?;
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

/// An error of training with the name of the data, where it is the data's fault.
fn named(error: train::Error, training: &Table) -> Failure {
    match error {
        train::Error::Flow(crate::flow::Error::Option { .. })
        | train::Error::Option { .. }
        | train::Error::Memory { .. } => error.into(),
        other => Failure::Input(format!("{} (training rows): {other}", training.source)),
    }
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

impl<T: Element> Trained<T> {
    /// The model as it is kept, and its record.
    fn finished(&self) -> (Model<T>, TrainingRecord) {
        let (mut model, mut record) = (self.model.clone(), self.state.record.clone());
        record.warnings.splice(0..0, self.warnings.clone());
        model.record = Some(with_record(&self.provenance, &record));
        (model, record)
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
        let (mut table, variables) = context::joint(s, &self.a.data, resumed.map(AnyModel::context))?;
        let width = variables.iter().map(Variable::width).sum::<usize>();
        match resumed {
            None => self.settings.warn_of_unused(),
            Some(model) => {
                // As for every command: the model's columns by name.
                let contexts = &table.names[table.cols() - width..];
                let names = model.columns().iter().chain(contexts).cloned().collect::<Vec<_>>();
                table = by_name(table, &names)?;
                if self.a.from.is_some() && self.a.settings.describes_a_model() {
                    warn(
                        "--from: the model goes on as it is; options of a new one (its flow, base, preprocessing) are not used",
                    );
                }
            }
        }
        let own = table.cols() - width;
        let whole = self.a.dequantize.is_some() || resumed.is_some_and(AnyModel::is_of_whole_numbers);
        let support = resumed.and_then(AnyModel::support).map(|s| Intervals(s.columns.clone()));
        let preset = match resumed {
            None => self.settings.preset(),
            Some(_) => Preset { support, ..Preset::default() },
        };
        // Before the rows are divided, so that they can be named as the file has them.
        let fits = |table: &Table| {
            // Another number of columns is told by what takes them.
            if resumed.is_some_and(|m| m.columns().len() != own) {
                return Ok(());
            }
            check_support(table, own, &preset)?;
            if whole { check_whole(table, own) } else { Ok(()) }
        };
        fits(&table)?;
        let parts = Parts::of(s, table, &variables, &self.settings, options.valid, &fits)?;
        if self.settings.epochs.is_none() {
            options.epochs = TrainOptions::epochs_for(parts.training.rows());
        }
        if let Some(warning) = parts.discrete().filter(|_| !whole) {
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
            let run = if interrupt::wanted() && k > 0 {
                Err(Failure::Interrupted("interrupted".to_owned()))
            } else {
                self.one(options, &parts, resumed, race.as_ref())
            };
            match run {
                Ok(run) => runs.push(run),
                Err(failure) if runs.is_empty() => return Err(failure),
                // Seeds that have come to their end are not lost.
                Err(failure) => {
                    runs[best].finished().0.save(&self.a.out)?;
                    let (n, out) = (runs.len(), self.a.out.display());
                    return Err(
                        failure.with(&format!("; seeds finished before: {n}, the best of them is in {out}"))
                    );
                }
            }
            let (last, worse) =
                (runs.len() - 1, |a: &Trained<T>, b: &Trained<T>| a.valid_nll() > b.valid_nll());
            if worse(&runs[best], &runs[last]) {
                best = last;
            }
        }
        let chosen = &runs[best];
        let (model, record) = chosen.finished();
        model.save(&self.a.out)?;
        checkpoint::save(&self.checkpoint, model, &chosen.state, &chosen.provenance)?;
        self.summary(&runs, best, &record, parts.valid.as_ref().unwrap_or(&parts.training))
    }
}
