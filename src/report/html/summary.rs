//! The table of verdicts of one data set.

use super::anchor;
use super::parts::{class, region};
use crate::report::text::escape;
use crate::report::{Check, Section, verdict_text};
use std::fmt::Write;

/// Id, claim, predicted, measured, tolerance and verdict of every check; empty without checks.
pub(super) fn table(section: &Section, k: usize) -> String {
    if section.checks.is_empty() {
        return String::new();
    }
    let name = escape(&section.data);
    let mut head = String::new();
    for name in ["id", "claim", "predicted", "measured", "tolerance", "verdict"] {
        // Writing into a String cannot fail.
        let _ = write!(head, "<th scope=\"col\">{name}</th>");
    }
    let rows: String = section.checks.iter().enumerate().map(|(n, c)| row(c, &anchor(k, n))).collect();
    let table = format!(
        "<table class=\"verdicts\">\n<caption>Claims on {name}</caption>\n<thead><tr>{head}</tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>"
    );
    region(&format!("Claims on {name}"), &table)
}

fn row(check: &Check, anchor: &str) -> String {
    let o = &check.outcome;
    let cells: String = [&check.statement, &o.predicted, &o.measured, &o.tolerance]
        .map(|cell| format!("<td>{}</td>", escape(cell)))
        .concat();
    let (class, verdict) = (class(&o.verdict), escape(&verdict_text(&o.verdict)));
    format!(
        "<tr><th scope=\"row\"><a href=\"#{anchor}\">{}</a></th>{cells}<td class=\"{class}\">{verdict}</td></tr>\n",
        escape(&o.id)
    )
}
