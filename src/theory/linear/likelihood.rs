//! L2: the likelihood of the linear optimum.

use super::{Optimum, fit};
use crate::theory::tolerance::gamma;
use crate::theory::{Claim, Context, Outcome};
use std::f64::consts::{E, TAU};

/// Mean log-likelihood `-½ [D log 2πe + Σ log λ_i]`.
#[derive(Clone, Copy, Debug)]
pub struct L2;

/// `-½ [D log 2πe + Σ log μ_i]`.
pub(super) fn gaussian(values: &[f64]) -> f64 {
    -0.5 * values.iter().map(|l| (TAU * E).ln() + l.ln()).sum::<f64>()
}

/// How far a mean log-likelihood may be from its formula: `½ tr δM + ½ δ log det M <= D ‖δM‖`, and what
/// rounding makes of `½ log μ_i`: `γ_D √(μ_1/μ_i)` each from the singular values.
pub(super) fn tolerance(optimum: &Optimum) -> Result<f64, eigenflow_linalg::Error> {
    let (n, d) = optimum.rows.shape();
    let shifted = optimum.shifted();
    let relative: f64 = shifted.iter().map(|l| gamma(4 * d) * (shifted[0] / l).sqrt()).sum();
    let terms: f64 = shifted.iter().map(|l| 3.0 + l.ln().abs()).sum();
    Ok(d as f64 * optimum.tolerance()? + relative + gamma(n + d) * terms)
}

/// Mean of numbers, compensated by a second pass.
pub(super) fn mean(x: &[f64]) -> f64 {
    let n = x.len().max(1) as f64;
    let first = x.iter().sum::<f64>() / n;
    first + x.iter().map(|v| v - first).sum::<f64>() / n
}

impl L2 {
    /// The verdict on an optimum, in training units.
    pub fn judge(optimum: &Optimum) -> Outcome {
        let predicted = gaussian(&optimum.shifted());
        let measured = match optimum.flow.log_density(&optimum.rows) {
            Ok(log_p) => mean(&log_p),
            Err(e) => return Outcome::undecided("L2", format!("out of range: {e}")),
        };
        match tolerance(optimum) {
            Err(e) => Outcome::undecided("L2", format!("out of range: {e}")),
            Ok(tolerance) => Outcome::decide("L2", (measured - predicted).abs(), tolerance)
                .resolving(tolerance, optimum.rows.cols() as f64)
                .predicted(format!("{predicted:.6} nats in training units"))
                .measured(format!("{measured:.6} nats"))
                .tolerance(format!("{tolerance:.1e}: certified gradient and rounding"))
                .figure("predicted", predicted)
                .figure("measured", measured),
        }
    }
}

impl Claim for L2 {
    fn id(&self) -> &'static str {
        "L2"
    }

    fn statement(&self) -> &'static str {
        "the likelihood of the linear optimum is -½ [D log 2πe + Σ log λ_i]"
    }

    fn formula(&self) -> &'static str {
        r"\frac{1}{n} \sum_n \log p(x_n) = -\tfrac{1}{2} \left[ D \log 2\pi e + \sum_i \log \lambda_i \right]"
    }

    fn remedy(&self) -> &'static str {
        "If L1 holds, the map is right and the error is in the log-determinant or in the base density: \
         compare the three routes of S6. If L1 fails too, start there."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        fit("L2", cx, 0.0).map_or_else(|undecided| *undecided, |optimum| Self::judge(&optimum))
    }
}
