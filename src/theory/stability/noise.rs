//! S4: input noise against the penalty, to second order.

use super::virial::in_training_units;
use crate::flow::base::LN_2PI;
use crate::flow::{Error, Flow, Layer, Smoothness};
use crate::theory::local::{
    Cubature, Evaluator, Map, Neighbourhood, Order, Rule, combine, radii, random_directions, rounding,
};
use crate::theory::{Axis, Chart, Claim, Context, Outcome, Shape, Verdict, alarm};
use eigenflow_autodiff::{Program, Recorder, Var};
use eigenflow_linalg::Matrix;

/// `E log p(x + σξ) = log p - α‖J‖²_F - α f·Δf + α Δ log|det J| + O(σ⁴)` with `α = σ²/2`.
#[derive(Clone, Copy, Debug)]
pub struct S4;

/// Up to this many columns noise fills all of them; beyond, two random directions.
const FULL: usize = 10;
/// The measured rounding is a standard deviation: this many bound it.
const DEVIATIONS: f64 = 10.0;
/// Weight at which the terms are shown where the model has none: noise 0.1.
const ALPHA: f64 = 0.005;

/// The core of a flow as the map `x ↦ (f(x), log|det J(x)|)`, `D + 1` columns.
pub struct LogDensity<'a>(pub &'a Flow<f64>);

impl Map for LogDensity<'_> {
    fn inputs(&self) -> usize {
        self.0.dim()
    }

    fn record<'t>(&self, r: &'t Recorder<f64>, x: Var<'t, f64>) -> Var<'t, f64> {
        let params = self.0.declare(r);
        let recorded = self.0.record_normalize(&params, x, 0..self.0.layers().len(), false);
        Var::concat(&[recorded.out, recorded.log_det])
    }

    fn shared(&self) -> Vec<&[f64]> {
        self.0.slices()
    }
}

/// The expansion at one point: the terms from the tape, and what is left of the mean over noise.
#[derive(Clone, Debug)]
pub struct NoiseExpansion {
    /// `‖JP‖²_F` along the directions `P` of the noise.
    pub norm: f64,
    /// `f · Δf`.
    pub bend: f64,
    /// `Δ log|det J|`.
    pub log_det: f64,
    /// Noises `σ`, descending.
    pub sigma: Vec<f64>,
    /// `E log p(x + σPξ) - log p(x)` of each.
    pub mean: Vec<f64>,
    /// Bound of rounding and cubature of each.
    pub floor: Vec<f64>,
}

/// `log p` of a row `(f, log|det J|)`.
fn log_density(row: &[f64]) -> f64 {
    let (f, log_det) = row.split_at(row.len() - 1);
    -0.5 * (f.iter().map(|v| v * v).sum::<f64>() + f.len() as f64 * LN_2PI) + log_det[0]
}

/// First and second derivatives of a map along directions, at every row of `x`.
struct Laplacian {
    program: Program<f64>,
    cols: usize,
}

impl Laplacian {
    fn new(map: &dyn Map) -> Result<Self, Error> {
        let program = Program::try_record(|r| {
            let (x, a) = (r.batch(map.inputs()), r.batch(map.inputs()));
            let out = map.record(r, x);
            let first = r.jvp(&[out], &[(x, a)])?[0];
            let second = r.jvp(&[first], &[(x, a)])?[0];
            Ok::<_, Error>(vec![out, first, second])
        })?;
        let cols = program.output_shapes()[0].cols();
        Ok(Self { program, cols })
    }

    /// `(‖JP‖², f·Δf, Δ log|det J|)` of each row of `x`.
    fn terms(&self, map: &dyn Map, x: &Matrix<f64>, directions: &Matrix<f64>) -> Result<Matrix<f64>, Error> {
        let (n, f) = (x.rows(), self.cols - 1);
        let mut out = Matrix::zeros(n, 3);
        for k in 0..directions.rows() {
            let a = directions.row(k).repeat(n);
            let all = self.program.run(n, &[x.data(), &a], &map.shared())?;
            for i in 0..n {
                let row = |of: usize| &all[of][i * self.cols..(i + 1) * self.cols];
                let (value, first, second) = (row(0), row(1), row(2));
                let to = out.row_mut(i);
                to[0] += first[..f].iter().map(|v| v * v).sum::<f64>();
                to[1] += value[..f].iter().zip(second).map(|(a, b)| a * b).sum::<f64>();
                to[2] += second[f];
            }
        }
        Ok(out)
    }
}

