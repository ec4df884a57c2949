//! `study dimension`.

use super::{Arguments, Findings, folder};
use crate::cli::failure::Failure;
use crate::cli::plot;
use crate::cli::session::Session;
use crate::dimension::{By, Call, Curve, Plan, Plateau, Rule, Survey, path};
use crate::flow::presets::{Name, Preset};
use crate::report::dimension as report;
use crate::theory::Chart;
use crate::train::{self, Preprocess, TrainOptions, build, to_training_units};
use eigenflow_linalg::Matrix;
use serde_json::{Value, json};
use std::fmt::Write;
use std::ops::ControlFlow;

/// A built-in set whose dimension is known, with what is known of its scales, data units.
struct Set {
    /// Name and parameters beside the number of rows.
    query: &'static str,
    dimension: usize,
    noise: f64,
    /// Least deviation along the set, and its reach (infinite for a plane).
    signal: f64,
    reach: f64,
    /// Linear sets have linear flows, which go to their certified optimum.
    flow: Name,
}

const fn bent(query: &'static str, dimension: usize, noise: f64, signal: f64, reach: f64) -> Set {
    Set { query, dimension, noise, signal, reach, flow: Name::Nsf }
}

const fn plane(query: &'static str, dimension: usize) -> Set {
    Set { query, dimension, noise: 0.001, signal: 1.0, reach: f64::INFINITY, flow: Name::Affine }
}

/// The sets. Of a sphere in `m` columns each has the deviation `1/√m`; the S-curve is bent to circles of radius 1, as is the middle of the band; the
/// sheets of the roll are `2π` apart.
const SETS: [Set; 11] = [
    bent("s-curve?noise=0.005", 2, 0.005, 0.577, 1.0),
    bent("swiss-roll?noise=0.03", 2, 0.03, 6.06, std::f64::consts::PI),
    bent("sphere?dim=2&noise=0.005", 2, 0.005, 0.577, 1.0),
    bent("sphere?dim=5&noise=0.004", 5, 0.004, 0.408, 1.0),
    bent("mobius-band?noise=0.003", 2, 0.003, 0.289, 0.5),
    plane("subspace?dim=1&columns=20&noise=0.001", 1),
    plane("subspace?dim=3&columns=20&noise=0.001", 3),
    plane("subspace?dim=10&columns=20&noise=0.001", 10),
    plane("subspace?dim=1&columns=100&noise=0.001", 1),
    plane("subspace?dim=3&columns=100&noise=0.001", 3),
    plane("subspace?dim=10&columns=100&noise=0.001", 10),
];

/// Scales, `√2` apart, down from the largest.
const SCALES: usize = 5;
/// Rows to train on, rows at which models are read, epochs at each scale: in full, and quick.
const SIZES: [[usize; 3]; 2] = [[20_000, 2_000, 20], [1_500, 300, 3]];

/// What came of a set.
struct Found {
    name: String,
    columns: usize,
    dimension: usize,
    survey: Survey,
    rule: Rule,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    folder(&a.out)?;
    let size = SIZES[usize::from(a.quick)];
    let mut found = Vec::new();
    for set in SETS {
        found.push(surveyed(s, &set, size)?);
    }
    let charts = found.iter().map(|f| (f.file(), report::chart(&f.name, &f.survey, By::Noise)));
    let pictures = plot::charts(charts.collect::<Vec<(String, Chart)>>());
    let json = json!({ "sets": found.iter().map(Found::json).collect::<Vec<_>>() });
    Findings { heading: "Study: intrinsic dimension", text: text(&found), json, pictures }.give(s, a)
}

