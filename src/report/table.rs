//! The table of a verification, as text.

use super::text::wrap;
use super::{Section, verdict_text};
use std::fmt::Write;

/// Widest cell; longer ones are continued on the next line.
const WIDTH: usize = 34;

/// Id, claim, predicted, measured, tolerance and verdict of every check of a section, then its listings.
///
/// ```
/// use eigenflow::report::{Check, Section, table};
/// use eigenflow::theory::Outcome;
/// let check = Check { statement: "a bound".into(), outcome: Outcome::decide("S1", 0.5, 1.0) };
/// let text = table::text(&Section::new("s-curve", vec![check]));
/// assert!(text.starts_with("s-curve\n\nid  claim    predicted  measured  tolerance  verdict\n"));
/// assert!(text.contains("S1  a bound             5.00e-1   1.00e0     holds\n"));
/// ```
pub fn text(section: &Section) -> String {
    let mut out = format!("{}\n", section.data);
    for note in &section.notes {
        out.extend([note, "\n"]);
    }
    if !section.checks.is_empty() {
        let header = ["id", "claim", "predicted", "measured", "tolerance", "verdict"];
        let row = |check: &super::Check| {
            let o = &check.outcome;
            let (id, statement, verdict) = (o.id.clone(), check.statement.clone(), verdict_text(&o.verdict));
            vec![id, statement, o.predicted.clone(), o.measured.clone(), o.tolerance.clone(), verdict]
        };
        out.push('\n');
        out += &columns(&header.map(str::to_owned), &section.checks.iter().map(row).collect::<Vec<_>>());
    }
    for listing in &section.listings {
        let _ = write!(out, "\n{}\n", listing.caption);
        out += &columns(&listing.columns, &listing.rows);
    }
    out
}

/// Cells in columns as wide as their widest line.
fn columns(header: &[String], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Vec<String>>> = std::iter::once(header)
        .chain(rows.iter().map(Vec::as_slice))
        .map(|row| row.iter().map(|cell| wrap(cell, WIDTH)).collect())
        .collect();
    let width = |column: usize| {
        let lines = rows.iter().filter_map(|row| row.get(column)).flatten();
        lines.map(|line| line.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        for k in 0..row.iter().map(Vec::len).max().unwrap_or(0) {
            let mut line = String::new();
            for (cell, &width) in row.iter().zip(&widths) {
                // Writing into a String cannot fail.
                let _ = write!(line, "{:<width$}  ", cell.get(k).map_or("", String::as_str));
            }
            out += line.trim_end();
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Listing;

    #[test]
    fn long_cells_are_continued_below() {
        let mut section = super::super::example().sections.remove(0);
        let words = |n: usize| vec!["word"; n].join(" ");
        section.listings = vec![Listing {
            caption: "path".into(),
            columns: vec!["α".into(), "text".into()],
            rows: vec![vec!["0.1".into(), words(12)]],
        }];
        let text = text(&section);
        assert!(text.contains("two null directions") && text.contains("undecided: not fitted"), "{text}");
        assert!(text.contains("FAILS"));
        assert!(text.contains("\npath\nα    text\n0.1  word word"), "{text}");
        assert!(text.ends_with(&format!("     {}\n", words(5))), "{text}");
        assert!(text.lines().all(|line| line == line.trim_end()));
    }
}
