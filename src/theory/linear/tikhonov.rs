//! L4: the optimum under the Tikhonov penalty.

use super::likelihood::{gaussian, mean, tolerance};
use super::{Optimum, alphas, fit, worst};
use crate::theory::{Claim, Context, Outcome};
use eigenflow_linalg::svd::norm2;
use std::f64::consts::TAU;

/// `JᵀJ = (Σ + 2αI)⁻¹`, its penalised value, its likelihood and its divergence from the data.
#[derive(Clone, Copy, Debug)]
pub struct L4;

impl L4 {
    /// The verdict on an optimum: four errors, each in units of its own tolerance.
    pub fn judge(optimum: &Optimum) -> Outcome {
        match Self::errors(optimum) {
            Err(e) => Outcome::undecided("L4", format!("out of range: {e}")),
            Ok(errors) => {
                let ratio = errors.iter().map(|e| e.1 / e.2).fold(0.0, f64::max);
                // `max` drops NaN, which must fail.
                let ratio = if errors.iter().any(|e| e.1.is_nan()) { f64::NAN } else { ratio };
                let show = |e: &(&str, f64, f64)| format!("{} {:.1e}", e.0, e.1);
                let mut outcome = Outcome::decide("L4", ratio, 1.0)
                    .predicted(format!("JᵀJ = (Σ + 2αI)⁻¹ at α = {:.0e}", optimum.alpha))
                    .measured(errors.iter().map(show).collect::<Vec<_>>().join(", "))
                    .tolerance(format!("matrix {:.1e}, nats {:.1e}", errors[0].2, errors[1].2))
                    .figure("alpha", optimum.alpha);
                for (name, error, tolerance) in errors {
                    outcome = outcome.figure(name, error).figure(&format!("{name}_tolerance"), tolerance);
                }
                outcome
            }
        }
    }

    fn errors(optimum: &Optimum) -> Result<Vec<(&'static str, f64, f64)>, crate::flow::Error> {
        let matrix = norm2(&optimum.residual())?;
        let nats = tolerance(optimum)?;
        let (alpha, values) = (optimum.alpha, &optimum.spectrum.values);
        let shifted = optimum.shifted();
        let plain = mean(&optimum.flow.log_density(&optimum.rows)?);
        let penalty = alpha * optimum.weight().norm().powi(2);
        let l_star: f64 =
            -0.5 * values.iter().zip(&shifted).map(|(l, m)| TAU.ln() + m.ln() + l / m).sum::<f64>();
        let mut errors = vec![
            ("matrix", matrix, optimum.tolerance()?),
            ("value", (plain - penalty - gaussian(&shifted)).abs(), nats),
            ("likelihood", (plain - l_star).abs(), nats),
        ];
        // On rank-deficient data the divergence is infinite: nothing to compare.
        if optimum.spectrum.null == 0 {
            let u = values.iter().map(|l| 2.0 * alpha / l);
            let divergence = 0.5 * u.map(|u| u.ln_1p() - u / (1.0 + u)).sum::<f64>();
            let measured = gaussian(values) - plain;
            let relative: f64 = values
                .iter()
                .map(|l| crate::theory::tolerance::gamma(4 * values.len()) * (values[0] / l).sqrt())
                .sum();
            errors.push(("divergence", (measured - divergence).abs(), nats + 2.0 * relative));
        }
        Ok(errors)
    }
}

impl Claim for L4 {
    fn id(&self) -> &'static str {
        "L4"
    }

    fn statement(&self) -> &'static str {
        "under the penalty the linear optimum is JᵀJ = (Σ + 2αI)⁻¹, with its value and divergence"
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        let at = |alpha| fit("L4", cx, alpha).map_or_else(|undecided| undecided, |o| Self::judge(&o));
        worst("L4", alphas(cx).into_iter().map(at).collect())
    }
}
