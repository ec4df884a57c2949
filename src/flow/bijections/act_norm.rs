//! Elementwise affine maps, started from data: activation normalization.

use crate::flow::bijection::{Bijection, Declaration, Scope};
use crate::flow::number::{Bounded, Number};
use crate::flow::rounding::{Rounding, RoundingAt, count};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `z = x e^l + b` with trained `l` and `b` for each column, `log|det| = Σ l`, `x = (z - b) e^-l`.
///
/// It starts as the identity; where a flow is built for data, `l` and `b` are set so that the training rows leave it
/// with mean 0 and variance 1 (D. P. Kingma, P. Dhariwal, *Glow*, 2018, section 3.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActNorm {
    /// Number of columns.
    pub dim: usize,
}

impl Bijection for ActNorm {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
        vec![Declaration::bias("log-slope", self.dim), Declaration::bias("shift", self.dim)]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let (log, shift) = (scope.params[0], scope.params[1]);
        (x * log.exp() + shift, log.sum_all())
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        (z - scope.params[1]) * (-scope.params[0]).exp()
    }

    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, z| {
            Rounding::columns(x.len(), |j| {
                let (log, shift) = (Bounded::exact(p[0][j]), Bounded::exact(p[1][j]));
                let there = Bounded::exact(x[j]) * log.exp() + shift;
                let back = (Bounded::exact(z[j]) - shift) * (-log).exp();
                (there.error, back.error, count(x.len()) * log.value.abs())
            })
        })
    }

    fn least_entries(&self) -> u128 {
        2 * self.dim as u128
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim }]
    }
}
