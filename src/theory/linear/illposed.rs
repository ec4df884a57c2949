//! L6: without penalty the likelihood of rank-deficient data has no bound.

use super::likelihood::mean;
use super::{Spectrum, fit_rows, worst};
use crate::flow::bijections::{Affine, Form};
use crate::flow::{Error, Flow};
use crate::random::generator;
use crate::theory::stability::log_density_error;
use crate::theory::tolerance::gamma;
use crate::theory::{Axis, Chart, Claim, Context, Outcome, Shape};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::qr::qr;
use rand::RngExt;
use rand_distr::StandardNormal;

/// Scaling the `D - d` null directions by `c` gains exactly `(D - d) log c`; with noise `σ` the loss has the slope
/// `D - d` in `log σ`.
#[derive(Clone, Copy, Debug)]
pub struct L6;

/// Factors by which null directions are scaled.
const FACTORS: [f64; 3] = [2.0, 10.0, 100.0];
/// Noises of the second part, falling.
const NOISES: [f64; 5] = [0.1, 0.03, 0.01, 0.003, 0.001];
/// Rows of the first part.
const ROWS: usize = 500;
/// Most columns of the second part, whose data are drawn.
const COLUMNS: usize = 32;

/// Rows of rank `d`, and a flow before and after its null directions are scaled.
#[derive(Clone, Debug)]
pub struct Scaling {
    /// Rows in training units, on a `d`-dimensional plane.
    pub rows: Matrix<f64>,
    /// `D - d`.
    pub null: usize,
    /// The factor.
    pub factor: f64,
    /// The flow.
    pub before: Flow<f64>,
    /// The same behind the layer that scales.
    pub after: Flow<f64>,
}

/// Projects rows onto the plane of their leading `rank` axes, and puts a layer in front of the flow that
/// scales the other directions by `factor` about the plane.
///
/// # Errors
/// If an entry is not finite.
pub fn scaled(flow: &Flow<f64>, x: &Matrix<f64>, rank: usize, factor: f64) -> Result<Scaling, Error> {
    let (n, d) = x.shape();
    let spectrum = Spectrum::of(x)?;
    let (m, q) = (&spectrum.mean, &spectrum.axes);
    // P = Q_d Q_dᵀ, and W = P + c (I - P)
    let p = Matrix::from_fn(d, d, |i, j| (0..rank).map(|k| q[(i, k)] * q[(j, k)]).sum::<f64>());
    let one = |i, j| f64::from(u8::from(i == j));
    let w = Matrix::from_fn(d, d, |i, j| p[(i, j)] + factor * (one(i, j) - p[(i, j)]));
    let centred = Matrix::from_fn(n, d, |i, j| x[(i, j)] - m[j]);
    let on = centred.mul(&p);
    let rows = Matrix::from_fn(n, d, |i, j| on[(i, j)] + m[j]);
    let mut layers = vec![Affine::new(d, Form::Full).into()];
    layers.extend(flow.layers().iter().cloned());
    let mut after = Flow::new(layers, 0, 0)?;
    after.replace(1, flow);
    let wm: Vec<f64> = (0..d).map(|i| (0..d).map(|j| w[(i, j)] * m[j]).sum()).collect();
    after.parameters_mut()[0].data = w.into_data();
    after.parameters_mut()[1].data = m.iter().zip(wm).map(|(m, w)| m - w).collect();
    Ok(Scaling { rows, null: d - rank, factor, before: flow.clone(), after })
}

