//! Results: to a file, as text, or as JSON.

use super::failure::Failure;
use super::session::Session;
use crate::data::formats::numbers::available_memory;
use crate::data::output::{self, OutputFormat, PRINTED, Values};
use crate::data::{Array, Error};
use serde_json::{Map, Value, json};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Where a result goes.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Out {
    /// File for the result: .npy, .npz or .csv; its ending picks the format [default: up to 1,000 numbers
    /// to standard output, more are refused]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Writes to standard output. A reader that went away is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::Closed,
        _ => Failure::Output(format!("standard output: cannot be written: {error}")),
    })
}

/// Prints one JSON object.
pub(crate) fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value}\n"))
}

/// That a file can be written, asked before what takes long and not after it.
pub(crate) fn probe(option: &str, file: &Path) -> Result<(), Failure> {
    let there = match std::fs::metadata(file) {
        Ok(there) if there.is_dir() => Err(ErrorKind::IsADirectory.into()),
        Ok(there) if there.permissions().readonly() => Err(ErrorKind::PermissionDenied.into()),
        // A device or a pipe is written to, not replaced.
        Ok(there) if !there.is_file() => return Ok(()),
        _ => Ok(()),
    };
    there.and_then(|()| tempfile::tempfile_in(parent(file)).map(drop)).map_err(|error: std::io::Error| {
        Failure::Output(format!(
            "{option} {}: cannot be written: {error}; nothing was changed",
            file.display()
        ))
    })
}

/// The same for a folder that may have to be made, with the folders it lies in.
pub(crate) fn probe_folder(option: &str, folder: &Path) -> Result<(), Failure> {
    let above = folder.ancestors().filter(|p| !p.as_os_str().is_empty());
    let there = above.into_iter().find(|p| p.exists()).unwrap_or(Path::new("."));
    tempfile::tempfile_in(there).map(drop).map_err(|error| {
        Failure::Output(format!(
            "{option} {}: cannot be made: {error}; nothing was changed",
            folder.display()
        ))
    })
}

/// The folder that a file lies in.
fn parent(file: &Path) -> &Path {
    file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether a result of so many numbers can be had: two copies in single precision are the least that any command takes.
pub(crate) fn fits_memory(numbers: usize) -> bool {
    numbers.saturating_mul(2 * size_of::<f32>()) as u64 <= available_memory()
}

impl Out {
    /// Whether a file is named.
    pub(crate) fn named(&self) -> bool {
        self.out.is_some()
    }

    /// Whether an array can stand beside another one without changing what scripts read: in a .npz file, and in JSON.
    pub(crate) fn holds_several(&self, session: &Session) -> bool {
        match &self.out {
            Some(path) => path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz")),
            None => session.global.json,
        }
    }

    /// That the file can hold arrays of these shapes, or that they are short enough to print: asked before
    /// anything is computed.
    pub(crate) fn check(&self, shapes: &[&[usize]]) -> Result<(), Failure> {
        let entries = |shape: &&[usize]| shape.iter().fold(1_usize, |n, &k| n.saturating_mul(k));
        let numbers = shapes.iter().map(entries).fold(0, usize::saturating_add);
        if let Some(path) = &self.out {
            let axes: Vec<usize> = shapes.iter().map(|shape| shape.len()).collect();
            OutputFormat::of(path, &axes)?;
            if !fits_memory(numbers) {
                return Err(Failure::Input(format!(
                    "the result has {numbers} numbers, which do not fit into memory; ask for fewer rows, draws or points, or for a \
                     smaller --top"
                )));
            }
            return probe("--out", path);
        }
        if numbers > PRINTED {
            return Err(Error::TooLongToPrint { numbers, limit: PRINTED }.into());
        }
        Ok(())
    }

    /// Writes the arrays, where a file is named, and says nothing.
    pub(crate) fn write(&self, arrays: &[Array<'_>]) -> Result<(), Failure> {
        self.out.as_ref().map_or(Ok(()), |path| Ok(output::write(path, arrays)?))
    }

    /// Writes or prints the arrays.
    pub(crate) fn emit(&self, session: &Session, arrays: &[Array<'_>]) -> Result<(), Failure> {
        if let Some(path) = &self.out {
            output::write(path, arrays)?;
            return if session.global.json { print_json(&written(path, arrays)) } else { Ok(()) };
        }
        if session.global.json {
            let entries: Map<String, Value> = arrays.iter().map(|a| (a.name.clone(), nested(a))).collect();
            return print_json(&Value::Object(entries));
        }
        print(&output::to_text(arrays)?)
    }
}

/// What was written where.
fn written(path: &Path, arrays: &[Array<'_>]) -> Value {
    let shapes: Map<String, Value> =
        arrays.iter().map(|a| (a.name.clone(), json!({ "shape": a.shape }))).collect();
    json!({ "out": path.display().to_string(), "arrays": shapes })
}

/// An array as nested lists.
fn nested(array: &Array<'_>) -> Value {
    let numbers: Vec<Value> = match array.values {
        // The shortest decimal that reads back as the same number.
        Values::F32(x) => x.iter().map(|v| number(v.to_string().parse().unwrap_or(f64::NAN))).collect(),
        Values::F64(x) => x.iter().map(|&v| number(v)).collect(),
    };
    let mut level = numbers;
    for &n in array.shape.iter().skip(1).rev() {
        level = level.chunks(n.max(1)).map(|part| Value::from(part.to_vec())).collect();
    }
    Value::from(level)
}

/// A number; as text where JSON cannot hold it.
pub(crate) fn number(x: f64) -> Value {
    serde_json::Number::from_f64(x).map_or_else(|| Value::from(x.to_string()), Value::from)
}
