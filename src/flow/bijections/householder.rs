//! Orthogonal maps as products of reflections.

use crate::flow::bijection::{Bijection, Declaration, Role, Scope};
use crate::flow::rounding::{Rounding, RoundingAt, count};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand::RngExt;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `z = H_K … H_1 x`, `H_k = I - 2 v_k v_kᵀ / |v_k|²`, `log|det| = 0`, and back the same reflections in reverse.
///
/// `K = D` reflections reach every orthogonal matrix of determinant `(-1)^D`. A row costs `O(KD)` (J. M. Tomczak, M. Welling,
/// *Improving variational auto-encoders using Householder flow*, 2016). A vector of zeros has no direction and gives NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Householder {
    /// Number of columns.
    pub dim: usize,
    /// Number of reflections `K`.
    pub reflections: usize,
}

/// Lines `v` reflected at the rows of `axes`, in the given order.
pub(super) fn reflect<'t, T: Real>(
    axes: Var<'t, T>,
    v: Var<'t, T>,
    order: impl Iterator<Item = usize>,
) -> Var<'t, T> {
    order.fold(v, |v, k| {
        let axis = axes.gather_rows(&[k]);
        let rate = axis.square().sum_cols().recip() * T::of(2.0);
        v - v.matmul_t(axis) * (axis * rate)
    })
}

impl Bijection for Householder {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, random: &mut Pcg64) -> Vec<Declaration> {
        let n = self.reflections * self.dim;
        let axes = (0..n).map(|_| random.sample::<f64, _>(StandardNormal)).collect();
        // Only directions matter: no penalty on lengths.
        vec![Declaration::new("axes", self.reflections, self.dim, axes, Role::Bias)]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        (reflect(scope.params[0], x, 0..self.reflections), scope.recorder.scalar(T::ZERO))
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        reflect(scope.params[0], z, (0..self.reflections).rev())
    }

    /// A reflection rounds by `(2 c_D + 6)` of the row's length, whichever way; those behind keep lengths.
    fn rounding<'a>(&'a self, _parameters: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, _| {
            let length = x.iter().map(|v| v * v).sum::<f64>().sqrt();
            let all = self.reflections as f64 * (2.0 * count(self.dim + 1) + 6.0) * length;
            // A log-determinant of 0 against the computed one: each factor is orthogonal to the like.
            let log_det = self.reflections as f64 * self.dim as f64 * (2.0 * count(self.dim + 1) + 6.0);
            Rounding { latent: vec![all; self.dim], data: vec![all; self.dim], log_det }
        })
    }

    fn least_entries(&self) -> u128 {
        (self.dim as u128).saturating_mul(self.reflections as u128)
    }

    fn check_parameters(&self, parameters: &[&[f64]]) -> Result<(), &'static str> {
        let zero = |axis: &[f64]| axis.iter().all(|v| *v == 0.0);
        if parameters[0].chunks(self.dim).any(zero) {
            return Err("an axis of zeros has no direction");
        }
        Ok(())
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim, reflections: dim }]
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.reflections == 0 { Err("there must be at least one reflection") } else { Ok(()) }
    }
}
