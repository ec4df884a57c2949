//! A page of pictures, with the figures that go with them as text.

use super::document;
use super::parts::{Figure, figures, region};
use crate::report::text::escape;

/// A self-contained page: the heading, the text as it stands on a terminal, the pictures.
///
/// ```
/// use eigenflow::report::chart::svg;
/// use eigenflow::report::html::{Figure, gallery};
/// use eigenflow::theory::{Axis, Chart};
/// let chart = Chart::new("Scree", Axis::linear("component"), Axis::linear("deviation"));
/// let page = gallery("Study: a line", "1 of 1", &[Figure::new("Scree", "", svg(&chart, "g0"))]);
/// assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<h1>Study: a line</h1>"));
/// ```
pub fn gallery(heading: &str, text: &str, pictures: &[Figure]) -> String {
    let text = match text.trim_end() {
        "" => String::new(),
        text => {
            // Line by line: escaping takes line ends for blanks.
            let lines: Vec<String> = text.lines().map(escape).collect();
            region("Figures", &format!("<pre>{}</pre>", lines.join("\n")))
        }
    };
    let main = format!("<h1>{}</h1>\n{text}{}", escape(heading), figures(pictures));
    document(heading, "figures", &main)
}
