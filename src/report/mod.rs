//! Reports of a verification: a table for the terminal, JSON, and a self-contained HTML page.

pub mod html;
pub mod json;
pub mod table;

use crate::theory::{Outcome, Verdict};
use serde::{Deserialize, Serialize};

/// One claim, checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The claim in one line.
    pub statement: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// All checks on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Name of the data set.
    pub data: String,
    /// What a reader should know first: the model, warnings, null directions.
    #[serde(default)]
    pub notes: Vec<String>,
    /// The checks, in the order of the claims.
    pub checks: Vec<Check>,
}

/// A whole run of `verify`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of eigenflow.
    pub version: String,
    /// Seed of the run.
    pub seed: u64,
    /// One section a data set.
    pub sections: Vec<Section>,
}

/// How many checks ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// The claim holds.
    pub holds: usize,
    /// It fails.
    pub fails: usize,
    /// It could not be decided.
    pub undecided: usize,
}

impl Section {
    /// A section from outcomes with their statements.
    pub fn new(data: &str, checks: Vec<(String, Outcome)>) -> Self {
        let checks = checks.into_iter().map(|(statement, outcome)| Check { statement, outcome }).collect();
        Self { data: data.to_owned(), notes: Vec::new(), checks }
    }
}

impl Report {
    /// A report of this version.
    pub fn new(seed: u64, sections: Vec<Section>) -> Self {
        Self { version: env!("CARGO_PKG_VERSION").to_owned(), seed, sections }
    }

    /// How many checks ended how.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for check in self.sections.iter().flat_map(|s| &s.checks) {
            match check.outcome.verdict {
                Verdict::Holds => counts.holds += 1,
                Verdict::Fails => counts.fails += 1,
                Verdict::Undecided(_) => counts.undecided += 1,
            }
        }
        counts
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} hold, {} fail, {} undecided", self.holds, self.fails, self.undecided)
    }
}

/// A verdict in words, with its reason.
fn verdict_text(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Holds => "holds".to_owned(),
        Verdict::Fails => "FAILS".to_owned(),
        Verdict::Undecided(reason) => format!("undecided: {reason}"),
    }
}

#[cfg(test)]
pub(crate) fn example() -> Report {
    let holds = Outcome::decide("S1", 1e-9, 1e-8).predicted("at most <sup>").measured("1.0e-9 & less");
    let open = Outcome::undecided("L1", "not fitted").figure("gap", f64::INFINITY);
    let fails = Outcome::decide("G1", 2.0, 1.0);
    let checks = vec![("cap".into(), holds), ("optimum".into(), open), ("order 2".into(), fails)];
    Report::new(7, vec![Section { notes: vec!["two null directions".into()], ..Section::new("a<b", checks) }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_every_verdict() {
        assert_eq!(example().counts(), Counts { holds: 1, fails: 1, undecided: 1 });
        assert_eq!(example().counts().to_string(), "1 hold, 1 fail, 1 undecided");
    }
}
