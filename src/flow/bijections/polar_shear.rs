//! The polar shear: a rotation by an angle that grows with the radius.

use crate::flow::bijection::{Bijection, Declaration, Role, Scope};
use crate::flow::rounding::{FUNCTION, Rounding, RoundingAt};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `(r, θ) → (r, θ + c r²)` in the plane of the first two columns; the others pass, and with one column it is
/// the identity.
///
/// `log|det| = 0` and `|z| = |x|`, so it preserves `N(0, I)`: put at the latent end of any flow it changes no
/// density. It changes every Jacobian: its singular values are those of `[[1, 0], [2 c r², 1]]`.
///
/// ```
/// use eigenflow::flow::{Flow, bijections::PolarShear};
/// use eigenflow_linalg::Matrix;
/// let quarter = std::f64::consts::FRAC_PI_2;
/// let flow = Flow::<f64>::new(vec![PolarShear { dim: 2, twist: quarter }.into()], 0, 0).unwrap();
/// let (z, log_det) = flow.normalize(&Matrix::new(1, 2, vec![1.0, 0.0])).unwrap();
/// assert!(z[(0, 0)].abs() < 1e-15 && (z[(0, 1)] - 1.0).abs() < 1e-15 && log_det[0] == 0.0);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolarShear {
    /// Number of columns.
    pub dim: usize,
    /// Initial twist `c`, radians over squared radius.
    pub twist: f64,
}

impl PolarShear {
    /// The first two columns turned by `sign · c r²`.
    fn turn<'t, T: Real>(&self, scope: &Scope<'_, 't, T>, v: Var<'t, T>, sign: T) -> Var<'t, T> {
        if self.dim == 1 {
            return v;
        }
        let (a, b) = (v.slice(0..1), v.slice(1..2));
        let angle = (a.square() + b.square()) * (scope.params[0] * sign);
        let (sin, cos) = (angle.sin(), angle.cos());
        Var::concat(&[a * cos - b * sin, a * sin + b * cos, v.slice(2..self.dim)])
    }
}

impl Bijection for PolarShear {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
        if self.dim < 2 {
            return Vec::new();
        }
        vec![Declaration::new("twist", 1, 1, vec![self.twist], Role::Bias)]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        (self.turn(scope, x, T::ONE), scope.recorder.scalar(T::ZERO))
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        self.turn(scope, z, -T::ONE)
    }

    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, _| {
            Rounding::columns(x.len(), |j| {
                if j > 1 || x.len() < 2 {
                    return (0.0, 0.0, 0.0);
                }
                // The angle's own error turns the plane.
                let r = x[0].hypot(x[1]);
                let turned = r * (2.0 * FUNCTION + 6.0 * p[0][0].abs() * r * r);
                (turned, turned, 0.0)
            })
        })
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim, twist: 0.3 }]
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.twist.is_finite() { Ok(()) } else { Err("the twist must be finite") }
    }
}
