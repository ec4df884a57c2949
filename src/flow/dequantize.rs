//! Dequantisation: integer data as continuous data, with a bound of its probability.
//!
//! A density `p` gives whole numbers the probability `P(x) = ∫ p(x + u) du` over the unit cube. With any density `q(u | x)` on the
//! cube Jensen's inequality gives `log P(x) >= E_q[log p(x + u) - log q(u | x)]` (L. Theis, A. van den Oord, M. Bethge, *A note on the evaluation
//! of generative models*, 2016, for uniform `q`; J. Ho et al., *Flow++*, 2019, section 3.1, for a flow), and with `K` draws
//! `log P(x) >= E log (1/K) Σ_k p(x + u_k) / q(u_k | x)`, which grows with `K` towards the truth (Y. Burda, R. Grosse, R. Salakhutdinov,
//! *Importance weighted autoencoders*, 2016, theorem 1).

use super::bijections::{ActNorm, Coupling, Squash};
use super::conditioner::Activation;
use super::{Error, Flow, Layer, base};
use crate::random::{ROWS_PER_GENERATOR, generator, hash_words};
use eigenflow_autodiff::Var;
use eigenflow_linalg::{Matrix, Real};
use rand::RngExt;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Where a flow of integer data puts the rest of a number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Dequantize {
    /// The data is continuous.
    #[default]
    None,
    /// Uniform on the unit cube.
    Uniform,
    /// A conditional flow onto the unit cube, trained with the flow: its `normalize` takes normal numbers `ε` to `u`, given `x`.
    Variational {
        /// Its layers.
        layers: Vec<Layer>,
    },
}

/// Couplings of a variational dequantiser.
const COUPLINGS: usize = 4;
/// Width of their conditioners.
const HIDDEN: usize = 32;
/// `σ(1.702 ε)` is within 0.01 of `Φ(ε)`: where a dequantiser starts it is nearly uniform.
const LOGISTIC: f64 = 1.702;

impl Dequantize {
    /// Its name as an option, if it does anything.
    pub(crate) fn name(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Uniform => Some("uniform"),
            Self::Variational { .. } => Some("variational"),
        }
    }

    /// The variational one for `dim` columns.
    pub fn variational(dim: usize) -> Self {
        let coupling = |k: usize| {
            let moved = (0..dim).filter(|j| dim == 1 || j % 2 == k % 2).collect();
            let (hidden, activation) = (vec![HIDDEN], Activation::Silu);
            Layer::from(Coupling { dim, moved, hidden, activation, bound: 2.0 }).given(dim)
        };
        let ends = [ActNorm { dim }.into(), Squash { dim, low: 0.0, high: 1.0 }.into()];
        Self::Variational { layers: (0..COUPLINGS).map(coupling).chain(ends).collect() }
    }

    /// Whether the data is continuous.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// A fresh flow of it, nearly uniform.
    pub(super) fn flow<T: Real>(&self, dim: usize, seed: u64) -> Result<Option<Flow<T>>, Error> {
        let Self::Variational { layers } = self else { return Ok(None) };
        let mut flow = Flow::<T>::new(layers.clone(), 0, crate::random::hash_words(seed, [1]))?;
        if flow.dim() != dim || flow.context_columns() != dim {
            return Err(Error::Columns { expected: dim, given: flow.dim() });
        }
        let first = flow.layers().iter().position(|l| matches!(l, Layer::ActNorm(_)));
        if let Some(k) = first.map(|k| flow.parameters_of(k).start) {
            flow.parameters_mut()[k].data.fill(T::of(LOGISTIC.ln()));
        }
        Ok(Some(flow))
    }
}

impl<T: Real> Flow<T> {
    /// Records `(x + u, log q(u | x))` from whole numbers `x` and normal numbers `ε`.
    pub(crate) fn record_dequantized<'t>(
        &self,
        params: &[Var<'t, T>],
        x: Var<'t, T>,
        noise: Var<'t, T>,
    ) -> Result<(Var<'t, T>, Var<'t, T>), Error> {
        let Some(q) = self.dequantize().flow::<T>(self.dim(), 0)? else {
            return Ok((x, x.recorder().scalar(T::ZERO)));
        };
        let own: Vec<Var<'t, T>> = params[self.dequantizer_parameters()].iter().copied().chain([x]).collect();
        let recorded = q.record_normalize(&own, noise, 0..q.layers().len(), false);
        Ok((x + recorded.out, base::log_density(noise) - recorded.log_det))
    }

    /// The variational dequantiser with its parameters, if the flow has one.
    pub fn dequantizer(&self) -> Result<Option<Self>, Error> {
        let Some(mut q) = self.dequantize().flow::<T>(self.dim(), 0)? else { return Ok(None) };
        for (to, from) in q.parameters_mut().iter_mut().zip(self.dequantizer_parameters()) {
            to.data.clone_from(&self.parameters()[from].data);
        }
        Ok(Some(q))
    }

    /// Sets the standardisation of what a variational dequantiser sees.
    pub(crate) fn standardise_dequantizer(&mut self, mean: &[f64], scale: &[f64]) {
        let range = self.dequantizer_parameters();
        for p in &mut self.parameters_mut()[range] {
            let values = match p.name.rsplit_once("context.") {
                Some((_, "mean")) => mean,
                Some((_, "scale")) => scale,
                _ => continue,
            };
            p.data = values.iter().map(|&v| T::of(v)).collect();
        }
    }

