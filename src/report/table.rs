//! The table of a verification, as text.

use super::{Section, verdict_text};
use std::fmt::Write;

/// Widest cell; longer ones are continued on the next line.
const WIDTH: usize = 34;

/// Id, claim, predicted, measured, tolerance and verdict of every check of a section.
///
/// ```
/// use eigenflow::report::{Section, table};
/// use eigenflow::theory::Outcome;
/// let section = Section::new("s-curve", vec![("a bound".into(), Outcome::decide("S1", 0.5, 1.0))]);
/// let text = table::text(&section);
/// assert!(text.starts_with("s-curve\n\nid  claim    predicted  measured  tolerance  verdict\n"));
/// assert!(text.contains("S1  a bound             5.00e-1   1.00e0     holds\n"));
/// ```
pub fn text(section: &Section) -> String {
    let header = ["id", "claim", "predicted", "measured", "tolerance", "verdict"].map(str::to_owned);
    let mut rows: Vec<[Vec<String>; 6]> = vec![header.map(|h| vec![h])];
    for check in &section.checks {
        let o = &check.outcome;
        let verdict = verdict_text(&o.verdict);
        let cells = [&o.id, &check.statement, &o.predicted, &o.measured, &o.tolerance, &verdict];
        rows.push(cells.map(|cell| wrap(cell)));
    }
    let width = |column: usize| {
        let lines = rows.iter().flat_map(|row| &row[column]);
        lines.map(|line| line.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut out = format!("{}\n", section.data);
    for note in &section.notes {
        out.extend([note, "\n"]);
    }
    out.push('\n');
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

/// Lines of at most [`WIDTH`] characters, broken at blanks; a longer word keeps its line.
fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |l| l.chars().count());
        if line > 0 && line + 1 + word.chars().count() > WIDTH {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_cells_are_continued_below() {
        let lines = wrap("one two three four five six seven eight nine ten");
        assert!(lines.len() == 2 && lines.iter().all(|l| l.chars().count() <= WIDTH), "{lines:?}");
        assert_eq!(wrap(""), [""]);
        let text = text(&super::super::example().sections[0]);
        assert!(text.contains("two null directions") && text.contains("undecided: not fitted"), "{text}");
        assert!(text.contains("FAILS"));
        assert!(text.lines().all(|line| line == line.trim_end()));
    }
}
