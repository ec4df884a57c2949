//! One claim, checked: the statement, the comparison, pictures, figures, and what to do.

use super::parts::{charts, class, each, mathematics};
use crate::report::text::{escape, number};
use crate::report::{Check, verdict_text};
use crate::theory::{Claim, Verdict};
use serde_json::Value;

/// The article of a check. `known` is its claim, where this program has it.
pub(super) fn article(check: &Check, known: Option<&dyn Claim>, id: &str) -> String {
    let o = &check.outcome;
    let formula = known.map(Claim::formula).filter(|f| !f.is_empty());
    let formula = formula.map(|f| {
        format!(
            "<div class=\"formula\" tabindex=\"0\" role=\"region\" aria-label=\"Formula of {}\">{}</div>\n",
            escape(&o.id),
            mathematics(f)
        )
    });
    let verdict =
        format!("<span class=\"{}\">{}</span>", class(&o.verdict), escape(&verdict_text(&o.verdict)));
    let pairs = [("Predicted", &o.predicted), ("Measured", &o.measured), ("Tolerance", &o.tolerance)];
    let pairs = each(pairs.iter().filter(|p| !p.1.is_empty()), |(name, text)| {
        format!("<dt>{name}</dt><dd>{}</dd>\n", escape(text))
    });
    format!(
        "<article aria-labelledby=\"{id}\">\n<h3 id=\"{id}\"><span class=\"id\">{}</span> {}</h3>\n{}\
         <dl>\n<dt>Verdict</dt><dd>{verdict}</dd>\n{pairs}</dl>\n{}{}{}</article>\n",
        escape(&o.id),
        escape(&check.statement),
        formula.unwrap_or_default(),
        remedy(&o.verdict, known.map_or("", |c| c.remedy())),
        charts(&o.charts, id),
        figures(check),
    )
}

/// What to do: in plain sight where the claim fails, folded away elsewhere.
fn remedy(verdict: &Verdict, text: &str) -> String {
    let text = escape(text);
    match verdict {
        _ if text.is_empty() => text,
        Verdict::Fails => format!("<p class=\"remedy\"><strong>What to do.</strong> {text}</p>\n"),
        _ => format!("<details>\n<summary>What to do where it fails</summary>\n<p>{text}</p>\n</details>\n"),
    }
}

fn figures(check: &Check) -> String {
    let o = &check.outcome;
    if o.figures.is_empty() {
        return String::new();
    }
    let row = |(name, value): (&String, &Value)| {
        let text = match value {
            Value::Number(n) => n.as_f64().map_or_else(|| n.to_string(), |v| number(v, 7)),
            Value::String(s) => s.clone(),
            other => other.to_string(),
        };
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n",
            escape(&name.replace('_', " ")),
            escape(&text)
        )
    };
    let rows: String = o.figures.iter().map(row).collect();
    format!(
        "<details>\n<summary>All figures</summary>\n<table class=\"figures\">\n<caption>Figures of {}</caption>\n\
         <thead><tr><th scope=\"col\">figure</th><th scope=\"col\">value</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</details>\n",
        escape(&o.id)
    )
}
