//! `study digits` and `study mnist`.

mod data;
mod table;

use super::{Arguments, Findings, Study, folder, stored};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::{interrupt, plot};
use crate::flow::presets::{Name, Preset};
use crate::flow::{Flow, Model};
use crate::report::studies::images::{
    Images, Observer, Recipe, Settings, denoiser, gallery, geometry, walks,
};
use crate::theory::linear::Spectrum;
use crate::train::{self, EpochRow, Stop, TrainingRecord};
use std::ops::ControlFlow;

/// What is trained, and looked at.
fn settings(a: &Arguments, seed: u64) -> Settings {
    let recipe = |width: usize, epochs, batch, lr| Recipe {
        preset: Preset { hidden: Some(vec![width; 2]), ..Preset::named(Name::Realnvp) },
        epochs,
        batch,
        lr,
    };
    let common = |geometry, denoiser, rows| Settings {
        scale: 0.1,
        noise: [0.1, 0.2, 0.4],
        geometry,
        denoiser,
        axes: 10,
        rows,
        seed,
    };
    let full = match a.name {
        Study::Mnist => common(recipe(192, 10, 256, 1.5e-3), recipe(192, 12, 256, 1.5e-3), [5, 10, 100]),
        _ => common(recipe(64, 100, 128, 1e-3), recipe(64, 300, 128, 1e-3), [20, 20, 30]),
    };
    if !a.quick {
        return full;
    }
    let quick = |recipe: Recipe| Recipe {
        preset: Preset { layers: Some(4), hidden: Some(vec![32]), ..recipe.preset },
        epochs: 4,
        ..recipe
    };
    let (geometry, denoiser) = (quick(full.geometry), quick(full.denoiser));
    Settings { geometry, denoiser, axes: 4, rows: [2, 2, 5], ..full }
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    let settings = settings(a, s.seed());
    let images = data::images(s, a)?;
    folder(&a.out)?;
    s.note(&format!(
        "{} rows to train on, {} to validate on, {} held out, of {} pixels",
        images.training.rows(),
        images.valid.rows(),
        images.held.rows(),
        images.held.cols()
    ));
    let spectrum = Spectrum::of(&images.training).map_err(crate::flow::Error::from)?;
    let study = Run { s, a, images: &images, settings: &settings };
    let flow = study.flow("axes", |o| geometry::trained(&images, &spectrum, &settings, o))?;
    let found = geometry::geometry(&flow, &images, &spectrum, &settings)?;
    let mut grids = vec![
        ("axes".to_owned(), gallery::axes(&images, &spectrum, &found)),
        ("draws".to_owned(), gallery::draws(&images, &flow.sample(40, 1.0, s.seed())?)),
    ];
    s.note("walking along the leading components");
    let walks = walks::walks(&flow, &images.held_rows(&found.examples), &settings)?;
    for (k, t) in walks.iter().enumerate() {
        grids.push((format!("walk-{}", k + 1), gallery::walk(&images, &spectrum, k, t)));
    }
    let core = study.flow("denoiser", |o| denoiser::trained(&images, &spectrum, &settings, o))?;
    let restored = denoiser::restored(&core, &images, &spectrum, &settings)?;
    grids.push(("denoised".to_owned(), gallery::denoised(&images, &restored, settings.rows[2])));
    let scree = gallery::scree(&spectrum, &found, settings.scale);
    let mut pictures = plot::grids(grids);
    pictures.extend(plot::charts([("scree".to_owned(), scree)]));
    let found = table::Found {
        images: &images,
        spectrum: &spectrum,
        settings: &settings,
        geometry: &found,
        walks: &walks,
        restored: &restored,
    };
    let heading = if a.name == Study::Mnist { "Study: MNIST" } else { "Study: digits of 8 x 8 pixels" };
    Findings { heading, text: found.text(), json: found.json(), pictures }.give(s, a)
}

/// A run of the study.
struct Run<'a> {
    s: &'a Session,
    a: &'a Arguments,
    images: &'a Images,
    settings: &'a Settings,
}

impl Run<'_> {
    /// The model of this name: the one in the folder where that is asked for, else one that is trained and saved there.
    fn flow(
        &self,
        name: &str,
        train: impl FnOnce(&mut Observer<'_>) -> Result<(Flow<f64>, TrainingRecord), train::Error>,
    ) -> Result<Flow<f64>, Failure> {
        let path = self.a.out.join(format!("{name}.safetensors"));
        let d = self.images.held.cols();
        if let Some(flow) = stored(self.a, &path)? {
            let levels = if name == "denoiser" { self.settings.noise.len() } else { 0 };
            if flow.dim() != d || flow.context_columns() != levels {
                let text =
                    format!("--keep: {} is a model of other rows; train anew without --keep", path.display());
                return Err(Failure::Input(text));
            }
            return Ok(flow);
        }
        let mut observe = |row: &EpochRow| {
            if self.images.training.rows() > 10_000 || row.epoch.is_multiple_of(10) {
                self.s.note(&format!(
                    "{name}: epoch {}, {:.2} nats, held out {:.2} (training units)",
                    row.epoch, row.nll, row.valid_nll
                ));
            }
            if interrupt::wanted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let (flow, record) = train(&mut observe)?;
        if record.stop == Stop::Interrupted {
            return Err(Failure::Interrupted("study: interrupted".to_owned()));
        }
        let columns = match name {
            "denoiser" => (1..=d).map(|k| format!("axis{k}")).collect(),
            _ => (0..d).map(|k| format!("r{}c{}", k / self.images.side, k % self.images.side)).collect(),
        };
        Model { flow: flow.cast::<f32>(), columns, record: serde_json::to_value(&record).ok() }
            .save(&path)?;
        Ok(flow)
    }
}
