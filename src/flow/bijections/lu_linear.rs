//! Linear maps by their triangular factors.

use crate::flow::bijection::{Bijection, Declaration, Role, Scope};
use crate::flow::number::{Bounded, Number};
use crate::flow::rounding::{Rounding, RoundingAt, count};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use eigenflow_linalg::triangular::Triangular;
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `z = L U x + b`, `log|det| = Σ ln u_ii`, with ones on the diagonal of `L` and `u_ii = softplus(raw_i) + m` on that of `U`.
///
/// Both directions cost two triangular products or solves a row and the log-determinant `O(D)`, where a full matrix
/// takes an LU factorisation a run; with a [`super::Permutation`] before it, it reaches all matrices of positive pivots
/// (D. P. Kingma, P. Dhariwal, *Glow*, 2018, section 3.2; the parametrisation of nflows' `LULinear`, with `m = 1e-3`). What `lower` holds on
/// and above its diagonal, and `upper` on and below, is not read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LuLinear {
    /// Number of columns.
    pub dim: usize,
    /// Least pivot `m`.
    pub least: f64,
}

/// Size of the initial entries off the diagonals, relative to `1 / sqrt(D)`.
const SPREAD: f64 = 0.1;

const LOWER: usize = 0;
const UPPER: usize = 1;
const RAW: usize = 2;
const BIAS: usize = 3;

impl LuLinear {
    /// Pivots of at least `1e-3`.
    pub const fn new(dim: usize) -> Self {
        Self { dim, least: 1e-3 }
    }

    /// `L` and `U` as whole matrices, and the pivots.
    fn factors<'t, T: Real>(&self, scope: &Scope<'_, 't, T>) -> [Var<'t, T>; 3] {
        let n = self.dim;
        let constant = |keep: fn(usize, usize) -> bool| {
            let one = |k: usize| if keep(k / n, k % n) { T::ONE } else { T::ZERO };
            scope.recorder.constant(n, n, &(0..n * n).map(one).collect::<Vec<T>>())
        };
        let pivots = scope.params[RAW].softplus() + T::of(self.least);
        let identity = constant(|i, j| i == j);
        let lower = scope.params[LOWER] * constant(|i, j| i > j) + identity;
        let upper = scope.params[UPPER] * constant(|i, j| i < j) + identity * pivots;
        [lower, upper, pivots]
    }
}

impl Bijection for LuLinear {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, random: &mut Pcg64) -> Vec<Declaration> {
        let n = self.dim;
        let spread = SPREAD / (n.max(1) as f64).sqrt();
        let mut half = |keep: fn(usize, usize) -> bool| -> Vec<f64> {
            let mut entry = |k: usize| {
                let u = spread * (2.0 * random.random::<f64>() - 1.0);
                if keep(k / n, k % n) { u } else { 0.0 }
            };
            (0..n * n).map(&mut entry).collect()
        };
        let (lower, upper) = (half(|i, j| i > j), half(|i, j| i < j));
        let raw = (1.0 - self.least).exp_m1().ln();
        vec![
            Declaration::new("lower", n, n, lower, Role::Weight),
            Declaration::new("upper", n, n, upper, Role::Weight),
            Declaration::new("raw-diagonal", 1, n, vec![raw; n], Role::Bias),
            Declaration::bias("bias", n),
        ]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let [lower, upper, pivots] = self.factors(scope);
        (x.matmul_t(upper).matmul_t(lower) + scope.params[BIAS], pivots.ln().sum_all())
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        let [lower, upper, _] = self.factors(scope);
        let centred = z - scope.params[BIAS];
        let inner = lower.solve_triangular(Triangular::UNIT_LOWER, centred);
        upper.solve_triangular(Triangular::UPPER, inner)
    }

    /// Products by running error; a solve with a triangular matrix is backward stable entry by entry, so that it
    /// counts as its product does (N. J. Higham, *Accuracy and Stability*, theorem 8.5).
    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        let n = self.dim;
        let pivots: Vec<Bounded> =
            p[RAW].iter().map(|&r| Bounded::exact(r).softplus().plus(self.least)).collect();
        let log_det: f64 = pivots.iter().map(|u| u.ln().error + count(n) * u.value.ln().abs()).sum();
        Box::new(move |x, _| {
            let c = count(n + 1);
            let dot = |entries: &dyn Fn(usize) -> f64, v: &[Bounded], from: usize, to: usize| {
                let (mut value, mut size, mut passed) = (0.0, 0.0, 0.0);
                for (j, v) in v.iter().enumerate().take(to).skip(from) {
                    let w = entries(j);
                    value += w * v.value;
                    size += (w * v.value).abs();
                    passed += w.abs() * v.error;
                }
                // Once for the product, once for the solve.
                Bounded { value, error: passed + 2.0 * c * size }
            };
            let input: Vec<Bounded> = x.iter().map(|&v| Bounded::exact(v)).collect();
            let middle: Vec<Bounded> = (0..n)
                .map(|i| {
                    let rest = dot(&|j| p[UPPER][i * n + j], &input, i + 1, n);
                    let own = pivots[i] * input[i];
                    Bounded { value: rest.value + own.value, error: rest.error + (2.0 * c + 1.0) * own.error }
                })
                .collect();
            let latent = (0..n).map(|i| {
                let rest = dot(&|j| p[LOWER][i * n + j], &middle, 0, i);
                rest.error + middle[i].error + 2.0 * c * (middle[i].value.abs() + p[BIAS][i].abs())
            });
            Rounding { latent: latent.collect(), data: vec![0.0; n], log_det }
        })
    }

    fn least_entries(&self) -> u128 {
        (self.dim as u128).saturating_mul(self.dim as u128).saturating_mul(2)
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self::new(dim)]
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.least > 0.0 && self.least < 1.0 { Ok(()) } else { Err("the least pivot must lie in (0, 1)") }
    }
}
