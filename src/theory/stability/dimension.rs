//! S3: the effective dimension under the penalty.

use super::virial::{Moments, STATIONARY, WORK, in_training_units, jacobian_work, rows};
use crate::dimension::jacobian_norms;
use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, jacobians};
use crate::theory::{Axis, Chart, Claim, Context, Outcome, Shape};
use crate::train::polish::output_affine;
use eigenflow_linalg::Matrix;

/// `d_eff(x) = Σ (1 - 2α s_i(x)²) = D - 2α‖J(x)‖²_F`, training units; its mean is `E‖f‖²` at a stationary point.
#[derive(Clone, Copy, Debug)]
pub struct S3;

/// Rows whose `‖J‖²` is estimated where there are too many columns for all of it.
const ESTIMATED: usize = 4096;
/// Numbers of a block of Jacobians in flight.
const BLOCK: usize = 1 << 22;
/// Quantiles that are shown.
const QUANTILES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

/// The effective dimension of rows in training units.
#[derive(Clone, Debug)]
pub struct EffectiveDimension {
    /// `D`.
    pub dim: usize,
    /// Tikhonov weight; the scale at which dimensions are counted is `√(2α)`.
    pub alpha: f64,
    /// `d_eff(x)` of each row: exact, or with the estimate `‖Jv‖²` of `‖J‖²_F`, `v` random signs.
    pub values: Vec<f64>,
    /// Whether `values` are estimates, whose mean is right and whose quantiles are not.
    pub estimated: bool,
    /// `E‖f‖²` over the same rows.
    pub square: f64,
}

impl EffectiveDimension {
    /// Measures the core of `flow` on rows in training units, `‖J‖²` exactly or (`estimated`) along one random sign vector a row.
    ///
    /// Cost a row: a pull of `D` cotangents, or a push of one tangent. The moments of the virial identity are pushed: `J` comes by two routes.
    ///
    /// # Errors
    /// As [`Flow::normalize`].
    pub fn measure(
        flow: &Flow<f64>,
        rows: &Matrix<f64>,
        alpha: f64,
        estimated: bool,
        seed: u64,
    ) -> Result<Self, Error> {
        let core = flow.part(flow.core())?;
        let (n, d) = rows.shape();
        let z = core.normalize(rows)?.0;
        let norms = match (alpha > 0.0, estimated) {
            (false, _) => vec![0.0; n],
            (true, false) => squared_norms(&core, rows, Route::Pull)?,
            (true, true) => jacobian_norms(&core, rows, true, seed)?,
        };
        let values = norms.iter().map(|norm| d as f64 - 2.0 * alpha * norm).collect();
        let square = z.data().iter().map(|v| v * v).sum::<f64>() / n.max(1) as f64;
        Ok(Self { dim: d, alpha, values, estimated, square })
    }

    /// Mean of `d_eff`, and its standard error over the rows.
    pub fn mean(&self) -> (f64, f64) {
        let n = self.values.len().max(1) as f64;
        let mean = self.values.iter().sum::<f64>() / n;
        let square = self.values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        (mean, (square / n).sqrt())
    }
}

/// `‖J(x)‖²_F` of each row from its exact Jacobian, a block of rows at a time.
pub(super) fn squared_norms(core: &Flow<f64>, x: &Matrix<f64>, route: Route) -> Result<Vec<f64>, Error> {
    let d = core.dim();
    let mut norms = Vec::with_capacity(x.rows());
    for block in x.data().chunks((BLOCK / (d * d)).max(1) * d) {
        let rows = Matrix::new(block.len() / d, d, block.to_vec());
        let j = jacobians(core, &rows, Direction::Normalize, route)?;
        norms.extend((0..rows.rows()).map(|i| j.get(i).iter().map(|v| v * v).sum::<f64>()));
    }
    Ok(norms)
}

impl S3 {
    /// The verdict on the training rows of a stationary flow.
    ///
    /// `E d_eff - E‖f‖² = -tr R` with the virial residual `R`, and `|tr R| <= D ‖R‖₂`: `stationary` bounds `‖R‖₂` by the tape's
    /// gradient, `rounding` what both sides round.
    pub fn judge(measured: &EffectiveDimension, stationary: f64, rounding: f64) -> Outcome {
        let error = (measured.mean().0 - measured.square).abs();
        let tolerance = measured.dim as f64 * (stationary + rounding);
        let outcome = if stationary <= STATIONARY && rounding > STATIONARY {
            Outcome::undecided("S3", format!("out of range: {rounding:.1e} of rounding"))
                .figure("error", error)
                .figure("tolerance", tolerance)
        } else if stationary <= STATIONARY {
            Outcome::decide("S3", error, tolerance)
        } else {
            Outcome::undecided("S3", format!("not stationary: E d_eff and E‖f‖² apart by {error:.2e}"))
                .figure("error", error)
                .figure("tolerance", tolerance)
        };
        let outcome =
            outcome.tolerance(format!("{tolerance:.1e}: D times gradient of the output layer and rounding"));
        Self::shown(outcome, measured)
    }

