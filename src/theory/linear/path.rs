//! The linear optimum along the penalty, in closed form.

use super::{Optimum, Spectrum, alphas, fit, worst};
use crate::theory::{Chart, Context, Outcome};
use serde_json::Value;
use std::f64::consts::{E, TAU};

/// Linear optima `JᵀJ = (Σ + 2αI)⁻¹` for all `α >= 0`, of a covariance with these eigenvalues `λ_i`, largest first.
///
/// All values are in nats a row of training units.
///
/// ```
/// use eigenflow::theory::linear::Path;
/// let path = Path(&[3.0, 0.0]);
/// // κ² = (3 + 1) / (0 + 1), and the bound 1 + λ_max / 2α is met where λ_min = 0.
/// assert_eq!((path.condition(0.5).powi(2), path.condition_bound(0.5)), (4.0, 4.0));
/// assert_eq!(path.effective_dimension(0.5), 0.75); // 3/4 + 0/1
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Path<'a>(
    /// `λ_i`.
    pub &'a [f64],
);

impl Path<'_> {
    /// A curve: one value a weight.
    pub fn along(&self, alphas: &[f64], value: impl Fn(&Self, f64) -> f64) -> Vec<f64> {
        alphas.iter().map(|&alpha| value(self, alpha)).collect()
    }

    fn sum(&self, f: impl Fn(f64) -> f64) -> f64 {
        self.0.iter().map(|&l| f(l)).sum()
    }

    /// Penalised mean log-likelihood, `-½ [D log 2πe + Σ log(λ_i + 2α)]`.
    pub fn penalised(&self, alpha: f64) -> f64 {
        -0.5 * self.sum(|l| (TAU * E).ln() + (l + 2.0 * alpha).ln())
    }

    /// Mean log-likelihood, `-½ Σ [log 2π + log(λ_i + 2α) + λ_i/(λ_i + 2α)]`.
    pub fn likelihood(&self, alpha: f64) -> f64 {
        self.likelihood_of(alpha, self.0)
    }

    /// Mean log-likelihood of other rows, whose second moments about the training mean along the training axes are
    /// `moments`: `-½ Σ [log 2π + log(λ_i + 2α) + m_i/(λ_i + 2α)]`. Infinite at `α = 0` where a `λ_i` is zero: `-∞` for rows
    /// off the plane of the others, `∞` on it.
    pub fn likelihood_of(&self, alpha: f64, moments: &[f64]) -> f64 {
        let pairs = || self.0.iter().map(|l| l + 2.0 * alpha).zip(moments);
        // A density on a plane: zero off it, infinite on it.
        if pairs().any(|(v, &m)| v == 0.0 && m > 0.0) {
            return f64::NEG_INFINITY;
        }
        if pairs().any(|(v, _)| v == 0.0) {
            return f64::INFINITY;
        }
        -0.5 * pairs().map(|(v, m)| TAU.ln() + v.ln() + m / v).sum::<f64>()
    }

    /// `KL(N(μ, Σ) ‖ model) = ½ Σ [log(1 + u_i) - u_i/(1 + u_i)]`, `u_i = 2α/λ_i`; infinite on rank-deficient data.
    pub fn divergence(&self, alpha: f64) -> f64 {
        0.5 * self.sum(|l| {
            let u = 2.0 * alpha / l;
            // u/(1 + u) is 1 at infinity.
            u.ln_1p() - 1.0 / (1.0 + u.recip())
        })
    }

    /// `κ(J) = √((λ_max + 2α)/(λ_min + 2α))`.
    pub fn condition(&self, alpha: f64) -> f64 {
        let (largest, least) = (self.0[0], self.0[self.0.len() - 1]);
        ((largest + 2.0 * alpha) / (least + 2.0 * alpha)).sqrt()
    }

    /// The bound `1 + λ_max/2α` of `κ(J)²`, which does not depend on the other eigenvalues.
    pub fn condition_bound(&self, alpha: f64) -> f64 {
        1.0 + self.0[0] / (2.0 * alpha)
    }

    /// `Σ λ_i/(λ_i + 2α)`: the degrees of freedom that the penalty leaves, `E‖f‖²` at the optimum.
    pub fn effective_dimension(&self, alpha: f64) -> f64 {
        self.sum(|l| if l > 0.0 { l / (l + 2.0 * alpha) } else { 0.0 })
    }
}

/// A claim about linear optima at several weights: the worst outcome, with the picture of all of them.
pub(super) fn checked(
    id: &str,
    cx: &Context<'_>,
    judge: fn(&Optimum) -> Outcome,
    picture: impl Fn(&Spectrum, &[Outcome]) -> Chart,
) -> Outcome {
    let mut spectrum = None;
    let mut at = |alpha| match fit(id, cx, alpha) {
        Err(undecided) => *undecided,
        Ok(optimum) => {
            let outcome = judge(&optimum);
            spectrum = Some(optimum.spectrum);
            outcome
        }
    };
    let outcomes: Vec<Outcome> = alphas(cx).into_iter().map(&mut at).collect();
    let chart = spectrum.map(|s| picture(&s, &outcomes));
    let mut outcome = worst(id, outcomes);
    outcome.charts.extend(chart);
    outcome
}

/// Two figures of every outcome that has both.
pub(super) fn figures(outcomes: &[Outcome], a: &str, b: &str) -> (Vec<f64>, Vec<f64>) {
    let of = |o: &Outcome, name: &str| o.figures.get(name).and_then(Value::as_f64);
    outcomes.iter().filter_map(|o| of(o, a).zip(of(o, b))).unzip()
}

/// Weights for a curve about the given ones, a decade wider on both sides.
pub(super) fn grid(alphas: &[f64]) -> Vec<f64> {
    const STEPS: u32 = 60;
    let low = alphas.iter().copied().fold(f64::INFINITY, f64::min) / 10.0;
    let high = alphas.iter().copied().fold(0.0, f64::max) * 10.0;
    (0..=STEPS).map(|k| low * (high / low).powf(f64::from(k) / f64::from(STEPS))).collect()
}
