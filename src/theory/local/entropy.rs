//! C4: local standard deviations share out the entropy.

use super::contrast::LAYERED;
use super::student::Blocks;
use super::unwhitened::jacobian_rounding;
use crate::flow::base::LN_2PI;
use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, jacobians};
use crate::theory::power::JacobianError;
use crate::theory::stability::passages;
use crate::theory::tolerance::{gamma, larger};
use crate::theory::{Axis, Chart, Claim, Context, Outcome, Shape, Verdict, alarm};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::eigen::eigvalsh;
use eigenflow_linalg::lu::slogdet;
use eigenflow_linalg::svd::singular_values;

/// C4: `Σ_i h_i + (D/2) log 2πe = H` with `h_i = E log(1/s_i)` and `H` the entropy of the model.
pub struct Entropies;

/// Independent blocks of draws, and the least and most draws of each.
const BLOCKS: usize = 32;
const DRAWS: [usize; 2] = [4, 64];
/// Multiply-adds that Jacobians and their singular values may cost.
const WORK: usize = 400_000_000;
/// Numbers of Jacobians held at a time.
const HELD: usize = 1 << 20;
/// Rows whose rounding is bounded by layers.
const BOUNDED: usize = 32;
/// Rounding above this, in nats, says nothing.
const USELESS: f64 = 0.1;

/// Draws of a model with their local scales.
#[derive(Clone, Debug)]
pub struct Shares {
    /// `log(1/s_i)` of the first rows, largest first, `[rows, D]`.
    pub log_scales: Matrix<f64>,
    /// `-log|det J|` of those rows by the layers (by LU for wide models), and its rounding for the first few.
    pub volume: Vec<f64>,
    /// Rounding of the first few of these, nats.
    pub rounding: Vec<f64>,
    /// `log p` of all rows, and `-log|det J|`.
    pub density: Vec<(f64, f64)>,
}

impl Shares {
    /// Measures a flow on rows, singular values on the first `count`.
    ///
    /// # Errors
    /// As [`Flow::normalize`].
    pub fn measure(flow: &Flow<f64>, x: &Matrix<f64>, count: usize) -> Result<Self, Error> {
        Self::measure_broken(flow, x, count, &JacobianError::NONE)
    }

    /// The same with an error in every Jacobian.
    ///
    /// # Errors
    /// As [`Shares::measure`].
    pub fn measure_broken(
        flow: &Flow<f64>,
        x: &Matrix<f64>,
        count: usize,
        error: &JacobianError,
    ) -> Result<Self, Error> {
        let d = flow.dim();
        let (z, log_det) = flow.normalize(x)?;
        let density = (0..x.rows())
            .map(|i| {
                let square: f64 = z.row(i).iter().map(|v| v * v).sum();
                (log_det[i] - 0.5 * (square + d as f64 * LN_2PI), -log_det[i])
            })
            .collect();
        let (mut log_scales, mut volume, mut condition) = (Vec::new(), Vec::new(), Vec::new());
        let count = count.min(x.rows());
        // Jacobians of wide models are large: a few at a time.
        let chunk = (HELD / (d * d)).max(1);
        for start in (0..count).step_by(chunk) {
            let rows = chunk.min(count - start);
            let some = Matrix::new(rows, d, x.data()[start * d..(start + rows) * d].to_vec());
            let j = error.apply(jacobians(flow, &some, Direction::Normalize, Route::Push)?);
            for i in 0..rows {
                let j = j.matrix(i);
                let s = singular_values(&j)?;
                log_scales.extend(s.iter().rev().map(|s| -s.ln()));
                volume.push(if d <= LAYERED { -log_det[start + i] } else { -slogdet(&j)?.1 });
                condition.push((s[d - 1].recip(), s[0] / s[d - 1]));
            }
        }
        let bounded = BOUNDED.min(count);
        let few = Matrix::new(bounded, d, x.data()[..bounded * d].to_vec());
        let delta = jacobian_rounding(flow, &few)?;
        let own = if d <= LAYERED { Some(passages(flow, &few)?) } else { None };
        let rounding = (0..few.rows())
            .map(|i| {
                let (inverse, kappa) = condition[i];
                let layers = own.as_ref().map_or(0.0, |p| f64::EPSILON * p[i].log_det);
                let terms = gamma(4 * d) * ((d as f64).sqrt() * kappa + d as f64 + volume[i].abs());
                2.0 * d as f64 * inverse * delta[i] + layers + terms
            })
            .collect();
        Ok(Self { log_scales: Matrix::new(volume.len(), d, log_scales), volume, rounding, density })
    }

