//! How the positive scale of an affine function comes of an unbounded logit.

use crate::flow::bijection::{Growth, Smoothness};
use crate::flow::number::Number;
use serde::{Deserialize, Serialize};

/// A positive scale `a` as a function of its logit `u`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Scale {
    /// `ln a = c tanh(u / c)`: the scale lies in `[e^-c, e^c]` (Behrmann et al. 2021, section 5).
    Tanh {
        /// The bound `c`.
        bound: f64,
    },
    /// `ln a = u / (1 + |u / ln m|)`: the scale lies in `(m, 1/m)`. The soft clamp of zuko, with `m = 1e-3`.
    SoftClamp {
        /// Least scale `m`, below 1.
        least: f64,
    },
    /// `a = sigmoid(u + o) + m`: nflows' couplings, with `o = 2` and `m = 1e-3`.
    Sigmoid {
        /// Offset `o` of the logit.
        offset: f64,
        /// Least scale `m`.
        least: f64,
    },
    /// `a = softplus(u) + m`: nflows' autoregressive layers, with `m = 1e-3`.
    Softplus {
        /// Least scale `m`.
        least: f64,
    },
}

impl Scale {
    /// `(a, ln a)`.
    pub fn of<N: Number>(self, u: N) -> (N, N) {
        let log = match self {
            Self::Tanh { bound } => u.times(bound.recip()).tanh().times(bound),
            Self::SoftClamp { least } => soft_clamp(u, least),
            Self::Sigmoid { offset, least } => {
                let a = u.plus(offset).sigmoid().plus(least);
                return (a, a.ln());
            }
            Self::Softplus { least } => {
                let a = u.softplus().plus(least);
                return (a, a.ln());
            }
        };
        (log.exp(), log)
    }

    /// The logit of the scale 1, or of the nearest one.
    pub fn logit_of_one(self) -> f64 {
        match self {
            Self::Tanh { .. } | Self::SoftClamp { .. } => 0.0,
            // The greatest scale is 1 + m: start where it is 1 - m.
            Self::Sigmoid { offset, least } => ((1.0 - 2.0 * least) / (2.0 * least)).ln() - offset,
            Self::Softplus { least } => (1.0 - least).exp_m1().ln(),
        }
    }

    pub(super) fn smoothness(self) -> Smoothness {
        match self {
            // Its second derivative jumps at 0.
            Self::SoftClamp { .. } => Smoothness::Piecewise,
            _ => Smoothness::Smooth,
        }
    }

    pub(super) fn growth(self, inverse: bool) -> Growth {
        match self {
            // Multiplied by a scale that itself grows.
            Self::Softplus { .. } if inverse => Growth::Polynomial,
            _ => Growth::Linear,
        }
    }

    pub(super) fn check(self) -> Result<(), &'static str> {
        let (ok, reason) = match self {
            Self::Tanh { bound } => (bound > 0.0 && bound.is_finite(), "the bound must be positive"),
            Self::Sigmoid { offset, least } => {
                let ok = offset.is_finite() && least > 0.0 && least < 0.5;
                (ok, "the offset must be finite and the least scale lie in (0, 1/2)")
            }
            Self::SoftClamp { least } | Self::Softplus { least } => {
                (least > 0.0 && least < 1.0, "the least scale must lie in (0, 1)")
            }
        };
        if ok { Ok(()) } else { Err(reason) }
    }
}

/// `u / (1 + |u / ln m|)`, which lies in `(ln m, -ln m)`.
#[inline(always)]
pub(super) fn soft_clamp<N: Number>(u: N, least: f64) -> N {
    u / u.abs().times(least.ln().abs().recip()).plus(1.0)
}

/// Its derivative, `1 / (1 + |u / ln m|)²`.
#[inline(always)]
pub(super) fn soft_clamp_slope<N: Number>(u: N, least: f64) -> N {
    let q = u.abs().times(least.ln().abs().recip()).plus(1.0);
    u.constant(1.0) / (q * q)
}
