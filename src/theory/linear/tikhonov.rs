//! L4: the optimum under the Tikhonov penalty.

use super::Optimum;
use super::likelihood::{gaussian, mean, tolerance};
use super::path::{Path, checked, figures, grid};
use crate::theory::{Axis, Chart, Claim, Context, Outcome, Shape};
use eigenflow_linalg::svd::norm2;

/// `JᵀJ = (Σ + 2αI)⁻¹`, its penalised value, its likelihood and its divergence from the data.
#[derive(Clone, Copy, Debug)]
pub struct L4;

impl L4 {
    /// The verdict on an optimum: four errors, each in units of its own tolerance.
    pub fn judge(optimum: &Optimum) -> Outcome {
        match Self::errors(optimum) {
            Err(e) => Outcome::undecided("L4", format!("out of range: {e}")),
            Ok(Measured { errors, plain, penalised }) => {
                let ratio = errors.iter().map(|e| e.1 / e.2).fold(0.0, f64::max);
                // `max` drops NaN, which must fail.
                let ratio = if errors.iter().any(|e| e.1.is_nan()) { f64::NAN } else { ratio };
                let show = |e: &(&str, f64, f64)| format!("{} {:.1e}", e.0, e.1);
                let mut outcome = Outcome::decide("L4", ratio, 1.0)
                    .resolving(errors[0].2, 1.0)
                    .resolving(errors[1].2, optimum.rows.cols() as f64)
                    .predicted(format!("JᵀJ = (Σ + 2αI)⁻¹ at α = {:.0e}", optimum.alpha))
                    .measured(errors.iter().map(show).collect::<Vec<_>>().join(", "))
                    .tolerance(format!("matrix {:.1e}, nats {:.1e}", errors[0].2, errors[1].2))
                    .figure("alpha", optimum.alpha)
                    .figure("mean_log_likelihood", plain)
                    .figure("mean_penalised", penalised);
                for (name, error, tolerance) in errors {
                    outcome = outcome.figure(name, error).figure(&format!("{name}_tolerance"), tolerance);
                }
                outcome
            }
        }
    }

    fn errors(optimum: &Optimum) -> Result<Measured, crate::flow::Error> {
        let matrix = norm2(&optimum.residual())?;
        let nats = tolerance(optimum)?;
        let (alpha, values) = (optimum.alpha, &optimum.spectrum.values);
        let path = Path(values);
        let plain = mean(&optimum.flow.log_density(&optimum.rows)?);
        let penalty = alpha * optimum.weight().norm().powi(2);
        let mut errors = vec![
            ("matrix", matrix, optimum.tolerance()?),
            ("value", (plain - penalty - path.penalised(alpha)).abs(), nats),
            ("likelihood", (plain - path.likelihood(alpha)).abs(), nats),
        ];
        // On rank-deficient data the divergence is infinite: nothing to compare.
        if optimum.spectrum.null == 0 {
            let divergence = path.divergence(alpha);
            let measured = gaussian(values) - plain;
            let relative: f64 = values
                .iter()
                .map(|l| crate::theory::tolerance::gamma(4 * values.len()) * (values[0] / l).sqrt())
                .sum();
            errors.push(("divergence", (measured - divergence).abs(), nats + 2.0 * relative));
        }
        Ok(Measured { errors, plain, penalised: plain - penalty })
    }
}

/// What was measured of an optimum: errors with their tolerances, and mean log-likelihoods without and with the penalty.
struct Measured {
    errors: Vec<(&'static str, f64, f64)>,
    plain: f64,
    penalised: f64,
}

impl Claim for L4 {
    fn id(&self) -> &'static str {
        "L4"
    }

    fn statement(&self) -> &'static str {
        "under the penalty the linear optimum is JᵀJ = (Σ + 2αI)⁻¹, with its value and divergence"
    }

    fn formula(&self) -> &'static str {
        r"J^\top J = (\Sigma + 2\alpha I)^{-1}"
    }

    fn remedy(&self) -> &'static str {
        "The figures tell which of the four comparisons is off. The matrix alone: the penalty's gradient \
         (a factor of 2 in α shows as an error of order α). The values alone: the log-density. Both: \
         polishing did not reach the optimum."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        checked("L4", cx, Self::judge, |spectrum, outcomes| {
            let (alpha, plain) = figures(outcomes, "alpha", "mean_log_likelihood");
            let (_, penalised) = figures(outcomes, "alpha", "mean_penalised");
            let grid = grid(&alpha);
            let path = Path(&spectrum.values);
            let likelihood = path.along(&grid, Path::likelihood);
            let value = path.along(&grid, Path::penalised);
            Chart::new("Likelihood along the penalty", Axis::log("Tikhonov weight α"), Axis::linear("nats a row (training units)"))
                .described(
                    "Mean log-likelihood of linear optima, and the same less the penalty, against α: trained optima lie on \
                     the closed forms. The price of the penalty is the distance that opens with α.",
                )
                .mark("likelihood, trained", Shape::Points, alpha.clone(), plain)
                .mark("penalised, trained", Shape::Points, alpha, penalised)
                .mark("likelihood, closed form", Shape::Line, grid.clone(), likelihood)
                .mark("penalised, closed form", Shape::Dashed, grid, value)
        })
    }
}
