//! Soft tails: near the identity in the middle, logarithmic far out.

use crate::flow::bijection::{Bijection, Declaration, Growth, Role, Scope};
use crate::flow::rounding::{FUNCTION, Rounding, RoundingAt};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `z = c asinh(x / c)` with a trained knee `c > 0` for each column.
///
/// `log|det| = -Σ ln cosh(z / c)`, `x = c sinh(z / c)`. A normal latent then has tails
/// `log p ~ -(c²/2) ln²(2|x|/c)`, heavier than any power: a held-out outlier, which whitening can
/// put thousands of standard deviations away, costs hundreds of nats and not millions. Between
/// `-c` and `c` it differs from the identity by less than `x³ / 6c²`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftTail {
    /// Number of columns.
    pub dim: usize,
    /// Initial knee.
    pub knee: f64,
}

impl Bijection for SoftTail {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
        vec![Declaration::new("log-knee", 1, self.dim, vec![self.knee.ln(); self.dim], Role::Bias)]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let knee = scope.params[0].exp();
        let u = (x / knee).asinh();
        (u * knee, -super::ln_cosh(u).sum_cols())
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        let knee = scope.params[0].exp();
        (z / knee).sinh() * knee
    }

    fn growth(&self) -> Growth {
        Growth::Exponential
    }

    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, z| {
            Rounding::columns(x.len(), |j| {
                let knee = p[0][j].exp();
                let u = z[j] / knee;
                // dx = cosh(u) dz: the argument's error passes through the function.
                let inner = z[j].abs() * u.cosh();
                let data = 2.0 * FUNCTION * (x[j].abs() + inner);
                (4.0 * FUNCTION * z[j].abs(), data, super::of_ln_cosh(u))
            })
        })
    }

    fn least_entries(&self) -> u128 {
        self.dim as u128
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim, knee: 3.0 }]
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.knee > 0.0 && self.knee.is_finite() { Ok(()) } else { Err("the knee must be positive") }
    }
}
