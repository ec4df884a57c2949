//! Planar layers.

use super::tanh_step::{invert, log_slope, steepness};
use crate::flow::bijection::{Bijection, Declaration, Role, Scope, Way};
use crate::flow::number::{Bounded, Number};
use crate::flow::rounding::{Rounding, RoundingAt};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand::RngExt;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `z = x + û tanh(w·x + b)`: rows are moved along `û`, as far as they stand along `w` says.
///
/// `û = u + (p - w·u) w / |w|²`, with `p = w·û` above -1 whatever the parameters are, so that the layer is invertible;
/// `log|det| = ln(1 + p sech²(w·x + b))` (D. J. Rezende, S. Mohamed, *Variational inference with normalizing flows*, 2015, section 4.1 and
/// appendix A.1). It starts as the identity, at `u = 0`.
///
/// The way back is numeric: `t = w·x + b` is the root of `t + p tanh t = w·z + b`, by Newton's method with an error of a few roundings, and
/// `x = z - û tanh t`. Both directions cost `O(D)` a row. An axis `w` of zeros has no direction and gives NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planar {
    /// Number of columns.
    pub dim: usize,
}

const AXIS: usize = 0;
const DIRECTION: usize = 1;
const SHIFT: usize = 2;

/// What the three parameters amount to.
struct Parts<N, V> {
    /// `w·x`, on rows.
    axis: V,
    /// `û`.
    direction: V,
    /// `1 + p`.
    slope: N,
}

impl Planar {
    fn parts<'t, T: Real>(scope: &Scope<'_, 't, T>) -> Parts<Var<'t, T>, Var<'t, T>> {
        let (w, u) = (scope.params[AXIS], scope.params[DIRECTION]);
        let raw = u.matmul_t(w);
        let slope = steepness(raw);
        let excess = (slope - T::ONE - raw) / w.square().sum_cols();
        Parts { axis: w, direction: u + w * excess, slope }
    }

    /// The same over numbers that carry their rounding.
    fn bounded(p: &[&[f64]]) -> Parts<Bounded, Vec<Bounded>> {
        let exact = |p: &[f64]| p.iter().map(|&v| Bounded::exact(v)).collect::<Vec<_>>();
        let (w, u) = (exact(p[AXIS]), exact(p[DIRECTION]));
        let raw = Bounded::dot(&w, &u);
        let slope = steepness(raw);
        let excess = (slope.plus(-1.0) - raw) / Bounded::dot(&w, &w);
        let direction = w.iter().zip(&u).map(|(&w, &u)| u + w * excess).collect();
        Parts { axis: w, direction, slope }
    }
}

impl Bijection for Planar {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, random: &mut Pcg64) -> Vec<Declaration> {
        let scale = (self.dim.max(1) as f64).sqrt().recip();
        let axis = (0..self.dim).map(|_| scale * random.sample::<f64, _>(StandardNormal)).collect();
        vec![
            Declaration::new("axis", 1, self.dim, axis, Role::Weight),
            Declaration::new("direction", 1, self.dim, vec![0.0; self.dim], Role::Weight),
            Declaration::bias("shift", 1),
        ]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let Parts { axis, direction, slope } = Self::parts(scope);
        let t = x.matmul_t(axis) + scope.params[SHIFT];
        (x + t.tanh() * direction, log_slope(slope, t))
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        let Parts { axis, direction, slope } = Self::parts(scope);
        let t = invert(slope - T::ONE, z.matmul_t(axis) + scope.params[SHIFT]);
        z - t.tanh() * direction
    }

    /// `normalize` by running error. The root that `generate` finds solves its equation but for the rounding of its terms and for `p` standing
    /// in for `w·û`: that moves `t` on the way back there, and `z` by `û` times it (`sech² <= 1`).
    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        let Parts { axis, direction, slope } = Self::bounded(p);
        let swapped = Bounded::dot(&axis, &direction).error + slope.error;
        let shift = Bounded::exact(p[SHIFT][0]);
        Box::new(move |x, z| {
            let exact = |v: &[f64]| v.iter().map(|&v| Bounded::exact(v)).collect::<Vec<_>>();
            let (x, z) = (exact(x), exact(z));
            let t = Bounded::dot(&axis, &x) + shift;
            let target = Bounded::dot(&axis, &z) + shift;
            let log = log_slope(slope, t);
            let tanh = t.tanh();
            let terms = 16.0 * (t.value.abs() + target.value.abs() + slope.value.abs() + 1.0);
            let root = target.error + terms + swapped;
            let mut out = Rounding::none(self.dim);
            for j in 0..self.dim {
                let there = x[j] + tanh * direction[j];
                let back = z[j] - tanh * direction[j];
                let step = direction[j].value.abs() * (root + 8.0);
                out.latent[j] = there.error + back.error + step;
            }
            // The determinant of what is computed is that of `1 + (w·û) sech²`.
            out.log_det += log.error + swapped / log.value.exp();
            out
        })
    }

    fn least_entries(&self) -> u128 {
        2 * self.dim as u128
    }

    fn check_parameters(&self, parameters: &[&[f64]]) -> Result<(), &'static str> {
        if parameters[AXIS].iter().all(|w| *w == 0.0) {
            return Err("an axis of zeros has no direction");
        }
        Ok(())
    }

    fn ways(&self) -> [Way; 2] {
        [Way::ClosedForm, Way::Numeric]
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim }]
    }
}
