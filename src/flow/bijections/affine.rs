//! Affine maps, stored as the normalizing matrix.

use crate::flow::bijection::{Bijection, Declaration, Role, Scope};
use crate::flow::rounding::{FUNCTION, Rounding, RoundingAt, count};
use eigenflow_autodiff::Var;
use eigenflow_linalg::svd::condition_number;
use eigenflow_linalg::triangular::Triangular;
use eigenflow_linalg::{Matrix, Real};
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Which matrices an [`Affine`] ranges over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// All invertible matrices; `log|det W|` by LU.
    Full,
    /// Lower triangular ones; what stands above the diagonal is not read.
    LowerTriangular,
}

/// `z = W x + b`, `log|det| = log|det W|`, `x = W⁻¹ (z - b)` by a solve, never by an inverse.
///
/// Storing the normalizing matrix makes `normalize` one product; `generate` costs one LU
/// factorisation a run and a triangular solve a row. It starts at the identity plus a small
/// random matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// Number of columns.
    pub dim: usize,
    /// Which matrices.
    pub form: Form,
    /// Whether it is set from data and not trained (whitening).
    #[serde(default)]
    pub frozen: bool,
}

/// Size of the random part of an initial matrix, relative to `1 / sqrt(D)`.
const SPREAD: f64 = 0.1;

impl Affine {
    /// A trained affine map.
    pub const fn new(dim: usize, form: Form) -> Self {
        Self { dim, form, frozen: false }
    }

    /// The normalizing matrix, with zeros above the diagonal where those are not read.
    fn matrix<'t, T: Real>(&self, scope: &Scope<'_, 't, T>) -> Var<'t, T> {
        let w = scope.params[0];
        match self.form {
            Form::Full => w,
            Form::LowerTriangular => w * self.constant(scope, |i, j| i >= j),
        }
    }

    fn constant<'t, T: Real>(
        &self,
        scope: &Scope<'_, 't, T>,
        keep: impl Fn(usize, usize) -> bool,
    ) -> Var<'t, T> {
        let n = self.dim;
        let one = |k: usize| if keep(k / n, k % n) { T::ONE } else { T::ZERO };
        let data: Vec<T> = (0..n * n).map(one).collect();
        scope.recorder.constant(n, n, &data)
    }
}

impl Bijection for Affine {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, random: &mut Pcg64) -> Vec<Declaration> {
        let n = self.dim;
        let role = if self.frozen { Role::Frozen } else { Role::Weight };
        let spread = SPREAD / (n.max(1) as f64).sqrt();
        let weight = (0..n * n)
            .map(|k| {
                let (i, j) = (k / n, k % n);
                let noise = spread * (2.0 * random.random::<f64>() - 1.0);
                match self.form {
                    _ if self.frozen => f64::from(u8::from(i == j)),
                    Form::LowerTriangular if j > i => 0.0,
                    _ => f64::from(u8::from(i == j)) + noise,
                }
            })
            .collect();
        let bias = Declaration::new("bias", 1, n, vec![0.0; n], if self.frozen { role } else { Role::Bias });
        vec![Declaration::new("weight", n, n, weight, role), bias]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let w = self.matrix(scope);
        let log_det = match self.form {
            Form::Full => w.log_abs_det(),
            Form::LowerTriangular => {
                let diagonal = (w * self.constant(scope, |i, j| i == j)).sum_cols();
                diagonal.abs().ln().sum_all()
            }
        };
        (x.matmul_t(w) + scope.params[1], log_det)
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        let centred = z - scope.params[1];
        match self.form {
            Form::Full => scope.params[0].solve_lines(centred),
            Form::LowerTriangular => scope.params[0].solve_triangular(Triangular::LOWER, centred),
        }
    }

    /// `Wx + b` componentwise; its generate solves `(W + δW) x = z - b` with `|δW| <= 3 c_D ‖W‖_F` (LU with partial
    /// pivoting, growth as in practice), or componentwise where `W` is triangular. Cost `O(D³)` once, `O(D²)` a row.
    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        let d = self.dim;
        let lower = self.form == Form::LowerTriangular;
        let w = Matrix::from_fn(d, d, |i, j| if lower && j > i { 0.0 } else { p[0][i * d + j] });
        let c = count(d + 2);
        let log_det = if lower {
            (0..d).map(|i| FUNCTION * w[(i, i)].abs().ln().abs() + 1.0).sum::<f64>()
        } else {
            // δ log|det W| = tr W⁻¹δW
            let kappa = condition_number(&w).unwrap_or(f64::INFINITY);
            let terms = w.max_abs().ln().abs() + kappa.ln();
            3.0 * c * (d as f64).sqrt() * kappa + FUNCTION * d as f64 * terms
        };
        let norm = w.norm();
        Box::new(move |x, _| {
            let length = x.iter().map(|v| v * v).sum::<f64>().sqrt();
            let solve = if lower { 0.0 } else { 3.0 * c * norm * length };
            let row = |i: usize| (0..d).map(|j| (w[(i, j)] * x[j]).abs()).sum::<f64>() + p[1][i].abs();
            let latent = (0..d).map(|i| 2.0 * c * row(i) + solve).collect();
            Rounding { latent, data: vec![0.0; d], log_det }
        })
    }

    fn least_entries(&self) -> u128 {
        (self.dim as u128).saturating_mul(self.dim as u128)
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self::new(dim, Form::Full), Self::new(dim, Form::LowerTriangular)]
    }
}
