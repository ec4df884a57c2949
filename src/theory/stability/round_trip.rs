//! S6: round trips and the three routes to the log-determinant, to rounding.

use super::passage::{Passage, in_range, passages, points};
use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, jacobians};
use crate::theory::power::JacobianError;
use crate::theory::{Claim, Context, Outcome, Verdict};
use eigenflow_linalg::lu::slogdet;
use eigenflow_linalg::svd::singular_values;
use eigenflow_linalg::{Matrix, Real};

/// `‖x - g(f(x))‖ <= eps ‖Σ_l |∂x/∂h_l| w_l‖`, and the sum of the layers' log-determinants, `log|det J|` by LU and
/// `Σ log s` agree to the like; in both precisions, in and far out of the data.
#[derive(Clone, Copy, Debug)]
pub struct S6;

/// First-order bounds are taken at this multiple, for what is of second order.
const SAFETY: f64 = 2.0;
/// Where the bound exceeds this share of the row, or of the median row if that is larger, the precision resolves nothing: saturated.
const RESOLVED: f64 = 1e-2;
/// The like for log-determinants, in nats.
const RESOLVED_NATS: f64 = 0.1;

/// What was measured on some rows in one precision.
#[derive(Clone, Debug)]
pub struct RoundTrip {
    /// `eps` of the precision.
    pub eps: f64,
    /// Norm of each row.
    pub norm: Vec<f64>,
    /// `‖x - g(f(x))‖` of each row.
    pub error: Vec<f64>,
    /// `log|det J|` of each row: by the layers, by LU, by singular values.
    pub log_det: Vec<[f64; 3]>,
    /// Bounds of each row.
    pub passages: Vec<Passage>,
    /// Rows that left the range of the precision.
    pub out_of_range: usize,
}

impl RoundTrip {
    /// Measures `flow` on the rows of `x`, with bounds from the same parameters in `f64`.
    ///
    /// # Errors
    /// As [`Flow::normalize`].
    pub fn measure<T: Real>(flow: &Flow<T>, x: &Matrix<f64>) -> Result<Self, Error> {
        Self::measure_broken(flow, x, &JacobianError::NONE)
    }

    /// The same with an error in the Jacobians whose determinants are compared.
    ///
    /// # Errors
    /// As [`Flow::normalize`].
    pub fn measure_broken<T: Real>(
        flow: &Flow<T>,
        x: &Matrix<f64>,
        error: &JacobianError,
    ) -> Result<Self, Error> {
        let given = x.cast::<T>();
        let finite = |i: &usize| given.row(*i).iter().all(|v| v.is_finite());
        let rows: Vec<T> = (0..given.rows()).filter(finite).flat_map(|i| given.row(i).to_vec()).collect();
        let rows = in_range(flow, &Matrix::new(rows.len() / flow.dim(), flow.dim(), rows))?;
        let exact = flow.cast::<f64>();
        let wide = rows.cast::<f64>();
        let (z, sums) = flow.normalize(&rows)?;
        let all = 0..flow.layers().len();
        let back = flow.run(&z, |params, z| vec![flow.record_generate(params, z, all.clone()).out])?;
        let back = back.into_iter().next().unwrap_or_default();
        let j = error.apply(jacobians(flow, &rows, Direction::Normalize, Route::Push)?);
        let passages = passages(&exact, &wide)?;
        let mut out = Self {
            eps: T::EPS.f64(),
            norm: Vec::new(),
            error: Vec::new(),
            log_det: Vec::new(),
            passages: Vec::new(),
            out_of_range: x.rows() - rows.rows(),
        };
        for (i, passage) in passages.into_iter().enumerate() {
            let returned = &back[i * flow.dim()..(i + 1) * flow.dim()];
            let jacobian = j.matrix(i);
            if jacobian.check_finite("S6").is_err() || returned.iter().any(|v| !v.is_finite()) {
                out.out_of_range += 1;
                continue;
            }
            let row = wide.row(i);
            out.norm.push(norm(row.iter().copied()));
            out.error.push(norm(row.iter().zip(returned).map(|(x, b)| x - b.f64())));
            let lu = slogdet(&jacobian).map_or(f64::NAN, |(_, l)| l.f64());
            let svd = singular_values(&jacobian)?.iter().map(|s| s.f64().ln()).sum();
            out.log_det.push([sums[i].f64(), lu, svd]);
            out.passages.push(passage);
        }
        Ok(out)
    }

    /// Of all resolved rows the largest errors in units of their bounds: `(round trip, log-determinant)`, and how
    /// many rows were resolved for each. NaN stays NaN.
    pub fn ratios(&self) -> (f64, f64, usize, usize) {
        let (mut trip, mut det, mut trips, mut dets) = (0.0_f64, 0.0_f64, 0, 0);
        let larger = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
        let median = self.median_norm();
        for (i, p) in self.passages.iter().enumerate() {
            let bound = SAFETY * self.eps * p.round_trip;
            // A row whose norm overflows is nothing to compare with.
            if self.norm[i].is_finite() && bound <= RESOLVED * self.norm[i].max(median) {
                trip = larger(trip, self.error[i] / bound.max(f64::MIN_POSITIVE));
                trips += 1;
            }
            let bound = SAFETY * self.eps * p.log_det;
            if bound <= RESOLVED_NATS {
                let [a, b, c] = self.log_det[i];
                det = larger(det, larger((a - b).abs(), (a - c).abs()) / bound);
                dets += 1;
            }
        }
        (trip, det, trips, dets)
    }

