//! `study s-curve`.

use super::{Arguments, fitted, folder, stored};
use crate::cli::failure::Failure;
use crate::cli::output::number;
use crate::cli::plot;
use crate::cli::session::Session;
use crate::components::{Bootstrap, Components, Walk, compare, path_components, significance, traverse};
use crate::data::builtin;
use crate::flow::Flow;
use crate::flow::presets::{Name, Preset};
use crate::report::pictures;
use crate::report::studies::s_curve::{Drawn, Findings, Truth, findings, truth, tube, tube_truth};
use crate::theory::Chart;
use crate::train::{Gauge, Preprocess, TrainOptions, build};
use eigenflow_linalg::Matrix;
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Noise of the rows.
const NOISE: f64 = 0.1;

/// What is trained: first without a gauge, then further with it.
struct Size {
    rows: usize,
    tested: usize,
    preset: fn() -> Preset,
    epochs: [usize; 2],
}

const FULL: Size =
    Size { rows: 20_000, tested: 2_000, preset: || Preset::named(Name::Nsf), epochs: [50, 12] };
const QUICK: Size = Size {
    rows: 600,
    tested: 200,
    preset: || Preset { layers: Some(2), hidden: Some(vec![16]), bins: Some(4), ..Preset::named(Name::Nsf) },
    epochs: [4, 2],
};
/// Learning rates: of a fresh flow, and of one that only turns.
const RATES: [f64; 2] = [5e-3, 2e-3];

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    folder(&a.out)?;
    let size = if a.quick { QUICK } else { FULL };
    let mut lines: Vec<(&str, Findings)> = Vec::new();
    let mut charts = Vec::new();
    let analytic = tube_truth(size.tested, NOISE, s.seed())?;
    let (found, drawn) = findings(&tube(NOISE)?, &analytic)?;
    charts.extend(correlations("analytic", &drawn, &found));
    lines.push(("analytic tube", found));
    let held = truth(size.tested, NOISE, s.seed());
    let query = format!("builtin:s-curve?n={}&noise={NOISE}&seed={}", size.rows, s.seed());
    let rows = s.data(&query)?.values;
    let mut before: Option<Flow<f64>> = None;
    for (k, (label, file)) in
        [("no gauge", "plain"), ("principal gauge", "principal")].into_iter().enumerate()
    {
        let path = a.out.join(format!("{file}.safetensors"));
        let flow = if let Some(flow) = stored(a, &path)? {
            flow
        } else {
            let options = TrainOptions {
                epochs: size.epochs[k],
                lr: RATES[k],
                valid: 0.0,
                patience: 0,
                gauge: if k == 0 { Gauge::None } else { Gauge::Principal },
                seed: s.seed(),
                ..TrainOptions::default()
            };
            let start = match &before {
                Some(flow) => flow.cast::<f32>(),
                None => build(&(size.preset)(), Preprocess::Standardize, &rows, &options)?.flow,
            };
            fitted(s, label, start, &rows.cast(), None, &options, &["x", "y", "z"], &path)?
        };
        let (found, drawn) = findings(&flow, &held)?;
        charts.extend(correlations(file, &drawn, &found));
        charts.extend(shown(&flow, &held, file)?);
        lines.push((label, found));
        before = Some(flow);
    }
    let json = Value::Object(lines.iter().map(|(n, f)| ((*n).to_owned(), as_json(f))).collect::<Map<_, _>>());
    let (heading, text, pictures) = ("Study: the S-curve", table(&lines), plot::charts(charts));
    super::Findings { heading, text, json, pictures }.give(s, a)
}

/// Path components against the truth.
fn correlations(name: &str, d: &Drawn, f: &Findings) -> Vec<(String, Chart)> {
    let chart = |k: usize, what: &str, truth: &[f64]| {
        let values = d.path.col(k);
        pictures::against_truth(&format!("path component {}", k + 1), what, &values, truth, f.path[k])
    };
    vec![
        (format!("{name}-arc"), chart(0, "arc length (data units)", &d.arc)),
        (format!("{name}-width"), chart(1, "width (data units)", &d.width)),
    ]
}

