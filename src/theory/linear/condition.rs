//! L5: what the penalty makes of the condition number.

use super::Optimum;
use super::path::{Path, checked, figures, grid};
use crate::theory::tolerance::gamma;
use crate::theory::{Axis, Chart, Claim, Context, Outcome, Shape};
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
        let bound = Path(&optimum.spectrum.values).condition_bound(optimum.alpha);
        let above = (kappa * kappa / bound - 1.0).max(0.0);
        let error = if kappa.is_nan() { f64::NAN } else { error.max(above) };
        Outcome::decide("L5", error, tolerance)
            .resolving(tolerance, 1.0)
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

    fn formula(&self) -> &'static str {
        r"\kappa(J)^2 = \frac{\lambda_{\max} + 2\alpha}{\lambda_{\min} + 2\alpha} \le 1 + \frac{\lambda_{\max}}{2\alpha}"
    }

    fn remedy(&self) -> &'static str {
        "If L4 holds, the singular values of J are wrong: compare the SVD with the eigenvalues of JᵀJ. \
         If L4 fails too, start there."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        checked("L5", cx, Self::judge, |spectrum, outcomes| {
            let (alpha, kappa) = figures(outcomes, "alpha", "condition");
            let grid = grid(&alpha);
            let path = Path(&spectrum.values);
            let exact = path.along(&grid, |p, a| p.condition(a).powi(2));
            let bound = path.along(&grid, Path::condition_bound);
            Chart::new("Condition along the penalty", Axis::log("Tikhonov weight α"), Axis::log("κ(J)²"))
                .described(format!(
                    "Squared condition number of linear optima against α: trained optima lie on the curve \
                     (λ_max + 2α)/(λ_min + 2α), under the bound 1 + λ_max/2α, which is met where the data have null \
                     directions (here {}).",
                    spectrum.null
                ))
                .mark("trained", Shape::Points, alpha, kappa.iter().map(|k| k * k).collect())
                .mark("(λ_max + 2α)/(λ_min + 2α)", Shape::Line, grid.clone(), exact)
                .mark("bound 1 + λ_max/2α", Shape::Dashed, grid, bound)
        })
    }
}