    /// The size of the rows, in whose units a row near the origin is seen; 0 if there are none.
    fn median_norm(&self) -> f64 {
        let mut norms: Vec<f64> = self.norm.iter().copied().filter(|n| n.is_finite()).collect();
        norms.sort_by(f64::total_cmp);
        norms.get(norms.len() / 2).copied().unwrap_or(0.0)
    }
}

/// Euclidean norm; squares of finite numbers may overflow, or vanish.
fn norm(v: impl Iterator<Item = f64>) -> f64 {
    v.fold(0.0, f64::hypot)
}

impl S6 {
    /// The verdict on measurements, by name. It holds only where each precision resolves the round trip of a row and the
    /// log-determinant of one.
    pub fn judge(measured: &[(String, RoundTrip)]) -> Outcome {
        let mut worst = (0.0_f64, String::new());
        // Rows that are resolved in each precision: round trips, log-determinants.
        let mut resolved = [("f64", [0, 0]), ("f32", [0, 0])];
        let mut skipped = 0;
        let mut figures = Vec::new();
        for (name, m) in measured {
            let (trip, det, trips, dets) = m.ratios();
            let rows = &mut resolved[usize::from(m.eps > f64::EPSILON)].1;
            *rows = [rows[0] + trips, rows[1] + dets];
            skipped += m.out_of_range + m.passages.len() - trips;
            for (what, ratio) in [("round trip", trip), ("log-det", det)] {
                if !worst.0.is_nan() && (ratio.is_nan() || ratio > worst.0) {
                    worst = (ratio, format!("{what}, {name}"));
                }
            }
            figures.push((format!("{name} round trip / bound"), trip));
            figures.push((format!("{name} log-det / bound"), det));
            figures.push((format!("{name} rows resolved"), trips as f64));
        }
        let mut outcome = if resolved.iter().all(|r| r.1 == [0, 0]) {
            Outcome::undecided("S6", format!("out of range: {skipped} rows overflow or saturate"))
        } else {
            Outcome::decide("S6", worst.0, 1.0)
                .predicted("x = g(f(x)); three routes to log|det J| agree")
                .measured(format!("{:.1e} of the bound at worst ({})", worst.0, worst.1))
                .tolerance("eps Σ_l |∂x/∂h_l| w_l, w_l the layers' operations")
        };
        // Part of the claim is not the claim: it has two halves, in two precisions.
        let unseen = resolved.into_iter().find_map(|(precision, [trips, dets])| match (trips, dets) {
            (0, _) => Some((precision, "round trip")),
            (_, 0) => Some((precision, "log-determinant")),
            _ => None,
        });
        if let (Verdict::Holds, Some((precision, what))) = (&outcome.verdict, unseen) {
            let reason = format!("out of range: {precision} resolves the {what} of no row");
            outcome.verdict = Verdict::Undecided(reason);
        }
        for (name, value) in figures {
            outcome = outcome.figure(&name, value);
        }
        outcome.figure("rows out of range", skipped as f64)
    }
}

impl Claim for S6 {
    fn id(&self) -> &'static str {
        "S6"
    }

    fn statement(&self) -> &'static str {
        "x = g(f(x)) to rounding times sensitivities, and three routes to log|det J| agree"
    }

    fn formula(&self) -> &'static str {
        r"\lVert x - g(f(x)) \rVert \le \mathrm{eps}\, \left\lVert \sum_l \left| \frac{\partial x}{\partial h_l} \right| w_l \right\rVert"
    }

    fn remedy(&self) -> &'static str {
        "The figures name the rows and the precision. If only rows far out fail, a layer saturates there \
         without being recognised; if rows of the data fail, a layer's generate is not the inverse of \
         its normalize, or its log-determinant is not that of its Jacobian."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        Self::run(cx, &JacobianError::NONE)
    }

    fn check_broken(&self, cx: &Context<'_>, error: &JacobianError) -> Option<Outcome> {
        Some(Self::run(cx, error))
    }
}

impl S6 {
    fn run(cx: &Context<'_>, error: &JacobianError) -> Outcome {
        let single = cx.flow.cast::<f32>();
        let mut measured = Vec::new();
        for (name, x) in points(cx) {
            match RoundTrip::measure_broken(cx.flow, &x, error) {
                Ok(m) => measured.push((format!("{name}, f64"), m)),
                Err(e) => return Outcome::undecided("S6", format!("out of range: {e}")),
            }
            // What f32 cannot represent at all is out of its range, not a failure; it counts as no row.
            if let Ok(m) = RoundTrip::measure_broken(&single, &x, error) {
                measured.push((format!("{name}, f32"), m));
            }
        }
        Self::judge(&measured)
    }
}
