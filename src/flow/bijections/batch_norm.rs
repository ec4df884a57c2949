//! Batch normalization with running statistics.

use crate::flow::bijection::{Bijection, Declaration, Role, Scope};
use crate::flow::rounding::{FUNCTION, Rounding, RoundingAt};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `z = γ (x - m) / sqrt(v + ε) + β`, `log|det| = Σ [ln γ - ln(v + ε) / 2]`.
///
/// In a training step `m` and `v` are the mean and variance of the batch (sums over rows: each ends a
/// phase of the program), and the running statistics move towards them by `momentum`. Everywhere
/// else (densities, Jacobians, penalties, claims) they are the running statistics, as
/// constants, so that a row's result never depends on other rows (Ioffe and Szegedy 2015; as a flow
/// layer, Dinh et al. 2017, section 3.7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// Number of columns.
    pub dim: usize,
    /// Weight of a new batch in the running statistics.
    pub momentum: f64,
    /// `ε`, added to variances.
    pub epsilon: f64,
}

const MEAN: usize = 2;
const VARIANCE: usize = 3;

impl BatchNorm {
    /// The usual constants.
    pub const fn new(dim: usize) -> Self {
        Self { dim, momentum: 0.1, epsilon: 1e-5 }
    }

    /// Mean and variance of the batch, and their running updates.
    fn batch_statistics<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let r = scope.recorder;
        let count = r.full(x.shape().with_cols(1), T::ONE).sum_rows();
        let mean = x.sum_rows() / count;
        let variance = (x - mean).square().sum_rows() / count;
        let keep = T::of(1.0 - self.momentum);
        for (index, new) in [(MEAN, mean), (VARIANCE, variance)] {
            scope.updates.push((index, scope.params[index] * keep + new * T::of(self.momentum)));
        }
        (mean, variance)
    }
}

impl Bijection for BatchNorm {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
        vec![
            Declaration::bias("log-gamma", self.dim),
            Declaration::bias("beta", self.dim),
            Declaration::new("running-mean", 1, self.dim, vec![0.0; self.dim], Role::Frozen),
            Declaration::new("running-variance", 1, self.dim, vec![1.0; self.dim], Role::Frozen),
        ]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let (mean, variance) = if scope.training {
            self.batch_statistics(scope, x)
        } else {
            (scope.params[MEAN], scope.params[VARIANCE])
        };
        let (log_gamma, beta) = (scope.params[0], scope.params[1]);
        let log_scale = log_gamma - (variance + T::of(self.epsilon)).ln() * T::of(0.5);
        ((x - mean) * log_scale.exp() + beta, log_scale.sum_all())
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        let (log_gamma, beta) = (scope.params[0], scope.params[1]);
        let deviation = (scope.params[VARIANCE] + T::of(self.epsilon)).sqrt();
        (z - beta) * (deviation / log_gamma.exp()) + scope.params[MEAN]
    }

    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, z| {
            Rounding::columns(x.len(), |j| {
                let (log_gamma, beta, m) = (p[0][j], p[1][j], p[MEAN][j]);
                let deviation = (p[VARIANCE][j] + self.epsilon).sqrt();
                let scale = log_gamma.exp() / deviation;
                // The exponent's own error is the relative error of the scale.
                let relative = 2.0 * FUNCTION + FUNCTION * (log_gamma.abs() + deviation.ln().abs());
                let latent = (x[j].abs() + m.abs()) * scale * (1.0 + relative) + beta.abs() + z[j].abs();
                let data = (z[j].abs() + beta.abs()) / scale * (1.0 + relative) + m.abs() + x[j].abs();
                (latent, data, relative)
            })
        })
    }

    fn least_entries(&self) -> u128 {
        4 * self.dim as u128
    }

    fn check_parameters(&self, parameters: &[&[f64]]) -> Result<(), &'static str> {
        if parameters[VARIANCE].iter().all(|&v| v >= 0.0) {
            Ok(())
        } else {
            Err("running variances must not be negative")
        }
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self::new(dim)]
    }

    fn check(&self) -> Result<(), &'static str> {
        if (0.0..=1.0).contains(&self.momentum) && self.epsilon > 0.0 && self.epsilon.is_finite() {
            Ok(())
        } else {
            Err("momentum must lie in [0, 1] and epsilon must be positive")
        }
    }
}
