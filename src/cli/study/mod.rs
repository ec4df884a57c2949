//! `study NAME --out DIR`.

mod images;
mod s_curve;

use super::failure::Failure;
use super::session::Session;
use crate::data::output::write_whole;
use crate::flow::{AnyModel, Flow};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Options of `study`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Which study
    #[arg(value_enum)]
    name: Study,
    /// Folder for models, pictures, their numbers and findings.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Images of the study mnist: the folder with MNIST's four files, or DATA with square images of whole numbers and --label (a fifth of its rows
    /// is held out) [default: none; the other studies bring their data]
    #[arg(long, value_name = "FOLDER|DATA")]
    data: Option<String>,
    /// Seconds to a minute instead of up to an hour: smaller flows, trained for less, on fewer rows
    #[arg(long)]
    quick: bool,
    /// Use the models in DIR, where they are, instead of training them anew
    #[arg(long)]
    keep: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Study {
    /// A bent sheet whose arc length, width and normal are known at every point
    SCurve,
    /// Handwritten digits of 8 x 8 pixels, embedded: local axes, dimension and denoising of images
    Digits,
    /// The same of 28 x 28 pixels, for the data given with --data
    Mnist,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    if a.data.is_some() && a.name != Study::Mnist {
        return Err(Failure::Input(
            "--data: goes with the study mnist; the others bring their data".to_owned(),
        ));
    }
    match a.name {
        Study::SCurve => s_curve::run(s, a),
        Study::Digits | Study::Mnist => images::run(s, a),
    }
}

/// Makes the folder of a study.
fn folder(out: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(out)
        .map_err(|e| Failure::Output(format!("--out {}: cannot be made: {e}", out.display())))
}

/// The flow of a model that is there already, where that is asked for.
fn stored(a: &Arguments, path: &Path) -> Result<Option<Flow<f64>>, Failure> {
    if !a.keep || !path.exists() {
        return Ok(None);
    }
    Ok(Some(match AnyModel::load(path)? {
        AnyModel::F32(model) => model.flow.cast(),
        AnyModel::F64(model) => model.flow,
    }))
}

/// Writes `findings.json`.
fn write_findings(a: &Arguments, findings: &Value) -> Result<(), Failure> {
    let text = format!("{findings:#}\n");
    Ok(write_whole(&a.out.join("findings.json"), |out| out.write_all(text.as_bytes()))?)
}
