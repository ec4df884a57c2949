//! Reports of a verification: a table for the terminal, JSON, and a self-contained HTML page.

pub mod chart;
pub mod dimension;
pub mod html;
pub mod json;
pub mod pictures;
pub mod stability;
pub mod studies;
pub mod table;
pub mod text;

pub use json::Error;

use crate::theory::{Chart, Claim, Outcome, Verdict};
use serde::{Deserialize, Serialize};

/// Version of the form of `report.json`. It grows where an older reader would misunderstand a newer file; fields that
/// may be left out do not raise it.
pub const SCHEMA: u32 = 1;

/// One claim, checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The claim in one line.
    pub statement: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// A table of texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listing {
    /// What it lists.
    pub caption: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Cells, row by row; the first names its row.
    pub rows: Vec<Vec<String>>,
}

/// All checks on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Name of the data set.
    pub data: String,
    /// What a reader should know first: the model, warnings, null directions.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Charts of the data and the model, which belong to no single claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<Chart>,
    /// Tables beside the one of verdicts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listings: Vec<Listing>,
    /// The checks, in the order of the claims.
    pub checks: Vec<Check>,
}

/// A whole run of `verify`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the form: [`SCHEMA`].
    pub schema: u32,
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

impl Check {
    /// A claim with what came of it.
    pub fn of(claim: &dyn Claim, outcome: Outcome) -> Self {
        Self { statement: claim.statement().to_owned(), outcome }
    }
}

impl Section {
    /// A section of checks alone.
    pub fn new(data: &str, checks: Vec<Check>) -> Self {
        let data = data.to_owned();
        Self { data, notes: Vec::new(), charts: Vec::new(), listings: Vec::new(), checks }
    }
}

impl Report {
    /// A report of this version.
    pub fn new(seed: u64, sections: Vec<Section>) -> Self {
        Self { schema: SCHEMA, version: env!("CARGO_PKG_VERSION").to_owned(), seed, sections }
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

    /// The verdict in one sentence; names what fails, or else what is undecided.
    ///
    /// ```
    /// use eigenflow::report::{Check, Report, Section};
    /// use eigenflow::theory::Outcome;
    /// let check = |id, error| Check { statement: String::new(), outcome: Outcome::decide(id, error, 1.0) };
    /// let report = |checks| Report::new(0, vec![Section::new("moons", checks)]);
    /// assert_eq!(report(vec![check("S1", 0.5)]).sentence(), "The only check holds.");
    /// let both = report(vec![check("S1", 0.5), check("G1", 2.0)]);
    /// assert_eq!(both.sentence(), "1 of 2 checks fails: G1 on moons.");
    /// ```
    pub fn sentence(&self) -> String {
        let counts = self.counts();
        let total = counts.holds + counts.fails + counts.undecided;
        let named = |which: fn(&Verdict) -> bool| {
            let of = |s: &Section| {
                let ids: Vec<&str> = s
                    .checks
                    .iter()
                    .filter(|c| which(&c.outcome.verdict))
                    .map(|c| c.outcome.id.as_str())
                    .collect();
                (!ids.is_empty()).then(|| format!("{} on {}", ids.join(", "), s.data))
            };
            self.sections.iter().filter_map(of).collect::<Vec<_>>().join("; ")
        };
        let number =
            |n: usize, verb: &str| format!("{n} of {total} checks {verb}{}", if n == 1 { "s" } else { "" });
        if counts.fails > 0 {
            return format!("{}: {}.", number(counts.fails, "fail"), named(|v| *v == Verdict::Fails));
        }
        let open = named(|v| matches!(v, Verdict::Undecided(_)));
        match (total, counts.undecided) {
            (0, _) => "No claim was checked.".to_owned(),
            (1, 0) => "The only check holds.".to_owned(),
            (_, 0) => format!("All {total} checks hold."),
            (_, u) => format!(
                "No check fails: {} and {u} could not be decided ({open}).",
                number(counts.holds, "hold")
            ),
        }
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
    let checks = [("cap", holds), ("optimum", open), ("order 2", fails)];
    let checks = checks.map(|(statement, outcome)| Check { statement: statement.to_owned(), outcome });
    let section = Section::new("a<b", checks.into());
    Report::new(7, vec![Section { notes: vec!["two null directions".into()], ..section }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_every_verdict() {
        assert_eq!(example().counts(), Counts { holds: 1, fails: 1, undecided: 1 });
        assert_eq!(example().counts().to_string(), "1 hold, 1 fail, 1 undecided");
    }

    #[test]
    fn the_sentence_names_what_is_open() {
        let mut report = example();
        assert_eq!(report.sentence(), "1 of 3 checks fails: G1 on a<b.");
        report.sections[0].checks.pop();
        let open = "No check fails: 1 of 2 checks holds and 1 could not be decided (L1 on a<b).";
        assert_eq!(report.sentence(), open);
        assert_eq!(Report::new(0, vec![]).sentence(), "No claim was checked.");
    }
}