impl NoiseExpansion {
    /// Measures `map`, which gives `(f, log|det J|)`, at `x` with noise along the rows of `directions`.
    ///
    /// Derivatives are nested forward mode; the mean is a deterministic cubature. `None` where a value is not finite.
    ///
    /// # Errors
    /// Those of the tape and of the cubature.
    pub fn measure(
        map: &dyn Map,
        x: &[f64],
        directions: &Matrix<f64>,
        cubature: Cubature,
    ) -> Result<Option<Self>, Error> {
        let d = x.len();
        let evaluator = Evaluator::new(map);
        let values = |z: &Matrix<f64>| {
            let rows = evaluator.rows(z)?;
            Ok::<_, Error>(rows.map(|rows| Matrix::from_fn(rows.rows(), 1, |n, _| log_density(rows.row(n)))))
        };
        let laplacian = Laplacian::new(map)?;
        let finite = |m: Matrix<f64>| m.data().iter().all(|v| v.is_finite()).then_some(m);
        let of_terms = |z: &Matrix<f64>| laplacian.terms(map, z, directions).map(finite);
        let one = Matrix::new(1, d, x.to_vec());
        let (Some(centre), Some(terms)) = (values(&one)?, of_terms(&one)?) else { return Ok(None) };
        let (Some(of_value), Some(of_second)) = (rounding(x, values)?, rounding(x, of_terms)?) else {
            return Ok(None);
        };
        let rules = cubature.rules(directions.rows())?;
        let mut out = Self {
            norm: terms[(0, 0)],
            bend: terms[(0, 1)],
            log_det: terms[(0, 2)],
            sigma: Vec::new(),
            mean: Vec::new(),
            floor: Vec::new(),
        };
        for sigma in radii() {
            let mut means = Vec::new();
            for rule in &rules {
                let step = rule.points.mul(directions);
                let z = Matrix::from_fn(step.rows(), d, |n, j| x[j] + sigma * step[(n, j)]);
                let Some(there) = values(&z)? else { break };
                let change = |(n, w): (usize, &f64)| w * (there[(n, 0)] - centre[(0, 0)]);
                means.push(rule.weights.iter().enumerate().map(change).sum::<f64>());
            }
            let (Some(fine), true) = (means.last().copied(), means.len() == rules.len()) else { continue };
            let mass: f64 = rules.last().map_or(1.0, |r: &Rule| r.weights.iter().map(|w| w.abs()).sum());
            let formula = 0.5 * sigma * sigma * of_second.iter().sum::<f64>();
            let cubature = if means.len() > 1 { (fine - means[0]).abs() } else { 0.0 };
            out.sigma.push(sigma);
            out.mean.push(fine);
            out.floor.push(DEVIATIONS * (2.0 * mass * of_value[0] + formula + cubature));
        }
        Ok(Some(out))
    }

    /// `-‖J‖² - f·Δf + Δ log|det J|`: the second-order term over `α`.
    pub fn slope(&self) -> f64 {
        -self.norm - self.bend + self.log_det
    }

    /// What is left of the mean after `α` times the given slope, for each `σ`.
    pub fn remainder(&self, slope: f64) -> Vec<f64> {
        let rest = |(s, m): (&f64, &f64)| (m - 0.5 * s * s * slope).abs();
        self.sigma.iter().zip(&self.mean).map(rest).collect()
    }

    /// The order of what is left, for a given slope: at least 4 for the right one.
    pub fn order(&self, slope: f64, p: f64) -> Order {
        let usable = vec![true; self.sigma.len()];
        let terms = self.norm.abs() + self.bend.abs() + self.log_det.abs();
        let size: Vec<f64> = self.sigma.iter().map(|s| 0.5 * s * s * terms).collect();
        Order::fit(&self.sigma, &self.remainder(slope), &self.floor, &size, &usable, p)
    }
}

/// Fails if order 4 is excluded.
fn verdict(order: &Order) -> Verdict {
    match order {
        _ if order.below(4.0) => Verdict::Fails,
        Order::Unclear(why) => Verdict::Undecided((*why).to_owned()),
        _ => Verdict::Holds,
    }
}

/// How the noise of a flow is integrated. Two stacked normalizing `sinh` layers have no normal moments: the uniform
/// ball of the same covariance has, and its second-order term is the same.
fn plan(core: &Flow<f64>) -> (Cubature, usize) {
    let stacked = core.layers().iter().filter(|l| matches!(l, Layer::Asinh(_))).count() > 1;
    let kind = if stacked { Neighbourhood::Ball } else { Neighbourhood::Normal };
    match core.dim() {
        d @ 1..=3 => (Cubature::Product(kind), d),
        d if d <= FULL => (Cubature::FifthDegree, d),
        _ => (Cubature::Product(kind), 2),
    }
}