    /// The outcome with the figures and, where the values are exact, the chart.
    fn shown(outcome: Outcome, m: &EffectiveDimension) -> Outcome {
        let (mean, error) = m.mean();
        let how = if m.estimated { ", ‖J‖² estimated along random signs" } else { "" };
        let mut outcome = outcome
            .predicted("E d_eff = E‖f‖², d_eff = Σ(1 - 2α s²)")
            .measured(format!(
                "E d_eff = {mean:.4} ± {error:.1e} of {} at scale {:.3}, E‖f‖² = {:.4}, {} rows{how}",
                m.dim,
                (2.0 * m.alpha).sqrt(),
                m.square,
                m.values.len()
            ))
            .figure("effective_dimension", mean)
            .figure("effective_dimension_error", error)
            .figure("latent_square", m.square)
            .figure("scale", (2.0 * m.alpha).sqrt());
        if m.estimated || m.alpha == 0.0 || m.values.is_empty() {
            return outcome;
        }
        let mut sorted = m.values.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| sorted[((sorted.len() - 1) as f64 * q).round() as usize];
        let values: Vec<f64> = QUANTILES.iter().map(|q| at(*q)).collect();
        for (q, v) in QUANTILES.iter().zip(&values) {
            outcome = outcome.figure(&format!("effective_dimension_{:02.0}", 100.0 * q), *v);
        }
        let chart = Chart::new(
            "Effective dimension over the rows",
            Axis::linear("share of rows below"),
            Axis::linear("d_eff(x)"),
        )
        .described(format!(
            "Quantiles of d_eff(x) = D - 2α‖J(x)‖² at scale √(2α) = {:.3}: median {:.3}, mean {mean:.3}, of {} columns; it is \
             negative where J is sharper than the scale.",
            (2.0 * m.alpha).sqrt(),
            at(0.5),
            m.dim
        ))
        .mark("d_eff(x)", Shape::Line, QUANTILES.to_vec(), values)
        .mark("E‖f‖²", Shape::Dashed, vec![0.0, 1.0], vec![m.square; 2]);
        outcome.chart(chart)
    }

    fn decide(cx: &Context<'_>) -> Result<Outcome, Error> {
        let whole = rows(cx, false)?;
        let affordable = |x: &Matrix<f64>| cx.alpha == 0.0 || jacobian_work(cx.flow, x.rows()) <= WORK;
        let reason = match &whole {
            _ if cx.other_regularisers => "requires training without other regularisers",
            _ if output_affine(cx.flow).is_none() => "requires an output affine layer",
            None => "requires data",
            Some(x) if affordable(x) => {
                let measured = EffectiveDimension::measure(cx.flow, x, cx.alpha, false, cx.seed)?;
                let moments = Moments::measure(cx.flow, x, cx.alpha)?;
                return Ok(Self::judge(&measured, moments.stationary, moments.rounding));
            }
            Some(_) => "requires Jacobians of the whole training set, which are too many",
        };
        // The figures all the same, on some rows.
        let some = match cx.training.or(cx.held_out).filter(|x| x.rows() > 0) {
            Some(x) => {
                let n = x.rows().min(ESTIMATED);
                Matrix::new(n, x.cols(), x.data()[..n * x.cols()].to_vec())
            }
            None => cx.flow.sample(ESTIMATED, 1.0, cx.seed)?,
        };
        let some = in_training_units(cx.flow, some)?;
        let estimated = !affordable(&some);
        let measured = EffectiveDimension::measure(cx.flow, &some, cx.alpha, estimated, cx.seed)?;
        let error = (measured.mean().0 - measured.square).abs();
        Ok(Self::shown(Outcome::undecided("S3", reason).figure("error", error), &measured))
    }
}

impl Claim for S3 {
    fn id(&self) -> &'static str {
        "S3"
    }

    fn statement(&self) -> &'static str {
        "the effective dimension Σ(1 - 2α s²) has the mean E‖f‖² at a stationary point"
    }

    fn formula(&self) -> &'static str {
        r"d_{\mathrm{eff}}(x) = \sum_i (1 - 2\alpha s_i^2) = D - 2\alpha \lVert J(x) \rVert_F^2, \qquad E\, d_{\mathrm{eff}} = E \lVert f \rVert^2"
    }

    fn remedy(&self) -> &'static str {
        "S3 is the trace of S2b: look there first. If S2b holds and this does not, the two routes to ‖J‖² \
         disagree; compare the push with the pull."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        Self::decide(cx).unwrap_or_else(|e| Outcome::undecided("S3", format!("out of range: {e}")))
    }
}
