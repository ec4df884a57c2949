//! The banana: a parabolic shear, with closed forms for everything.

use crate::flow::bijection::{Bijection, Declaration, Growth, Scope};
use crate::flow::rounding::{Rounding, RoundingAt};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Generative banana: `x_1 = z_1`, `x_j = z_j + b_j (z_1² - 1)` for the other columns.
///
/// `log|det| = 0`; with one column it is the identity. It is quadratic, so that its local covariance
/// is `J_g J_gᵀ + ε² K` exactly, at every `ε`, with `K_ij = 2 b_i b_j` (and `b_1 = 0`). A normal latent
/// keeps mean zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Banana {
    /// Number of columns.
    pub dim: usize,
}

/// Initial bend.
const BEND: f64 = 0.5;

impl Banana {
    /// The columns after the first, moved by `sign · b (first² - 1)`.
    fn shear<'t, T: Real>(&self, scope: &Scope<'_, 't, T>, v: Var<'t, T>, sign: T) -> Var<'t, T> {
        if self.dim == 1 {
            return v;
        }
        let first = v.slice(0..1);
        let moved = v.slice(1..self.dim) + (first.square() - T::ONE) * sign * scope.params[0];
        Var::concat(&[first, moved])
    }
}

impl Bijection for Banana {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
        let others = self.dim.saturating_sub(1);
        if others == 0 {
            return Vec::new();
        }
        vec![Declaration::new("bend", 1, others, vec![BEND; others], crate::flow::Role::Bias)]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        (self.shear(scope, x, -T::ONE), scope.recorder.scalar(T::ZERO))
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        self.shear(scope, z, T::ONE)
    }

    fn growth(&self) -> Growth {
        Growth::Polynomial
    }

    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, z| {
            Rounding::columns(x.len(), |j| {
                if j == 0 {
                    return (0.0, 0.0, 0.0);
                }
                let bend = 4.0 * p[0][j - 1].abs() * (x[0] * x[0] + 1.0);
                (bend + x[j].abs() + z[j].abs(), bend + x[j].abs() + z[j].abs(), 0.0)
            })
        })
    }

    fn least_entries(&self) -> u128 {
        (self.dim as u128).saturating_sub(1)
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim }]
    }
}
