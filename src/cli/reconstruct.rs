//! `reconstruct MODEL DATA`.

use super::covariance::{Method, top};
use super::failure::Failure;
use super::output::{Out, number, print, print_json};
use super::session::{Rows, Session};
use crate::components::{Reconstruction, leading_reconstruct, reconstruct};
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Model};
use crate::theory::linear::Spectrum;
use eigenflow_linalg::Real;
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;

/// Options of `reconstruct`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model
    model: PathBuf,
    /// The rows
    data: String,
    /// How many leading components the rows are rebuilt from [default: a table over K, without rows]
    #[arg(long, value_name = "K")]
    top: Option<usize>,
    /// `dense`: the SVD of each row's Jacobian; `matrix-free`: leading components from products with it; `auto`: the latter from 512
    /// columns on, for up to an eighth of them, where the table ends
    #[arg(long, value_enum, default_value_t = Method::Auto)]
    method: Method,
    #[command(flatten)]
    out: Out,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    match s.model(&a.model)? {
        AnyModel::F32(model) => rebuild(s, a, &model),
        AnyModel::F64(model) => rebuild(s, a, &model),
    }
}

fn rebuild<T: Element>(s: &Session, a: &Arguments, model: &Model<T>) -> Result<(), Failure> {
    let d = model.flow.dim();
    top(a.top, d)?;
    if a.top.is_none() && a.out.named() {
        return Err(Failure::Input(
            "--out: needs --top K, from how many components rows are rebuilt".to_owned(),
        ));
    }
    let rows = s.data_for(&a.data, model)?;
    let n = rows.x.rows();
    let Some(k) = a.top else { return table(s, a, &rows, model) };
    a.out.check(&[&[n, d], &[n], &[n]])?;
    let r = rebuilt(s, a, &rows, model, k)?;
    s.note(&format!(
        "root mean square error from {k} of {d} components: {:.4e} predicted, {:.4e} measured",
        rms(&r.predicted).0,
        rms(&r.measured).0
    ));
    a.out.emit(
        s,
        &[
            Array::matrix("reconstruction", &r.rows).with_columns(&model.columns),
            Array::new("predicted", &[n], &r.predicted),
            Array::new("measured", &[n], &r.measured),
        ],
    )
}

/// Residual of a pair, relative to its eigenvalue, at which the matrix-free iteration stops.
const RESIDUAL: f64 = 1e-6;

/// Rows from `k` components, by the method that is asked for.
fn rebuilt<T: Element>(
    s: &Session,
    a: &Arguments,
    rows: &Rows<T>,
    model: &Model<T>,
    k: usize,
) -> Result<Reconstruction<T>, Failure> {
    let found = if a.method.is_matrix_free(model.flow.dim(), k) {
        leading_reconstruct(&model.flow, &rows.x, k, RESIDUAL.max(256.0 * T::EPS.f64()), s.seed())
    } else {
        reconstruct(&model.flow, &rows.x, k)
    };
    found.map_err(|e| rows.at(e))
}

/// Root of the mean of squares, and the standard error of it (independent rows).
fn rms<T: Real>(squares: &[T]) -> (f64, f64) {
    let n = squares.len() as f64;
    let mean = squares.iter().map(|v| v.f64()).fold(0.0, |a, b| a + b) / n.max(1.0);
    let variance = squares.iter().map(|v| (v.f64() - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let root = mean.sqrt();
    (root, if root > 0.0 { (variance / n).sqrt() / (2.0 * root) } else { 0.0 })
}

/// Up to this many components a table has a line for each.
const ALL: usize = 16;

/// Errors over the number of components, beside those of PCA on the same rows.
fn table<T: Element>(s: &Session, a: &Arguments, rows: &Rows<T>, model: &Model<T>) -> Result<(), Failure> {
    let d = model.flow.dim();
    // Each K, or powers of two and the end.
    let mut keep: Vec<usize> = (1..=d).filter(|k| d <= ALL || k.is_power_of_two()).collect();
    if keep.last() != Some(&d) {
        keep.push(d);
    }
    if a.method.is_matrix_free(d, 1) {
        keep.retain(|&k| a.method.is_matrix_free(d, k));
        if keep.last() != Some(&d) {
            s.note("from few components, without Jacobians: --method dense goes on to all of them");
        }
    }
    let pca = Spectrum::of(&rows.table.values).map_err(crate::flow::Error::from)?;
    let mut lines = Vec::new();
    for k in keep {
        let Reconstruction { predicted, measured, .. } = rebuilt(s, a, rows, model, k)?;
        let linear = pca.values[k..].iter().fold(0.0, |a, b| a + b).sqrt();
        lines.push((k, rms(&predicted), rms(&measured), linear));
    }
    if s.global.json {
        let line = |(k, p, m, l): &(usize, (f64, f64), (f64, f64), f64)| {
            json!({
                "components": k, "predicted": number(p.0), "predicted_error": number(p.1), "measured": number(m.0),
                "measured_error": number(m.1), "pca": number(*l),
            })
        };
        let lines: Vec<_> = lines.iter().map(line).collect();
        return print_json(&json!({ "rows": rows.x.rows(), "root_mean_square_errors": lines }));
    }
    let mut text = format!("root mean square error of {} rows, data units\n", rows.x.rows());
    // Writing into a String cannot fail.
    let _ = writeln!(text, "{:>10}  {:>22}  {:>22}  {:>10}", "components", "predicted", "measured", "PCA");
    for (k, p, m, l) in lines {
        let with = |(v, e): (f64, f64)| format!("{v:.4e} ± {e:.1e}");
        let _ = writeln!(text, "{k:>10}  {:>22}  {:>22}  {l:>10.4e}", with(p), with(m));
    }
    print(&text)
}
