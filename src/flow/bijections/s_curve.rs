//! The S-curve with noise along its normal: a bent sheet with closed forms for everything.

use super::uniform;
use crate::flow::bijection::{Bijection, Declaration, Role, Scope, Smoothness};
use crate::flow::curve::{Curve, SCurve, roll, unroll};
use crate::flow::rounding::{FUNCTION, Rounding, RoundingAt};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Generative S-curve tube, three columns: `g(y) = (m_x, v, m_z)(t) + w n(t)` with `t = σ_t y_1` along the S,
/// `v = low + (high - low) Φ(y_2)` across it, and `w = σ y_3` along its normal.
///
/// With the radius `R`, `a = t/R` and `s = sgn t`: `m = (R sin a, v, s R (cos a - 1))`, `n = (s sin a, 0, cos a)`. The
/// columns of `J_g` are orthogonal, of norms `σ_t |1 + s w/R|`, `(high - low) φ(y_2)` and `σ`: an exact
/// principal-manifold flow. Defined for `|t| < 3πR/2`, `|w| < R`, `low < v < high`: within, the map is one to one (with
/// longer arcs the sheet meets itself); outside, a row or a latent is out of range. The curvature flips its
/// sign at `t = 0`, where `J_g` jumps: the map is piecewise smooth.
///
/// ```
/// use eigenflow::flow::{AnyModel, Flow, Model, bijections::SCurveTube};
/// use eigenflow_linalg::Matrix;
/// let flow = Flow::<f64>::new(vec![SCurveTube::new(0.7, 0.1).into()], 0, 0).unwrap();
/// // The middle of the sheet, half a standard deviation along, two of noise outwards.
/// let x = flow.generate(&Matrix::new(1, 3, vec![0.5, 0.0, 2.0])).unwrap();
/// let expected = [1.2 * 0.35_f64.sin(), 1.0, 1.2 * 0.35_f64.cos() - 1.0];
/// assert!(x.data().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15));
/// // A model file holds it like any other flow.
/// let model = Model { flow, columns: ["x", "v", "z"].map(String::from).into(), record: None };
/// let file = model.to_bytes().unwrap();
/// assert_eq!(AnyModel::from_bytes(&file, "tube.safetensors").unwrap(), AnyModel::F64(model));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SCurveTube {
    /// Radius `R` of both arcs.
    pub radius: f64,
    /// Lower edge of the sheet.
    pub low: f64,
    /// Upper edge of the sheet.
    pub high: f64,
    /// Initial standard deviation `σ_t` along the curve.
    pub arc: f64,
    /// Initial standard deviation `σ` of the noise.
    pub noise: f64,
}

impl SCurveTube {
    /// The S-curve of the built-in data: radius 1, width from 0 to 2.
    pub fn new(arc: f64, noise: f64) -> Self {
        Self { radius: 1.0, low: 0.0, high: 2.0, arc, noise }
    }
}

impl Bijection for SCurveTube {
    fn dim(&self) -> usize {
        3
    }

    fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
        let one = |name: &str, value: f64| Declaration::new(name, 1, 1, vec![value.ln()], Role::Bias);
        vec![one("log-arc", self.arc), one("log-noise", self.noise)]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let curve = SCurve { radius: self.radius };
        let (log_arc, log_noise) = (scope.params[0], scope.params[1]);
        let [t, w] = unroll(&curve, [x.slice(0..1), x.slice(2..3)]);
        let (v, across) = uniform::normalize(x.slice(1..2), self.low, self.high);
        let z = Var::concat(&[t / log_arc.exp(), v, w / log_noise.exp()]);
        (z, across - curve.stretch(t, w).ln() - log_arc - log_noise)
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        let (log_arc, log_noise) = (scope.params[0], scope.params[1]);
        let (t, w) = (z.slice(0..1) * log_arc.exp(), z.slice(2..3) * log_noise.exp());
        let [a, b] = roll(&SCurve { radius: self.radius }, t, w);
        Var::concat(&[a, uniform::generate(z.slice(1..2), self.low, self.high), b])
    }

    fn smoothness(&self) -> Smoothness {
        Smoothness::Piecewise
    }

    /// One of three columns, wide enough for standardised rows.
    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        let (log_arc, log_noise) = (p[0][0], p[1][0]);
        Box::new(move |x, z| {
            let (t, w) = (z[0] * log_arc.exp(), z[2] * log_noise.exp());
            let stretch = 1.0 + t.signum() * w / self.radius;
            let place = FUNCTION * (x[0].abs() + x[2].abs() + 2.0 * self.radius);
            let along = place / stretch + FUNCTION * t.abs();
            let relative = FUNCTION * (1.0 + log_arc.abs());
            let noise = FUNCTION * (1.0 + log_noise.abs());
            let inner = FUNCTION * (x[1].abs() + self.low.abs());
            let (v, generated, across) = uniform::rounding(self.low, self.high, inner, z[1]);
            let data = place + stretch * t.abs() * relative + w.abs() * noise;
            let log_det = FUNCTION * (stretch.ln().abs() + log_arc.abs() + log_noise.abs() + 3.0)
                + (place + w.abs() * noise) / (self.radius * stretch)
                + across;
            let of_arc = along / log_arc.exp() + z[0].abs() * relative;
            let of_noise = place / log_noise.exp() + z[2].abs() * noise;
            Rounding { latent: vec![of_arc, v, of_noise], data: vec![data, generated, data], log_det }
        })
    }

    fn examples(dim: usize) -> Vec<Self> {
        let one = Self { radius: 20.0, low: -20.0, high: 20.0, arc: 8.0, noise: 2.0 };
        if dim == 3 { vec![one] } else { Vec::new() }
    }

    fn check(&self) -> Result<(), &'static str> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        if positive(self.radius)
            && positive(self.arc)
            && positive(self.noise)
            && uniform::is_interval(self.low, self.high)
        {
            Ok(())
        } else {
            Err("radius, arc and noise must be positive, and low < high")
        }
    }
}
