//! S1: the penalised likelihood is bounded, whatever the flow and the data.

use super::passage::{in_range, passages, points};
use crate::flow::base::sup_log_density;
use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, jacobians};
use crate::theory::power::JacobianError;
use crate::theory::{Axis, Chart, Claim, Context, Outcome, Shape};
use eigenflow_linalg::Matrix;
use std::f64::consts::{E, PI};

/// `log p(x) - α‖J(x)‖²_F <= -(D/2) log(4πeα)` at every `x`, for any parameters.
#[derive(Clone, Copy, Debug)]
pub struct S1;

/// Weights at which the bound is checked, besides the model's own and each row's sharpest.
const ALPHAS: [f64; 5] = [1e-4, 1e-2, 0.5, 10.0, 1e3];

/// Where `‖J‖²` is beyond this, or below its reciprocal, a penalty or the sharpest weight overflows.
const LARGEST: f64 = 1e300;

/// `log p` and `‖J‖²_F` of rows, with what rounding makes of the first.
#[derive(Clone, Debug)]
pub struct Density {
    /// Columns.
    pub dim: usize,
    /// `log p(x)` of each row, less what the base's supremum has above the standard normal's.
    pub log_p: Vec<f64>,
    /// `‖J(x)‖²_F` of each row.
    pub norm: Vec<f64>,
    /// Rounding of each row, absolute.
    pub rounding: Vec<f64>,
}

impl Density {
    /// Measures a flow on rows; those outside its range are left out.
    ///
    /// # Errors
    /// As [`Flow::normalize`].
    pub fn measure(flow: &Flow<f64>, x: &Matrix<f64>) -> Result<Self, Error> {
        Self::measure_broken(flow, x, &JacobianError::NONE)
    }

    /// The same with an error in the Jacobians.
    ///
    /// # Errors
    /// As [`Flow::normalize`].
    pub fn measure_broken(flow: &Flow<f64>, x: &Matrix<f64>, error: &JacobianError) -> Result<Self, Error> {
        let x = in_range(flow, x)?;
        let log_p = flow.log_density(&x)?;
        let z = flow.normalize(&x)?.0;
        let j = error.apply(jacobians(flow, &x, Direction::Normalize, Route::Push)?);
        let passages = passages(flow, &x)?;
        let d = flow.dim() as f64;
        // Measured against the supremum of the base: what it has above the normal's is taken off.
        let sup = flow.sup_base()?;
        let above = if flow.base().is_standard() { 0.0 } else { sup - sup_log_density(flow.dim()) };
        let mut out = Self { dim: flow.dim(), log_p: Vec::new(), norm: Vec::new(), rounding: Vec::new() };
        for (i, passage) in passages.iter().enumerate() {
            let norm: f64 = j.get(i).iter().map(|v| v * v).sum();
            let square: f64 = z.row(i).iter().map(|v| v * v).sum();
            // The bound is one of linear algebra for the pair (f, J) as computed: what counts is how far the
            // log-determinant is from that of J, and the sums.
            let mut rounding = 2.0 * f64::EPSILON * (passage.log_det + d * square + 4.0 * d);
            if !flow.base().is_standard() {
                // Each column's term has at most 16 operations on numbers no larger than this.
                rounding +=
                    16.0 * f64::EPSILON * d * (square + sup.abs() + (log_p[i] + above).abs().min(LARGEST));
            }
            if (LARGEST.recip()..=LARGEST).contains(&norm) && rounding.is_finite() {
                out.log_p.push(log_p[i] - above);
                out.norm.push(norm);
                out.rounding.push(rounding);
            }
        }
        Ok(out)
    }

    /// Measures the core of a model, in training units, where `α` acts: on data, draws, and rows far out, by name. `error` is
    /// put into every Jacobian.
    ///
    /// # Errors
    /// As [`Flow::normalize`].
    pub fn everywhere(cx: &Context<'_>, error: &JacobianError) -> Result<Vec<(&'static str, Self)>, Error> {
        let core = cx.flow.part(cx.flow.core())?;
        let mut measured = Vec::new();
        for (name, x) in points(cx) {
            let rows = if cx.flow.preprocessing() == 0 {
                x
            } else {
                let before = cx.flow.part(0..cx.flow.preprocessing())?;
                before.normalize(&in_range(&before, &x)?)?.0
            };
            measured.push((name, Self::measure_broken(&core, &rows, error)?));
        }
        Ok(measured)
    }
}

impl S1 {
    /// The bound `sup log p_base - (D/2) log(2eα)`.
    ///
    /// At `α = D / 2‖J‖²` it is the sharpest for a row: `log p <= (D/2) log(‖J‖² / 2πD)`.
    pub fn bound(dim: usize, alpha: f64) -> f64 {
        sup_log_density(dim) - 0.5 * dim as f64 * (2.0 * E * alpha).ln()
    }