/// The model's own pictures: scree, the data coloured by path components, walks.
fn shown(flow: &Flow<f64>, held: &Truth, name: &str) -> Result<Vec<(String, Chart)>, Failure> {
    let names = ["x", "y", "z"].map(str::to_owned);
    let x = &held.noisy;
    let figures = significance(flow, x, &Bootstrap::default())?;
    let others = compare(flow, x, 30)?;
    let mut out = Vec::new();
    for (what, chart) in ["scree", "explained-variance", "explained-entropy"]
        .into_iter()
        .zip(pictures::importance(&figures, &others))
    {
        out.push((format!("{name}-{what}"), chart));
    }
    let path = path_components(flow, x, 2, 1e-5)?;
    let own: Components<f64> = path.as_components();
    let starts = Matrix::from_fn(3.min(x.rows()), 3, |i, j| held.clean[(i, j)]);
    for k in 0..2 {
        let chart = pictures::coloured(x, &names, "path component", k, &path.values.col(k), &own);
        out.extend(
            chart.map_err(crate::flow::Error::from)?.map(|c| (format!("{name}-component-{}", k + 1), c)),
        );
        let walk = Walk { component: k, reach: 1.0, points: 20, tolerance: 1e-5 };
        let walks = pictures::walk(x, &names, k, &traverse(flow, &starts, &walk)?);
        let walks = walks.map_err(crate::flow::Error::from)?;
        out.extend(walks.into_iter().take(1).map(|c| (format!("{name}-traversal-{}", k + 1), c)));
    }
    Ok(out)
}

fn as_json(f: &Findings) -> Value {
    let list = |v: &[f64]| v.iter().map(|v| number(*v)).collect::<Vec<_>>();
    json!({
        "divergence_nats": list(&f.divergence), "contrast_nats": number(f.contrast),
        "tangent_degrees": number(f.tangent), "scale_errors": list(&f.scales),
        "path_rank_correlations": list(&f.path), "displacement_rank_correlations": list(&f.displacement),
        "paths_lost": number(f.lost),
    })
}

fn table(lines: &[(&str, Findings)]) -> String {
    let floor = builtin::s_curve_entropy(NOISE).unwrap_or(f64::NAN);
    let mut out = format!("S-curve with noise {NOISE} (entropy {floor:.4} nats)\n\n{:<46}", "figure");
    out.extend(lines.iter().map(|(name, _)| format!("{name:>18}")));
    out.push('\n');
    let mut row = |what: &str, of: &dyn Fn(&Findings) -> String| {
        // Writing into a String cannot fail.
        let _ = write!(out, "{what:<46}");
        for (_, f) in lines {
            let _ = write!(out, "{:>18}", of(f));
        }
        out.push('\n');
    };
    row("KL from the true density (nats)", &|f| match f.divergence {
        [mean, _] if mean.is_nan() => "-".to_owned(),
        [mean, error] => format!("{mean:.4} ± {error:.4}"),
    });
    row("contrast of the latent axes (nats)", &|f| format!("{:.4}", f.contrast.max(0.0)));
    row("tangent plane, median angle (degrees)", &|f| format!("{:.2}", f.tangent));
    for (k, what) in ["arc", "width", "normal"].into_iter().enumerate() {
        row(&format!("local deviation, {what}: median error (%)"), &|f| {
            format!("{:.1}", 100.0 * f.scales[k])
        });
    }
    for (k, what) in ["arc length", "width"].into_iter().enumerate() {
        row(&format!("path component {} and {what} (rank corr.)", k + 1), &|f| format!("{:.4}", f.path[k]));
    }
    for (k, what) in ["arc length", "width"].into_iter().enumerate() {
        let label = format!("displacement {} and {what} (rank corr.)", k + 1);
        row(&label, &|f| format!("{:.4}", f.displacement[k]));
    }
    row("paths not followed (%)", &|f| format!("{:.1}", 100.0 * f.lost));
    out
}
