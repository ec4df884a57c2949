//! G5: the density does not fix the local covariance.

use super::point::{along, data_rows, jacobian_noise, units};
use super::series::difference;
use super::spread::LocalCovarianceOrder;
use crate::flow::bijections::PolarShear;
use crate::flow::{Error, Flow, Layer};
use crate::theory::power::JacobianError;
use crate::theory::stability::log_density_error;
use crate::theory::tolerance::larger;
use crate::theory::{Claim, Context, Outcome, Verdict};
use eigenflow_linalg::Matrix;

/// G5: a polar shear at the latent end keeps every log-density, changes `J_g J_gᵀ`, and leaves G1 true.
pub struct Gauge;

/// Angle over squared radius of the shear.
const TWIST: f64 = 0.3;
/// Rows whose rounding exceeds this, in nats, say nothing of the log-density.
const USELESS: f64 = 0.1;
/// A change of the local covariance by less than this part is none.
const CHANGED: f64 = 0.01;
/// Standard deviations of measured noise that bound it, and roundings of one product.
const DEVIATIONS: f64 = 10.0;
const ROUNDINGS: f64 = 64.0;

/// A flow against itself behind one more layer `h` at the latent end: `f' = h ∘ f`, `J_g' = J_g Dh⁻¹`.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The largest `|log p' - log p|` over its rounding.
    pub density: f64,
    /// That difference in nats, and its rounding, where the ratio is largest.
    pub nats: (f64, f64),
    /// Rows whose log-densities are known to 0.1 nats; the others are left out.
    pub resolved: usize,
    /// The largest error over its rounding of the first two columns of `J_g'`, against `J_g Dh⁻¹` with the Jacobian of `h` alone.
    pub columns: f64,
    /// At each row, by how much the part of `J_g J_gᵀ` that two latents span moves, relative to itself.
    pub change: Vec<f64>,
}

impl Comparison {
    /// Compares at the rows of `x`, `D >= 2`.
    ///
    /// Log-densities are known to the rounding of their layers ([`log_density_error`], four times the sum). `h⁻¹`
    /// is evaluated first, so that both Jacobians stand at the same latent to the bit; what differs is their
    /// measured rounding.
    ///
    /// # Errors
    /// As [`Flow::normalize`].
    pub fn measure(flow: &Flow<f64>, layer: &Layer, x: &Matrix<f64>) -> Result<Self, Error> {
        Self::measure_broken(flow, layer, x, &JacobianError::NONE)
    }

    /// The same with an error in the columns of the sheared flow's Jacobian.
    ///
    /// # Errors
    /// As [`Flow::normalize`].
    pub fn measure_broken(
        flow: &Flow<f64>,
        layer: &Layer,
        x: &Matrix<f64>,
        error: &JacobianError,
    ) -> Result<Self, Error> {
        let d = flow.dim();
        let (sheared, h) = (flow.followed_by(layer.clone())?, Flow::new(vec![layer.clone()], 0, 0)?);
        let (before, after) = (flow.log_density(x)?, sheared.log_density(x)?);
        let (known, also) = (log_density_error(flow, x)?, log_density_error(&sheared, x)?);
        let mut out = Self { density: 0.0, nats: (0.0, 0.0), resolved: 0, columns: 0.0, change: Vec::new() };
        let there = sheared.normalize(x)?.0;
        let here = h.generate(&there)?;
        let axes = Matrix::from_fn(2, d, |i, j| f64::from(u8::from(i == j)));
        for row in 0..x.rows() {
            let (off, rounding) = ((after[row] - before[row]).abs(), 4.0 * (known[row] + also[row]));
            // Rounding that is not a number is no excuse.
            if !(rounding > USELESS) {
                out.resolved += 1;
                if !out.density.is_nan() && !(off / rounding <= out.density) {
                    (out.density, out.nats) = (off / rounding, (off, rounding));
                }
            }
            let at = |z: &Matrix<f64>| Matrix::new(1, d, z.row(row).to_vec());
            // The rows of `moved` are Dh⁻¹ e_1 and Dh⁻¹ e_2.
            let Some(moved) = along(&h, &at(&there), &axes)? else { continue };
            let moved = Matrix::new(2, d, moved.into_data());
            let columns = |flow: &Flow<f64>, z: &Matrix<f64>, directions: &Matrix<f64>| {
                let found = along(flow, &at(z), directions)?;
                Ok::<_, Error>(found.map(|found| Matrix::new(2, d, found.into_data())))
            };
            let (Some(sheared_columns), Some(predicted), Some(plain)) = (
                columns(&sheared, &there, &axes)?,
                columns(flow, &here, &moved)?,
                columns(flow, &here, &axes)?,
            ) else {
                continue;
            };
            let sheared_columns = error.apply_one(sheared_columns);
            let scale = units(&predicted.transpose());
            let noise = |flow: &Flow<f64>, z: &Matrix<f64>, directions: &Matrix<f64>| {
                jacobian_noise(flow, z.row(row), directions, &scale)
            };
            let (Some(a), Some(b)) = (noise(&sheared, &there, &axes)?, noise(flow, &here, &moved)?) else {
                continue;
            };
            let scaled = |m: &Matrix<f64>| Matrix::from_fn(2, d, |k, i| m[(k, i)] / scale[i]);
            let (s, p, plain) = (scaled(&sheared_columns), scaled(&predicted), scaled(&plain));
            let bound = DEVIATIONS * (a + b) + ROUNDINGS * f64::EPSILON * p.norm();
            out.columns = larger(out.columns, difference(&s, &p).norm() / bound);
            let part = |m: &Matrix<f64>| m.transpose().mul(m);
            let own = part(&plain);
            out.change.push(difference(&part(&s), &own).norm() / own.norm());
        }
        Ok(out)
    }
}

