//! `verify [DATA]`: takes a model or trains one, and checks every claim that applies.

mod check;
mod gap;
mod given;
mod polished;
mod rows;
mod trained;

use self::given::given;
use self::trained::trained;
use super::failure::Failure;
use super::output::{print, print_json, probe_folder};
use super::session::{Dtype, Session, warn};
use super::settings::Settings;
use crate::flow::{AnyModel, Model};
use crate::report::{Report, html, json};
use crate::theory::registry;
use std::path::PathBuf;

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
    pub settings: Settings,
}

/// What is verified when no data is named: a manifold of known geometry, and real data.
const EMBEDDED: [&str; 2] = ["builtin:s-curve?n=20000&noise=0.1", "builtin:magic"];

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    let settings = a.settings.clone();
    for (given, option) in
        [(settings.test.is_some(), "--test"), (settings.jitter_columns.is_some(), "--jitter-columns")]
    {
        if given {
            return Err(Failure::Input(format!("{option} is an option of train; leave it out")));
        }
    }
    settings.options(s.seed()).check()?;
    let ids = claims(a)?;
    if let Some(folder) = &a.out {
        probe_folder("--out", folder)?;
    }
    if s.global.dtype == Some(Dtype::F32) {
        warn("--dtype f32: verify trains and checks in double precision, as its tolerances ask for");
    }
    let mut sections = Vec::new();
    if let Some(path) = &a.model {
        let model: Model<f64> = match AnyModel::load(path)? {
            AnyModel::F64(model) => model,
            AnyModel::F32(model) => model.cast(),
        };
        if settings.sets_a_new_model() {
            warn(
                "--model: a model is checked as it is; options of a new one and of its training, other than --alpha, are not used",
            );
        }
        sections.extend(given(s, a, &ids, &model, path)?);
        keep(a, "model.safetensors", &model)?;
    } else {
        settings.warn_of_unused();
        if s.global.context.is_some() && a.data.is_none() {
            let message = "--context: names columns of DATA; say which";
            return Err(Failure::Input(message.to_owned()));
        }
        let data: Vec<&str> = a.data.as_deref().map_or_else(|| EMBEDDED.to_vec(), |d| vec![d]);
        for (k, data) in data.into_iter().enumerate() {
            let (found, model) = trained(s, a, &ids, &settings, data)?;
            let others = format!("model-{}.safetensors", short(data));
            keep(a, if k == 0 { "model.safetensors" } else { &others }, &model)?;
            sections.extend(found);
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

/// Saves a model in the folder of the results, which is made with the first of them: bad data leave no empty folder.
fn keep(a: &Arguments, name: &str, model: &Model<f64>) -> Result<(), Failure> {
    let Some(folder) = &a.out else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|e| Failure::Output(format!("{}: {e}", folder.display())))?;
    Ok(model.save(&folder.join(name))?)
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