impl Scaling {
    /// The verdict: the gain against `(D - d) log c`.
    ///
    /// Both log-densities are known to their rounding ([`log_density_error`]), in which the scaling layer counts
    /// with its own entries, of size `c`; the rows lie on the plane to the like.
    pub fn judge(&self) -> Outcome {
        let gain = self.null as f64 * self.factor.ln();
        let run = || {
            let (a, b) = (self.after.log_density(&self.rows)?, self.before.log_density(&self.rows)?);
            let rounding = |flow| Ok::<_, Error>(mean(&log_density_error(flow, &self.rows)?));
            let gained: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
            Ok::<_, Error>((mean(&gained), 4.0 * (rounding(&self.after)? + rounding(&self.before)?)))
        };
        match run() {
            Err(e) => Outcome::undecided("L6", format!("out of range: {e}")),
            Ok((_, tolerance)) if !tolerance.is_finite() => {
                Outcome::undecided("L6", "requires log-densities whose rounding is known")
            }
            Ok((measured, tolerance)) => Outcome::decide("L6", (measured - gain).abs(), tolerance)
                .resolving(tolerance, gain.abs())
                .predicted(format!("gain {} log {} = {gain:.6}", self.null, self.factor))
                .measured(format!("gain {measured:.6} nats"))
                .tolerance(format!("{tolerance:.1e}: rounding of the log-density"))
                .figure("null_directions", self.null as f64)
                .figure("factor", self.factor)
                .figure("gain", measured),
        }
    }
}

/// The second part: data `A u + σ ε` of `dim` columns and rank `rank` whose sample moments are exactly
/// `A Aᵀ + σ² I` (scores and noise are orthonormalised together), fitted by a linear flow at falling `σ`.
///
/// Between two noises `ΔNLL / Δ log σ` exceeds `D - d` by at most `d σ² / (2 λ_d Δ log σ)`, σ the larger.
/// `shift` is added to every measured loss times `log σ`: 0, except where a test breaks the law.
pub fn noise_law(dim: usize, rank: usize, seed: u64, shift: f64) -> Outcome {
    let mut random = generator(seed, "noise-law", dim as u64);
    let mut normal =
        |r: usize, c: usize| Matrix::from_fn(r, c, |_, _| random.sample::<f64, _>(StandardNormal));
    let n = 4 * (dim + rank) + 64;
    let drawn = normal(n, rank + dim);
    let means: Vec<f64> = (0..rank + dim).map(|j| drawn.col(j).iter().sum::<f64>() / n as f64).collect();
    let centred = Matrix::from_fn(n, rank + dim, |i, j| drawn[(i, j)] - means[j]);
    let axes = normal(dim, dim);
    let (Ok(z), Ok(q)) = (qr(&centred), qr(&axes)) else {
        return Outcome::undecided("L6", "out of range: no orthonormal basis");
    };
    let root = (n as f64).sqrt();
    // Signal variances between 1 and 2.
    let lambda = |k: usize| 1.0 + k as f64 / rank.max(1) as f64;
    let mut losses = Vec::new();
    for sigma in NOISES {
        let rows = Matrix::from_fn(n, dim, |i, j| {
            let signal: f64 = (0..rank).map(|k| lambda(k).sqrt() * z.q[(i, k)] * q.q[(j, k)]).sum();
            root * (signal + sigma * z.q[(i, rank + j)])
        });
        let optimum = match fit_rows("L6", rows, 0.0, seed) {
            Ok(optimum) => optimum,
            Err(undecided) => return *undecided,
        };
        let run = || {
            let log_p = optimum.flow.log_density(&optimum.rows)?;
            Ok::<_, Error>((-mean(&log_p), super::likelihood::tolerance(&optimum)?))
        };
        match run() {
            Ok((loss, rounding)) => losses.push((sigma, loss + shift * sigma.ln(), rounding)),
            Err(e) => return Outcome::undecided("L6", format!("out of range: {e}")),
        }
    }
    let null = (dim - rank) as f64;
    let slopes = losses.windows(2).map(|w| {
        let ((a, la, ra), (b, lb, rb)) = (w[0], w[1]);
        let step = (a / b).ln();
        let slope = (la - lb) / step;
        let bound = 0.5 * rank as f64 * a * a / step + (ra + rb + gamma(n) * null) / step;
        let outcome = Outcome::decide("L6", (slope - null).abs(), bound)
            .resolving(bound, null)
            .predicted(format!("dNLL/d log σ = {null}"))
            .measured(format!("{slope:.6} from σ = {a} to {b}"))
            .tolerance(format!("{bound:.1e}: d σ²/(2 λ_d Δ log σ), rounding"));
        outcome.figure("null_directions", null).figure("slope", slope)
    });
    let (sigma, loss): (Vec<f64>, Vec<f64>) = losses.iter().map(|l| (l.0, l.1)).unzip();
    let last = loss.len() - 1;
    let law = sigma.iter().map(|s| loss[last] + null * (s / sigma[last]).ln()).collect();
    let chart = Chart::new("Loss against the noise", Axis::log("noise σ"), Axis::linear("negative log-likelihood (nats a row)"))
        .described(format!(
            "Data of rank {rank} in {dim} columns with noise σ: the loss of the best linear flow falls from {:.3} to {:.3} nats, by D − d \
             = {null} for each unit of log σ, without bound.",
            loss[0], loss[last]
        ))
        .mark("best linear flow", Shape::Points, sigma.clone(), loss)
        .mark("slope D − d", Shape::Dashed, sigma, law);
    worst("L6", slopes.collect()).chart(chart)
}

