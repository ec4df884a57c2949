//! L8: the components of a linear flow are the PCA scores.

use super::{Optimum, alphas, fit, worst};
use crate::jacobian::local_covariance;
use crate::theory::tolerance::gamma;
use crate::theory::{Claim, Context, Outcome};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::svd::condition_number;

/// `VᵀJ⁻¹f` equals the principal component scores, signs by the largest entry of the axis in data space.
#[derive(Clone, Copy, Debug)]
pub struct L8;

/// An axis is compared if its direction is known to this angle.
const ANGLE: f64 = 1e-3;
/// Rows that are compared.
const ROWS: usize = 2000;

impl L8 {
    /// The components `ŷ = S⁻¹Uᵀf` of the first rows, largest local variance first, with their axes.
    ///
    /// # Errors
    /// If a Jacobian is not finite.
    pub fn components(optimum: &Optimum) -> Result<(Matrix<f64>, Matrix<f64>), crate::flow::Error> {
        let (n, d) = (optimum.rows.rows().min(ROWS), optimum.rows.cols());
        let rows = Matrix::new(n, d, optimum.rows.data()[..n * d].to_vec());
        let one = Matrix::new(1, d, rows.row(0).to_vec());
        // The Jacobian of a linear flow is the same everywhere.
        let local = local_covariance(&optimum.flow, &one, d)?;
        let f = optimum.flow.normalize(&rows)?.0;
        let projected = f.mul(&local.latent_axes.matrix(0));
        let scores = Matrix::from_fn(n, d, |i, k| projected[(i, k)] * local.scales[(0, k)]);
        Ok((scores, local.axes.matrix(0)))
    }

    /// The verdict on components of an optimum, from [`L8::components`]: the largest error of a
    /// decided component in units of its tolerance.
    ///
    /// With `J_gJ_gᵀ = W⁻¹W⁻ᵀ` and `W (Σ + 2αI) Wᵀ = I + R` an axis turns by at most `‖R‖` over its relative gap
    /// (R.-C. Li, Relative perturbation theory II, 1998); the two SVDs add `γ σ_max` over their gaps. The
    /// components then differ by that angle times `|h - μ|`, and by what the latent's own rounding becomes.
    pub fn judge(optimum: &Optimum, components: &Matrix<f64>, axes: &Matrix<f64>) -> Outcome {
        let limits = || {
            let kappa = condition_number(&optimum.weight())?;
            Ok::<_, eigenflow_linalg::Error>((kappa, optimum.tolerance()?))
        };
        let (kappa, residual) = match limits() {
            Ok(both) => both,
            Err(e) => return Outcome::undecided("L8", format!("out of range: {e}")),
        };
        let (n, d) = components.shape();
        let values = optimum.shifted();
        let deviations: Vec<f64> = optimum.spectrum.values.iter().map(|v| v.sqrt()).collect();
        let centred = Matrix::from_fn(n, d, |i, j| optimum.rows[(i, j)] - optimum.spectrum.mean[j]);
        let pca = &optimum.spectrum.axes;
        let mut worst = (0.0_f64, 0.0_f64, 0.0_f64);
        let mut decided = 0;
        for k in 0..d {
            let angle = angle(&values, &deviations, k, residual, d);
            if angle > ANGLE {
                continue;
            }
            decided += 1;
            let axis = pca.col(k);
            let sign = agreed_sign(&axis, &axes.col(k), angle);
            for i in 0..n {
                let row = centred.row(i);
                let length = row.iter().map(|v| v * v).sum::<f64>().sqrt();
                let raw: f64 = optimum.rows.row(i).iter().map(|v| v * v).sum::<f64>().sqrt();
                let score: f64 = sign * row.iter().zip(&axis).map(|(a, b)| a * b).sum::<f64>();
                // A latent is off by γ κ(W) |h| in data units, the mean by the certificate.
                let own = gamma(8 * d) * kappa * (raw + length) + residual * values[0].sqrt();
                let tolerance = 2.0 * angle * length + own;
                let error = (components[(i, k)] - score).abs();
                let ratio = error / tolerance;
                if !worst.0.is_nan() && (ratio.is_nan() || ratio > worst.0) {
                    worst = (error / tolerance, error, tolerance);
                }
            }
        }
        if decided == 0 {
            return Outcome::undecided("L8", "requires distinct eigenvalues")
                .measured("no gap wide enough to name an axis");
        }
        Outcome::decide("L8", worst.0, 1.0)
            .predicted("VᵀJ⁻¹f = PCA scores")
            .measured(format!("off by {:.1e} in {decided} of {d} components", worst.1))
            .tolerance(format!("{:.1e}: axes by their gaps, rounding", worst.2))
            .figure("alpha", optimum.alpha)
            .figure("decided_components", decided as f64)
    }
}

