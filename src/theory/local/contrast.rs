//! C3: how far the columns of `J_g` are from orthogonal.

use super::point::data_rows;
use super::unwhitened::jacobian_rounding;
use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, jacobians};
use crate::theory::power::JacobianError;
use crate::theory::stability::passages;
use crate::theory::tolerance::{gamma, larger};
use crate::theory::{Axis, Chart, Claim, Context, Outcome, Shape};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::lu::Lu;
use eigenflow_linalg::svd::singular_values;

/// C3: the contrast `Σ log|g_i| - log|det J_g|` is not negative, and zero exactly where the columns `g_i` of `J_g` are
/// orthogonal.
pub struct Orthogonality;

/// Up to this many columns the log-determinant is the layers' own; beyond, that of `J` by LU.
pub(super) const LAYERED: usize = 64;
/// Rows whose rounding exceeds this, in nats, say nothing.
const USELESS: f64 = 0.1;

/// The contrast at one row, by two routes.
#[derive(Clone, Copy, Debug)]
pub struct Contrast {
    /// `Σ log|g_i| + log|det J|`, with `g_i` the columns of `J⁻¹`.
    pub direct: f64,
    /// `-log|det Ĵ_g|`, the columns scaled to length one, from singular values.
    pub angles: f64,
    /// `Σ_{i≠j} cos²(g_i, g_j)`: how far the Gram matrix of those columns is from the identity, squared.
    pub off: f64,
    /// Least and largest eigenvalue of that Gram matrix.
    pub extremes: [f64; 2],
    /// Rounding of any of the contrasts, nats.
    pub rounding: f64,
}

impl Contrast {
    /// Contrasts of a flow at the rows of `x`.
    ///
    /// `J` is known to `δ`, so `J⁻¹` and each of its columns to `‖J⁻¹‖δ` of its length and `log|det J|` to
    /// `D ‖J⁻¹‖δ`, besides the layers' own rounding of it; the SVD of the scaled columns adds `c_{4D} √D κ` roundings.
    ///
    /// # Errors
    /// As [`Flow::normalize`]; a singular Jacobian.
    pub fn measure(flow: &Flow<f64>, x: &Matrix<f64>) -> Result<Vec<Self>, Error> {
        Self::measure_broken(flow, x, &JacobianError::NONE)
    }

    /// The same with an error in every Jacobian.
    ///
    /// # Errors
    /// As [`Contrast::measure`].
    pub fn measure_broken(
        flow: &Flow<f64>,
        x: &Matrix<f64>,
        error: &JacobianError,
    ) -> Result<Vec<Self>, Error> {
        let d = flow.dim();
        let j = error.apply(jacobians(flow, x, Direction::Normalize, Route::Push)?);
        let delta = jacobian_rounding(flow, x)?;
        let layered = if d <= LAYERED { Some((flow.normalize(x)?.1, passages(flow, x)?)) } else { None };
        (0..x.rows())
            .map(|row| {
                let lu = Lu::new(&j.matrix(row))?;
                let (log_det, own) = match &layered {
                    Some((log_det, passages)) => (log_det[row], f64::EPSILON * passages[row].log_det),
                    None => (lu.slogdet().1, 0.0),
                };
                Ok(Self::of(&lu.inverse()?, log_det, delta[row], own)?)
            })
            .collect()
    }

    /// The contrast of the matrix `g` whose inverse has the log-determinant `log_det`; `delta` bounds the error of
    /// that inverse, `own` that of `log_det`.
    ///
    /// # Errors
    /// If an entry is not finite.
    pub fn of(g: &Matrix<f64>, log_det: f64, delta: f64, own: f64) -> Result<Self, eigenflow_linalg::Error> {
        let d = g.rows();
        let norms: Vec<f64> = (0..d).map(|i| g.col(i).into_iter().fold(0.0_f64, f64::hypot)).collect();
        let scaled = Matrix::from_fn(d, d, |i, j| g[(i, j)] / norms[j]);
        let s = singular_values(&scaled)?;
        let gram = scaled.transpose().mul(&scaled);
        let pairs = (0..d).flat_map(|i| (0..d).filter(move |&j| j != i).map(move |j| (i, j)));
        let off = pairs.map(|at| gram[at].powi(2)).sum();
        let logs: f64 = norms.iter().map(|n| n.ln()).sum();
        let size: f64 = log_det.abs() + norms.iter().map(|n| n.ln().abs()).sum::<f64>();
        let relative = singular_values(g)?[0] * delta;
        let condition = s[0] / s[d - 1];
        let rounding = 2.0 * d as f64 * relative
            + own
            + gamma(4 * d) * ((d as f64).sqrt() * condition + d as f64 + size);
        let angles = -s.iter().map(|s| s.ln()).sum::<f64>();
        let extremes = [s[d - 1] * s[d - 1], s[0] * s[0]];
        Ok(Self { direct: logs + log_det, angles, off, extremes, rounding })
    }

