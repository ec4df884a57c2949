//! Conditioners: the networks that give a coupling its parameters.

use crate::flow::bijection::{Declaration, Role, Smoothness};
use crate::flow::number::Bounded;
use crate::flow::rounding::{FUNCTION, count};
use eigenflow_autodiff::{Recorder, Var};
use eigenflow_linalg::Real;
use rand::RngExt;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Nonlinearity of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `tanh`.
    Tanh,
    /// `max(x, 0)`: piecewise, so that the convergence claims exclude its kinks.
    Relu,
    /// `x sigmoid(x)`.
    Silu,
}

/// A perceptron with `hidden` layers: `a ↦ … act(a W_kᵀ + b_k) …`, linear at the end.
///
/// A residual one adds, after its first layer, what each pair of layers makes of it:
/// `h + W_2 act(W_1 act(h) + b_1) + b_2`, with no activation behind the first layer nor before the last.
///
/// Weights are `outputs x inputs`. With no input it is the last bias alone. The last layer starts
/// small, so that a coupling starts near the identity; with `zero_last = false` all weights start
/// uniform in `±1/sqrt(inputs)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Number of inputs.
    pub inputs: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Number of outputs.
    pub outputs: usize,
    /// Nonlinearity between layers.
    pub activation: Activation,
    /// Whether pairs of hidden layers are residual blocks: an odd number of layers, all of one width.
    pub residual: bool,
}

/// Initial size of the last layer, relative to the others.
const LAST: f64 = 0.1;

impl Mlp {
    /// Widths of all layers, inputs and outputs included.
    pub(crate) fn widths(&self) -> Vec<usize> {
        let mut widths = vec![self.inputs];
        // Without inputs hidden layers are constants; the last bias says it all.
        if self.inputs > 0 {
            widths.extend(&self.hidden);
        }
        widths.push(self.outputs);
        widths
    }

