//! D1: estimators of the intrinsic dimension, which agree where there is a plateau.

use super::virial::in_training_units;
use crate::dimension::{Estimate, Points, Trace, derivatives, effective_dimension, flipd, projected};
use crate::flow::{Error, Flow, Smoothness};
use crate::jacobian::{Direction, Route, jacobians};
use crate::theory::linear::{Optimum, Path, fit};
use crate::theory::local::Blocks;
use crate::theory::tolerance::{gamma, larger};
use crate::theory::{Axis, Chart, Claim, Context, Outcome, Shape, Verdict, alarm};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::svd::{SvdKind, svd_batch};

/// The onset law and the effective dimension, LIDL and FLIPD are the same numbers at a linear optimum; FLIPD of a model's own draws is `D`; and
/// at the model's scale the estimators agree on an integer, if there is a plateau.
#[derive(Clone, Copy, Debug)]
pub struct D1;

/// Draws from the model, in blocks, and rows at which a model is read.
const DRAWS: usize = 8192;
const QUICK_DRAWS: usize = 2048;
const BLOCKS: usize = 64;
const ROWS: usize = 1000;
/// Numbers of Hessians that are taken at most: wide models get fewer draws.
const NUMBERS: usize = 1 << 22;
/// Weights, training units, at which linear optima are checked, and the step between the two optima of a slope.
const ALPHAS: [f64; 3] = [1e-3, 1e-2, 1e-1];
const STEP: f64 = 1.5;
/// How far from an integer an estimate, with two standard errors, may be on a plateau; and all directions together.
const BAND: f64 = 0.25;

/// Two neighbouring linear optima, by the tape and in closed form.
#[derive(Clone, Copy, Debug)]
pub struct LinearDimension {
    /// The smaller weight; the other is 1.5 times it.
    pub alpha: f64,
    /// Effective dimension `D - 2α‖J‖²`, onset law, mean of FLIPD and of LIDL over the training rows.
    pub measured: [f64; 4],
    /// `Σ h`, its mean over `log σ`, `Σ (2h - h²)`, its mean over `log σ`, with `h = λ/(λ + 2α)`.
    pub closed: [f64; 4],
    /// How far apart these may be.
    pub tolerance: f64,
}

/// Names of the four.
const NAMES: [&str; 4] = ["effective_dimension", "onset", "flipd", "lidl"];

impl LinearDimension {
    /// Measures the optima at `α` and `1.5 α`.
    ///
    /// With `W(Σ+2αI)Wᵀ = I + E`, `‖E‖₂ <= ε` (certificate and rounding) every `h` is off by at most `2ε` to first order in either formula.
    /// The mean log-likelihood is off by `Dε/2`, the loss less; a slope doubles that and divides it by `log √1.5`.
    ///
    /// # Errors
    /// Those of the tape.
    pub fn measure(low: &Optimum, high: &Optimum) -> Result<Self, Error> {
        let (n, d) = low.rows.shape();
        let path = Path(&low.spectrum.values);
        let (dim, step) = (d as f64, 0.5 * (high.alpha / low.alpha).ln());
        let of = |o: &Optimum| -> Result<[f64; 4], Error> {
            let one = Matrix::new(1, d, o.rows.row(0).to_vec());
            let variance = 2.0 * o.alpha;
            let effective = effective_dimension(&o.flow, &one, variance, false, 0)?[0];
            // The Hessian of a normal density is the same at every row.
            let trace = derivatives(&o.flow, &one, Trace::Exact, 0)?.laplacian[0];
            let moved = projected(&o.flow, &o.rows, 1.0)?;
            let moved = moved.data().iter().zip(o.rows.data());
            let square = moved.map(|(a, b)| (a - b).powi(2)).sum::<f64>() / n as f64;
            let log_p = o.flow.log_density(&o.rows)?.iter().sum::<f64>() / n as f64;
            Ok([effective, 0.5 * (dim - effective) - log_p, dim + variance * (trace + square), log_p])
        };
        let (a, b) = (of(low)?, of(high)?);
        let slope = |f: &dyn Fn(f64) -> f64| (f(high.alpha) - f(low.alpha)) / step;
        let (v, second) =
            (2.0 * low.alpha, |v: f64| path.0.iter().map(|l| (v / (l + v)).powi(2)).sum::<f64>());
        Ok(Self {
            alpha: low.alpha,
            measured: [a[0], dim - (b[1] - a[1]) / step, a[2], dim + (b[3] - a[3]) / step],
            closed: [
                path.effective_dimension(low.alpha),
                dim + slope(&|alpha| path.penalised(alpha)),
                dim - second(v),
                dim + slope(&|alpha| path.likelihood(alpha)),
            ],
            tolerance: 4.0 * dim / step
                * (larger(low.tolerance()?, high.tolerance()?) + gamma(n + 8 * d) * (1.0 + a[3].abs())),
        })
    }