impl S4 {
    fn decide(cx: &Context<'_>) -> Result<Outcome, Error> {
        if cx.flow.smoothness() != Smoothness::Smooth {
            return Ok(Outcome::undecided("S4", "requires a smooth flow"));
        }
        let (d, count) = (cx.flow.dim(), if cx.quick { 2 } else { 6 });
        let x = match cx.held_out.or(cx.training) {
            Some(x) if x.rows() > 0 => {
                Matrix::new(count.min(x.rows()), d, x.data()[..count.min(x.rows()) * d].to_vec())
            }
            _ => cx.flow.sample(count, 1.0, cx.seed)?,
        };
        let x = in_training_units(cx.flow, x)?;
        let core = cx.flow.part(cx.flow.core())?;
        let (cubature, m) = plan(&core);
        let map = LogDensity(&core);
        let p = alarm::rate(x.rows());
        let mut found = Vec::new();
        for row in 0..x.rows() {
            let directions = random_directions(m, d, cx.seed.wrapping_add(row as u64))?;
            found.extend(NoiseExpansion::measure(&map, x.row(row), &directions, cubature)?);
        }
        Ok(Self::judge(&found, p, m, if cx.alpha > 0.0 { cx.alpha } else { ALPHA }))
    }

    /// The verdict on expansions along `m` directions each; `p` is the false-alarm rate of one.
    pub fn judge(found: &[NoiseExpansion], p: f64, m: usize, alpha: f64) -> Outcome {
        if found.is_empty() {
            return Outcome::undecided("S4", "out of range: no finite log-density");
        }
        let orders: Vec<Order> = found.iter().map(|e| e.order(e.slope(), p)).collect();
        let fitted = |o: &Order| match o {
            Order::Fitted { slope, half_width } => Some((*slope, *half_width)),
            _ => None,
        };
        let lowest = orders.iter().filter_map(fitted).min_by(|a, b| a.0.total_cmp(&b.0));
        let (slope, half_width) = lowest.unwrap_or((f64::NAN, f64::NAN));
        let verdicts: Vec<Verdict> = orders.iter().map(verdict).collect();
        let decided = verdicts.iter().filter(|v| **v == Verdict::Holds).count();
        let n = found.len() as f64;
        let mean = |of: &dyn Fn(&NoiseExpansion) -> f64| found.iter().map(of).sum::<f64>() / n;
        let (penalty, curvature) = (-alpha * mean(&|e| e.norm), alpha * mean(&|e| e.log_det - e.bend));
        let mut outcome = Outcome::undecided("S4", "")
            .predicted("E log p(x+σξ) = log p - α‖J‖² - α f·Δf + α Δ log|det J| + O(σ⁴)")
            .measured(format!(
                "lowest order {slope:.2} ± {half_width:.2}, {decided} of {} points, {m} directions; at α = {alpha}: penalty \
                 {penalty:.2e}, curvature {curvature:.2e}",
                found.len()
            ))
            .tolerance("t quantile of the fitted order, above rounding and cubature")
            .figure("order", slope)
            .figure("order_half_width", half_width)
            .figure("points", n)
            .figure("points_decided", decided as f64)
            .figure("directions", m as f64)
            .figure("alpha", alpha)
            .figure("penalty", penalty)
            .figure("curvature", curvature)
            .chart(chart(found, slope));
        outcome.verdict = combine(&verdicts);
        outcome
    }
}

fn chart(found: &[NoiseExpansion], slope: f64) -> Chart {
    let mut chart = Chart::new(
        "What noise does beyond second order",
        Axis::log("noise σ (training units)"),
        Axis::log("remainder (nats)"),
    )
    .described(format!(
        "Mean log-density under noise, less the second-order formula, against σ, at {} points; predicted order 4, lowest \
         order fitted {slope:.2}. Small σ end in rounding.",
        found.len()
    ));
    for e in found {
        chart = chart.mark("remainder", Shape::Points, e.sigma.clone(), e.remainder(e.slope()));
    }
    let first = &found[0];
    if let (Some(&sigma), Some(&rest)) = (first.sigma.get(4), first.remainder(first.slope()).get(4)) {
        let line = first.sigma.iter().map(|s| rest * (s / sigma).powi(4)).collect();
        chart = chart.mark("order 4", Shape::Dashed, first.sigma.clone(), line);
    }
    chart
}

impl Claim for S4 {
    fn id(&self) -> &'static str {
        "S4"
    }

    fn statement(&self) -> &'static str {
        "input noise σ² = 2α is the penalty α‖J‖² and two curvature terms, up to order σ⁴"
    }

    fn formula(&self) -> &'static str {
        r"E \log p(x + \sigma\xi) = \log p - \alpha \lVert J \rVert_F^2 - \alpha f \cdot \Delta f + \alpha\, \Delta \log|\det J| + O(\sigma^4), \quad \sigma^2 = 2\alpha"
    }

    fn remedy(&self) -> &'static str {
        "Order 2 instead of 4 means that one of the three second-order terms is wrong: check the Laplacians by \
         the tape's own tests. A layer that calls itself smooth and has a kink shows the same way."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        Self::decide(cx).unwrap_or_else(|e| Outcome::undecided("S4", format!("out of range: {e}")))
    }
}
