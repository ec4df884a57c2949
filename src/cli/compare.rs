//! The table of `components --compare`.

use super::failure::Failure;
use super::output::{number, print, print_json};
use crate::components::{Comparison, Estimate, Significance};
use serde_json::json;
use std::fmt::Write;

/// Prints what components amount to, and other axes of the same rows beside them. `seeds` are the figures of further models.
pub(crate) fn show(
    as_json: bool,
    s: &Significance,
    c: &Comparison,
    seeds: &[Significance],
) -> Result<(), Failure> {
    if as_json { print_json(&object(s, c, spread(s, seeds).as_deref())) } else { print(&text(s, c, seeds)) }
}

/// The same as text.
pub(crate) fn text(s: &Significance, c: &Comparison, seeds: &[Significance]) -> String {
    lines(s, c, spread(s, seeds).as_deref())
}

/// Standard deviations of scale, share, variance and entropy of each component over all models.
fn spread(s: &Significance, seeds: &[Significance]) -> Option<Vec<[f64; 4]>> {
    if seeds.is_empty() {
        return None;
    }
    let all: Vec<&Significance> = std::iter::once(s).chain(seeds).collect();
    let of = |k: usize, pick: fn(&Significance) -> &Vec<Estimate>| {
        let v: Vec<f64> = all.iter().map(|s| pick(s)[k].value).collect();
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        (v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (v.len() - 1) as f64).sqrt()
    };
    let one = |k| [of(k, |s| &s.scale), of(k, |s| &s.share), of(k, |s| &s.variance), of(k, |s| &s.entropy)];
    Some((0..s.scale.len()).map(one).collect())
}

/// Shares of PCA.
fn shares(c: &Comparison) -> Vec<f64> {
    let total: f64 = c.pca.iter().map(|v| v * v).sum();
    c.pca.iter().map(|v| if total > 0.0 { v * v / total } else { 0.0 }).collect()
}

/// Lines of a table are at most so many.
const LINES: usize = 20;

fn lines(s: &Significance, c: &Comparison, spread: Option<&[[f64; 4]]>) -> String {
    let d = s.scale.len();
    let mut out = format!(
        "components of {} rows (± standard error, bootstrap over blocks of {} rows; ? where there is one block alone)\n",
        s.rows, s.block
    );
    let with = |e: Estimate| {
        let error = if e.error.is_nan() { "?".to_owned() } else { format!("{:.4}", e.error) };
        format!("{:.4} ± {error}", e.value)
    };
    // Writing into a String cannot fail.
    let _ = writeln!(
        out,
        "{:>3}  {:>19}  {:>17}  {:>17}  {:>19}",
        "k", "local deviation", "local share", "explained var.", "entropy (nats)"
    );
    for k in 0..d.min(LINES) {
        let _ = writeln!(
            out,
            "{:>3}  {:>19}  {:>17}  {:>17}  {:>19}",
            k + 1,
            with(s.scale[k]),
            with(s.share[k]),
            with(s.variance[k]),
            with(s.entropy[k])
        );
    }
    if let Some(spread) = spread {
        out += "\nstandard deviation over the models\n";
        for (k, v) in spread.iter().enumerate().take(LINES) {
            let _ =
                writeln!(out, "{:>3}  {:>19.4}  {:>17.4}  {:>17.4}  {:>19.4}", k + 1, v[0], v[1], v[2], v[3]);
        }
    }
    let _ = write!(
        out,
        "\nother axes of the same rows; angles in degrees between the spans of the leading k axes, median over {} rows\n\
         {:>3}  {:>11}  {:>9}  {:>9}  {:>14}  {:>8}  {:>12}  {:>9}\n",
        c.rows, "k", "PCA dev.", "PCA", "local PCA", "latent entropy", "to PCA", "to local PCA", "to latent"
    );
    let (pca, mut latent) = (shares(c), s.latent_entropy.iter().map(|e| e.value).collect::<Vec<f64>>());
    latent.sort_by(|a, b| b.total_cmp(a));
    for k in 0..d.min(LINES) {
        let angle = |v: &[f64]| v.get(k).map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"));
        let _ = writeln!(
            out,
            "{:>3}  {:>11.4}  {:>9.4}  {:>9.4}  {:>14.4}  {:>8}  {:>12}  {:>9}",
            k + 1,
            c.pca[k],
            pca[k],
            c.local_pca[k],
            latent[k],
            angle(&c.to_pca),
            angle(&c.to_local_pca),
            angle(&c.to_latent)
        );
    }
    if d > LINES {
        let _ = writeln!(out, "({} more components; --json has all)", d - LINES);
    }
    let sum: f64 = s.entropy.iter().map(|e| e.value).sum();
    let _ = writeln!(
        out,
        "\nentropy of all components {sum:.4} nats; contrast of the latent axes {} nats (0: they are the local principal axes)\n\
         local PCA: neighbourhoods of {} rows",
        with(s.contrast),
        c.neighbours
    );
    out
}

fn object(s: &Significance, c: &Comparison, spread: Option<&[[f64; 4]]>) -> serde_json::Value {
    let list = |e: &[Estimate]| {
        e.iter().map(|e| json!({ "value": number(e.value), "error": number(e.error) })).collect::<Vec<_>>()
    };
    let numbers = |v: &[f64]| v.iter().map(|v| number(*v)).collect::<Vec<_>>();
    json!({
        "rows": s.rows,
        "block": s.block,
        "scale": list(&s.scale),
        "share": list(&s.share),
        "explained_variance": list(&s.variance),
        "explained_entropy": list(&s.entropy),
        "latent_entropy": list(&s.latent_entropy),
        "contrast": list(&[s.contrast])[0],
        "over_models": spread.map(|all| all.iter().map(|v| json!({
            "scale": number(v[0]), "share": number(v[1]), "explained_variance": number(v[2]),
            "explained_entropy": number(v[3]),
        })).collect::<Vec<_>>()),
        "pca": { "deviation": numbers(&c.pca), "share": numbers(&shares(c)) },
        "local_pca": { "share": numbers(&c.local_pca), "neighbours": c.neighbours },
        "angles": {
            "rows": c.rows, "pca": numbers(&c.to_pca), "local_pca": numbers(&c.to_local_pca),
            "latent": numbers(&c.to_latent),
        },
    })
}
