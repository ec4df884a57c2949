//! G6: flows with closed forms, against everything that the tape computes of them.

mod elementary;
mod planar;

use super::point::random_directions;
use super::rule::Neighbourhood;
use super::second_order::SecondOrder;
use super::series::{Cubature, difference, series};
use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, jacobians};
use crate::random::generator;
use crate::theory::tolerance::larger;
use crate::theory::{Claim, Context, Outcome};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::lu::Lu;
use rand_pcg::Pcg64;

/// Roundings that one evaluation of a closed form or of the tape may take, for each column.
const ROUNDINGS: f64 = 256.0;

/// G6: affine, sinh-arcsinh, banana and polar shear flows, the S-curve tube and the Swiss roll.
pub struct AnalyticFlows;

/// Closed forms at one latent.
#[derive(Clone, Debug)]
pub struct Closed {
    /// `g(y)`.
    pub x: Vec<f64>,
    /// `J_g`, `[D, D]`.
    pub jacobian: Matrix<f64>,
    /// `log|det J|` of the normalizing direction.
    pub log_det: f64,
    /// The second-order term, `[D, D]`.
    pub k: Matrix<f64>,
    /// Whether `S(ε) = J_g J_gᵀ + ε²K` at every `ε`: maps that are at most quadratic.
    pub exact: bool,
}

/// A flow, a latent, and what is known of them.
#[derive(Clone, Debug)]
pub struct Case {
    /// The bijection.
    pub name: &'static str,
    /// The flow.
    pub flow: Flow<f64>,
    /// The latent.
    pub y: Vec<f64>,
    /// The closed forms there.
    pub closed: Closed,
}

impl Case {
    /// One of each, of `d` columns; sheets have three, the polar shear at least two.
    ///
    /// # Errors
    /// If `d` is 0.
    pub fn all(d: usize, random: &mut Pcg64) -> Result<Vec<Self>, Error> {
        Ok(vec![
            Self::affine(d, random)?,
            Self::banana(d, random)?,
            Self::sinh_arcsinh(d, random)?,
            Self::polar_shear(d.max(2), random)?,
            Self::s_curve_tube(random)?,
            Self::swiss_roll(random)?,
        ])
    }

    /// The largest error over its tolerance: values, Jacobians by three routes in both directions,
    /// log-determinants, `K`, and `S(ε)` where that is exact.
    ///
    /// Tolerances are `256 D eps` times the size of what is compared and the condition number of `J_g`.
    ///
    /// # Errors
    /// Those of the tape.
    pub fn error(&self) -> Result<f64, Error> {
        let (d, closed) = (self.y.len(), &self.closed);
        let inverse = Lu::new(&closed.jacobian)?.inverse()?;
        let condition = closed.jacobian.norm() * inverse.norm();
        let unit = ROUNDINGS * d as f64 * f64::EPSILON * condition;
        let z = Matrix::new(1, d, self.y.clone());
        let x = Matrix::new(1, d, closed.x.clone());
        let size = 1.0 + z.norm() + x.norm();
        let mut worst = 0.0_f64;
        // NaN stays.
        let mut note = |error: f64, size: f64| worst = larger(worst, error / (unit * size));
        let (back, log_det) = self.flow.normalize(&x)?;
        note(difference(&back, &z).norm(), size);
        note(difference(&self.flow.generate(&z)?, &x).norm(), size);
        note((log_det[0] - closed.log_det).abs(), size);
        for route in [Route::Push, Route::Pull, Route::Layers] {
            let generated = jacobians(&self.flow, &z, Direction::Generate, route)?.matrix(0);
            note(difference(&generated, &closed.jacobian).norm(), closed.jacobian.norm() * size);
            let normalized = jacobians(&self.flow, &x, Direction::Normalize, route)?.matrix(0);
            note(difference(&normalized, &inverse).norm(), inverse.norm() * size);
            note((Lu::new(&normalized)?.slogdet().1 - closed.log_det).abs(), size);
        }
        let directions = random_directions(d, d, 0)?;
        let second = SecondOrder::new(&self.flow, &self.y, &directions)?;
        let known = 1.0 + closed.k.norm() + closed.jacobian.norm().powi(2);
        note(difference(&second.k(1.0), &closed.k).norm(), known * size);
        if closed.exact && d <= 3 {
            let cubature = Cubature::Product(Neighbourhood::Normal);
            let measured =
                series(&self.flow, &self.y, &directions, cubature, &vec![1.0; d], 0.0, &[1.0, 0.25])?;
            let limit = closed.jacobian.mul(&closed.jacobian.transpose());
            for (s, eps) in measured.s.iter().zip(&measured.eps) {
                let off = difference(&difference(s, &limit), &closed.k.map(|k| eps * eps * k));
                note(off.norm(), known * size / eps);
            }
        }
        Ok(worst)
    }
}

impl AnalyticFlows {
    fn decide(cx: &Context<'_>) -> Result<Outcome, Error> {
        let mut worst: (f64, &str) = (0.0, "none");
        for index in 0..if cx.quick { 2 } else { 8 } {
            let random = &mut generator(cx.seed, "analytic", index);
            for case in Case::all(1 + (index as usize % 3), random)? {
                let error = case.error()?;
                if !worst.0.is_nan() && !(error <= worst.0) {
                    worst = (error, case.name);
                }
            }
        }
        Ok(Outcome::decide("G6", worst.0, 1.0)
            .predicted("closed forms of map, Jacobians, log-determinant, K and S(ε)")
            .measured(format!("{:.2e} of the tolerance, at {}", worst.0, worst.1))
            .tolerance("256 D κ roundings"))
    }
}

impl Claim for AnalyticFlows {
    fn id(&self) -> &'static str {
        "G6"
    }

    fn statement(&self) -> &'static str {
        "on analytic flows (affine, sinh-arcsinh, banana, polar shear, S-curve, Swiss roll) all agrees with closed forms"
    }

    fn formula(&self) -> &'static str {
        r"g,\ J_g,\ \log|\det J|,\ K \text{ and } S(\varepsilon) \text{ agree with their closed forms}"
    }

    fn remedy(&self) -> &'static str {
        "The claim does not use your model or data: a failure is a bug in this program, on this machine. \
         The measured text names the flow; run the laws of the tape for its layer."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        Self::decide(cx).unwrap_or_else(|error| Outcome::undecided("G6", error.to_string()))
    }
}
