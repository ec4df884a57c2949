//! Affine coupling (RealNVP).

use crate::flow::bijection::{Bijection, Declaration, Growth, Scope, Smoothness};
use crate::flow::conditioner::{Activation, Mlp};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Affine coupling: columns `moved` are scaled and shifted as the other columns say.
///
/// With `a` the columns that pass and `b` those that move: `(s, t) = MLP(a)`,
/// `l = c tanh(s / c)` (so `|l| < c`: the scale lies in `[e^-c, e^c]`),
/// `b' = b e^l + t`, `log|det| = Σ l`, and back `b = (b' - t) e^-l`
/// (L. Dinh, J. Sohl-Dickstein, S. Bengio, *Density estimation using Real NVP*, 2017, equations 6-8;
/// the bound as in Behrmann et al. 2021, section 5). With `c = 1` the log-scale is `tanh s`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coupling {
    /// Number of columns.
    pub dim: usize,
    /// Columns that move, ascending.
    pub moved: Vec<usize>,
    /// Widths of the conditioner's hidden layers.
    pub hidden: Vec<usize>,
    /// The conditioner's nonlinearity.
    pub activation: Activation,
    /// Bound `c` of the log-scale.
    pub bound: f64,
}

impl Coupling {
    /// Columns that pass unchanged, ascending.
    fn passed(&self) -> Vec<usize> {
        (0..self.dim).filter(|j| !self.moved.contains(j)).collect()
    }

    fn network(&self) -> Mlp {
        Mlp {
            inputs: self.dim - self.moved.len(),
            hidden: self.hidden.clone(),
            outputs: 2 * self.moved.len(),
            activation: self.activation,
        }
    }

    /// Log-scale and shift of the moved columns.
    #[expect(clippy::float_cmp, reason = "a bound of exactly 1 needs no scaling")]
    fn scale_and_shift<'t, T: Real>(
        &self,
        scope: &Scope<'_, 't, T>,
        passed: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let m = self.moved.len();
        let out = self.network().record(scope.recorder, scope.params, passed);
        let raw = out.slice(0..m);
        let c = T::of(self.bound);
        let log_scale = if self.bound == 1.0 { raw.tanh() } else { (raw * (T::ONE / c)).tanh() * c };
        (log_scale, out.slice(m..2 * m))
    }

    /// Passed and moved columns put back in their places.
    fn join<'t, T: Real>(&self, passed: Var<'t, T>, moved: Var<'t, T>) -> Var<'t, T> {
        let order: Vec<usize> = self.passed().into_iter().chain(self.moved.iter().copied()).collect();
        let mut inverse = vec![0; self.dim];
        order.iter().enumerate().for_each(|(k, &column)| inverse[column] = k);
        Var::concat(&[passed, moved]).gather(&inverse)
    }
}

impl Bijection for Coupling {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, random: &mut Pcg64) -> Vec<Declaration> {
        self.network().declare(random)
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let (a, b) = (x.gather(&self.passed()), x.gather(&self.moved));
        let (log_scale, shift) = self.scale_and_shift(scope, a);
        (self.join(a, b * log_scale.exp() + shift), log_scale.sum_cols())
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        let (a, b) = (z.gather(&self.passed()), z.gather(&self.moved));
        let (log_scale, shift) = self.scale_and_shift(scope, a);
        self.join(a, (b - shift) * (-log_scale).exp())
    }

    fn smoothness(&self) -> Smoothness {
        self.network().smoothness()
    }

    fn growth(&self) -> Growth {
        match self.activation {
            Activation::Tanh => Growth::Linear,
            Activation::Relu | Activation::Silu => Growth::Polynomial,
        }
    }

    fn examples(dim: usize) -> Vec<Self> {
        let make =
            |moved: Vec<usize>, activation, bound| Self { dim, moved, hidden: vec![7, 5], activation, bound };
        vec![
            make((dim / 2..dim).collect(), Activation::Tanh, 1.0),
            make((0..dim).step_by(2).collect(), Activation::Silu, 2.0),
            make((0..dim.div_ceil(2)).collect(), Activation::Relu, 1.5),
        ]
    }

    fn check(&self) -> Result<(), &'static str> {
        let ascending = self.moved.windows(2).all(|w| w[0] < w[1]);
        if !ascending || self.moved.last().is_some_and(|&j| j >= self.dim) {
            return Err("the moved columns must be ascending and smaller than the number of columns");
        }
        if self.hidden.contains(&0) {
            return Err("hidden layers need at least one unit");
        }
        if self.bound > 0.0 && self.bound.is_finite() { Ok(()) } else { Err("the bound must be positive") }
    }
}
