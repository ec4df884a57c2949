//! L1: the maximum-likelihood linear flow whitens.

use super::{Optimum, fit};
use crate::theory::{Claim, Context, Outcome, Verdict};
use eigenflow_linalg::svd::norm2;

/// `W Σ_n Wᵀ = I`, so that `J_g J_gᵀ = Σ_n` whatever the latent rotation.
#[derive(Clone, Copy, Debug)]
pub struct L1;

/// What the claim promises for condition numbers of `Σ_n` up to `1e8`.
const PROMISE: f64 = 1e-6;

impl L1 {
    /// The verdict on an optimum.
    pub fn judge(optimum: &Optimum) -> Outcome {
        let measure =
            || Ok::<_, eigenflow_linalg::Error>((norm2(&optimum.residual())?, optimum.tolerance()?));
        let (error, derived) = match measure() {
            Ok(both) => both,
            Err(e) => return Outcome::undecided("L1", format!("out of range: {e}")),
        };
        let shifted = optimum.shifted();
        let condition = shifted[0] / shifted[shifted.len() - 1];
        let mut outcome = Outcome::decide("L1", error, derived.min(PROMISE));
        // Beyond what double precision resolves a large residual says nothing; a small one still does.
        if outcome.verdict == Verdict::Fails && derived > PROMISE && error <= derived {
            let reason = format!("out of range: condition {condition:.1e} leaves {derived:.1e} to rounding");
            outcome.verdict = Verdict::Undecided(reason);
        }
        outcome
            .predicted("‖W Σ Wᵀ - I‖ = 0")
            .tolerance(format!("{:.1e}: certified gradient and rounding, at most 1e-6", derived.min(PROMISE)))
            .figure("condition", condition)
            .figure("relative_gradient", optimum.certificate.residual)
            .figure("iterations", optimum.certificate.iterations as f64)
    }
}

impl Claim for L1 {
    fn id(&self) -> &'static str {
        "L1"
    }

    fn statement(&self) -> &'static str {
        "the maximum-likelihood linear flow whitens: W Σ Wᵀ = I, so J_g J_gᵀ = Σ"
    }

    fn formula(&self) -> &'static str {
        r"W \Sigma W^\top = I, \qquad J_g J_g^\top = \Sigma"
    }

    fn remedy(&self) -> &'static str {
        "Look at the certified relative gradient first: if it is large, polishing has not converged and \
         the rows are nearly rank deficient. If it is small and the residual is not, the affine layer's \
         gradient or its Jacobian is wrong: run the laws of the tape and S2a."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        fit("L1", cx, 0.0).map_or_else(|undecided| *undecided, |optimum| Self::judge(&optimum))
    }
}