    /// The largest difference between measurement and closed form; NaN if one is.
    pub fn error(&self) -> f64 {
        self.measured.iter().zip(&self.closed).fold(0.0, |m, (a, b)| larger(m, (a - b).abs()))
    }
}

/// What a model says at its own scale.
#[derive(Clone, Debug)]
pub struct AtScale {
    /// `D`.
    pub dim: usize,
    /// `√(2α)`.
    pub scale: f64,
    /// The effective dimension, and FLIPD.
    pub estimates: [Estimate; 2],
    /// `Σ |h_i - [h_i > ½]|` over the directions, `h = 1 - 2αs²`: mean over the rows. Where it is small every direction is far from the scale.
    pub departure: f64,
}

impl AtScale {
    /// Reads a flow's core at rows in training units.
    ///
    /// # Errors
    /// Those of the tape.
    pub fn measure(core: &Flow<f64>, rows: &Matrix<f64>, alpha: f64, seed: u64) -> Result<Self, Error> {
        let (d, variance) = (core.dim(), 2.0 * alpha);
        let at = some(rows, (NUMBERS / (d * d)).clamp(1, ROWS));
        let scale = variance.sqrt();
        let trace = Trace::of(d);
        let flipd = flipd(core, &at, variance, Points::Data, trace, seed)?;
        let s = svd_batch(&jacobians(core, &at, Direction::Normalize, Route::Push)?, SvdKind::Values)?.s;
        let h = |i: usize| s.row(i).iter().map(|s| 1.0 - variance * s * s);
        let effective = (0..at.rows()).map(|i| h(i).sum()).collect();
        let off = |h: f64| (h - f64::from(u8::from(h > 0.5))).abs();
        let departure = (0..at.rows()).map(|i| h(i).map(off).sum::<f64>()).sum::<f64>() / at.rows() as f64;
        let estimates = [Estimate::of_rows(scale, effective), Estimate::of_rows(scale, flipd)];
        Ok(Self { dim: d, scale, estimates, departure })
    }

    /// The integer on which both estimates and all directions agree, or why there is none.
    ///
    /// # Errors
    /// With the reason.
    pub fn called(&self) -> Result<usize, String> {
        let [effective, flipd] = &self.estimates;
        let k = effective.mean.round();
        let near = |e: &Estimate| (e.mean - k).abs() + 2.0 * e.error <= BAND;
        let text = |e: &Estimate| format!("{:.2} ± {:.2}", e.mean, e.error);
        if !(self.departure <= BAND) {
            return Err(format!(
                "no plateau at scale {:.3}: directions are off 0 and 1 by {:.2} in all",
                self.scale, self.departure
            ));
        }
        if !near(effective) || !near(flipd) {
            let (a, b) = (text(effective), text(flipd));
            return Err(format!("no plateau at scale {:.3}: effective dimension {a}, FLIPD {b}", self.scale));
        }
        Ok(k.max(0.0) as usize)
    }
}

/// The first rows, at most `count`.
fn some(x: &Matrix<f64>, count: usize) -> Matrix<f64> {
    let n = x.rows().min(count);
    Matrix::new(n, x.cols(), x.data()[..n * x.cols()].to_vec())
}

/// `|E Δp/p|` is at most `E|Δp/p|`: a tolerance above half of that leaves little that could fail.
const WIDEST: f64 = 0.5;