    /// `h_i`, largest first.
    pub fn entropies(&self) -> Vec<f64> {
        let n = self.log_scales.rows() as f64;
        (0..self.log_scales.cols()).map(|k| self.log_scales.col(k).iter().sum::<f64>() / n).collect()
    }

    /// `Σ_i log(1/s_i) + (D/2) log 2πe + log p` of every row, whose mean is zero: `(D - |f|²)/2` for exact numbers.
    ///
    /// Where `by_layers` the volume is the layers' at every row, and not the sum of the scales: those of a Jacobian beyond the reach of rounding are off.
    fn gaps(&self, by_layers: bool) -> Vec<f64> {
        let d = self.log_scales.cols();
        let constant = 0.5 * d as f64 * (LN_2PI + 1.0);
        let scales = |i: usize, volume: f64| {
            if i < self.log_scales.rows() && !by_layers {
                self.log_scales.row(i).iter().sum()
            } else {
                volume
            }
        };
        self.density.iter().enumerate().map(|(i, (log_p, v))| scales(i, *v) + constant + log_p).collect()
    }
}

impl Entropies {
    /// The verdict on draws of the model: at each row `Σ log(1/s_i) = -log|det J|` to rounding, and on average the sum of the
    /// entropies is that of the model, studentised over blocks.
    pub fn judge(shares: &Shares) -> Outcome {
        let resolved = |r: &f64| !(*r >= USELESS);
        let gaps = shares.gaps(!shares.rounding.iter().any(resolved));
        let block = (gaps.len() / BLOCKS).max(1);
        let means: Vec<f64> =
            gaps.chunks_exact(block).map(|b| b.iter().sum::<f64>() / block as f64).collect();
        let mean = Blocks::of(&means);
        let mut pointwise = f64::NEG_INFINITY;
        let mut bounded = 0;
        for (i, rounding) in shares.rounding.iter().enumerate().filter(|(_, r)| resolved(r)) {
            let sum: f64 = shares.log_scales.row(i).iter().sum();
            pointwise = larger(pointwise, (sum - shares.volume[i]).abs() / rounding);
            bounded += 1;
        }
        let allowed = mean.allowed(alarm::rate(1), 0.0);
        let error = larger(mean.mean.abs() / allowed, pointwise);
        let mut outcome = Outcome::decide("C4", error, 1.0);
        if bounded == 0 && outcome.verdict == Verdict::Holds {
            outcome.verdict =
                Verdict::Undecided("requires condition numbers below the reach of rounding".to_owned());
        }
        let h = shares.entropies();
        let constant = 0.5 * h.len() as f64 * (LN_2PI + 1.0);
        let total = h.iter().sum::<f64>() + constant;
        let entropy = -shares.density.iter().map(|d| d.0).sum::<f64>() / shares.density.len() as f64;
        outcome = outcome
            .predicted("Σ h_i + (D/2) log 2πe = H, h_i = E log(1/s_i)")
            .measured(format!(
                "{total:.4} against H = {entropy:.4} nats; off by {:.1e} ± {:.1e} on {} draws",
                mean.mean,
                mean.error,
                gaps.len()
            ))
            .tolerance(format!(
                "{allowed:.1e} nats: t quantile over {} blocks; rounding at each row",
                means.len()
            ))
            .figure("entropy", entropy)
            .figure("sum_of_entropies", total)
            .figure("pointwise", pointwise)
            .figure("draws", gaps.len() as f64)
            .figure("rows_with_spectrum", shares.log_scales.rows() as f64);
        let effective: f64 = h.iter().map(|value| (2.0 * (value - h[0])).exp()).sum();
        for (k, value) in h.iter().take(10).enumerate() {
            outcome = outcome
                .figure(&format!("entropy_{}", k + 1), *value)
                .figure(&format!("share_{}", k + 1), (2.0 * (value - h[0])).exp() / effective);
        }
        outcome
    }