    /// What is wrong with the fields.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.hidden.contains(&0) {
            return Err("hidden layers need at least one unit");
        }
        let blocks = self.hidden.len() % 2 == 1 && self.hidden.iter().all(|w| *w == self.hidden[0]);
        if self.residual && !blocks {
            return Err("a residual network has an odd number of hidden layers of one width");
        }
        Ok(())
    }

    /// Number of entries of all weights and biases.
    pub fn entries(&self) -> u128 {
        let product = |w: &[usize]| (w[0] as u128 + 1).saturating_mul(w[1] as u128);
        self.widths().windows(2).fold(0, |n, w| n.saturating_add(product(w)))
    }

    /// Number of parameter matrices.
    pub fn parameters(&self) -> usize {
        // Asked in every run of a coupling: counted, not listed.
        2 * if self.inputs > 0 { self.hidden.len() + 1 } else { 1 }
    }

    /// Parameters: a weight and a bias for each layer.
    pub fn declare(&self, random: &mut Pcg64) -> Vec<Declaration> {
        let widths = self.widths();
        let last = widths.len() - 2;
        let mut out = Vec::with_capacity(2 * widths.len());
        for (k, w) in widths.windows(2).enumerate() {
            let size = if k == last { LAST } else { 1.0 } / (w[0].max(1) as f64).sqrt();
            let mut draw = |n: usize| (0..n).map(|_| size * (2.0 * random.random::<f64>() - 1.0)).collect();
            let weight = draw(w[0] * w[1]);
            let bias = draw(w[1]);
            out.push(Declaration::new(&format!("weight-{k}"), w[1], w[0], weight, Role::Weight));
            out.push(Declaration::new(&format!("bias-{k}"), 1, w[1], bias, Role::Bias));
        }
        out
    }

    /// Records the network.
    pub fn record<'t, T: Real>(
        &self,
        r: &'t Recorder<T>,
        params: &[Var<'t, T>],
        input: Var<'t, T>,
    ) -> Var<'t, T> {
        let first = if self.inputs == 0 {
            params[1].broadcast_to(input.shape().with_cols(params[1].cols()))
        } else {
            input.matmul_t(params[0]) + params[1]
        };
        self.record_after(r, params, first)
    }

    /// Records what follows the first layer's `W_0 a + b_0`, which may be the same for all rows.
    pub(crate) fn record_after<'t, T: Real>(
        &self,
        r: &'t Recorder<T>,
        params: &[Var<'t, T>],
        first: Var<'t, T>,
    ) -> Var<'t, T> {
        let linear = |k: usize, h: Var<'t, T>| h.matmul_t(params[2 * k]) + params[2 * k + 1];
        let act = |h: Var<'t, T>| match self.activation {
            Activation::Tanh => h.tanh(),
            Activation::Relu => h.max(r.scalar(T::ZERO)),
            Activation::Silu => h * h.sigmoid(),
        };
        let last = params.len() / 2 - 1;
        let mut h = first;
        if self.residual && last > 0 {
            for k in (1..last).step_by(2) {
                h = h + linear(k + 1, act(linear(k, act(h))));
            }
            return linear(last, h);
        }
        for k in 1..=last {
            h = linear(k, act(h));
        }
        h
    }

    /// The parameters of the network of the first inputs alone that is this one with its last inputs fixed.
    ///
    /// `W_0 [a, c] + b_0 = W_a a + (W_c c + b_0)`: what is fixed becomes part of the first bias. Where nothing is left
    /// to see, the outputs are constants, and so the last bias.
    pub(crate) fn with_fixed(&self, params: &[&[f64]], fixed: &[f64]) -> Vec<Vec<f64>> {
        let left = self.inputs - fixed.len();
        if left == 0 {
            let input: Vec<Bounded> = fixed.iter().map(|&v| Bounded::exact(v)).collect();
            return vec![Vec::new(), self.bounded(params, &input).iter().map(|b| b.value).collect()];
        }
        let rows = || params[0].chunks_exact(self.inputs);
        let weight = rows().flat_map(|row| row[..left].iter().copied()).collect();
        let dot = |row: &[f64]| row[left..].iter().zip(fixed).map(|(w, c)| w * c).sum::<f64>();
        let bias = rows().zip(params[1]).map(|(row, b)| b + dot(row)).collect();
        [weight, bias].into_iter().chain(params[2..].iter().map(|p| p.to_vec())).collect()
    }

    /// The outputs with a bound of their rounding, by running error analysis.
    pub(crate) fn bounded<W: AsRef<[f64]>>(&self, params: &[W], input: &[Bounded]) -> Vec<Bounded> {
        let linear = |k: usize, a: &[Bounded]| -> Vec<Bounded> {
            let (w, b) = (params[2 * k].as_ref(), params[2 * k + 1].as_ref());
            let row = |i: usize| {
                let (mut value, mut size, mut passed) = (b[i], b[i].abs(), 0.0);
                for (w, a) in w[i * a.len()..(i + 1) * a.len()].iter().zip(a) {
                    value += w * a.value;
                    size += (w * a.value).abs();
                    passed += w.abs() * a.error;
                }
                Bounded { value, error: passed + count(a.len() + 1) * size }
            };
            (0..b.len()).map(row).collect()
        };
        let act = |h: &[Bounded]| -> Vec<Bounded> {
            let one = |x: &Bounded| {
                let (value, slope) = match self.activation {
                    Activation::Tanh => (x.value.tanh(), 1.0),
                    Activation::Relu => (x.value.max(0.0), 1.0),
                    // |d silu| <= 1.0999
                    Activation::Silu => (x.value / (1.0 + (-x.value).exp()), 1.1),
                };
                Bounded { value, error: slope * x.error + 2.0 * FUNCTION * value.abs() }
            };
            h.iter().map(one).collect()
        };
        let last = params.len() / 2 - 1;
        let mut h = linear(0, if self.inputs == 0 { &[] } else { input });
        if self.residual && last > 0 {
            for k in (1..last).step_by(2) {
                let block = linear(k + 1, &act(&linear(k, &act(&h))));
                h = h.iter().zip(block).map(|(&h, b)| h + b).collect();
            }
            return linear(last, &h);
        }
        for k in 1..=last {
            h = linear(k, &act(&h));
        }
        h
    }

    /// Smoothness of the network as a function of its input.
    pub fn smoothness(&self) -> Smoothness {
        match self.activation {
            Activation::Relu if !self.hidden.is_empty() => Smoothness::Piecewise,
            _ => Smoothness::Smooth,
        }
    }
}
