//! S5: a small Jacobian caps the density.

use super::bound::Density;
use super::dimension::squared_norms;
use super::virial::{self, Moments};
use crate::flow::{Error, Flow};
use crate::jacobian::Route;
use crate::theory::claim::LARGEST;
use crate::theory::power::JacobianError;
use crate::theory::tolerance::{gamma, larger};
use crate::theory::{Axis, Chart, Claim, Context, Outcome, Shape, Verdict};
use crate::train::polish::output_affine;
use eigenflow_linalg::Matrix;
use std::f64::consts::{PI, TAU};

/// `p(x) <= (‖J(x)‖²_F / 2πD)^{D/2}` at every `x` of any flow; where the virial identity is certified at `α > 0`, the mean and Markov
/// caps that follow, and for linear flows `p <= (4πα)^{-D/2}` everywhere.
#[derive(Clone, Copy, Debug)]
pub struct S5;

/// Points of the chart.
const DRAWN: usize = 400;
/// Factors `t²` of Markov's inequality.
const FACTORS: [f64; 3] = [2.0, 10.0, 100.0];

/// What the virial identity gives on a training set.
#[derive(Clone, Debug)]
pub struct Certified {
    /// Tikhonov weight.
    pub alpha: f64,
    /// Relative gradient of the output layer and rounding: how far the identity may be off, in the trace over `D`.
    pub slack: f64,
    /// Whether the core is one affine layer.
    pub linear: bool,
    /// Densities and norms at the training rows, all of them.
    pub rows: Density,
}

impl S5 {
    /// `(D/2) log(‖J‖² / 2πD)`: the cap of `log p`.
    pub fn cap(dim: usize, norm: f64) -> f64 {
        let d = dim as f64;
        0.5 * d * (norm / (TAU * d)).ln()
    }

    /// The verdict on measurements, and on what is certified of the training set: nothing at `α = 0`, where there are no mean caps; without a
    /// certificate at `α > 0` what would hold is undecided, with the reason.
    ///
    /// The virial identity's trace is `E‖f‖² + 2αE‖J‖² = D`, so `E‖J‖² <= D/2α`; Jensen's inequality makes of the cap
    /// `E log p <= -(D/2) log 4πα`, Markov's `P(p >= (t²/4πα)^{D/2}) <= 1/t²`. All three are of the empirical measure of the
    /// training rows: no sampling error, only the slack of the identity.
    pub fn judge(measured: &[Density], certified: Result<Option<Certified>, String>) -> Outcome {
        let (mut worst, mut least, mut points) = (f64::NEG_INFINITY, f64::INFINITY, 0_usize);
        let (mut at, mut log_p) = (Vec::new(), Vec::new());
        for m in measured {
            for i in 0..m.log_p.len() {
                points += 1;
                let cap = Self::cap(m.dim, m.norm[i]);
                let slack = cap - m.log_p[i];
                let tolerance = m.rounding[i] + 4.0 * f64::EPSILON * (m.dim as f64 + slack.abs() + cap.abs());
                worst = larger(worst, -slack / tolerance);
                least = least.min(slack);
                at.push(cap);
                log_p.push(m.log_p[i]);
            }
        }
        if points == 0 {
            return Outcome::undecided("S5", "out of range: no finite log-density");
        }
        let mut text = format!("least slack {least:.3e} nats at {points} points");
        let mut figures = vec![("least_slack", least), ("points", points as f64)];
        let mut open = None;
        match certified {
            Ok(None) => {}
            Err(why) => open = Some(why),
            Ok(Some(c)) => {
                let (ratio, mean_norm, mean_log_p) = c.violation();
                worst = larger(worst, ratio);
                let (d, alpha) = (c.rows.dim as f64, c.alpha);
                text = format!(
                    "{text}; E‖J‖² = {mean_norm:.4} <= {:.4}, E log p = {mean_log_p:.4} <= {:.4}",
                    0.5 * d / alpha,
                    -0.5 * d * (4.0 * PI * alpha).ln()
                );
                figures.extend([
                    ("mean_norm", mean_norm),
                    ("mean_log_density", mean_log_p),
                    ("alpha", alpha),
                ]);
            }
        }
        let step = points.div_ceil(DRAWN);
        let thin = |v: &[f64]| v.iter().step_by(step).copied().collect::<Vec<_>>();
        let (low, high) =
            at.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
        let chart = Chart::new(
            "Density against its cap",
            Axis::linear("(D/2) log(‖J‖²/2πD), nats"),
            Axis::linear("log p, nats"),
        )
        .described(format!(
            "log p against its cap (D/2) log(‖J‖²/2πD) at {points} points: data, draws, and rows far out; no point lies above the \
             line. The least slack is {least:.3} nats."
        ))
        .mark("points", Shape::Points, thin(&at), thin(&log_p))
        .mark("cap", Shape::Dashed, vec![low, high], vec![low, high]);
        let mut outcome = Outcome::decide("S5", worst, 1.0)
            .predicted("log p <= (D/2) log(‖J‖²/2πD)")
            .measured(text)
            .tolerance("rounding of the log-determinant; slack of the virial identity")
            .chart(chart);
        for (name, value) in figures {
            outcome = outcome.figure(name, value);
        }
        // Half of the claim is not the claim.
        if let (Verdict::Holds, Some(why)) = (&outcome.verdict, open) {
            outcome.verdict = Verdict::Undecided(format!("the cap holds; of its mean under α: {why}"));
        }
        outcome
    }
}

