//! L5: what the penalty makes of the condition number.

use super::{Optimum, alphas, fit, worst};
use crate::theory::tolerance::gamma;
use crate::theory::{Claim, Context, Outcome};
use eigenflow_linalg::svd::condition_number;

/// `κ(J)² = (λ_max + 2α) / (λ_min + 2α) <= 1 + λ_max / 2α`.
#[derive(Clone, Copy, Debug)]
pub struct L5;

impl L5 {
    /// The verdict on an optimum: the relative error of `κ²`, and the bound.
    ///
    /// `W (Σ + 2αI) Wᵀ = I + R` puts every `s_i² (λ_i + 2α)` between `1 ± ‖R‖` (Ostrowski), so `κ²` is
    /// known to `2‖R‖`; the singular values add `2 γ κ(J)` and `2 γ κ(h)`.
    pub fn judge(optimum: &Optimum) -> Outcome {
        let shifted = optimum.shifted();
        let (largest, smallest) = (shifted[0], shifted[shifted.len() - 1]);
        let predicted = largest / smallest;
        let measure = || {
            let kappa = condition_number(&optimum.weight())?;
            Ok::<_, eigenflow_linalg::Error>((kappa, optimum.tolerance()?))
        };
        let (kappa, residual) = match measure() {
            Ok(both) => both,
            Err(e) => return Outcome::undecided("L5", format!("out of range: {e}")),
        };
        let rounding = gamma(4 * shifted.len()) * (kappa + predicted.sqrt());
        let tolerance = 2.0 * residual / (1.0 - residual).max(f64::EPSILON) + 2.0 * rounding;
        let error = (kappa * kappa / predicted - 1.0).abs();
        let bound = 1.0 + optimum.spectrum.values[0] / (2.0 * optimum.alpha);
        let above = (kappa * kappa / bound - 1.0).max(0.0);
        let error = if kappa.is_nan() { f64::NAN } else { error.max(above) };
        Outcome::decide("L5", error, tolerance)
            .predicted(format!("κ² = {predicted:.6e} <= {bound:.6e} at α = {:.0e}", optimum.alpha))
            .measured(format!("κ² = {:.6e}", kappa * kappa))
            .tolerance(format!("{tolerance:.1e} relative: certified gradient and rounding"))
            .figure("alpha", optimum.alpha)
            .figure("condition", kappa)
            .figure("null_directions", optimum.spectrum.null as f64)
    }
}

impl Claim for L5 {
    fn id(&self) -> &'static str {
        "L5"
    }

    fn statement(&self) -> &'static str {
        "under the penalty κ(J)² = (λ_max + 2α)/(λ_min + 2α) <= 1 + λ_max/2α"
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        let at = |alpha| fit("L5", cx, alpha).map_or_else(|undecided| undecided, |o| Self::judge(&o));
        worst("L5", alphas(cx).into_iter().map(at).collect())
    }
}
