//! The sigmoid, onto a bounded box of latents.

use crate::flow::bijection::{Bijection, Declaration, Growth, Scope};
use crate::flow::rounding::{FUNCTION, Rounding, RoundingAt, count};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `z = low + (high - low) σ(x)`, for a base whose latents lie in the box `(low, high)`; the mirror image of [`super::Logit`].
///
/// `log|det| = Σ [ln(high - low) + ln σ(x) + ln σ(-x)]`, and back `x = logit((z - low) / (high - low))`. Far out the sigmoid saturates:
/// the latent is an edge of the box then, from which there is no way back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Squash {
    /// Number of columns.
    pub dim: usize,
    /// Lower edge of the box.
    pub low: f64,
    /// Upper edge of the box.
    pub high: f64,
}

impl Bijection for Squash {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
        Vec::new()
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let width = self.high - self.low;
        let log = -(x.softplus() + (-x).softplus()) + T::of(width.ln());
        // From the nearer edge: `σ (1 - σ)` keeps its digits where `σ` is small.
        let tail = (-x.abs()).sigmoid() * T::of(width);
        let upper = x.ge(scope.recorder.scalar(T::ZERO));
        (upper.select(-tail + T::of(self.high), tail + T::of(self.low)), log.sum_cols())
    }

    fn generate<'t, T: Real>(&self, _scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        let u = (z - T::of(self.low)) * T::of((self.high - self.low).recip());
        u.ln() - (-u).ln_1p()
    }

    fn rounding<'a>(&'a self, _parameters: &'a [&'a [f64]]) -> RoundingAt<'a> {
        let width = self.high - self.low;
        Box::new(move |x, z| {
            Rounding::columns(x.len(), |j| {
                let latent = (FUNCTION + 2.0) * (z[j] - self.low).min(self.high - z[j]).abs()
                    + self.low.abs().max(self.high.abs())
                    + z[j].abs();
                // u has three operations behind it, the first of which may cancel.
                let (u, v) = ((z[j] - self.low) / width, (self.high - z[j]) / width);
                let of_u = 3.0 * u + (z[j].abs() + self.low.abs()) / width;
                let (a, b) = (u.ln().abs(), v.ln().abs());
                let data = of_u / (u * v) + FUNCTION * (a + b) + x[j].abs();
                let soft = |t: f64| t.max(0.0) + (-t.abs()).exp().ln_1p();
                let logs = soft(x[j]) + soft(-x[j]) + width.ln().abs();
                (latent, data, (FUNCTION + 2.0 + count(x.len())) * logs)
            })
        })
    }

    /// `generate` blows up at the edges of the box, logarithmically: moments of bounded latents are finite.
    fn growth(&self) -> Growth {
        Growth::Linear
    }

    fn examples(dim: usize) -> Vec<Self> {
        // Wide, so that normal rows have images and normal latents are in the box.
        vec![Self { dim, low: -50.0, high: 50.0 }]
    }

    fn check(&self) -> Result<(), &'static str> {
        let ok = self.low < self.high && self.low.is_finite() && self.high.is_finite();
        if ok { Ok(()) } else { Err("the box must have low < high") }
    }
}