impl D1 {
    /// The verdict on `Δp/p = Δ log p + ‖∇ log p‖²` at draws from the model in data units of `scale`: its mean is zero, since `∫Δp = 0`. So FLIPD,
    /// `D + σ²Δp/p`, is `D` on average, at every scale.
    pub fn judge_draws(curvature: &[f64], dim: usize, p: f64) -> Outcome {
        let size = (curvature.len() / BLOCKS).max(1);
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let blocks = Blocks::of(&curvature.chunks_exact(size).map(mean).collect::<Vec<_>>());
        // In units of what FLIPD would take off at the scale of the curvature itself.
        let size = mean(&curvature.iter().map(|c| c.abs()).collect::<Vec<_>>());
        let (error, tolerance) = ((blocks.mean / size).abs(), blocks.allowed(p, 0.0) / size);
        let outcome = if error <= tolerance && tolerance > WIDEST {
            Outcome::undecided("D1", format!("requires more draws: {tolerance:.1e} of E|Δp/p| would pass"))
        } else if blocks.stable || !error.is_finite() {
            Outcome::decide("D1", error, tolerance)
        } else {
            Outcome::undecided("D1", "requires a Laplacian of finite variance: one block holds most of it")
        };
        outcome
            .predicted(format!("mean FLIPD of own draws = {dim}: E Δp/p = 0"))
            .measured(format!("E Δp/p = {:.1e} of E|Δp/p|, {} draws", blocks.mean / size, curvature.len()))
            .tolerance(format!("{tolerance:.1e}: t quantile over {BLOCKS} blocks"))
    }

    /// The verdict on linear optima.
    pub fn judge_linear(found: &[LinearDimension]) -> Outcome {
        let ratio = |l: &LinearDimension| l.error() / l.tolerance;
        let worst = found.iter().max_by(|a, b| ratio(a).total_cmp(&ratio(b)));
        let Some(l) = worst else { return Outcome::undecided("D1", "requires data") };
        let mut outcome = Outcome::decide("D1", l.error(), l.tolerance)
            .resolving(l.tolerance, 1.0)
            .predicted("linear optimum: effective dimension = onset = Σh, LIDL = FLIPD = Σ(2h - h²)")
            .measured(format!("apart by {:.1e} at α = {:.1e}, {} weights", l.error(), l.alpha, found.len()))
            .tolerance(format!("{:.1e}: certificate of the optimum, rounding", l.tolerance));
        for (name, value) in NAMES.iter().zip(l.measured) {
            outcome = outcome.figure(&format!("linear_{name}"), value);
        }
        outcome
    }

    /// The verdict on a model at its scale: holds where the estimators agree on an integer, and is undecided elsewhere.
    pub fn judge_scale(at: &AtScale) -> Outcome {
        let [effective, flipd] = &at.estimates;
        let mut outcome = match at.called() {
            Ok(k) => {
                let error = larger((effective.mean - k as f64).abs(), (flipd.mean - k as f64).abs());
                Outcome::decide("D1", error, BAND).figure("dimension", k as f64)
            }
            Err(why) => Outcome::undecided("D1", why),
        };
        outcome = outcome
            .predicted("effective dimension and FLIPD near one integer, on a plateau")
            .measured(format!(
                "scale {:.3}: effective dimension {:.2} ± {:.2}, FLIPD {:.2} ± {:.2} of {}",
                at.scale, effective.mean, effective.error, flipd.mean, flipd.error, at.dim
            ))
            .tolerance("1/4 with two standard errors, and all directions within 1/4 of 0 or 1");
        outcome
            .figure("scale", at.scale)
            .figure("effective_dimension", effective.mean)
            .figure("effective_dimension_error", effective.error)
            .figure("flipd", flipd.mean)
            .figure("flipd_error", flipd.error)
            .figure("departure", at.departure)
    }

    fn draws(cx: &Context<'_>, core: &Flow<f64>) -> Result<Outcome, Error> {
        if core.smoothness() != Smoothness::Smooth {
            return Ok(Outcome::undecided(
                "D1",
                "requires a smooth flow: kinks carry curvature of their own",
            ));
        }
        let d = core.dim();
        let count = (NUMBERS / (d * d)).clamp(BLOCKS, if cx.quick { QUICK_DRAWS } else { DRAWS });
        let draws = core.sample(count, 1.0, cx.seed)?;
        let curvature = derivatives(core, &draws, Trace::of(d), cx.seed)?.curvature();
        Ok(Self::judge_draws(&curvature, d, alarm::rate(1)))
    }

    fn linear(cx: &Context<'_>) -> Result<Outcome, Error> {
        let mut found = Vec::new();
        for alpha in ALPHAS {
            let pair = (fit("D1", cx, alpha), fit("D1", cx, STEP * alpha));
            match pair {
                (Ok(low), Ok(high)) => found.push(LinearDimension::measure(&low, &high)?),
                (Err(undecided), _) | (_, Err(undecided)) => return Ok(*undecided),
            }
        }
        Ok(Self::judge_linear(&found).chart(chart(&found)))
    }

