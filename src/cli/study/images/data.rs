//! The images of a study.

use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::study::{Arguments, Study};
use crate::data::formats::Location;
use crate::data::{Labels, Selection, Source, Table};
use crate::report::studies::images::Images;
use std::path::Path;

/// Rows of the quick study, to train on and held out.
const QUICK: [usize; 2] = [1_500, 300];
/// Part of the rows that is held out where none are.
const HELD: f64 = 0.2;

/// Where MNIST is.
const PLACES: &str =
    "https://ossci-datasets.s3.amazonaws.com/mnist/ or https://storage.googleapis.com/cvdf-datasets/mnist/";

/// The images that the options name.
pub(super) fn images(s: &Session, a: &Arguments) -> Result<Images, Failure> {
    let (mut training, mut held) = match (a.name, &a.data) {
        (Study::Mnist, None) => {
            return Err(Failure::Input(format!(
                "study mnist: needs its data; fetch train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and \
                 t10k-labels-idx1-ubyte.gz (12 MB) from {PLACES} into a folder and give --data FOLDER; or look at the embedded images of 8 x 8 \
                 pixels with 'study digits'"
            )));
        }
        (Study::Mnist, Some(data)) if Path::new(data).is_dir() => {
            (labelled(Path::new(data), "train")?, labelled(Path::new(data), "t10k")?)
        }
        (Study::Mnist, Some(data)) => {
            let table = s.data(data)?;
            if table.label.is_none() {
                return Err(Failure::Input(format!(
                    "--data {data}: has no labels; name their column with --label"
                )));
            }
            table.split(HELD, s.seed())?
        }
        _ => "builtin:digits".parse::<Source>()?.load(&Selection::default())?.split(HELD, s.seed())?,
    };
    let levels =
        1 + training.values.data().iter().chain(held.values.data()).fold(0.0_f64, |m, v| m.max(*v)) as usize;
    if a.quick {
        training = first(&training, QUICK[0])?;
        held = first(&held, QUICK[1])?;
    }
    Ok(Images::of(&training, &held, levels, s.seed())?)
}

fn first(table: &Table, rows: usize) -> Result<Table, Failure> {
    Ok(table.select_rows(&(0..table.rows().min(rows)).collect::<Vec<_>>())?)
}

/// One part of MNIST: its images with their labels.
fn labelled(folder: &Path, part: &str) -> Result<Table, Failure> {
    let file = |what: &str| -> Result<String, Failure> {
        let name = format!("{part}-{what}-ubyte");
        let found =
            [format!("{name}.gz"), name.clone()].map(|n| folder.join(n)).into_iter().find(|p| p.exists());
        let missing = || {
            let folder = folder.display();
            Failure::Input(format!(
                "--data {folder}: there is no {name} or {name}.gz; fetch it from {PLACES}"
            ))
        };
        Ok(found.ok_or_else(missing)?.to_string_lossy().into_owned())
    };
    let images = file("images-idx3")?.parse::<Source>()?.load(&Selection::default())?;
    let labels = Location::of(&file("labels-idx1")?)?.array()?;
    let classes: Vec<String> = labels.data.iter().map(ToString::to_string).collect();
    Ok(images.with_label(Labels::new("digit", &classes))?)
}
