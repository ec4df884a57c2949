//! Monotone functions of one column whose parameters another network gives: what couplings and autoregressive
//! layers do to a column.

mod dual;
mod scale;
mod spline;

use super::bijection::{Growth, Smoothness};
use super::number::Number;
use serde::{Deserialize, Serialize};

pub use scale::Scale;
pub use spline::{Logits, Spline};

/// A monotone function of one column, with parameters for each row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Transformer {
    /// `z = x + t` (L. Dinh, D. Krueger, Y. Bengio, *NICE*, 2015). Parameter: `t`.
    Additive,
    /// `z = a x + t` with `a > 0` (L. Dinh et al., *Real NVP*, 2017). Parameters: the logit of `a`, and `t`.
    Affine {
        /// How the scale `a` comes of its logit.
        scale: Scale,
    },
    /// A rational-quadratic spline. Parameters: logits of `K` widths, of `K` heights, of `K - 1` slopes.
    Spline(Spline),
}

impl Transformer {
    /// Number of parameters of a column.
    pub fn parameters(&self) -> usize {
        match self {
            Self::Additive => 1,
            Self::Affine { .. } => 2,
            Self::Spline(s) => s.bins.saturating_mul(3).saturating_sub(1),
        }
    }

    /// `(z, ln dz/dx)`.
    pub fn normalize<N: Number>(&self, p: &[N], x: N) -> (N, N) {
        match self {
            Self::Additive => (x + p[0], x.constant(0.0)),
            Self::Affine { scale } => {
                let (a, log) = scale.of(p[0]);
                (x * a + p[1], log)
            }
            Self::Spline(spline) => spline.transform(p, x, false),
        }
    }

    /// `(x, ln dz/dx)`.
    pub fn generate<N: Number>(&self, p: &[N], z: N) -> (N, N) {
        match self {
            Self::Additive => (z - p[0], z.constant(0.0)),
            Self::Affine { scale } => {
                let (a, log) = scale.of(p[0]);
                ((z - p[1]) / a, log)
            }
            Self::Spline(spline) => spline.transform(p, z, true),
        }
    }

    /// Parameters at which the function is (nearly) the identity: where a network starts.
    pub fn identity(&self) -> Vec<f64> {
        match self {
            Self::Additive => vec![0.0],
            Self::Affine { scale } => vec![scale.logit_of_one(), 0.0],
            Self::Spline(spline) => spline.identity(),
        }
    }

    /// How smooth it is, in the column and in the parameters.
    pub fn smoothness(&self) -> Smoothness {
        match self {
            Self::Additive => Smoothness::Smooth,
            Self::Affine { scale } => scale.smoothness(),
            // The second derivative jumps at knots.
            Self::Spline(_) => Smoothness::Piecewise,
        }
    }

    /// How fast `generate` grows (`inverse`: `normalize`) where the parameters grow linearly.
    pub fn growth(&self, inverse: bool) -> Growth {
        match self {
            Self::Affine { scale } => scale.growth(inverse),
            // A spline is the identity but for a bounded box.
            Self::Additive | Self::Spline(_) => Growth::Linear,
        }
    }

    /// What is wrong with the fields.
    ///
    /// # Errors
    /// With the reason.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Additive => Ok(()),
            Self::Affine { scale } => scale.check(),
            Self::Spline(spline) => spline.check(),
        }
    }
}
