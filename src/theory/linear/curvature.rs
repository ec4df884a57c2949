//! L3: the curvature of the loss of a linear flow at its optimum.

use super::{Optimum, fit, worst};
use crate::flow::Error;
use crate::theory::tolerance::{gamma, larger};
use crate::theory::{Axis, Chart, Claim, Context, Outcome, Shape, Verdict};
use eigenflow_autodiff::Program;
use eigenflow_linalg::Matrix;
use eigenflow_linalg::eigen::eigvalsh;
use eigenflow_linalg::svd::condition_number;

/// The Hessian of the mean loss in `W` at the optimum has the eigenvalues `{2λ_i}`, `{λ_i + λ_j : i < j}`, and 0 with the
/// multiplicity `D(D-1)/2`, with `λ + 2α` for `λ` under the penalty.
#[derive(Clone, Copy, Debug)]
pub struct L3;

/// Most columns: the Hessian has `D²` rows.
const COLUMNS: usize = 8;
/// Weight at which the penalised optimum is looked at, unless the model has its own.
const ALPHA: f64 = 1e-2;

impl L3 {
    /// The Hessian of `E[-log p] + α‖W‖²` in the entries of `W`, row by row, on centred rows: forward over reverse
    /// through the flow's own log-density, one column a run.
    ///
    /// # Errors
    /// Those of the tape.
    pub fn hessian(optimum: &Optimum) -> Result<Matrix<f64>, Error> {
        let (n, d) = optimum.rows.shape();
        let mean = &optimum.spectrum.mean;
        let centred = Matrix::from_fn(n, d, |i, j| optimum.rows[(i, j)] - mean[j]);
        // f = W h + b = W (h - μ) + (W μ + b)
        let w = optimum.weight();
        let mut flow = optimum.flow.clone();
        for (i, b) in flow.parameters_mut()[1].data.iter_mut().enumerate() {
            *b += (0..d).map(|j| w[(i, j)] * mean[j]).sum::<f64>();
        }
        let program = Program::try_record(|r| {
            let x = r.batch(d);
            let params = flow.declare(r);
            let direction = r.shared(d, d);
            let loss = -flow.record_log_density(&params, x, 0..1).sum_rows() * (n as f64).recip();
            let penalty = params[0].square().sum_all() * optimum.alpha;
            let gradient = r.gradient(loss + penalty, &params[..1])?[0];
            r.jvp(&[gradient], &[(params[0], direction)])
        })?;
        let mut hessian = Matrix::zeros(d * d, d * d);
        for k in 0..d * d {
            let mut direction = vec![0.0; d * d];
            direction[k] = 1.0;
            let mut shared = flow.slices();
            shared.push(&direction);
            let column = program.run(n, &[centred.data()], &shared)?.pop().unwrap_or_default();
            hessian.row_mut(k).copy_from_slice(&column);
        }
        Ok(hessian)
    }

    /// The predicted eigenvalues, ascending, for the `λ_i + 2α`.
    ///
    /// ```
    /// use eigenflow::theory::linear::L3;
    /// assert_eq!(L3::spectrum(&[3.0, 1.0]), [0.0, 2.0, 4.0, 6.0]);
    /// ```
    pub fn spectrum(shifted: &[f64]) -> Vec<f64> {
        let d = shifted.len();
        let mut all: Vec<f64> = shifted.iter().map(|l| 2.0 * l).collect();
        for i in 0..d {
            for j in 0..i {
                all.extend([shifted[i] + shifted[j], 0.0]);
            }
        }
        all.sort_by(f64::total_cmp);
        all
    }

