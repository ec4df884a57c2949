//! Permutations of columns.

use crate::flow::bijection::{Bijection, Declaration, Scope};
use crate::flow::rounding::{Rounding, RoundingAt};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `z_j = x_{indices[j]}`, `log|det| = 0`. On the tape it moves nothing where it can.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permutation {
    /// Column of `x` that becomes column `j` of `z`.
    pub indices: Vec<usize>,
}

impl Permutation {
    /// Columns in reversed order.
    pub fn reversed(dim: usize) -> Self {
        Self { indices: (0..dim).rev().collect() }
    }

    /// Whether every column occurs exactly once.
    pub fn is_valid(&self) -> bool {
        let mut seen = vec![false; self.indices.len()];
        self.indices.iter().all(|&i| i < seen.len() && !std::mem::replace(&mut seen[i], true))
    }

    fn inverse(&self) -> Vec<usize> {
        let mut inverse = vec![0; self.indices.len()];
        self.indices.iter().enumerate().for_each(|(j, &i)| inverse[i] = j);
        inverse
    }
}

impl Bijection for Permutation {
    fn dim(&self) -> usize {
        self.indices.len()
    }

    fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
        Vec::new()
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        (x.gather(&self.indices), scope.recorder.scalar(T::ZERO))
    }

    fn generate<'t, T: Real>(&self, _scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        z.gather(&self.inverse())
    }

    fn rounding<'a>(&'a self, _parameters: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, _| Rounding::none(x.len()))
    }

    fn examples(dim: usize) -> Vec<Self> {
        // The second one mixes the halves.
        vec![Self::reversed(dim), Self { indices: (0..dim).step_by(2).chain((1..dim).step_by(2)).collect() }]
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.is_valid() { Ok(()) } else { Err("every column must occur exactly once") }
    }
}
