//! `study galaxies`.

use super::{Arguments, Findings, fitted, folder, stored};
use crate::cli::failure::Failure;
use crate::cli::output::number;
use crate::cli::plot;
use crate::cli::session::Session;
use crate::components::{
    Bootstrap, Components, Estimate, Significance, Walk, compare, components, significance, traverse,
};
use crate::data::Table;
use crate::flow::Flow;
use crate::flow::presets::{Name, Preset};
use crate::report::pictures;
use crate::report::studies::Mean;
use crate::report::studies::galaxies::{
    BINS, COLUMNS, Meaning, Quantity, dimension_chart, dimensions, meanings, spectra, walks,
};
use crate::theory::Chart;
use crate::train::{Preprocess, TrainOptions, build};
use eigenflow_linalg::Matrix;
use serde_json::{Value, json};
use std::fmt::Write;

/// Held-out rows that are looked at.
const HELD: usize = 3_000;
/// Rows that the study takes at least.
const LEAST: usize = 500;
/// Neighbours for aligned signs and for local PCA.
const NEIGHBOURS: [usize; 2] = [10, 30];
/// Errors of which the effective dimension is given.
const ERRORS: [f64; 13] = [1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// Components of which there are spectra and walks.
const SHOWN: usize = 3;

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    let table = galaxies(s, a)?;
    folder(&a.out)?;
    let (training, held) = table.split(0.1, s.seed())?;
    let rows = |table: &Table, most: usize| {
        let n = table.rows().min(most);
        Matrix::new(n, table.cols(), table.values.data()[..n * table.cols()].to_vec())
    };
    let (most, shown) = if a.quick { (2_000, 200) } else { (usize::MAX, HELD) };
    let (training, held) = (rows(&training, most), rows(&held, shown));
    let flow = model(s, a, &training, &held)?;

    let nats = Mean::of(&flow.log_density(&held)?);
    let mut local = components(&flow, &held, held.cols())?;
    let aligned = local.align(&held, NEIGHBOURS[0])?;
    let frustrated: Vec<f64> = aligned.iter().map(crate::components::Synchronised::frustration).collect();
    let found = Found {
        rows: [training.rows(), held.rows()],
        nats,
        figures: significance(&flow, &held, &Bootstrap { seed: s.seed(), ..Bootstrap::default() })?,
        dimensions: dimensions(&local.scales, &ERRORS),
        meanings: meanings(&held, &local),
        frustrated,
    };
    let pictures = plot::charts(charts(&flow, &held, &local, &found)?);
    Findings { heading: "Study: galaxies", text: found.text(), json: found.json(), pictures }.give(s, a)
}

/// The table of galaxies that `--data` names.
fn galaxies(s: &Session, a: &Arguments) -> Result<Table, Failure> {
    let Some(data) = &a.data else {
        return Err(Failure::Input(format!(
            "study galaxies: needs its data: rows of {}, as the example galaxies of the PyPI package pzflow; give them with --data FILE",
            COLUMNS.join(", ")
        )));
    };
    let mut table = s.data(data)?;
    if table.cols() != COLUMNS.len() {
        let (n, names) = (table.cols(), COLUMNS.join(", "));
        return Err(Failure::Input(format!(
            "--data {data}: has {n} columns; the study is of {names}, in this order; choose them with --columns"
        )));
    }
    if table.rows() < LEAST {
        let n = table.rows();
        return Err(Failure::Input(format!(
            "--data {data}: has {n} rows; the study takes at least {LEAST}, for a tenth of them is held out and looked at in bins of redshift"
        )));
    }
    table.names = COLUMNS.map(str::to_owned).to_vec();
    Ok(table)
}

/// The flow: splines on whitened rows.
fn model(
    s: &Session,
    a: &Arguments,
    training: &Matrix<f64>,
    held: &Matrix<f64>,
) -> Result<Flow<f64>, Failure> {
    let path = a.out.join("galaxies.safetensors");
    if let Some(flow) = stored(a, &path)? {
        if flow.dim() == COLUMNS.len() {
            return Ok(flow);
        }
        let text = format!("--keep: {} is a model of other rows; train anew without --keep", path.display());
        return Err(Failure::Input(text));
    }
    let small = Preset { layers: Some(2), hidden: Some(vec![16]), bins: Some(4), ..Preset::named(Name::Nsf) };
    let preset = if a.quick { small } else { Preset::named(Name::Nsf) };
    let epochs = if a.quick { 3 } else { TrainOptions::epochs_for(training.rows()) };
    let options = TrainOptions { epochs, patience: 0, seed: s.seed(), ..TrainOptions::default() };
    let flow = build::<f32>(&preset, Preprocess::Whiten, training, &options)?.flow;
    fitted(s, "galaxies", flow, &training.cast(), Some(&held.cast()), &options, &COLUMNS, &path)
}

