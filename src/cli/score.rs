//! `score MODEL DATA`.

use super::failure::Failure;
use super::log_prob::DRAWS;
use super::output::{number, print, print_json};
use super::session::Session;
use crate::data::{Element, Source, Table};
use crate::flow::base::LN_2PI;
use crate::flow::{AnyModel, Model};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::eigen::eigvalsh;
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Options of `score`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model
    model: PathBuf,
    /// Rows that the model has not seen
    data: String,
    /// Draws of the rest of each number, for a model of dequantised whole numbers: more bring the bound nearer to the
    /// probability; or of an estimated log-determinant (residual layers of more than 64 columns)
    #[arg(long, value_name = "K", default_value_t = DRAWS, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    draws: u64,
    /// A second model, compared row by row
    #[arg(long, value_name = "MODEL2")]
    against: Option<PathBuf>,
}

/// A mean and its standard error, which a single row does not have.
struct Mean {
    mean: f64,
    error: Option<f64>,
}

impl Mean {
    /// Mean of independent rows.
    fn of(x: &[f64]) -> Self {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
        Self { mean, error: (x.len() > 1).then(|| (variance / n).sqrt()) }
    }
}

impl std::fmt::Display for Mean {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.6}", self.mean)?;
        match self.error {
            Some(error) => write!(f, " ± {error:.6} nats"),
            None => write!(f, " nats, of one row, which has no standard error"),
        }
    }
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    let Scored { log_p, table, bound, estimate } = log_densities(s, a, &a.model)?;
    let nll = Mean::of(&log_p.iter().map(|p| -p).collect::<Vec<f64>>());
    let bits = |nats: f64| nats / (table.cols() as f64 * std::f64::consts::LN_2);
    let gaussian = gaussian_nll(&table)?;
    let difference = match &a.against {
        None => None,
        Some(other) => {
            let second = log_densities(s, a, other)?;
            let sorted = |table: &Table| {
                let mut names = table.names.clone();
                names.sort();
                names
            };
            if sorted(&second.table) != sorted(&table) || second.bound != bound {
                return Err(Failure::Input(format!(
                    "--against {}: is a density of other variables than {} ({} {}); compare models of the same columns",
                    other.display(),
                    a.model.display(),
                    if second.bound { "whole numbers" } else { "numbers" },
                    second.table.names.join(", ")
                )));
            }
            let log_q = second.log_p;
            let paired: Vec<f64> = log_p.iter().zip(&log_q).map(|(p, q)| q - p).collect();
            Some((other, Mean::of(&log_q.iter().map(|q| -q).collect::<Vec<f64>>()), Mean::of(&paired)))
        }
    };
    let truth = truth(s, &a.data, &table).map(|log_t| {
        let gap: Vec<f64> = log_t.iter().zip(&log_p).map(|(t, p)| t - p).collect();
        (Mean::of(&log_t.iter().map(|t| -t).collect::<Vec<f64>>()), Mean::of(&gap))
    });
    if s.global.json {
        return print_json(&json!({
            "model": a.model.display().to_string(),
            "data": table.source,
            "rows": table.rows(),
            "nll": number(nll.mean),
            "standard_error": nll.error.map(number),
            "bits_per_dimension": number(bits(nll.mean)),
            "bound": bound,
            "draws": (bound || estimate.is_some()).then_some(a.draws),
            "estimate_standard_error": estimate.map(number),
            "gaussian_nll": match gaussian { Gaussian::Nll(g) => number(g), Gaussian::Unbounded(_) => number(f64::NEG_INFINITY) },
            "null_directions": match gaussian { Gaussian::Nll(_) => 0, Gaussian::Unbounded(k) => k },
            "truth": truth.as_ref().map(|(t, gap)| json!({
                "nll": number(t.mean),
                "standard_error": t.error.map(number),
                "gap": number(gap.mean),
                "gap_standard_error": gap.error.map(number),
            })),
            "against": difference.as_ref().map(|(other, q, d)| json!({
                "model": other.display().to_string(),
                "nll": number(q.mean),
                "standard_error": q.error.map(number),
                "difference": number(d.mean),
                "difference_standard_error": d.error.map(number),
            })),
        }));
    }
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = writeln!(text, "rows                {}", table.rows());
    let _ = writeln!(text, "NLL                 {nll}");
    if bound {
        let k = a.draws;
        let _ = writeln!(
            text,
            "                    of whole numbers: an upper bound, from {k} draws of the rest of each (--draws)"
        );
    }
    if let Some(error) = estimate {
        let k = a.draws;
        let _ = writeln!(
            text,
            "                    with estimated log-determinants: {error:.6} of the error are theirs, from {k} draws (--draws)"
        );
    }
    let _ = writeln!(text, "bits per dimension  {:.6}", bits(nll.mean));
    let _ = match gaussian {
        Gaussian::Nll(g) => {
            let rows = if bound { "whole numbers as they are" } else { "rows" };
            writeln!(text, "Gaussian's NLL      {g:.6} nats (full covariance, fitted to these very {rows})")
        }
        Gaussian::Unbounded(k) => {
            writeln!(text, "Gaussian's NLL      unbounded below: these rows have {k} null directions")
        }
    };
    if let Some((t, gap)) = truth {
        let _ = writeln!(text, "NLL of the truth    {t} (the set's own density)");
        let _ = writeln!(text, "gap to the truth    {gap} (paired)");
    }
    if let Some((other, q, d)) = difference {
        let other = other.display();
        let _ = writeln!(text, "NLL of {other}  {q}");
        let _ = writeln!(text, "difference          {d} (paired; negative: {other} is better)");
    }
    print(&text)
}