impl Certified {
    /// The largest violation of the three caps over its tolerance, `E‖J‖²` and `E log p`.
    pub fn violation(&self) -> (f64, f64, f64) {
        let (n, d, rows) = (self.rows.norm.len() as f64, self.rows.dim as f64, &self.rows);
        let norm = rows.norm.iter().sum::<f64>() / n;
        let log_p = rows.log_p.iter().sum::<f64>() / n;
        let cap = 0.5 * d / self.alpha;
        // The identity's trace is off by at most D slack; a sum of n numbers rounds.
        let slack = self.slack + 4.0 * gamma(rows.norm.len());
        let relative = (norm / cap - 1.0) / slack;
        let ceiling = -0.5 * d * (4.0 * PI * self.alpha).ln();
        let nats = 0.5 * d * slack + gamma(rows.norm.len()) * log_p.abs();
        let mut worst = larger(relative, (log_p - ceiling) / nats);
        for t2 in FACTORS {
            let share = rows.log_p.iter().filter(|p| !(**p < ceiling + 0.5 * d * t2.ln())).count() as f64 / n;
            worst = larger(worst, (share * t2 - 1.0) / slack);
        }
        if self.linear {
            let most = rows.log_p.iter().fold(f64::NEG_INFINITY, |m, p| larger(m, *p));
            worst = larger(worst, (most - ceiling) / nats);
        }
        (worst, norm, log_p)
    }
}

/// Log-densities and norms of all rows, without their rounding.
fn whole(core: &Flow<f64>, x: &Matrix<f64>) -> Result<Density, Error> {
    let (log_p, norm) = (core.log_density(x)?, squared_norms(core, x, Route::Push)?);
    Ok(Density { dim: core.dim(), rounding: vec![0.0; log_p.len()], log_p, norm })
}

/// What is certified of the training set, or why nothing is; `None` without a penalty.
fn certified(cx: &Context<'_>) -> Result<Option<Certified>, String> {
    if cx.alpha <= 0.0 {
        return Ok(None);
    }
    if cx.other_regularisers {
        return Err("requires training without other regularisers".to_owned());
    }
    if output_affine(cx.flow).is_none() {
        return Err("requires an output affine layer".to_owned());
    }
    let run = || {
        let Some(x) = virial::rows(cx, false)? else { return Ok(Err("requires data".to_owned())) };
        if virial::is_costly(cx, x.rows()) {
            return Ok(Err("requires Jacobians of the whole training set, which are too many".to_owned()));
        }
        let moments = Moments::measure(cx.flow, &x, cx.alpha)?;
        if !moments.is_stationary() {
            return Ok(Err(format!("not stationary: relative gradient {:.1e}", moments.stationary)));
        }
        let slack = moments.stationary + moments.rounding;
        if !(slack <= LARGEST) {
            return Ok(Err(format!("out of range: rounding leaves a slack of {slack:.1e}")));
        }
        let core = cx.flow.part(cx.flow.core())?;
        let rows = whole(&core, &x)?;
        let linear = cx.flow.core().len() == 1;
        Ok::<_, Error>(Ok(Some(Certified { alpha: cx.alpha, slack, linear, rows })))
    };
    run().unwrap_or_else(|e| Err(format!("out of range: {e}")))
}

impl Claim for S5 {
    fn id(&self) -> &'static str {
        "S5"
    }

    fn statement(&self) -> &'static str {
        "p(x) <= (‖J(x)‖²/2πD)^{D/2} at every point; at a stationary point under α, E log p <= -(D/2) log 4πα"
    }

    fn formula(&self) -> &'static str {
        r"p(x) \le \left( \frac{\lVert J(x) \rVert_F^2}{2\pi D} \right)^{D/2}"
    }

    fn remedy(&self) -> &'static str {
        "The cap is arithmetic of log|det J| and ‖J‖: like S1, a failure means that density and Jacobian are \
         not those of one map. If only the mean cap fails, the certificate of S2b is wrong."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        Self::run(cx, &JacobianError::NONE)
    }

    fn check_broken(&self, cx: &Context<'_>, error: &JacobianError) -> Option<Outcome> {
        Some(Self::run(cx, error))
    }
}

impl S5 {
    fn run(cx: &Context<'_>, error: &JacobianError) -> Outcome {
        match Density::everywhere(cx, error) {
            Ok(measured) => {
                let measured: Vec<Density> = measured.into_iter().map(|m| m.1).collect();
                Self::judge(&measured, certified(cx))
            }
            Err(e) => Outcome::undecided("S5", format!("out of range: {e}")),
        }
    }
}