    /// What violates the claim, in units of the rounding: the two routes apart, a negative contrast, or one outside
    /// `off/4λ_max <= contrast <= off/4λ_min`. NaN where anything is.
    ///
    /// With `μ_i` the eigenvalues of `Ĝ - I`, `Σμ_i = 0` and `Σμ_i² = off`; the contrast is `-½ Σ log(1+μ_i)`, and
    /// `μ - μ²/2λ_min <= log(1+μ) <= μ - μ²/2λ_max` for `λ_min <= 1+μ <= λ_max`.
    pub fn violation(&self) -> f64 {
        let [least, largest] = self.extremes;
        let (below, above) = (self.off / (4.0 * largest), self.off / (4.0 * least));
        let errors =
            [(self.direct - self.angles).abs(), -self.direct, below - self.direct, self.direct - above];
        errors.into_iter().fold(f64::NEG_INFINITY, larger) / self.rounding
    }
}

impl Orthogonality {
    /// The verdict on contrasts.
    pub fn judge(all: &[Contrast]) -> Outcome {
        let known = |c: &&Contrast| !(c.rounding >= USELESS);
        let mut contrasts: Vec<f64> = all.iter().filter(known).map(|c| c.direct).collect();
        if contrasts.is_empty() {
            return Outcome::undecided("C3", "requires condition numbers below the reach of rounding");
        }
        let ratio = |c: &Contrast| c.violation();
        let worst = all.iter().filter(known).map(ratio).fold(f64::NEG_INFINITY, larger);
        contrasts.sort_by(f64::total_cmp);
        let n = contrasts.len();
        let quantile = |q: f64| contrasts[((n - 1) as f64 * q).round() as usize];
        let (least, median, most) = (quantile(0.0), quantile(0.5), quantile(1.0));
        let rounding = all.iter().filter(known).map(|c| c.rounding).fold(0.0, f64::max);
        let levels: Vec<f64> = (0..n).map(|k| (k as f64 + 0.5) / n as f64).collect();
        let chart = Chart::new("Contrast of the columns of J_g", Axis::linear("quantile"), Axis::linear("nats"))
            .described(format!(
                "Quantiles of Σ log|g_i| - log|det J_g| over {n} points: least {least:.3e}, median {median:.3e}, largest \
                 {most:.3e} nats. Zero where the latent axes are the local principal axes."
            ))
            .mark("contrast", Shape::Points, levels, contrasts.clone())
            .mark("orthogonal columns", Shape::Dashed, vec![0.0, 1.0], vec![0.0, 0.0]);
        Outcome::decide("C3", worst, 1.0)
            .predicted("Σ log|g_i| - log|det J_g| >= 0, between off/4λ_max and off/4λ_min")
            .measured(format!("{least:.2e} to {most:.2e} nats, median {median:.2e}, at {n} points"))
            .tolerance(format!("{rounding:.1e} nats: rounding of J by its layers, times ‖J⁻¹‖"))
            .figure("least", least)
            .figure("median", median)
            .figure("largest", most)
            .figure("points", n as f64)
            .chart(chart)
    }
}

impl Claim for Orthogonality {
    fn id(&self) -> &'static str {
        "C3"
    }

    fn statement(&self) -> &'static str {
        "the contrast Σ log|g_i| - log|det J_g| is not negative, and 0 exactly where the columns of J_g are orthogonal"
    }

    fn formula(&self) -> &'static str {
        r"c = \sum_i \log \lVert g_i \rVert - \log|\det J_g| \ge 0, \qquad c = 0 \iff g_i \perp g_j"
    }

    fn remedy(&self) -> &'static str {
        "A negative contrast breaks Hadamard's inequality, so the columns and the determinant are not of one \
         Jacobian: compare the routes of S6."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        Self::run(cx, &JacobianError::NONE)
    }

    fn check_broken(&self, cx: &Context<'_>, error: &JacobianError) -> Option<Outcome> {
        Some(Self::run(cx, error))
    }
}

impl Orthogonality {
    fn run(cx: &Context<'_>, error: &JacobianError) -> Outcome {
        let most = if cx.flow.dim() > LAYERED || cx.quick { 4 } else { 64 };
        data_rows(cx, most)
            .and_then(|x| Contrast::measure_broken(cx.flow, &x, error))
            .map_or_else(|e| Outcome::undecided("C3", format!("out of range: {e}")), |all| Self::judge(&all))
    }
}
