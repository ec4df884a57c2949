//! `report.json`: a report with every figure behind it.

use super::Report;
use crate::data::Error;
use crate::data::atomic::write_whole;
use serde_json::{Value, json};
use std::path::Path;

/// The report as one JSON object: version, seed, counts of verdicts, and the sections.
///
/// ```
/// use eigenflow::report::{Report, json};
/// let value = json::value(&Report::new(3, vec![]));
/// assert_eq!((&value["seed"], &value["counts"]["fails"]), (&3.into(), &0.into()));
/// ```
pub fn value(report: &Report) -> Value {
    json!({
        "version": report.version,
        "seed": report.seed,
        "counts": report.counts(),
        "sections": report.sections,
    })
}

/// Writes the file, whole or not at all.
///
/// # Errors
/// [`Error::Output`] where it cannot be written.
pub fn write(path: &Path, report: &Report) -> Result<(), Error> {
    write_whole(path, |out| writeln!(out, "{:#}", value(report)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn a_report_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        write(&path, &example()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), example());
        let value: Value = serde_json::from_str(&text).unwrap();
        let checks = &value["sections"][0]["checks"];
        assert_eq!((&checks[0]["id"], &checks[0]["verdict"]), (&"S1".into(), &"holds".into()));
        assert_eq!(
            (&checks[1]["verdict"], &checks[1]["reason"]),
            (&"undecided".into(), &"not fitted".into())
        );
        assert_eq!(checks[1]["figures"]["gap"], "inf");
    }
}
