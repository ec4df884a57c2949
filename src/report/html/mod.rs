//! `report.html`: one self-contained page.
//!
//! It loads nothing and runs no script. Verdicts are words, not colours alone; mathematics is MathML, charts are inline
//! SVG with a text alternative. The source is well-formed XML, which the tests hold it to.

mod claim;
mod gallery;
mod parts;
mod summary;

pub use gallery::gallery;
pub use parts::Figure;

use super::{Report, Section};
use crate::data::Error;
use crate::data::atomic::write_whole;
use crate::report::text::escape;
use crate::theory::registry;
use std::path::Path;

const STYLE: &str = include_str!("style.css");

/// The page: the verdict in one sentence, a table of verdicts for each data set, then the data sets with their charts
/// and, claim by claim, what was predicted and measured, and what to do where it fails.
///
/// A pure function of the report: the same report gives the same bytes.
pub fn page(report: &Report) -> String {
    let claims = registry::claims();
    let tables: String =
        report.sections.iter().enumerate().map(|(k, section)| summary::table(section, k)).collect();
    let sections: String = report.sections.iter().enumerate().map(|(k, s)| section(s, k, &claims)).collect();
    let counts = report.counts();
    let class = if counts.fails > 0 { "fails" } else { "holds" };
    let main = format!(
        "<h1>Verification</h1>\n<p class=\"sentence {class}\">{sentence}</p>\n\
         <p class=\"about\">eigenflow {version}, seed {seed}. A claim <em>holds</em> if what was measured agrees with what theory predicts, within a \
         tolerance derived and not tuned; it <em>fails</em> if not; it is <em>undecided</em> where its premise is not given here.</p>\n\
         <section aria-labelledby=\"verdicts\">\n<h2 id=\"verdicts\">Verdicts</h2>\n{tables}</section>\n{sections}",
        sentence = escape(&report.sentence()),
        version = escape(&report.version),
        seed = report.seed,
    );
    document("verification", "verdicts", &main)
}

/// A page around its main part; `first` is what that begins with.
fn document(title: &str, first: &str, main: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <title>eigenflow: {title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip to the {first}</a>\n<main id=\"main\" tabindex=\"-1\">\n{main}</main>\n\
         </body>\n</html>\n",
        title = escape(title),
    )
}

/// Writes the page, whole or not at all.
///
/// # Errors
/// [`Error::Output`] where it cannot be written.
pub fn write(path: &Path, report: &Report) -> Result<(), Error> {
    write_whole(path, |out| out.write_all(page(report).as_bytes()))
}

/// A data set: notes, charts, listings, and its claims.
fn section(section: &Section, k: usize, claims: &[Box<dyn crate::theory::Claim>]) -> String {
    let notes = parts::each(&section.notes, |note| format!("<li>{}</li>\n", escape(note)));
    let notes = if notes.is_empty() { notes } else { format!("<ul>\n{notes}</ul>\n") };
    let charts = parts::charts(&section.charts, &format!("s{k}"));
    let listings: String =
        section.listings.iter().enumerate().map(|(n, l)| parts::listing(l, &format!("s{k}-t{n}"))).collect();
    let articles: String = section
        .checks
        .iter()
        .enumerate()
        .map(|(n, check)| {
            let known = claims.iter().find(|c| c.id() == check.outcome.id);
            claim::article(check, known.map(AsRef::as_ref), &anchor(k, n))
        })
        .collect();
    format!(
        "<section aria-labelledby=\"s{k}\">\n<h2 id=\"s{k}\">{}</h2>\n{notes}{charts}{listings}{articles}</section>\n",
        escape(&section.data)
    )
}

/// The id of check `n` of section `k`.
fn anchor(k: usize, n: usize) -> String {
    format!("s{k}-c{n}")
}

#[cfg(test)]
mod tests;
