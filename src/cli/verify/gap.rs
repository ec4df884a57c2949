//! The gap of a model to a density that is known.

use crate::data::{Source, Table};
use crate::flow::Flow;
use crate::report::Check;
use crate::theory::{Outcome, Verdict};

/// Fresh draws.
const FRESH: usize = 200_000;
/// A gap that is further below zero, in standard errors, is no chance.
const ERRORS: f64 = 4.0;

/// The mean of `log p_true - log p_model` over fresh draws, paired: the fit's Kullback-Leibler divergence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gap {
    /// Nats a row.
    mean: f64,
    /// Its standard error.
    error: f64,
    /// Number of draws.
    draws: usize,
}

impl Gap {
    /// Measures it on draws of a built-in set beyond its rows; `None` where the density is not known.
    pub(super) fn measure(
        source: &Source,
        training: &Table,
        flow: &Flow<f64>,
        seed: u64,
        quick: bool,
    ) -> Option<Self> {
        let Source::Builtin(set, parameters) = source else { return None };
        let n = if quick { FRESH / 10 } else { FRESH };
        // Rows beyond those of the data: another seed.
        let fresh = crate::random::hash_words(seed, [parameters.seed(), 1]);
        let (n_text, noise, fresh) = (n.to_string(), parameters.real("noise").to_string(), fresh.to_string());
        let given = [("n", n_text.as_str()), ("noise", noise.as_str()), ("seed", fresh.as_str())];
        let draws = set.parameters_from(given).ok()?;
        // Only a known density is worth the draws.
        let one = set.make(&set.parameters_from([("n", "1")]).ok()?).ok()?;
        if one.names != training.names || set.log_densities(&draws, &one.values).is_none() {
            return None;
        }
        let rows = set.make(&draws).ok()?;
        let truth = set.log_densities(&draws, &rows.values)?;
        let model = flow.log_density(&rows.values).ok()?;
        Some(Self::of(&truth.iter().zip(&model).map(|(t, m)| t - m).collect::<Vec<_>>()))
    }

    fn of(gaps: &[f64]) -> Self {
        let n = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / n;
        let variance = gaps.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
        Self { mean, error: (variance / n).sqrt(), draws: gaps.len() }
    }

    /// The gap in words.
    pub(super) fn note(&self) -> String {
        let Self { mean, error, draws } = self;
        format!("gap to the true density: {mean:.4} ± {error:.4} nats a row on {draws} fresh draws, paired")
    }

    /// A divergence is not negative. The check that says so, if it fails: it is about the densities, not a claim about the model,
    /// and holds for whatever integrates to one.
    pub(super) fn failure(&self) -> Option<Check> {
        let outcome = Outcome::decide("KL", -self.mean, ERRORS * self.error)
            .predicted("KL(truth ‖ model) >= 0")
            .measured(format!("{:.4} ± {:.4} nats a row, {} draws", self.mean, self.error, self.draws))
            .tolerance(format!("{ERRORS} standard errors below zero"));
        let statement = "no model has a higher mean log-density than the truth on fresh draws".to_owned();
        (outcome.verdict == Verdict::Fails).then_some(Check { statement, outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_means() {
        assert_eq!(Gap::of(&[1.0, 3.0]), Gap { mean: 2.0, error: 1.0, draws: 2 });
    }

    /// A density that is too high is a failed check; chance and a poor fit are not.
    #[test]
    fn a_model_that_beats_the_truth_fails() {
        let failure = |mean, error| Gap { mean, error, draws: 1000 }.failure();
        let check = failure(-0.05, 0.001).unwrap();
        assert_eq!((check.outcome.id.as_str(), check.outcome.verdict), ("KL", Verdict::Fails));
        assert!(failure(f64::NAN, 0.001).is_some());
        assert!(failure(-0.003, 0.001).is_none() && failure(0.3, 0.001).is_none());
    }
}