/// How far the k-th axes of the flow and of the PCA may be apart.
fn angle(values: &[f64], deviations: &[f64], k: usize, residual: f64, d: usize) -> f64 {
    let s = |l: f64| l.sqrt().recip();
    let mut worst = 0.0_f64;
    for j in (0..values.len()).filter(|&j| j != k) {
        let relative = (values[j] - values[k]).abs() / (values[j] * values[k]).sqrt();
        let flow = (s(values[j]) - s(values[k])).abs() / s(values[values.len() - 1]);
        let data = (deviations[j] - deviations[k]).abs() / deviations[0];
        let turn = residual / relative + gamma(16 * d) * (flow.recip() + data.recip());
        // 0/0 where eigenvalues coincide.
        worst = if turn.is_nan() { f64::INFINITY } else { worst.max(turn) };
    }
    // d directions to turn into.
    worst * (d as f64).sqrt()
}

/// The sign that the V-based rule gives the PCA axis. Where two entries of the axis compete within the
/// angle the rule does not decide, and the flow's own axis does.
fn agreed_sign(axis: &[f64], of_flow: &[f64], angle: f64) -> f64 {
    let largest = axis.iter().fold(0.0_f64, |m, &x| if x.abs() > m.abs() { x } else { m });
    let rivals = axis.iter().filter(|x| x.abs() >= largest.abs() - 2.0 * angle);
    let contested = rivals.clone().any(|x| x.signum() != largest.signum());
    if contested {
        return axis.iter().zip(of_flow).map(|(a, b)| a * b).sum::<f64>().signum();
    }
    largest.signum()
}

impl Claim for L8 {
    fn id(&self) -> &'static str {
        "L8"
    }

    fn statement(&self) -> &'static str {
        "the components of a linear flow are the PCA scores: VᵀJ⁻¹f = Qᵀ(x - μ)"
    }

    fn formula(&self) -> &'static str {
        r"\hat y = S^{-1} U^\top f = V^\top J^{-1} f = Q^\top (x - \mu)"
    }

    fn remedy(&self) -> &'static str {
        "Check that no two eigenvalues coincide: their axes are not determined. If the scores agree up \
         to sign, the sign rule (largest entry of the data axis is positive) is broken; otherwise the \
         SVD of J."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        let at = |alpha| {
            fit("L8", cx, alpha).map_or_else(
                |undecided| *undecided,
                |o| match Self::components(&o) {
                    Ok((scores, axes)) => Self::judge(&o, &scores, &axes),
                    Err(e) => Outcome::undecided("L8", format!("out of range: {e}")),
                },
            )
        };
        let plain = at(0.0);
        // Any α gives the same components in training units; without an optimum at 0 the others decide.
        let rest = alphas(cx).into_iter().take(if cx.quick { 1 } else { usize::MAX }).map(at);
        let unfit =
            matches!(&plain.verdict, crate::theory::Verdict::Undecided(r) if r.starts_with("no optimum"));
        let all = if unfit { rest.collect() } else { std::iter::once(plain).chain(rest).collect() };
        worst("L8", all)
    }
}