    /// The verdict on measurements, at the fixed weights, the model's own (0 for none) and each row's sharpest.
    pub fn judge(measured: &[Density], own: f64) -> Outcome {
        // The least slack, less its rounding: negative fails.
        let mut least = (f64::INFINITY, f64::INFINITY, 0.0);
        let mut points = 0;
        for m in measured {
            for i in 0..m.log_p.len() {
                points += 1;
                let sharpest = 0.5 * m.dim as f64 / m.norm[i];
                for alpha in ALPHAS.into_iter().chain((own > 0.0).then_some(own)).chain([sharpest]) {
                    let penalty = alpha * m.norm[i];
                    let slack = Self::bound(m.dim, alpha) - (m.log_p[i] - penalty);
                    let tolerance =
                        m.rounding[i] + 4.0 * f64::EPSILON * m.dim as f64 * (penalty + slack.abs());
                    let spare = slack + tolerance;
                    if !least.0.is_nan() && (spare.is_nan() || spare < least.0) {
                        least = (slack + tolerance, slack, tolerance);
                    }
                }
            }
        }
        if points == 0 {
            return Outcome::undecided("S1", "out of range: no finite log-density");
        }
        Outcome::decide("S1", -least.1, least.2)
            .predicted("log p - α‖J‖² <= -(D/2) log 4πeα")
            .measured(format!("least slack {:.3e} nats at {points} points", least.1))
            .tolerance(format!("{:.1e}: rounding of the log-determinant", least.2))
            .figure("least_slack", least.1)
            .figure("points", points as f64)
    }
}

/// Densities of data and draws against `‖J‖²`, under the cap `(D/2) log(‖J‖² / 2πD)`.
fn picture(measured: &[(&'static str, Density)]) -> Chart {
    // Far out of the data densities are so low that nothing else could be seen.
    let near = || measured.iter().filter(|m| ["data", "samples"].contains(&m.0));
    let all = near().flat_map(|m| m.1.norm.iter().copied());
    let (low, high) = all.fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)));
    let d = measured.first().map_or(1, |m| m.1.dim) as f64;
    let steps = 40;
    let norm: Vec<f64> =
        (0..=steps).map(|k| low * (high / low).powf(f64::from(k) / f64::from(steps))).collect();
    let cap = norm.iter().map(|n| 0.5 * d * (n / (2.0 * PI * d)).ln()).collect();
    let slack = near().flat_map(|m| m.1.log_p.iter().zip(&m.1.norm));
    let least = slack.map(|(p, n)| 0.5 * d * (n / (2.0 * PI * d)).ln() - p).fold(f64::INFINITY, f64::min);
    let mut chart = Chart::new("Density under its cap", Axis::log("‖J(x)‖² (training units)"), Axis::linear("log p(x) (nats)"))
        .described(format!(
            "Log-densities of data and of the model's own draws against ‖J‖². All lie below the cap (D/2) log(‖J‖²/2πD), the \
             nearest by {least:.2} nats."
        ));
    for (name, m) in near() {
        chart = chart.mark(name, Shape::Points, m.norm.clone(), m.log_p.clone());
    }
    chart.mark("cap", Shape::Dashed, norm, cap)
}

impl Claim for S1 {
    fn id(&self) -> &'static str {
        "S1"
    }

    fn statement(&self) -> &'static str {
        "log p(x) - α‖J(x)‖² <= -(D/2) log(4πeα) at every point, for any parameters"
    }

    fn formula(&self) -> &'static str {
        r"\log p(x) - \alpha \lVert J(x) \rVert_F^2 \le -\frac{D}{2} \log(4\pi e \alpha)"
    }

    fn remedy(&self) -> &'static str {
        "No parameters can break this bound, so density and Jacobian do not belong to the same map: \
         compare log|det J| by the three routes of S6, and the push with the pull."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        Self::run(cx, &JacobianError::NONE)
    }

    fn check_broken(&self, cx: &Context<'_>, error: &JacobianError) -> Option<Outcome> {
        Some(Self::run(cx, error))
    }
}

impl S1 {
    fn run(cx: &Context<'_>, error: &JacobianError) -> Outcome {
        match Density::everywhere(cx, error) {
            Ok(measured) => {
                let chart = picture(&measured);
                let measured: Vec<Density> = measured.into_iter().map(|m| m.1).collect();
                Self::judge(&measured, cx.alpha).chart(chart)
            }
            Err(e) => Outcome::undecided("S1", format!("out of range: {e}")),
        }
    }
}
