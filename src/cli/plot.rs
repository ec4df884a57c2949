//! Charts as files of a folder: `NAME.svg`, `NAME.png` and, with the numbers, `NAME.npz`.

use super::failure::Failure;
use super::session::{Session, warn};
use crate::data::Array;
use crate::data::output::{self, write_whole};
use crate::report::chart::file;
use crate::theory::Chart;
use std::path::Path;

/// Pixels a unit of the drawing: 410 units are the width of a column, at three times the resolution of a screen.
#[cfg(feature = "png")]
const SCALE: f32 = 3.0;

/// Writes the charts, named, into the folder, which is made.
pub(crate) fn write(s: &Session, folder: &Path, charts: &[(String, Chart)]) -> Result<(), Failure> {
    std::fs::create_dir_all(folder)
        .map_err(|e| Failure::Output(format!("{}: cannot be made: {e}", folder.display())))?;
    let mut without = None;
    for (name, chart) in charts {
        let file = |ending: &str| folder.join(format!("{name}.{ending}"));
        let bytes = |path: &Path, bytes: &[u8]| write_whole(path, |out| out.write_all(bytes));
        bytes(&file("svg"), file::standalone(chart).as_bytes())?;
        #[cfg(feature = "png")]
        match file::png(chart, SCALE) {
            Ok(png) => bytes(&file("png"), &png)?,
            Err(problem) => without = Some(problem),
        }
        #[cfg(not(feature = "png"))]
        {
            without = Some("this build has no feature 'png'".to_owned());
        }
        numbers(&file("npz"), chart)?;
    }
    if let Some(problem) = without {
        warn(&format!("{}: no PNG was written: {problem}", folder.display()));
    }
    s.note(&format!("{} pictures in {}", charts.len(), folder.display()));
    Ok(())
}

/// The marks of a chart as arrays `K_NAME_x`, `…_y`, `…_error`, `…_colour`, `K` counting marks from 0.
fn numbers(path: &Path, chart: &Chart) -> Result<(), Failure> {
    let mut arrays = Vec::new();
    for (k, mark) in chart.marks.iter().enumerate() {
        let name: String = mark.name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        for (what, values) in
            [("x", &mark.x), ("y", &mark.y), ("error", &mark.error), ("colour", &mark.colour)]
        {
            if !values.is_empty() {
                arrays.push(Array::new(&format!("{k}_{name}_{what}"), &[values.len()], values));
            }
        }
    }
    Ok(output::write(path, &arrays)?)
}
