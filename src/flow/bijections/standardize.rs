//! Centring and scaling of columns, set from data.

use crate::flow::bijection::{Bijection, Declaration, Role, Scope};
use crate::flow::rounding::{FUNCTION, Rounding, RoundingAt};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `z = (x - m) / s`, `log|det| = -Σ ln s`: means and scales of the training data, not trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standardize {
    /// Number of columns.
    pub dim: usize,
}

impl Bijection for Standardize {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
        vec![
            Declaration::new("mean", 1, self.dim, vec![0.0; self.dim], Role::Frozen),
            Declaration::new("scale", 1, self.dim, vec![1.0; self.dim], Role::Frozen),
        ]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let (mean, scale) = (scope.params[0], scope.params[1]);
        ((x - mean) / scale, -scale.ln().sum_all())
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        z * scope.params[1] + scope.params[0]
    }

    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, z| {
            Rounding::columns(x.len(), |j| {
                let (m, s) = (p[0][j], p[1][j]);
                let data = 2.0 * ((z[j] * s).abs() + m.abs());
                (2.0 * (x[j].abs() + m.abs()) / s, data, FUNCTION * s.ln().abs())
            })
        })
    }

    fn least_entries(&self) -> u128 {
        2 * self.dim as u128
    }

    fn check_parameters(&self, parameters: &[&[f64]]) -> Result<(), &'static str> {
        if parameters[1].iter().all(|&s| s > 0.0) { Ok(()) } else { Err("scales must be positive") }
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim }]
    }
}
