//! G6: flows with closed forms, against everything that the tape computes of them.

use super::point::random_directions;
use super::rule::Neighbourhood;
use super::second_order::SecondOrder;
use super::series::{Cubature, difference, series};
use crate::flow::bijections::{Affine, Banana, Form, SinhArcsinh};
use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, jacobians};
use crate::random::generator;
use crate::theory::{Claim, Context, Outcome};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::lu::Lu;
use rand::RngExt;
use rand_pcg::Pcg64;

/// Roundings that one evaluation of a closed form or of the tape may take, for each column.
const ROUNDINGS: f64 = 256.0;

/// G6: affine, sinh-arcsinh and banana flows.
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
    /// A random affine map: `J_g = W⁻¹`, `K = 0`.
    ///
    /// # Errors
    /// If the matrix is singular.
    pub fn affine(d: usize, random: &mut Pcg64) -> Result<Self, Error> {
        let mut flow = Flow::new(vec![Affine::new(d, Form::Full).into()], 0, 0)?;
        let w = Matrix::from_fn(d, d, |i, j| random.random_range(-0.5..0.5) + if i == j { 2.0 } else { 0.0 });
        let b: Vec<f64> = (0..d).map(|_| random.random_range(-1.0..1.0)).collect();
        flow.parameters_mut()[0].data.copy_from_slice(w.data());
        flow.parameters_mut()[1].data.copy_from_slice(&b);
        let y: Vec<f64> = (0..d).map(|_| random.random_range(-2.0..2.0)).collect();
        let lu = Lu::new(&w)?;
        let jacobian = lu.inverse()?;
        let centred = Matrix::from_fn(d, 1, |i, _| y[i] - b[i]);
        let x = jacobian.mul(&centred).into_data();
        let closed = Closed { x, jacobian, log_det: lu.slogdet().1, k: Matrix::zeros(d, d), exact: true };
        Ok(Self { name: "affine", flow, y, closed })
    }

    /// A random banana: `J_g = I + 2 y_1 b e_1ᵀ`, `K = 2 b bᵀ`, `log|det| = 0`.
    ///
    /// # Errors
    /// If `d` is 0.
    pub fn banana(d: usize, random: &mut Pcg64) -> Result<Self, Error> {
        let mut flow = Flow::new(vec![Banana { dim: d }.into()], 0, 0)?;
        let mut b = vec![0.0; d];
        b[1..].iter_mut().for_each(|b| *b = random.random_range(-1.5..1.5));
        if let Some(bend) = flow.parameters_mut().first_mut() {
            bend.data.copy_from_slice(&b[1..]);
        }
        let y: Vec<f64> = (0..d).map(|_| random.random_range(-2.0..2.0)).collect();
        let x = (0..d).map(|i| y[i] + b[i] * (y[0] * y[0] - 1.0)).collect();
        let slope = |i: usize, j: usize| if j == 0 { 2.0 * y[0] * b[i] } else { 0.0 };
        let jacobian = Matrix::from_fn(d, d, |i, j| slope(i, j) + f64::from(u8::from(i == j)));
        let k = Matrix::from_fn(d, d, |i, j| 2.0 * b[i] * b[j]);
        let closed = Closed { x, jacobian, log_det: 0.0, k, exact: true };
        Ok(Self { name: "banana", flow, y, closed })
    }

    /// A random sinh-arcsinh. With `q = 1 + y²` and `u = (asinh y + ε)/δ`, for each column
    /// `g' = cosh u / (δ√q)`, `g'' = sinh u / (δ² q) - y cosh u / (δ q^{3/2})`,
    /// `g''' = cosh u (δ⁻³ - δ⁻¹) q^{-3/2} - 3 y sinh u δ⁻² q⁻² + 3 y² cosh u δ⁻¹ q^{-5/2}`, and
    /// `K_ii = ½ g''² + g' g'''`. Off the diagonal `K` is zero.
    ///
    /// # Errors
    /// If `d` is 0.
    pub fn sinh_arcsinh(d: usize, random: &mut Pcg64) -> Result<Self, Error> {
        let mut flow = Flow::new(vec![SinhArcsinh { dim: d, skew: 0.0, tail: 1.0 }.into()], 0, 0)?;
        let mut draw = |low, high| (0..d).map(|_| random.random_range(low..high)).collect::<Vec<f64>>();
        let (skew, log_tail, y) = (draw(-0.7, 0.7), draw(-0.5, 0.5), draw(-2.0, 2.0));
        flow.parameters_mut()[0].data.copy_from_slice(&skew);
        flow.parameters_mut()[1].data.copy_from_slice(&log_tail);
        let (mut x, mut first, mut k) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..d {
            let (y, tail) = (y[i], log_tail[i].exp());
            let (q, u) = (1.0 + y * y, (y.asinh() + skew[i]) / tail);
            let (sinh, cosh) = (u.sinh(), u.cosh());
            let g1 = cosh / (tail * q.sqrt());
            let g2 = sinh / (tail * tail * q) - y * cosh / (tail * q.powf(1.5));
            let g3 = cosh * (tail.powi(-3) - 1.0 / tail) * q.powf(-1.5) - 3.0 * y * sinh / (tail * q).powi(2)
                + 3.0 * y * y * cosh / tail * q.powf(-2.5);
            x.push(sinh);
            first.push(g1);
            k.push(0.5 * g2 * g2 + g1 * g3);
        }
        let log_det = -first.iter().map(|g| g.ln()).sum::<f64>();
        let (jacobian, k) = (Matrix::diagonal(&first), Matrix::diagonal(&k));
        Ok(Self { name: "sinh-arcsinh", flow, y, closed: Closed { x, jacobian, log_det, k, exact: false } })
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
        // NaN stays: `max` would drop it.
        let mut note = |error: f64, size: f64| {
            let ratio = error / (unit * size);
            if !(ratio <= worst) {
                worst = ratio;
            }
        };
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
        let mut worst = (0.0, "none");
        for index in 0..if cx.quick { 2 } else { 8 } {
            let random = &mut generator(cx.seed, "analytic", index);
            let d = 1 + (index as usize % 3);
            for case in [Case::affine(d, random)?, Case::banana(d, random)?, Case::sinh_arcsinh(d, random)?] {
                let error = case.error()?;
                if !(error <= worst.0) {
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
        "on affine, sinh-arcsinh and banana flows everything computed agrees with its closed form"
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