    fn scale(cx: &Context<'_>, core: &Flow<f64>) -> Result<Outcome, Error> {
        let Some(x) = cx.held_out.or(cx.training).filter(|x| x.rows() > 1) else {
            return Ok(Outcome::undecided("D1", "requires data"));
        };
        if cx.alpha == 0.0 {
            return Ok(Outcome::undecided("D1", "requires a scale: train with --alpha"));
        }
        let rows = in_training_units(cx.flow, some(x, ROWS))?;
        Ok(Self::judge_scale(&AtScale::measure(core, &rows, cx.alpha, cx.seed)?))
    }
}

/// Measured and closed values over the scales of linear optima.
fn chart(found: &[LinearDimension]) -> Chart {
    let scale: Vec<f64> = found.iter().map(|l| (2.0 * l.alpha).sqrt()).collect();
    let of = |k: usize, closed: bool| {
        found.iter().map(|l| if closed { l.closed[k] } else { l.measured[k] }).collect::<Vec<_>>()
    };
    Chart::new(
        "Dimension of linear optima over the scale",
        Axis::log("scale √(2α) (training units)"),
        Axis::linear("dimension"),
    )
    .described(format!(
        "Effective dimension and FLIPD of the best linear flow at {} scales, on their closed forms Σh and Σ(2h - h²).",
        found.len()
    ))
    .mark("effective dimension", Shape::Points, scale.clone(), of(0, false))
    .mark("FLIPD", Shape::Points, scale.clone(), of(2, false))
    .mark("Σh", Shape::Dashed, scale.clone(), of(0, true))
    .mark("Σ(2h − h²)", Shape::Dashed, scale, of(2, true))
}

/// All parts as one outcome: it fails if one fails, and is undecided if one is.
fn together(parts: Vec<Outcome>) -> Outcome {
    let rank = |o: &Outcome| match o.verdict {
        Verdict::Fails => 0,
        Verdict::Undecided(_) => 1,
        Verdict::Holds => 2,
    };
    let first = (0..parts.len()).min_by_key(|&k| rank(&parts[k])).unwrap_or(0);
    let (mut figures, mut charts) = (serde_json::Map::new(), Vec::new());
    let measured: Vec<String> =
        parts.iter().map(|o| o.measured.clone()).filter(|text| !text.is_empty()).collect();
    for part in parts.iter().chain(parts.get(first)) {
        figures.extend(part.figures.clone());
    }
    parts.iter().for_each(|p| charts.extend(p.charts.iter().cloned()));
    let mut out = parts.into_iter().nth(first).unwrap_or_else(|| Outcome::undecided("D1", "requires data"));
    (out.figures, out.charts) = (figures, charts);
    out.measured(measured.join("; "))
}

impl Claim for D1 {
    fn id(&self) -> &'static str {
        "D1"
    }

    fn statement(&self) -> &'static str {
        "onset law, LIDL, FLIPD and effective dimension agree on the intrinsic dimension where there is a plateau"
    }

    fn formula(&self) -> &'static str {
        r"D - \frac{\mathrm{d} L}{\mathrm{d} \log \sigma} = \sum_i h_i = d_{\mathrm{eff}}, \qquad D + \frac{\mathrm{d} \log p}{\mathrm{d} \log \sigma} = D + \sigma^2 \frac{\Delta p}{p} = \sum_i (2 h_i - h_i^2), \qquad h_i = \frac{\lambda_i}{\lambda_i + \sigma^2}, \qquad E_p \frac{\Delta p}{p} = 0"
    }

    fn remedy(&self) -> &'static str {
        "If the mean of FLIPD over the model's own draws is not D, the second derivatives of the log-density are wrong: compare the \
         tape's Hessian with differences of its gradient. If linear optima are off their closed forms, look at L4 first. No plateau \
         is not a failure: `eigenflow dimension --train` looks at several scales."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        let run = || {
            let core = cx.flow.part(cx.flow.core())?;
            Ok::<_, Error>(together(vec![
                Self::draws(cx, &core)?,
                Self::linear(cx)?,
                Self::scale(cx, &core)?,
            ]))
        };
        run().unwrap_or_else(|e| Outcome::undecided("D1", format!("out of range: {e}")))
    }
}
