//! `study NAME --out DIR`.

mod dimension;
mod galaxies;
mod images;
mod s_curve;

use super::failure::Failure;
use super::interrupt;
use super::output::{print, print_json};
use super::plot::{self, Pictures};
use super::session::Session;
use crate::data::Element;
use crate::data::output::write_whole;
use crate::flow::{AnyModel, Flow, Model};
use crate::train::{self, TrainOptions};
use eigenflow_linalg::Matrix;
use serde_json::Value;
use std::ops::ControlFlow;
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
    /// Data of the studies mnist and galaxies. Of mnist the folder with MNIST's four files, or DATA with square images of whole numbers and --label
    /// (a fifth of its rows is held out); of galaxies DATA with the columns redshift, u, g, r, i, z, y [default: none; the other studies bring their
    /// data]
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
    /// Intrinsic dimension of sets of which it is known, by every estimator over scales
    Dimension,
    /// Redshift and six magnitudes of galaxies, for the data given with --data: what local axes mean
    Galaxies,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    if a.data.is_some() && !matches!(a.name, Study::Mnist | Study::Galaxies) {
        return Err(Failure::Input(
            "--data: goes with the studies mnist and galaxies; the others bring their data".to_owned(),
        ));
    }
    let global = &s.global;
    let chosen = [("--columns", &global.columns), ("--exclude", &global.exclude), ("--label", &global.label)];
    if let Some((option, _)) = chosen.iter().find(|(_, given)| given.is_some() && a.data.is_none()) {
        return Err(Failure::Input(format!(
            "{option}: chooses columns of --data; this study brings its data"
        )));
    }
    match a.name {
        Study::SCurve => s_curve::run(s, a),
        Study::Digits | Study::Mnist => images::run(s, a),
        Study::Dimension => dimension::run(s, a),
        Study::Galaxies => galaxies::run(s, a),
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

/// Trains a flow on the rows, validated on others if there are any, and saves it with its record.
#[allow(clippy::too_many_arguments)] // all of a training run
fn fitted<T: Element>(
    s: &Session,
    label: &str,
    mut flow: Flow<T>,
    rows: &Matrix<T>,
    valid: Option<&Matrix<T>>,
    options: &TrainOptions,
    columns: &[&str],
    path: &Path,
) -> Result<Flow<f64>, Failure> {
    s.note(&format!("{label}: training for {} epochs", options.epochs));
    let every = (options.epochs / 10).max(1);
    let record = train::fit(&mut flow, rows, valid, options, &mut |row, _| {
        if row.epoch % every == 0 {
            s.note(&format!("{label}: epoch {}, {:.4} nats (training units)", row.epoch, row.nll));
        }
        if interrupt::wanted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if record.stop == train::Stop::Interrupted {
        return Err(Failure::Interrupted("study: interrupted".to_owned()));
    }
    let columns = columns.iter().map(|&c| c.to_owned()).collect();
    let model = Model { flow, columns, record: serde_json::to_value(&record).ok() };
    model.save(path)?;
    Ok(model.flow.cast())
}

/// What a study found: files of the folder, and the figures on standard output.
struct Findings {
    /// Heading of the page.
    heading: &'static str,
    text: String,
    json: Value,
    pictures: Pictures,
}

impl Findings {
    /// Writes pictures, page and `findings.json`, and prints.
    fn give(self, s: &Session, a: &Arguments) -> Result<(), Failure> {
        plot::write(s, &a.out, self.heading, &self.text, &self.pictures)?;
        let json = format!("{:#}\n", self.json);
        write_whole(&a.out.join("findings.json"), |out| out.write_all(json.as_bytes()))?;
        if s.global.json { print_json(&self.json) } else { print(&self.text) }
    }
}