/// Log-densities of rows, or bounds of the log-probabilities of whole numbers.
struct Scored {
    log_p: Vec<f64>,
    table: Table,
    bound: bool,
    /// Where log-determinants are estimated, the standard error of the mean that comes from that alone.
    estimate: Option<f64>,
}

fn log_densities(s: &Session, a: &Arguments, path: &Path) -> Result<Scored, Failure> {
    fn of<T: Element>(s: &Session, a: &Arguments, model: &Model<T>) -> Result<Scored, Failure> {
        let rows = s.data_for(&a.data, model)?;
        let bound = !model.flow.dequantize().is_none();
        let draws = a.draws as usize;
        if bound {
            let log_p = model.flow.log_probability_bound(&rows.x, draws, s.seed()).map_err(|e| rows.at(e))?;
            return Ok(Scored { log_p, table: rows.table, bound, estimate: None });
        }
        let found = model.flow.log_density_estimate(&rows.x, draws, s.seed()).map_err(|e| rows.at(e))?;
        let square: f64 = found.errors.iter().map(|e| e * e).sum();
        let estimate = model.flow.is_estimated().then(|| square.sqrt() / found.errors.len() as f64);
        Ok(Scored { log_p: found.values, table: rows.table, bound, estimate })
    }
    match s.model(path)? {
        AnyModel::F32(model) => of(s, a, &model),
        AnyModel::F64(model) => of(s, a, &model),
    }
}

/// The true log-densities of the rows of a built-in set, where they are known.
fn truth(s: &Session, data: &str, table: &Table) -> Option<Vec<f64>> {
    let Source::Builtin(set, parameters) = data.parse().ok()? else { return None };
    let all = set.make(&set.parameters_from([("n", "1")]).ok()?).ok()?.names;
    // A choice of columns has another density.
    if all != table.names || s.selection() != crate::data::Selection::default() {
        return None;
    }
    set.log_densities(&parameters, &table.values)
}

/// The least negative log-likelihood of a normal distribution on given rows.
enum Gaussian {
    Nll(f64),
    /// No least one: this many directions without variance.
    Unbounded(usize),
}

/// `½[D ln 2πe + Σ ln λ_i]`, `λ` the spectrum of the rows' own covariance (1/n).
///
/// Columns are standardised first, so that rank is judged free of units.
fn gaussian_nll(table: &Table) -> Result<Gaussian, Failure> {
    let (n, d) = (table.rows(), table.cols());
    let moments = table.moments();
    let flat = |m: &&crate::data::statistics::Moments| m.std <= 8.0 * f64::EPSILON * m.mean.abs();
    let constant = moments.iter().filter(flat).count();
    let scale: Vec<f64> = moments.iter().map(|m| if flat(&m) { 1.0 } else { m.std }).collect();
    let unit = Matrix::from_fn(n, d, |i, j| (table.values[(i, j)] - moments[j].mean) / scale[j]);
    let correlation = unit.transpose().mul(&unit).map(|v| v / n as f64);
    let values = eigvalsh(&correlation).map_err(crate::flow::Error::from)?;
    let largest = values.last().copied().unwrap_or(0.0);
    // Rounding of the covariance itself.
    let null = values.iter().filter(|&&l| l <= 1e-12 * largest).count().max(constant);
    if null > 0 {
        return Ok(Gaussian::Unbounded(null));
    }
    let log_det: f64 =
        values.iter().map(|l| l.ln()).sum::<f64>() + 2.0 * scale.iter().map(|s| s.ln()).sum::<f64>();
    Ok(Gaussian::Nll(0.5 * (d as f64 * (LN_2PI + 1.0) + log_det)))
}
