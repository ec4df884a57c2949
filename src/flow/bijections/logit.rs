//! The logit, for data in (0, 1).

use crate::flow::bijection::{Bijection, Declaration, Scope};
use crate::flow::rounding::{FUNCTION, Rounding, RoundingAt};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `z = logit(u)`, `u = λ + (1 - 2λ) (x - low) / (high - low)`, for data in the box `[low, high]`.
///
/// `log|det| = Σ [ln((1 - 2λ) / (high - low)) - ln u - ln(1 - u)]`. With `λ > 0` the edges of the
/// box have finite images; outside it a row is out of support and gives NaN, which everything that
/// takes data refuses with the row and the column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Logit {
    /// Number of columns.
    pub dim: usize,
    /// Lower edge of the box.
    pub low: f64,
    /// Upper edge of the box.
    pub high: f64,
    /// Margin `λ` in [0, 1/2).
    pub margin: f64,
}

impl Logit {
    fn slope(&self) -> f64 {
        (1.0 - 2.0 * self.margin) / (self.high - self.low)
    }
}

impl Bijection for Logit {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
        Vec::new()
    }

    fn normalize<'t, T: Real>(
        &self,
        _scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let u = (x - T::of(self.low)) * T::of(self.slope()) + T::of(self.margin);
        let (a, b) = (u.ln(), (-u).ln_1p());
        (a - b, (-(a + b) + T::of(self.slope().ln())).sum_cols())
    }

    fn generate<'t, T: Real>(&self, _scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        (z.sigmoid() - T::of(self.margin)) * T::of(self.slope().recip()) + T::of(self.low)
    }

    fn rounding<'a>(&'a self, _parameters: &'a [&'a [f64]]) -> RoundingAt<'a> {
        let slope = self.slope();
        Box::new(move |x, z| {
            Rounding::columns(x.len(), |j| {
                let u = (x[j] - self.low) * slope + self.margin;
                let argument = 3.0 * (x[j].abs() + self.low.abs()) * slope + self.margin;
                let (a, b) = (u.ln().abs(), (-u).ln_1p().abs());
                let inner = argument / (u * (1.0 - u)).abs();
                let data = 2.0 * FUNCTION / slope + self.low.abs() + x[j].abs();
                let logs = FUNCTION * (a + b);
                (inner + logs + z[j].abs(), data, inner + logs + FUNCTION * slope.ln().abs())
            })
        })
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim, low: -50.0, high: 50.0, margin: 1e-6 }]
    }

    fn check(&self) -> Result<(), &'static str> {
        let box_ok = self.low < self.high && self.low.is_finite() && self.high.is_finite();
        if box_ok && (0.0..0.5).contains(&self.margin) {
            Ok(())
        } else {
            Err("the box must have low < high, and the margin must lie in [0, 1/2)")
        }
    }
}