impl Gauge {
    /// The verdict on a comparison, and on G1 of the sheared flow.
    pub fn judge(comparison: &Comparison, second_order: &Verdict) -> Outcome {
        let largest = comparison.change.iter().fold(0.0, |m, c| larger(m, *c));
        let mut outcome = Outcome::decide("G5", larger(comparison.density, comparison.columns), 1.0);
        outcome.verdict = match (&outcome.verdict, second_order) {
            (Verdict::Fails, _) | (_, Verdict::Fails) => Verdict::Fails,
            _ if comparison.resolved == 0 => {
                Verdict::Undecided("out of range: rounding hides the log-density of every row".to_owned())
            }
            _ if !(largest > CHANGED) => Verdict::Undecided("requires latents off the origin".to_owned()),
            (_, Verdict::Undecided(why)) => Verdict::Undecided(why.clone()),
            _ => Verdict::Holds,
        };
        let (off, rounding) = comparison.nats;
        outcome
            .predicted("log p unchanged, J_g J_gᵀ changed, G1 true of both")
            .measured(format!(
                "log p moved by {off:.1e} nats, local covariance by up to {:.0} % at {} points",
                100.0 * largest,
                comparison.change.len()
            ))
            .tolerance(format!("{rounding:.1e} nats: rounding of both log-densities"))
            .figure("density", comparison.density)
            .figure("columns", comparison.columns)
            .figure("largest_change", largest)
            .figure("points", comparison.change.len() as f64)
            .figure("log_densities_resolved", comparison.resolved as f64)
    }

    fn decide(cx: &Context<'_>, error: &JacobianError) -> Result<Outcome, Error> {
        let dim = cx.flow.dim();
        let layer = PolarShear { dim, twist: TWIST }.into();
        let comparison = Comparison::measure_broken(
            cx.flow,
            &layer,
            &data_rows(cx, if cx.quick { 2 } else { 8 })?,
            error,
        )?;
        let sheared = cx.flow.followed_by(layer)?;
        let second_order = LocalCovarianceOrder.check(&Context { flow: &sheared, quick: true, ..cx.clone() });
        Ok(Self::judge(&comparison, &second_order.verdict))
    }
}

impl Claim for Gauge {
    fn id(&self) -> &'static str {
        "G5"
    }

    fn statement(&self) -> &'static str {
        "the density does not fix the local covariance: a polar shear of the latents keeps log p and changes J_g J_gᵀ"
    }

    fn formula(&self) -> &'static str {
        r"h(r, \theta) = (r, \theta + c r^2): \quad \log p' = \log p, \quad J_g' J_g'^\top \ne J_g J_g^\top"
    }

    fn remedy(&self) -> &'static str {
        "If log-densities moved, the composition of layers loses digits: see S6. If only J is wrong, compare its \
         three routes on the sheared flow."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        Self::run(cx, &JacobianError::NONE)
    }

    fn check_broken(&self, cx: &Context<'_>, error: &JacobianError) -> Option<Outcome> {
        Some(Self::run(cx, error))
    }
}

impl Gauge {
    fn run(cx: &Context<'_>, error: &JacobianError) -> Outcome {
        if cx.flow.dim() < 2 {
            return Outcome::undecided("G5", "requires at least two columns");
        }
        Self::decide(cx, error).unwrap_or_else(|e| Outcome::undecided("G5", format!("out of range: {e}")))
    }
}
