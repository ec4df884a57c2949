//! Sinh-arcsinh: skewness and tail weight of each column.

use crate::flow::bijection::{Bijection, Declaration, Growth, Role, Scope};
use crate::flow::rounding::{FUNCTION, Rounding, RoundingAt};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Generative sinh-arcsinh: `x = sinh((asinh z + ε) / δ)` with `ε` and `δ > 0` for each column.
///
/// `z = sinh(δ asinh x - ε)`, `log|det| = Σ [ln δ + ln cosh(δ asinh x - ε) - ln(1 + x²)/2]`.
/// `ε` skews, `δ < 1` makes tails heavier (`x ~ z^{1/δ}`), `δ > 1` lighter (M. C. Jones, A. Pewsey,
/// *Sinh-arcsinh distributions*, Biometrika 96, 2009, equation 2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinhArcsinh {
    /// Number of columns.
    pub dim: usize,
    /// Initial skewness `ε`.
    pub skew: f64,
    /// Initial tail parameter `δ`.
    pub tail: f64,
}

impl Bijection for SinhArcsinh {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
        let row =
            |name: &str, value: f64| Declaration::new(name, 1, self.dim, vec![value; self.dim], Role::Bias);
        vec![row("skew", self.skew), row("log-tail", self.tail.ln())]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let (skew, log_tail) = (scope.params[0], scope.params[1]);
        let a = x.asinh();
        let u = a * log_tail.exp() - skew;
        // ln cosh(asinh x) = ln(1 + x²)/2, without the overflow of the square.
        (u.sinh(), (super::ln_cosh(u) - super::ln_cosh(a) + log_tail).sum_cols())
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        let (skew, log_tail) = (scope.params[0], scope.params[1]);
        ((z.asinh() + skew) / log_tail.exp()).sinh()
    }

    fn growth(&self) -> Growth {
        Growth::Polynomial
    }

    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, z| {
            Rounding::columns(x.len(), |j| {
                let (skew, log_tail) = (p[0][j], p[1][j]);
                let (a, tail) = (x[j].asinh(), log_tail.exp());
                let u = a * tail - skew;
                // Errors of the arguments of the outer functions, which pass with slope cosh.
                let relative = 2.0 * FUNCTION + log_tail.abs() + 1.0;
                let of_u = (a * tail).abs() * relative + skew.abs() + u.abs();
                let of_a = a.abs() * relative + (FUNCTION * u.abs() + skew.abs()) / tail;
                let log_det = super::of_ln_cosh(u) + super::of_ln_cosh(a) + of_u;
                let log_det = log_det + FUNCTION * a.abs() + log_tail.abs();
                (FUNCTION * z[j].abs() + u.cosh() * of_u, FUNCTION * x[j].abs() + a.cosh() * of_a, log_det)
            })
        })
    }

    fn least_entries(&self) -> u128 {
        2 * self.dim as u128
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim, skew: 0.3, tail: 0.8 }]
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.skew.is_finite() && self.tail > 0.0 && self.tail.is_finite() {
            Ok(())
        } else {
            Err("the skew must be finite and the tail parameter positive")
        }
    }
}