    /// The verdict on the Hessian of an optimum.
    ///
    /// With `W (Σ + 2αI) Wᵀ = I + R`, `‖R‖ <= δ`, the part `⟨W⁻¹dW, (W⁻¹dW)ᵀ⟩` is off by `2δ ‖W⁻¹‖² <= 2δ(1+δ)(λ_1 + 2α)`, and no
    /// eigenvalue moves by more (Weyl). The inverse rounds by `c_{4D} √D κ(W)`, sums over rows by `c_{N+4D} D`, both relative to
    /// `λ_1 + 2α`.
    pub fn judge(optimum: &Optimum, hessian: &Matrix<f64>) -> Outcome {
        let (n, d) = optimum.rows.shape();
        let symmetric = Matrix::from_fn(d * d, d * d, |i, j| 0.5 * (hessian[(i, j)] + hessian[(j, i)]));
        let measure = || {
            let kappa = condition_number(&optimum.weight())?;
            Ok::<_, eigenflow_linalg::Error>((eigvalsh(&symmetric)?, optimum.tolerance()?, kappa))
        };
        let (measured, delta, kappa) = match measure() {
            Ok(all) => all,
            Err(e) => return Outcome::undecided("L3", format!("out of range: {e}")),
        };
        let shifted = optimum.shifted();
        let predicted = Self::spectrum(&shifted);
        let rounding = 2.0 * gamma(n + 4 * d) * d as f64 + 4.0 * gamma(4 * d) * (d as f64).sqrt() * kappa;
        let tolerance = shifted[0] * (2.0 * delta * (1.0 + delta) + rounding);
        let error = measured.iter().zip(&predicted).map(|(m, p)| (m - p).abs()).fold(0.0, larger);
        let asymmetry = (0..d * d).flat_map(|i| (0..i).map(move |j| (i, j)));
        let asymmetry = asymmetry.map(|(i, j)| (hessian[(i, j)] - hessian[(j, i)]).abs()).fold(0.0, larger);
        let at: Vec<f64> = (1..=predicted.len()).map(|k| k as f64).collect();
        let zeros = d * (d - 1) / 2;
        let chart = Chart::new("Curvature of the loss", Axis::linear("index"), Axis::linear("eigenvalue of the Hessian"))
            .described(format!(
                "Eigenvalues of the {} x {} Hessian in W at α = {:.0e}: {zeros} zeros (rotations of the latents), then \
                 λ_i + λ_j and 2λ_i up to {:.4}; largest error {error:.1e}.",
                d * d,
                d * d,
                optimum.alpha,
                2.0 * shifted[0]
            ))
            .mark("predicted", Shape::Dashed, at.clone(), predicted)
            .mark("measured", Shape::Points, at, measured);
        Outcome::decide("L3", larger(error, asymmetry), tolerance)
            .resolving(tolerance, 2.0 * shifted[d - 1])
            .predicted(format!("{{2λ_i}}, {{λ_i + λ_j}}, 0 x {zeros} at α = {:.0e}", optimum.alpha))
            .measured(format!("{} eigenvalues off by at most {error:.1e}", d * d))
            .tolerance(format!("{tolerance:.1e}: certified gradient, rounding"))
            .figure("alpha", optimum.alpha)
            .figure("asymmetry", asymmetry)
            .chart(chart)
    }
}

impl Claim for L3 {
    fn id(&self) -> &'static str {
        "L3"
    }

    fn statement(&self) -> &'static str {
        "at the linear optimum the Hessian in W has the eigenvalues 2λ_i, λ_i + λ_j, and 0 x D(D-1)/2"
    }

    fn formula(&self) -> &'static str {
        r"\operatorname{spec} \nabla^2_W L = \{2\lambda_i\} \cup \{\lambda_i + \lambda_j\}_{j > i} \cup \{0\}^{D(D-1)/2}"
    }

    fn remedy(&self) -> &'static str {
        "If L1 holds, the optimum is right and the second derivatives of the tape are not: run the autodiff laws. \
         If L1 fails too, start there."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        if cx.flow.dim() > COLUMNS {
            return Outcome::undecided("L3", format!("requires D <= {COLUMNS}"));
        }
        let at = |alpha| match fit("L3", cx, alpha) {
            Err(undecided) => *undecided,
            Ok(optimum) => match Self::hessian(&optimum) {
                Ok(hessian) => Self::judge(&optimum, &hessian),
                Err(e) => Outcome::undecided("L3", format!("out of range: {e}")),
            },
        };
        let own = if cx.alpha > 0.0 { cx.alpha } else { ALPHA };
        let (plain, penalised) = (at(0.0), at(own));
        // Null directions leave no optimum at α = 0: the penalised one decides.
        if matches!(&plain.verdict, Verdict::Undecided(why) if why.starts_with("no optimum")) {
            penalised
        } else {
            worst("L3", vec![plain, penalised])
        }
    }
}