    fn decide(cx: &Context<'_>, error: &JacobianError) -> Result<Outcome, Error> {
        let (flow, d) = (cx.flow, cx.flow.dim());
        let few = (WORK / (16 * d * d * d * flow.layers().len().max(1))).max(DRAWS[0]);
        let few = if cx.quick { few / 4 } else { few };
        let n = BLOCKS * (few / BLOCKS).clamp(DRAWS[0], DRAWS[1] / if cx.quick { 4 } else { 1 });
        let x = flow.sample(n, 1.0, cx.seed)?;
        let shares = Shares::measure_broken(flow, &x, few.clamp(DRAWS[0], n), error)?;
        let mut outcome = Self::judge(&shares);
        if d <= LAYERED && d > 1 {
            outcome = outcome.chart(chart(&shares.entropies(), &x)?);
        }
        let Some(x) = cx.held_out.or(cx.training).filter(|x| x.rows() > 0) else { return Ok(outcome) };
        // A statement about the fit: figures, not part of the verdict.
        let (z, _) = flow.normalize(x)?;
        let n = x.rows() as f64;
        let square = z.data().iter().map(|v| v * v).sum::<f64>() / n;
        let cross = -flow.log_density(x)?.iter().sum::<f64>() / n;
        Ok(outcome.figure("data_excess", square - d as f64).figure("data_cross_entropy", cross))
    }
}

/// Effective local standard deviations `e^{h_i}` against the global ones of the draws.
fn chart(h: &[f64], x: &Matrix<f64>) -> Result<Chart, Error> {
    let (n, d) = x.shape();
    let mean: Vec<f64> = (0..d).map(|j| x.col(j).iter().sum::<f64>() / n as f64).collect();
    let centred = Matrix::from_fn(n, d, |i, j| x[(i, j)] - mean[j]);
    let covariance = centred.transpose().mul(&centred).map(|v| v / n as f64);
    let mut global: Vec<f64> = eigvalsh(&covariance)?.iter().map(|v| v.max(0.0).sqrt()).collect();
    global.reverse();
    let local: Vec<f64> = h.iter().map(|h| h.exp()).collect();
    let share = |v: &[f64]| v[0] * v[0] / v.iter().map(|v| v * v).sum::<f64>();
    let at: Vec<f64> = (1..=d).map(|k| k as f64).collect();
    Ok(Chart::new(
        "Explained entropy against explained variance",
        Axis::linear("component"),
        Axis::log("standard deviation, data units"),
    )
    .described(format!(
        "Effective local standard deviations e^h, h = E log(1/s), against the standard deviations of the principal components of the \
         draws. The first holds {:.1} % of the local and {:.1} % of the global variance. For a linear map the two agree.",
        100.0 * share(&local),
        100.0 * share(&global)
    ))
    .mark("global (principal components)", Shape::Dashed, at.clone(), global)
    .mark("local (e^h)", Shape::Points, at, local))
}

impl Claim for Entropies {
    fn id(&self) -> &'static str {
        "C4"
    }

    fn statement(&self) -> &'static str {
        "the entropies of local standard deviations add up: Σ E log(1/s_i) + (D/2) log 2πe = H"
    }

    fn formula(&self) -> &'static str {
        r"\sum_i E \log \frac{1}{s_i} + \frac{D}{2} \log 2\pi e = H"
    }

    fn remedy(&self) -> &'static str {
        "At single rows this is log|det J| against Σ log s: see S6. If only the mean fails, the samples are not \
         the model's own: check the sampler."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        Self::run(cx, &JacobianError::NONE)
    }

    fn check_broken(&self, cx: &Context<'_>, error: &JacobianError) -> Option<Outcome> {
        Some(Self::run(cx, error))
    }
}

impl Entropies {
    fn run(cx: &Context<'_>, error: &JacobianError) -> Outcome {
        Self::decide(cx, error).unwrap_or_else(|e| Outcome::undecided("C4", format!("out of range: {e}")))
    }
}