/// Models of a set along its scales, read by every estimator.
fn surveyed(s: &Session, set: &Set, [rows, read, epochs]: [usize; 3]) -> Result<Found, Failure> {
    let query = format!("builtin:{}&n={rows}&seed={}", set.query, s.seed());
    let table = s.data(&query)?;
    let held = s.data(&format!("builtin:{}&n={read}&seed={}", set.query, s.seed().wrapping_add(1)))?;
    let options = TrainOptions { epochs, valid: 0.0, patience: 0, seed: s.seed(), ..TrainOptions::default() };
    let preset = Preset::named(set.flow);
    let flow = build::<f64>(&preset, Preprocess::Isotropic, &table.values, &options)?.flow;
    let units = |x: &Matrix<f64>| -> Result<Matrix<f64>, train::Error> { to_training_units(&flow, x) };
    let training = units(&table.values)?;
    let scale = length(&table.values) / length(&training);
    let rule = Rule {
        noise: Some(set.noise / scale),
        signal: Some(set.signal / scale),
        reach: set.reach.is_finite().then(|| set.reach / scale),
    };
    // The rule takes care of each direction, which falls short of 1 by up to σ²/λ: d of them must not do so by a plateau's band, d σ²/λ <= 1/5.
    let largest = rule.window().1 / (set.dimension as f64 / 4.0).max(1.0).sqrt();
    let scales: Vec<f64> = (0..SCALES).map(|k| largest * 0.5_f64.powf(0.5 * k as f64)).collect();
    let name =
        set.query.split(['?', '&']).filter(|part| !part.starts_with("noise")).collect::<Vec<_>>().join(", ");
    s.note(&format!("{name}: models at {} scales", scales.len()));
    let rungs = path(&flow, &table.values, None, &scales, By::Noise, &options, &mut |_| {
        if crate::cli::interrupt::wanted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if crate::cli::interrupt::wanted() {
        return Err(Failure::Interrupted("study: interrupted".to_owned()));
    }
    let plan = Plan { rule, centres: read.min(1_000), seed: s.seed(), ..Plan::default() };
    let survey = Survey::of(&rungs, &units(&held.values)?, &training, &plan)?;
    Ok(Found { name, columns: table.cols(), dimension: set.dimension, survey, rule })
}

/// The distance of the first two rows: in two units, it has their ratio, which is the same for all columns.
fn length(x: &Matrix<f64>) -> f64 {
    x.row(0).iter().zip(x.row(1)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

impl Found {
    /// Name of its chart.
    fn file(&self) -> String {
        let words = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        self.name.replace(", ", "-").chars().map(words).collect()
    }

    fn called(&self) -> Option<usize> {
        match self.survey.call {
            Call::Dimension(d) => Some(d),
            Call::Undecided(_) => None,
        }
    }

    fn json(&self) -> Value {
        let curves = self.survey.curves.iter().zip(&self.survey.plateaus);
        json!({
            "set": self.name, "columns": self.columns, "dimension": self.dimension, "called": self.called(),
            "call": report::sentence(&self.survey), "rule": self.rule,
            "estimators": curves.map(|(curve, plateau)| json!({
                "estimator": curve.method.name(),
                "scales": curve.estimates.iter().map(|e| e.scale).collect::<Vec<_>>(),
                "means": curve.estimates.iter().map(|e| e.mean).collect::<Vec<_>>(),
                "plateau": plateau,
            })).collect::<Vec<_>>(),
        })
    }
}

/// A line a set: what is called, and the plateau of each estimator.
fn text(found: &[Found]) -> String {
    let mut out = format!("{:<26}{:>9}{:>11}{:>11}", "set", "columns", "dimension", "called");
    let curves = found.first().map_or(&[][..], |f| &f.survey.curves);
    out.extend(curves.iter().map(|c| format!("  {}", c.method.title())));
    out.push('\n');
    for f in found {
        let called = f.called().map_or_else(|| "undecided".to_owned(), |d| d.to_string());
        // Writing into a String cannot fail.
        let _ = write!(out, "{:<26}{:>9}{:>11}{called:>11}", f.name, f.columns, f.dimension);
        let plateau = |p: &Option<Plateau>| p.map_or_else(|| "-".to_owned(), |p| p.dimension.to_string());
        let under = |(c, p): (&Curve, &Option<Plateau>)| {
            format!("{:>width$}", plateau(p), width = 2 + c.method.title().chars().count())
        };
        out.extend(f.survey.curves.iter().zip(&f.survey.plateaus).map(under));
        out.push('\n');
    }
    out += "\nof each estimator the integer of its plateau, - where it has none; the reference estimators (local PCA, TwoNN) do not vote\n";
    for f in found.iter().filter(|f| f.called() != Some(f.dimension)) {
        let _ = writeln!(out, "{}: {}", f.name, report::sentence(&f.survey));
    }
    out
}