/// Gains of likelihood against the factor by which null directions are scaled.
fn gains(outcomes: &[Outcome], null: usize) -> Chart {
    let figure = |name: &str| -> Vec<f64> {
        let of = |o: &Outcome| o.figures.get(name).and_then(serde_json::Value::as_f64);
        outcomes.iter().filter_map(of).collect()
    };
    let (factor, gain) = (figure("factor"), figure("gain"));
    let largest = factor.iter().copied().fold(1.0, f64::max);
    let all = [1.0, largest];
    Chart::new("Gain from scaling null directions", Axis::log("factor c"), Axis::linear("gain of likelihood (nats a row)"))
        .described(format!(
            "Scaling the {null} null directions of the projected data by c gains exactly {null} log c nats; at c = {largest} it is {:.3}.",
            gain.iter().copied().fold(0.0, f64::max)
        ))
        .mark("measured", Shape::Points, factor, gain)
        .mark("(D − d) log c", Shape::Dashed, all.to_vec(), all.map(|c| null as f64 * c.ln()).to_vec())
}

impl Claim for L6 {
    fn id(&self) -> &'static str {
        "L6"
    }

    fn statement(&self) -> &'static str {
        "without penalty, scaling the D - d null directions by c gains (D - d) log c; dNLL/d log σ → D - d"
    }

    fn formula(&self) -> &'static str {
        r"\log p_{c} - \log p = (D - d) \log c, \qquad \frac{\mathrm{d}\,\mathrm{NLL}}{\mathrm{d} \log \sigma} \to D - d"
    }

    fn remedy(&self) -> &'static str {
        "A gain that differs from (D - d) log c means that a layer's log-determinant does not follow its \
         weights, or that the flow is so ill-conditioned that rounding has taken over. The remedy for \
         such data is a penalty (--alpha) or noise (--noise)."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        let d = cx.flow.dim();
        let rank = d / 2;
        let run = || {
            let core = cx.flow.part(cx.flow.core())?;
            let rows = match cx.training {
                Some(x) if x.rows() > 1 => {
                    let some =
                        Matrix::new(x.rows().min(ROWS), d, x.data()[..x.rows().min(ROWS) * d].to_vec());
                    let before =
                        (cx.flow.preprocessing() > 0).then(|| cx.flow.part(0..cx.flow.preprocessing()));
                    before
                        .transpose()?
                        .map_or_else(|| Ok(some.clone()), |b| b.normalize(&some).map(|r| r.0))?
                }
                _ => core.sample(ROWS, 1.0, cx.seed)?,
            };
            FACTORS
                .iter()
                .map(|&c| Ok(scaled(&core, &rows, rank, c)?.judge()))
                .collect::<Result<Vec<_>, Error>>()
        };
        let mut outcomes = match run() {
            Ok(outcomes) => outcomes,
            Err(e) => vec![Outcome::undecided("L6", format!("out of range: {e}"))],
        };
        let mut charts = vec![gains(&outcomes, d - rank)];
        let dim = d.min(COLUMNS);
        let mut law = noise_law(dim, dim / 2, cx.seed, 0.0);
        charts.append(&mut law.charts);
        outcomes.push(law);
        let mut outcome = worst("L6", outcomes);
        outcome.charts = charts;
        outcome
    }
}
