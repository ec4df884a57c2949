//! Pictures as files of a folder: `NAME.svg`, `NAME.png` and, with the numbers, `NAME.npz`; all of them on one page, `report.html`.

use super::failure::Failure;
use super::session::{Session, warn};
use crate::data::Array;
use crate::data::output::{self, write_whole};
use crate::report::chart::{file, svg};
use crate::report::html::{self, Figure};
use crate::report::pictures::Grid;
use crate::theory::Chart;
use std::path::Path;

/// What can be drawn.
pub(crate) trait Picture {
    /// Pixels of a PNG file a unit of the SVG's size.
    fn resolution(&self) -> f32;

    fn title(&self) -> &str;

    /// The text alternative.
    fn description(&self) -> &str;

    /// Without the title; `id` is unique in its page.
    fn svg(&self, id: &str) -> String;

    /// Its numbers: name, shape, entries.
    fn numbers(&self) -> Vec<(String, Vec<usize>, Vec<f64>)>;
}

impl Picture for Chart {
    /// The width of a column, at three times the resolution of a screen.
    fn resolution(&self) -> f32 {
        3.0
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn svg(&self, id: &str) -> String {
        svg(self, id)
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
    fn resolution(&self) -> f32 {
        1.5
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn svg(&self, id: &str) -> String {
        self.svg(id)
    }

    /// The images, `[rows, columns, side, side]`, and the numbers below them.
    fn numbers(&self) -> Vec<(String, Vec<usize>, Vec<f64>)> {
        let (shape, pixels) = self.pixels();
        let values = ("values".to_owned(), shape[..2].to_vec(), self.values());
        vec![("images".to_owned(), shape.to_vec(), pixels), values]
    }
}

/// Pictures, named.
pub(crate) type Pictures = Vec<(String, Box<dyn Picture>)>;

/// Charts as pictures.
pub(crate) fn charts(charts: impl IntoIterator<Item = (String, Chart)>) -> Pictures {
    charts.into_iter().map(|(name, chart)| (name, Box::new(chart) as Box<dyn Picture>)).collect()
}

/// Grids as pictures.
pub(crate) fn grids(grids: impl IntoIterator<Item = (String, Grid)>) -> Pictures {
    grids.into_iter().map(|(name, grid)| (name, Box::new(grid) as Box<dyn Picture>)).collect()
}

/// Writes pictures into the folder, which is made, and a page of them below `heading` and `text`.
pub(crate) fn write(
    s: &Session,
    folder: &Path,
    heading: &str,
    text: &str,
    pictures: &Pictures,
) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)
        .map_err(|e| Failure::Output(format!("{}: cannot be made: {e}", folder.display())))?;
    let mut without = None;
    for (name, picture) in pictures {
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        let bytes = |path: &Path, bytes: &[u8]| write_whole(path, |out| out.write_all(bytes));
        let whole = file::framed(picture.title(), &picture.svg("picture"));
        bytes(&file("svg"), whole.as_bytes())?;
        #[cfg(feature = "png")]
        match file::png(&whole, picture.resolution()) {
            Ok(png) => bytes(&file("png"), &png)?,
            Err(problem) => without = Some(problem),
        }
        #[cfg(not(feature = "png"))]
        {
            without = Some("this build has no feature 'png'".to_owned());
        }
        let numbers = picture.numbers();
        let arrays: Vec<Array<'_>> = numbers.iter().map(|(n, shape, v)| Array::new(n, shape, v)).collect();
        output::write(&file("npz"), &arrays)?;
    }
    if let Some(problem) = without {
        warn(&format!("{}: no PNG was written: {problem}", folder.display()));
    }
    let figures: Vec<Figure> = pictures
        .iter()
        .enumerate()
        .map(|(k, (_, picture))| {
            Figure::new(picture.title(), picture.description(), picture.svg(&format!("g{k}")))
        })
        .collect();
    let page = html::gallery(heading, text, &figures);
    write_whole(&folder.join("report.html"), |out| out.write_all(page.as_bytes()))?;
    s.note(&format!(
        "{} pictures in {}, all of them on its page report.html",
        pictures.len(),
        folder.display()
    ));
    Ok(())
}