fn charts(
    flow: &Flow<f64>,
    held: &Matrix<f64>,
    local: &Components<f64>,
    found: &Found,
) -> Result<Vec<(String, Chart)>, Failure> {
    let others = compare(flow, held, NEIGHBOURS[1])?;
    let names = ["scree", "explained-variance", "explained-entropy"];
    let mut out: Vec<(String, Chart)> =
        names.into_iter().map(str::to_owned).zip(pictures::importance(&found.figures, &others)).collect();
    out.extend(
        spectra(&found.meanings, SHOWN)
            .into_iter()
            .enumerate()
            .map(|(k, chart)| (format!("spectrum-{}", k + 1), chart)),
    );
    out.push(("dimension".to_owned(), dimension_chart(&ERRORS, &found.dimensions)));
    // Galaxies evenly over the redshift, as starts.
    let mut order: Vec<usize> = (0..held.rows()).collect();
    order.sort_by(|&i, &j| held[(i, 0)].total_cmp(&held[(j, 0)]));
    let starts = Matrix::from_fn(8, held.cols(), |i, j| held[(order[(2 * i + 1) * order.len() / 16], j)]);
    for k in 0..SHOWN.min(local.axes.cols()) {
        let walk = Walk { component: k, reach: 1.0, points: 20, tolerance: 1e-4 };
        let t = traverse(flow, &starts, &walk)?;
        let plane: [Quantity; 2] = if k == 0 {
            [("redshift", redshift), ("i (mag)", magnitude)]
        } else {
            [("redshift", redshift), ("u - r (mag)", colour)]
        };
        out.push((format!("walk-{}", k + 1), walks(held, k, &t, plane)));
    }
    Ok(out)
}

fn redshift(row: &[f64]) -> f64 {
    row[0]
}

fn magnitude(row: &[f64]) -> f64 {
    row[4]
}

fn colour(row: &[f64]) -> f64 {
    row[1] - row[3]
}

/// Everything that the study found.
struct Found {
    rows: [usize; 2],
    nats: Mean,
    figures: Significance,
    dimensions: Vec<[f64; 3]>,
    meanings: Vec<Meaning>,
    frustrated: Vec<f64>,
}

impl Found {
    fn json(&self) -> Value {
        let list = |v: &[f64]| v.iter().map(|v| number(*v)).collect::<Vec<_>>();
        let pair = |value: f64, error: f64| json!({"value": number(value), "error": number(error)});
        let with_error = |m: &Mean| pair(m.value, m.error);
        let estimate = |e: &Estimate| pair(e.value, e.error);
        let component = |(k, m): (usize, &Meaning)| {
            json!({
                "deviation_quantiles": list(&m.scale),
                "redshift_share": with_error(&m.parts[0]), "brightness_share": with_error(&m.parts[1]),
                "colour_share": with_error(&m.parts[2]), "turned_degrees": number(m.turned),
                "entropy_nats": estimate(&self.figures.entropy[k]),
                "explained_variance": estimate(&self.figures.variance[k]),
                "frustrated_pairs": number(self.frustrated[k]),
                "loadings": m.loadings.iter().map(|l| list(l)).collect::<Vec<_>>(),
            })
        };
        json!({
            "training_rows": self.rows[0], "held_out_rows": self.rows[1], "columns": COLUMNS,
            "log_density_nats": with_error(&self.nats), "contrast_nats": estimate(&self.figures.contrast),
            "redshift_bins": BINS, "errors": ERRORS,
            "effective_dimension_quantiles": self.dimensions.iter().map(|d| list(d)).collect::<Vec<_>>(),
            "components": self.meanings.iter().enumerate().map(component).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let Mean { value, error } = self.nats;
        let mut out = format!(
            "{} galaxies to train on, {} held out: {value:.3} ± {error:.3} nats\n\n{:<11}{:>26}{:>18}{:>18}{:>18}{:>9}{:>17}\n",
            self.rows[0],
            self.rows[1],
            "component",
            "local deviation (5-95 %)",
            "redshift (%)",
            "brightness (%)",
            "colours (%)",
            "turned",
            "entropy (nats)"
        );
        for (k, m) in self.meanings.iter().enumerate() {
            let part = |p: &Mean| format!("{:.1} ± {:.1}", 100.0 * p.value, 100.0 * p.error);
            let [low, middle, high] = m.scale;
            let entropy = &self.figures.entropy[k];
            // Writing into a String cannot fail.
            let _ = writeln!(
                out,
                "{:<11}{:>26}{:>18}{:>18}{:>18}{:>8.0}°{:>17}",
                k + 1,
                format!("{middle:.4} ({low:.4}-{high:.4})"),
                part(&m.parts[0]),
                part(&m.parts[1]),
                part(&m.parts[2]),
                m.turned,
                format!("{:.3} ± {:.3}", entropy.value, entropy.error),
            );
        }
        out += "\nturned: median angle between an axis and its mean; shares: of its squared length\n\n";
        for (k, m) in self.meanings.iter().take(SHOWN).enumerate() {
            let _ = writeln!(out, "component {}, median change over one local standard deviation:", k + 1);
            let _ = write!(out, "  {:<14}", "redshift of");
            out.extend(COLUMNS.iter().map(|name| format!("{name:>10}")));
            out.push('\n');
            for ([low, high], loading) in BINS.iter().zip(&m.loadings) {
                let _ = write!(out, "  {:<14}", format!("{low} to {high}"));
                out.extend(
                    loading
                        .iter()
                        .map(|v| if v.is_nan() { format!("{:>10}", "-") } else { format!("{v:>10.3}") }),
                );
                out.push('\n');
            }
        }
        out += "\neffective dimension (median, 5 to 95 % of the rows) against the error of every column:\n";
        for (e, [low, middle, high]) in ERRORS.iter().zip(&self.dimensions) {
            let _ = writeln!(out, "  {e:<8}{middle:>6.2} ({low:.2}-{high:.2})");
        }
        out
    }
}
