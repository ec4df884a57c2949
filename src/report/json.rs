//! `report.json`: a report with every figure behind it. The form is described in docs/REPORT.md.

use super::{Report, SCHEMA};
use crate::data;
use crate::data::atomic::write_whole;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::Path;

/// Why a file is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be read.
    #[error("{file}: {error}; `verify --out DIR` writes DIR/report.json")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is not JSON, or not of the form of a report.
    #[error("{file}, line {line}, column {column}: not a report: {problem}")]
    Form {
        /// The file.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// Column, counted from 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// Its form is newer than this program, or it names none.
    #[error(
        "{file}: field 'schema' is {found}, and this is eigenflow {version}, which reads schema {SCHEMA}; {remedy}"
    )]
    Schema {
        /// The file.
        file: String,
        /// What it says.
        found: String,
        /// Version of this program.
        version: &'static str,
        /// What to do.
        remedy: &'static str,
    },
}

/// The report as one JSON object: schema, version, seed, counts of verdicts, and the sections.
///
/// ```
/// use eigenflow::report::{Report, json};
/// let value = json::value(&Report::new(3, vec![]));
/// assert_eq!((&value["schema"], &value["counts"]["fails"]), (&1.into(), &0.into()));
/// ```
pub fn value(report: &Report) -> Value {
    json!({
        "schema": report.schema,
        "version": report.version,
        "seed": report.seed,
        "counts": report.counts(),
        "sections": report.sections,
    })
}

/// Writes the file, whole or not at all.
///
/// # Errors
/// [`data::Error::Output`] where it cannot be written.
pub fn write(path: &Path, report: &Report) -> Result<(), data::Error> {
    write_whole(path, |out| writeln!(out, "{:#}", value(report)))
}

/// Reads a report back. What it does not know in an object it passes over; counts are counted anew.
///
/// # Errors
/// [`Error::Read`], [`Error::Form`] with the place, or [`Error::Schema`] for a form that is newer or not named.
pub fn read(path: &Path) -> Result<Report, Error> {
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, &file),
        Err(error) => Err(Error::Read { file, error }),
    }
}

/// The schema alone, whatever else the file holds.
#[derive(Deserialize)]
struct Envelope {
    schema: Option<Value>,
}

fn parse(text: &str, file: &str) -> Result<Report, Error> {
    let form = |e: serde_json::Error| {
        let (line, column) = (e.line(), e.column());
        // The place stands in front of the message, not behind it.
        let problem = e.to_string();
        let problem = problem.rsplit_once(" at line ").map_or(problem.as_str(), |p| p.0).to_owned();
        Error::Form { file: file.to_owned(), line, column, problem }
    };
    let schema = serde_json::from_str::<Envelope>(text).map_err(form)?.schema;
    let refuse = |found: String, remedy| {
        let version = env!("CARGO_PKG_VERSION");
        Err(Error::Schema { file: file.to_owned(), found, version, remedy })
    };
    match schema {
        None => refuse("missing".to_owned(), "run verify again"),
        Some(v) if v.as_u64().is_some_and(|n| n > u64::from(SCHEMA)) => {
            refuse(v.to_string(), "use the version that wrote the file, or a later one")
        }
        Some(v) if v.as_u64() != Some(u64::from(SCHEMA)) => refuse(v.to_string(), "run verify again"),
        Some(_) => serde_json::from_str(text).map_err(form),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Listing, example};
    use crate::theory::{Axis, Chart, Shape};

    fn full() -> Report {
        let mut report = example();
        let chart = Chart::new("t", Axis::linear("x"), Axis::log("y"))
            .described("d")
            .equal()
            .mark("m", Shape::Bars, vec![0.1, 1e-300], vec![1.0, -0.0])
            .error_bars(vec![1.0 / 3.0, 0.0]);
        report.sections[0].charts.push(chart.clone());
        report.sections[0].listings.push(Listing { caption: "c".into(), columns: vec![], rows: vec![] });
        let outcome = &mut report.sections[0].checks[0].outcome;
        outcome.charts.push(chart);
        report
    }

    #[test]
    fn a_report_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        write(&path, &full()).unwrap();
        assert_eq!(read(&path).unwrap(), full());
        let text = std::fs::read_to_string(&path).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        let checks = &value["sections"][0]["checks"];
        assert_eq!((&checks[0]["id"], &checks[0]["verdict"]), (&"S1".into(), &"holds".into()));
        assert_eq!(
            (&checks[1]["verdict"], &checks[1]["reason"]),
            (&"undecided".into(), &"not fitted".into())
        );
        assert_eq!(checks[1]["figures"]["gap"], "inf");
    }

    /// JSON has no NaN: it becomes null, and null reads as NaN, so that the picture is the same.
    #[test]
    fn values_that_cannot_be_drawn_survive() {
        let mut report = full();
        let mark = &mut report.sections[0].charts[0].marks[0];
        (mark.x[0], mark.y[1]) = (f64::NAN, f64::INFINITY);
        let text = value(&report).to_string();
        let back = parse(&text, "f").unwrap();
        let mark = &back.sections[0].charts[0].marks[0];
        assert!(mark.x[0].is_nan() && mark.y[1].is_nan());
        assert_eq!(value(&back).to_string(), text);
        assert_eq!(crate::report::html::page(&back), crate::report::html::page(&report));
    }

    /// The example of docs/REPORT.md is a report.
    #[test]
    fn the_documented_example_is_one() {
        let docs = include_str!("../../docs/REPORT.md");
        let example = docs.split("```json\n").nth(1).and_then(|t| t.split("```").next()).unwrap();
        let report = parse(example, "docs/REPORT.md").unwrap();
        assert_eq!(report.sections[0].checks.len(), 2);
        // Nothing is left out when it is written again.
        let given: Value = serde_json::from_str(example).unwrap();
        assert_eq!(value(&report), given);
    }

    #[test]
    fn other_forms_are_refused_with_the_place_or_the_schema() {
        let says = |text: &str, parts: &[&str]| {
            let message = parse(text, "r.json").unwrap_err().to_string();
            assert!(parts.iter().all(|p| message.contains(p)), "{message}");
        };
        says("{\n \"schema\": 1,\n", &["r.json, line 3, column 0: not a report: EOF"]);
        says("[]", &["not a report"]);
        says("{}", &["'schema' is missing", "run verify again"]);
        says("{\"schema\": \"x\"}", &["'schema' is \"x\""]);
        says("{\"schema\": 0}", &["'schema' is 0", "run verify again"]);
        says("{\"schema\": 2}", &["'schema' is 2", "reads schema 1", "or a later one"]);
        says("{\"schema\": 1, \"version\": \"0\", \"seed\": 0}", &["line 1", "missing field `sections`"]);
        let verdict = value(&full()).to_string().replace("\"undecided\"", "\"maybe\"");
        assert!(matches!(parse(&verdict, "f"), Err(Error::Form { .. })));
    }
}
