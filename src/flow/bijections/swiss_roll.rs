//! The Swiss roll with noise along its normal.

use super::uniform;
use crate::flow::bijection::{Bijection, Declaration, Role, Scope, Way};
use crate::flow::curve::{Curve, Spiral, roll, unroll};
use crate::flow::rounding::{FUNCTION, Rounding, RoundingAt};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Generative Swiss roll, three columns: `g(y) = (m_x, v, m_z)(t) + w n(t)` with `t = from + (to - from) Φ(y_1)`
/// along the roll, `v = low + (high - low) Φ(y_2)` across it, and `w = σ y_3` along its inward normal.
///
/// `m = c + a (t cos t, ·, t sin t)`: pitch `a`, axis `c`. The columns of `J_g` are orthogonal, of norms
/// `(to - from) φ(y_1) [a √(1+t²) - w (2+t²)/(1+t²)]`, `(high - low) φ(y_2)` and `σ`. Defined for `|w| < 3a` (turns are `2πa`
/// apart) and `from < t < to`, `low < v < high`; outside, a row is out of range.
///
/// ```
/// use eigenflow::flow::{Flow, bijections::SwissRoll};
/// use eigenflow_linalg::Matrix;
/// let flow = Flow::<f64>::new(vec![SwissRoll::new(0.1).into()], 0, 0).unwrap();
/// // The middle of the roll: t = 3π, height 10.5.
/// let x = flow.generate(&Matrix::zeros(1, 3)).unwrap();
/// let expected = [-3.0 * std::f64::consts::PI, 10.5, 0.0];
/// assert!(x.data().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwissRoll {
    /// Growth `a` of the radius, for each radian.
    pub pitch: f64,
    /// Where the axis pierces the plane of the first and the last column.
    pub axis: [f64; 2],
    /// First angle, at least `π`.
    pub from: f64,
    /// Last angle.
    pub to: f64,
    /// Lower edge of the sheet.
    pub low: f64,
    /// Upper edge of the sheet.
    pub high: f64,
    /// Initial standard deviation `σ` of the noise.
    pub noise: f64,
}

impl SwissRoll {
    /// The roll of the built-in data: angles from `1.5π` to `4.5π`, height 21.
    pub fn new(noise: f64) -> Self {
        let (from, to) = (1.5 * PI, 4.5 * PI);
        Self { pitch: 1.0, axis: [0.0; 2], from, to, low: 0.0, high: 21.0, noise }
    }

    fn spiral(&self) -> Spiral {
        Spiral { pitch: self.pitch, axis: self.axis, from: self.from, to: self.to }
    }
}

impl Bijection for SwissRoll {
    fn dim(&self) -> usize {
        3
    }

    fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
        vec![Declaration::new("log-noise", 1, 1, vec![self.noise.ln()], Role::Bias)]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let (curve, log_noise) = (self.spiral(), scope.params[0]);
        let [t, w] = unroll(&curve, [x.slice(0..1), x.slice(2..3)]);
        let (u, along) = uniform::normalize(t, self.from, self.to);
        let (v, across) = uniform::normalize(x.slice(1..2), self.low, self.high);
        let z = Var::concat(&[u, v, w / log_noise.exp()]);
        (z, along + across - curve.stretch(t, w).ln() - log_noise)
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        let t = uniform::generate(z.slice(0..1), self.from, self.to);
        let [a, b] = roll(&self.spiral(), t, z.slice(2..3) * scope.params[0].exp());
        Var::concat(&[a, uniform::generate(z.slice(1..2), self.low, self.high), b])
    }

    /// One of three columns, whose sheet passes through the origin and is wide enough for standardised rows.
    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        let log_noise = p[0][0];
        Box::new(move |x, z| {
            let share = 0.5 * (1.0 + libm::erf(z[0] * std::f64::consts::FRAC_1_SQRT_2));
            let t = self.from + (self.to - self.from) * share;
            let w = z[2] * log_noise.exp();
            let bend = (2.0 + t * t) / (1.0 + t * t);
            let stretch = self.pitch * t.hypot(1.0) - w * bend;
            let ends = self.axis[0].abs() + self.axis[1].abs() + self.pitch * t;
            let place = FUNCTION * (x[0].abs() + x[2].abs() + ends);
            let along = place / stretch + FUNCTION * t;
            let noise = FUNCTION * (1.0 + log_noise.abs());
            let (u, turned, length) =
                uniform::rounding(self.from, self.to, along + FUNCTION * self.from, z[0]);
            let inner = FUNCTION * (x[1].abs() + self.low.abs());
            let (v, generated, across) = uniform::rounding(self.low, self.high, inner, z[1]);
            let data = place + stretch * (turned + FUNCTION * t) + w.abs() * noise;
            let log_det = FUNCTION * (stretch.ln().abs() + log_noise.abs() + 3.0)
                + (bend * (place + w.abs() * noise) + 2.0 * self.pitch * along) / stretch
                + length
                + across;
            let of_noise = place / log_noise.exp() + z[2].abs() * noise;
            Rounding { latent: vec![u, v, of_noise], data: vec![data, generated, data], log_det }
        })
    }

    /// The nearest point of the spiral is found by Newton's method.
    fn ways(&self) -> [Way; 2] {
        [Way::Numeric, Way::ClosedForm]
    }

    fn examples(dim: usize) -> Vec<Self> {
        let (pitch, from, to) = (6.0, PI, 3.0 * PI);
        // m(2π) = 0
        let axis = [-2.0 * PI * pitch, 0.0];
        let one = Self { pitch, axis, from, to, low: -20.0, high: 20.0, noise: 2.0 };
        if dim == 3 { vec![one] } else { Vec::new() }
    }

    fn check(&self) -> Result<(), &'static str> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        if !(positive(self.pitch) && positive(self.noise) && self.axis.iter().all(|c| c.is_finite())) {
            return Err("pitch and noise must be positive, and the axis finite");
        }
        if self.from >= PI
            && uniform::is_interval(self.from, self.to)
            && uniform::is_interval(self.low, self.high)
        {
            Ok(())
        } else {
            Err("π <= from < to and low < high are needed")
        }
    }
}
