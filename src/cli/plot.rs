//! Pictures as files of a folder: `NAME.svg`, `NAME.png` and, with the numbers, `NAME.npz`.

use super::failure::Failure;
use super::session::{Session, warn};
use crate::data::Array;
use crate::data::output::{self, write_whole};
use crate::report::chart::{file, svg};
use crate::report::pictures::Grid;
use crate::theory::Chart;
use std::path::Path;

/// What can be drawn.
pub(crate) trait Picture {
    /// Pixels of a PNG file a unit of the SVG's size.
    const SCALE: f32;

    fn title(&self) -> &str;

    /// Without the title.
    fn svg(&self) -> String;

    /// Its numbers: name, shape, entries.
    fn numbers(&self) -> Vec<(String, Vec<usize>, Vec<f64>)>;
}

impl Picture for Chart {
    /// The width of a column, at three times the resolution of a screen.
    const SCALE: f32 = 3.0;

    fn title(&self) -> &str {
        &self.title
    }

    fn svg(&self) -> String {
        svg(self, "chart")
    }

    /// The marks as arrays `K_NAME_x`, `…_y`, `…_error`, `…_colour`, `K` counting marks from 0.
    fn numbers(&self) -> Vec<(String, Vec<usize>, Vec<f64>)> {
        let mut arrays = Vec::new();
        for (k, mark) in self.marks.iter().enumerate() {
            let name: String = mark.name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
            for (what, values) in
                [("x", &mark.x), ("y", &mark.y), ("error", &mark.error), ("colour", &mark.colour)]
            {
                if !values.is_empty() {
                    arrays.push((format!("{k}_{name}_{what}"), vec![values.len()], values.clone()));
                }
            }
        }
        arrays
    }
}

impl Picture for Grid {
    /// Four pixels of the file to one of an image of 28.
    const SCALE: f32 = 1.5;

    fn title(&self) -> &str {
        &self.title
    }

    fn svg(&self) -> String {
        self.svg("grid")
    }

    /// The images, `[rows, columns, side, side]`, and the numbers below them.
    fn numbers(&self) -> Vec<(String, Vec<usize>, Vec<f64>)> {
        let (shape, pixels) = self.pixels();
        let values = ("values".to_owned(), shape[..2].to_vec(), self.values());
        vec![("images".to_owned(), shape.to_vec(), pixels), values]
    }
}

/// Writes pictures, named, into the folder, which is made.
pub(crate) fn write<P: Picture>(s: &Session, folder: &Path, charts: &[(String, P)]) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)
        .map_err(|e| Failure::Output(format!("{}: cannot be made: {e}", folder.display())))?;
    let mut without = None;
    for (name, chart) in charts {
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        let bytes = |path: &Path, bytes: &[u8]| write_whole(path, |out| out.write_all(bytes));
        let whole = file::framed(chart.title(), &chart.svg());
        bytes(&file("svg"), whole.as_bytes())?;
        #[cfg(feature = "png")]
        match file::png(&whole, P::SCALE) {
            Ok(png) => bytes(&file("png"), &png)?,
            Err(problem) => without = Some(problem),
        }
        #[cfg(not(feature = "png"))]
        {
            without = Some("this build has no feature 'png'".to_owned());
        }
        let numbers = chart.numbers();
        let arrays: Vec<Array<'_>> = numbers.iter().map(|(n, shape, v)| Array::new(n, shape, v)).collect();
        output::write(&file("npz"), &arrays)?;
    }
    if let Some(problem) = without {
        warn(&format!("{}: no PNG was written: {problem}", folder.display()));
    }
    s.note(&format!("{} pictures in {}", charts.len(), folder.display()));
    Ok(())
}
