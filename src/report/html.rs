//! `report.html`: one self-contained page.

use super::{Check, Report, Section, verdict_text};
use crate::data::Error;
use crate::data::atomic::write_whole;
use crate::theory::Verdict;
use std::path::Path;

/// The page. It loads nothing, works without scripts, and says verdicts in words, not in colour alone.
pub fn page(report: &Report) -> String {
    let sections: String = report.sections.iter().map(section).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>eigenflow: verification</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>Verification</h1>\n<p>{counts}. eigenflow {version}, seed {seed}.</p>\n{sections}</main>\n</body>\n</html>\n",
        counts = report.counts(),
        version = escape(&report.version),
        seed = report.seed,
    )
}

/// Writes the page, whole or not at all.
///
/// # Errors
/// [`Error::Output`] where it cannot be written.
pub fn write(path: &Path, report: &Report) -> Result<(), Error> {
    write_whole(path, |out| out.write_all(page(report).as_bytes()))
}

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 80rem; margin: 0 auto; padding: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: 600; padding: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid #8886; }
tr.fails td:last-child { font-weight: 700; border-left: .4rem solid #c22; }
tr.holds td:last-child { border-left: .4rem solid #285; }
tr.undecided td:last-child { border-left: .4rem solid #888; }
";

fn section(section: &Section) -> String {
    let notes: Vec<String> =
        section.notes.iter().map(|note| format!("<li>{}</li>\n", escape(note))).collect();
    let notes = if notes.is_empty() { String::new() } else { format!("<ul>\n{}</ul>\n", notes.concat()) };
    let head: String = ["id", "claim", "predicted", "measured", "tolerance", "verdict"]
        .map(|name| format!("<th scope=\"col\">{name}</th>"))
        .concat();
    let rows: String = section.checks.iter().map(row).collect();
    let name = escape(&section.data);
    format!(
        "<section>\n<h2>{name}</h2>\n{notes}<div class=\"wide\" tabindex=\"0\" role=\"region\" \
         aria-label=\"Claims on {name}\">\n<table>\n<caption>Claims on {name}</caption>\n\
         <thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n</section>\n"
    )
}

fn row(check: &Check) -> String {
    let o = &check.outcome;
    let class = match o.verdict {
        Verdict::Holds => "holds",
        Verdict::Fails => "fails",
        Verdict::Undecided(_) => "undecided",
    };
    let verdict = verdict_text(&o.verdict);
    let cells: String = [&check.statement, &o.predicted, &o.measured, &o.tolerance, &verdict]
        .map(|cell| format!("<td>{}</td>", escape(cell)))
        .concat();
    format!("<tr class=\"{class}\"><th scope=\"row\">{}</th>{cells}</tr>\n", escape(&o.id))
}

/// Text that stands for itself in HTML, in attributes too.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example;

    #[test]
    fn the_page_is_whole_escaped_and_self_contained() {
        let page = page(&example());
        assert!(page.contains("at most &lt;sup&gt;") && page.contains("1.0e-9 &amp; less"));
        assert!(page.contains("Claims on a&lt;b") && !page.contains("a<b"));
        assert!(page.contains("FAILS") && page.contains("undecided: not fitted"));
        for outside in ["http:", "https:", "src=", "href=", "<script"] {
            assert!(!page.contains(outside), "{outside}");
        }
        // Every element that is opened is closed.
        for tag in ["section", "table", "thead", "tbody", "tr", "td", "ul", "li", "div", "main"] {
            let opened =
                page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
        }
    }
}