    /// Whole numbers with a draw of the rest, `x + u`, and `log q(u | x)` of each row; contexts stay beside them. Draws of a row do not
    /// depend on other rows.
    ///
    /// # Errors
    /// If rows do not fit, or an entry is no whole number.
    pub fn dequantized(&self, rows: &Matrix<T>, seed: u64, draw: u64) -> Result<(Matrix<T>, Vec<T>), Error> {
        self.check_rows("data", rows)?;
        let (n, d) = (rows.rows(), self.dim());
        if self.dequantize().is_none() {
            return Ok((rows.clone(), vec![T::ZERO; n]));
        }
        for i in 0..n {
            if let Some(column) = rows.row(i)[..d].iter().position(|v| v.f64().fract() != 0.0) {
                return Err(Error::NotWhole { row: i, column });
            }
        }
        let x = Matrix::from_fn(n, d, |i, j| rows[(i, j)]);
        let q = self.dequantizer()?;
        let noise = dequantizing_noise(n, d, q.is_some(), hash_words(seed, [draw]));
        let (u, log_q) = match q {
            None => (noise, vec![T::ZERO; n]),
            Some(q) => {
                let (u, log_det) = q.normalize(&q.beside(&noise, &x)?)?;
                let normal = |i: usize| {
                    let square: T = noise.row(i).iter().map(|&e| e * e).sum();
                    square * T::of(-0.5) + T::of(base::sup_log_density(d))
                };
                let log_q = (0..n).map(|i| normal(i) - log_det[i]).collect();
                (u, log_q)
            }
        };
        let moved = Matrix::from_fn(n, d, |i, j| x[(i, j)] + u[(i, j)]);
        Ok((self.with_contexts_of(moved, rows)?, log_q))
    }

    /// Lower bounds of `log P(x)` of whole numbers, from `draws` draws: `log (1/K) Σ_k p(x + u_k) / q(u_k | x)`.
    ///
    /// Each is one draw of a random number whose mean is below `log P(x)`, the nearer the more draws; their mean over rows
    /// has the standard error of any mean. Cost: `K` densities.
    ///
    /// # Errors
    /// As [`Flow::dequantized`].
    pub fn log_probability_bound(
        &self,
        rows: &Matrix<T>,
        draws: usize,
        seed: u64,
    ) -> Result<Vec<f64>, Error> {
        let draws = draws.max(1);
        let mut sums = vec![Exponentials::default(); rows.rows()];
        for k in 0..draws {
            let (x, log_q) = self.dequantized(rows, seed, k as u64)?;
            for ((sum, p), q) in sums.iter_mut().zip(self.log_density(&x)?).zip(log_q) {
                sum.add(p.f64() - q.f64());
            }
        }
        Ok(sums.iter().map(|sum| sum.largest + (sum.relative / draws as f64).ln()).collect())
    }
}

/// `Σ e^w` of numbers that come one after the other, relative to the largest `e^w` so far.
#[derive(Clone, Copy, Debug)]
struct Exponentials {
    largest: f64,
    relative: f64,
}

impl Default for Exponentials {
    fn default() -> Self {
        Self { largest: f64::NEG_INFINITY, relative: 0.0 }
    }
}

impl Exponentials {
    fn add(&mut self, w: f64) {
        if w > self.largest {
            self.relative = self.relative * (self.largest - w).exp() + 1.0;
            self.largest = w;
        } else if w != f64::NEG_INFINITY {
            self.relative += (w - self.largest).exp();
        }
    }
}

/// Uniform or normal numbers; those of a row do not depend on how many rows there are.
pub(crate) fn dequantizing_noise<T: Real>(n: usize, d: usize, normal: bool, seed: u64) -> Matrix<T> {
    let mut data = vec![T::ZERO; n * d];
    data.par_chunks_mut(ROWS_PER_GENERATOR * d).enumerate().for_each(|(k, rows)| {
        let mut random = generator(seed, "dequantise", k as u64);
        for v in rows {
            let drawn: f64 = if normal { random.sample(StandardNormal) } else { random.random() };
            *v = T::of(drawn);
        }
    });
    Matrix::new(n, d, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As from all numbers at once, in any order; nothing adds nothing.
    #[test]
    fn exponentials_add_up_one_by_one() {
        let mut numbers: Vec<f64> = (0..50).map(|k| 900.0 * (f64::from(k) * 0.7).sin() - 2000.0).collect();
        for _ in 0..2 {
            let mut sum = Exponentials::default();
            sum.add(f64::NEG_INFINITY);
            numbers.iter().for_each(|&w| sum.add(w));
            sum.add(f64::NEG_INFINITY);
            let found = sum.largest + sum.relative.ln();
            assert!((found - base::ln_sum_exp(&numbers)).abs() < 1e-12);
            numbers.reverse();
        }
        let nothing = Exponentials::default();
        assert!(nothing.largest + nothing.relative.ln() == f64::NEG_INFINITY);
    }
}
