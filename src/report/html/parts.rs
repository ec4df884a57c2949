//! Parts of the page that several places use.

use crate::report::Listing;
use crate::report::chart::svg;
use crate::report::text::escape;
use crate::theory::{Chart, Verdict};
use pulldown_latex::config::DisplayMode;
use pulldown_latex::{Parser, RenderConfig, Storage, push_mathml};

/// Class of a verdict.
pub(super) fn class(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::Fails => "fails",
        Verdict::Undecided(_) => "undecided",
    }
}

/// The text of every item, one after the other.
pub(super) fn each<T>(items: impl IntoIterator<Item = T>, text: impl FnMut(T) -> String) -> String {
    items.into_iter().map(text).collect::<Vec<String>>().concat()
}

/// A region that scrolls sideways, by keyboard too. `label` is escaped already.
pub(super) fn region(label: &str, content: &str) -> String {
    format!("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\">\n{content}\n</div>\n")
}

/// A picture with its title and what it shows.
#[derive(Clone, Debug)]
pub struct Figure {
    title: String,
    text: String,
    svg: String,
}

impl Figure {
    /// `svg` is one element, which carries title and text for those who do not see it.
    pub fn new(title: &str, text: &str, svg: String) -> Self {
        Self { title: title.to_owned(), text: text.to_owned(), svg }
    }

    fn html(&self) -> String {
        let (title, text) = (escape(&self.title), escape(&self.text));
        let text = if text.is_empty() { text } else { format!("<span aria-hidden=\"true\">{text}</span>") };
        let svg = &self.svg;
        format!("<figure>\n<figcaption><strong>{title}.</strong> {text}</figcaption>\n{svg}</figure>\n")
    }
}

/// Figures side by side.
pub(super) fn figures(figures: &[Figure]) -> String {
    if figures.is_empty() {
        return String::new();
    }
    format!("<div class=\"charts\">\n{}</div>\n", each(figures, Figure::html))
}

/// Charts side by side as figures, with ids that begin with `id`.
pub(super) fn charts(charts: &[Chart], id: &str) -> String {
    let figure = |(n, chart): (usize, &Chart)| {
        Figure::new(&chart.title, &chart.description, svg(chart, &format!("{id}-g{n}")))
    };
    figures(&charts.iter().enumerate().map(figure).collect::<Vec<_>>())
}

/// A table of texts; the first column names its row.
pub(super) fn listing(listing: &Listing, id: &str) -> String {
    let caption = escape(&listing.caption);
    let head = each(&listing.columns, |c| format!("<th scope=\"col\">{}</th>", escape(c)));
    let row = |row: &Vec<String>| {
        let mut cells = row.iter().map(|c| escape(c));
        let first = cells.next().map(|c| format!("<th scope=\"row\">{c}</th>")).unwrap_or_default();
        format!("<tr>{first}{}</tr>\n", each(cells, |c| format!("<td>{c}</td>")))
    };
    let rows: String = listing.rows.iter().map(row).collect();
    let table = format!(
        "<table id=\"{id}\">\n<caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>"
    );
    region(&caption, &table)
}

/// LaTeX as MathML. Only for formulas of the program itself.
pub(super) fn mathematics(latex: &str) -> String {
    let storage = Storage::new();
    let config = RenderConfig { display_mode: DisplayMode::Block, xml: true, ..RenderConfig::default() };
    let mut out = String::new();
    // Writing into a String cannot fail; a formula that does not parse shows as an error, which a test excludes.
    let _ = push_mathml(&mut out, Parser::new(latex, &storage), config);
    // Blanks come as an entity that XML does not know, and from `\\ ` escaped twice.
    out.replace("&amp;nbsp;", "\u{a0}").replace("&nbsp;", "\u{a0}")
}
