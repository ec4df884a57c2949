//! The curve `S(ε)` from the local covariance (`ε → 0`) to the model's global one (`ε = 1`).

use super::surroundings::{Frame, Surroundings};
use super::weighted::Weighted;
use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, jacobians};
use crate::theory::{Axis, Chart, Context, Outcome, Shape};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::eigen::eigvalsh;

/// Radii of the curve.
const RADII: [f64; 9] = [0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0];
/// Effective rows for a point of the data.
const EFFECTIVE: f64 = 500.0;
/// Most columns.
const COLUMNS: usize = 64;
/// Most leading axes that are drawn.
const AXES: usize = 3;

/// `S(ε) = Cov(g(εξ))/ε²` at the latent origin.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Radii, ascending, the last one 1.
    pub eps: Vec<f64>,
    /// `S(ε)` of each, in data units.
    pub s: Vec<Matrix<f64>>,
    /// `J_g J_gᵀ` at the origin: the limit.
    pub local: Matrix<f64>,
    /// Linearity ratio `tr Cov(x) / E tr J_g J_gᵀ` over the model's own draws, in `(0, 1]`; 1 if and only if `g` is affine.
    pub linearity: f64,
}

impl Curve {
    /// Measures the curve with `draws` draws, the same ones at all radii.
    ///
    /// # Errors
    /// As [`Flow::generate`].
    pub fn measure(flow: &Flow<f64>, draws: usize, seed: u64) -> Result<Self, Error> {
        let origin = vec![0.0; flow.dim()];
        let frame = Frame::new(flow, &origin)?;
        let mut s = Vec::new();
        for eps in RADII {
            let around = Surroundings::draw(flow, &frame, &origin, eps, draws, seed)?;
            s.push(frame.in_data(&around.moments().1.map(|c| c / (eps * eps))));
        }
        let z = flow.draw_latents(draws / 4, 1.0, seed);
        let j = jacobians(flow, &z, Direction::Generate, Route::Push)?;
        let local = j.data().iter().map(|v| v * v).sum::<f64>() / z.rows().max(1) as f64;
        let linearity = trace(&s[RADII.len() - 1]) / local;
        let local = frame.in_data(&Matrix::identity(flow.dim()));
        Ok(Self { eps: RADII.to_vec(), s, local, linearity })
    }
}

fn trace(a: &Matrix<f64>) -> f64 {
    (0..a.rows()).map(|i| a[(i, i)]).sum()
}

/// Radius, `√tr` of the weighted covariance of the rows over the radius, and its standard error.
fn weighted_trace(latents: &Matrix<f64>, x: &Matrix<f64>, eps: f64) -> Option<(f64, f64)> {
    let at = Weighted::new(latents, &vec![0.0; latents.cols()], eps);
    if at.effective() < EFFECTIVE {
        return None;
    }
    let total: f64 = at.weights.iter().sum();
    let mean: Vec<f64> = (0..x.cols())
        .map(|j| at.weights.iter().enumerate().map(|(n, w)| w * x[(n, j)]).sum::<f64>() / total)
        .collect();
    let square = |n: usize| x.row(n).iter().zip(&mean).map(|(x, m)| (x - m).powi(2)).sum::<f64>();
    let spread = at.weights.iter().enumerate().map(|(n, w)| w * square(n)).sum::<f64>() / total;
    let error = at.weights.iter().enumerate().map(|(n, w)| (w * (square(n) - spread)).powi(2)).sum::<f64>();
    let root = spread.sqrt();
    // δ√s = δs / 2√s
    Some((root / eps, error.sqrt() / total / (2.0 * root * eps)))
}

/// The outcome with the curve as figures and chart, where the model has finite moments and at most 64 columns.
pub fn attach(outcome: Outcome, cx: &Context<'_>) -> Outcome {
    let d = cx.flow.dim();
    if d > COLUMNS || !cx.flow.has_finite_moments() {
        return outcome;
    }
    let draws = if cx.quick { 1024 } else { 4096 };
    match Curve::measure(cx.flow, draws, cx.seed).and_then(|curve| chart(cx, &curve).map(|c| (curve, c))) {
        Err(_) => outcome,
        Ok((curve, chart)) => outcome
            .figure("linearity_ratio", curve.linearity)
            .figure("local_variance", trace(&curve.local))
            .figure("global_variance", trace(&curve.s[curve.s.len() - 1]))
            .chart(chart),
    }
}

fn chart(cx: &Context<'_>, curve: &Curve) -> Result<Chart, Error> {
    let d = cx.flow.dim();
    let roots = |of: &dyn Fn(&Matrix<f64>) -> Result<f64, Error>| {
        curve.s.iter().map(|s| of(s).map(|v| v.max(0.0).sqrt())).collect::<Result<Vec<f64>, Error>>()
    };
    let total = roots(&|s| Ok(trace(s)))?;
    let limit = trace(&curve.local).sqrt();
    let (eps, ends) = (curve.eps.clone(), vec![curve.eps[0], 1.0]);
    let (first, last) = (total[0], total[total.len() - 1]);
    let mut chart = Chart::new(
        "From local to global covariance",
        Axis::linear("radius ε of the latent neighbourhood"),
        Axis::log("standard deviation over ε (data units)"),
    )
    .described(format!(
        "Square roots of the trace and of the leading eigenvalues of S(ε) around the latent origin. The trace goes from \
         {first:.3} (local, predicted {limit:.3}) to {last:.3} (global); it is constant where the map is affine. Linearity \
         ratio {:.3}.",
        curve.linearity
    ))
    .mark("trace, model", Shape::Line, eps.clone(), total)
    .mark("trace of J_g J_gᵀ", Shape::Dashed, ends, vec![limit; 2]);
    for k in 0..d.min(AXES) {
        let axis = roots(&|s| Ok(eigvalsh(s)?[d - 1 - k]))?;
        chart = chart.mark(&format!("axis {}", k + 1), Shape::Line, eps.clone(), axis);
    }
    if let Some(x) = cx.held_out.filter(|x| x.cols() == d) {
        let latents = cx.flow.normalize(x)?.0;
        let seen = eps.iter().filter(|e| **e < 1.0);
        let (mut at, mut spread, mut error) = (Vec::new(), Vec::new(), Vec::new());
        for eps in seen {
            if let Some((value, half)) = weighted_trace(&latents, x, *eps) {
                at.push(*eps);
                spread.push(value);
                error.push(half);
            }
        }
        if !at.is_empty() {
            chart = chart.mark("trace, held-out rows", Shape::Points, at, spread).error_bars(error);
        }
    }
    Ok(chart)
}
