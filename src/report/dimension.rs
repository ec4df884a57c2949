//! The estimates of an intrinsic dimension as tables and a chart.

use super::text::number;
use super::{Listing, Section};
use crate::dimension::{By, Call, Curve, Plateau, Survey};
use crate::theory::{Axis, Chart, Shape};

/// What a scale is, for the axis.
fn scale_label(by: By) -> &'static str {
    match by {
        By::Alpha => "scale σ = √(2α), or radius (training units)",
        By::Noise => "scale: noise σ, or radius (training units)",
    }
}

/// The section of a survey: the call, a line for each method, every estimate, and the chart.
pub fn section(name: &str, survey: &Survey, by: By) -> Section {
    Section {
        notes: vec![sentence(survey)],
        charts: vec![chart(name, survey, by)],
        listings: vec![summary(survey), estimates(survey)],
        ..Section::new(&format!("Intrinsic dimension of {name}"), Vec::new())
    }
}

/// The call in one sentence.
pub fn sentence(survey: &Survey) -> String {
    match &survey.call {
        Call::Dimension(d) => {
            let low = common(survey, |p| p.scales.0, f64::max);
            let high = common(survey, |p| p.scales.1, f64::min);
            format!(
                "intrinsic dimension {d} of {} columns, at scales from {} to {} (training units)",
                survey.dim,
                number(low, 3),
                number(high, 3)
            )
        }
        Call::Undecided(why) => format!("undecided: {why}"),
    }
}

/// The extreme of all plateaus of the models' estimators.
fn common(survey: &Survey, of: fn(&Plateau) -> f64, extreme: fn(f64, f64) -> f64) -> f64 {
    let found = survey.curves.iter().zip(&survey.plateaus).filter(|(c, _)| c.method.of_model());
    found.filter_map(|(_, p)| p.as_ref().map(of)).reduce(extreme).unwrap_or(f64::NAN)
}

fn summary(survey: &Survey) -> Listing {
    let row = |(curve, plateau): (&Curve, &Option<Plateau>)| {
        let (dimension, scales, slope) = match plateau {
            Some(p) => (
                p.dimension.to_string(),
                format!("{} to {}", number(p.scales.0, 3), number(p.scales.1, 3)),
                format!("{:+.2}", p.slope),
            ),
            None => ("none".to_owned(), "–".to_owned(), "–".to_owned()),
        };
        let means = || curve.estimates.iter().map(|e| e.mean);
        let least = means().fold(f64::INFINITY, f64::min);
        let largest = means().fold(f64::NEG_INFINITY, f64::max);
        let all = format!("{} to {}", number(least, 3), number(largest, 3));
        let role = if curve.method.of_model() { "model" } else { "neighbours (reference)" };
        vec![curve.method.title().to_owned(), dimension, scales, slope, all, role.to_owned()]
    };
    let columns = ["estimator", "plateau", "scales", "slope", "all estimates", "from"];
    Listing {
        caption: "Plateaus: three or more scales at one integer".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: survey.curves.iter().zip(&survey.plateaus).map(row).collect(),
    }
}

fn estimates(survey: &Survey) -> Listing {
    let mut rows = Vec::new();
    for curve in &survey.curves {
        for e in &curve.estimates {
            rows.push(vec![
                curve.method.title().to_owned(),
                number(e.scale, 3),
                // A single row has no standard error.
                if e.error.is_nan() {
                    number(e.mean, 4)
                } else {
                    format!("{} ± {}", number(e.mean, 4), number(e.error, 2))
                },
                if e.rows.is_empty() { "–".to_owned() } else { number(e.median(), 4) },
            ]);
        }
    }
    let columns = ["estimator", "scale", "mean", "median over rows"];
    Listing {
        caption: "Estimates over scales".to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows,
    }
}

/// The name of a data set without its folder and its parameters.
fn short(name: &str) -> &str {
    let name = name.trim_start_matches("builtin:").split('?').next().unwrap_or(name);
    name.rsplit(['/', '\\']).next().unwrap_or(name)
}

/// Estimates over scales with their standard errors, and the plateau that is called.
pub fn chart(name: &str, survey: &Survey, by: By) -> Chart {
    let mut chart = Chart::new(
        &format!("Intrinsic dimension of {}", short(name)),
        Axis::log(scale_label(by)),
        Axis::linear("dimension"),
    )
    .described(format!(
        "Estimates with their standard errors over scales: {}. {}.",
        survey.curves.iter().map(|c| c.method.title()).collect::<Vec<_>>().join(", "),
        sentence(survey)
    ));
    // Estimates far outside of what a dimension can be would flatten the rest.
    let seen = |v: f64| if (-1.0..=survey.dim as f64 + 1.0).contains(&v) { v } else { f64::NAN };
    for curve in &survey.curves {
        let of =
            |f: fn(&crate::dimension::Estimate) -> f64| curve.estimates.iter().map(f).collect::<Vec<_>>();
        let means = of(|e| e.mean).into_iter().map(seen).collect();
        chart = chart
            .mark(curve.method.title(), Shape::Points, of(|e| e.scale), means)
            .error_bars(of(|e| e.error));
    }
    // The neighbouring integers, so that the axis is not stretched by what is small.
    let all = || survey.curves.iter().flat_map(|c| &c.estimates);
    let ends = [f64::min, f64::max].map(|f| all().map(|e| e.scale).reduce(f).unwrap_or(1.0));
    let nearest = match survey.call {
        Call::Dimension(d) => Some(d as f64),
        Call::Undecided(_) => survey.curves.first().and_then(|c| c.estimates.first()).map(|e| e.mean.round()),
    };
    for by in [-1.0, 1.0] {
        let level = nearest.map_or(f64::NAN, |n| seen(n + by));
        chart = chart.mark("", Shape::Dashed, ends.to_vec(), vec![level; 2]);
    }
    if let Call::Dimension(d) = survey.call {
        let low = common(survey, |p| p.scales.0, f64::max);
        let high = common(survey, |p| p.scales.1, f64::min);
        chart = chart.mark(&format!("plateau at {d}"), Shape::Line, vec![low, high], vec![d as f64; 2]);
    }
    chart
}
