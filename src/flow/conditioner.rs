//! Conditioners: the networks that give a coupling its parameters.

use crate::flow::bijection::{Declaration, Role, Smoothness};
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
}

/// Initial size of the last layer, relative to the others.
const LAST: f64 = 0.1;

impl Mlp {
    /// Widths of all layers, inputs and outputs included.
    fn widths(&self) -> Vec<usize> {
        let mut widths = vec![self.inputs];
        // Without inputs hidden layers are constants; the last bias says it all.
        if self.inputs > 0 {
            widths.extend(&self.hidden);
        }
        widths.push(self.outputs);
        widths
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
        let layers = self.parameters() / 2;
        let mut h = input;
        for k in 0..layers {
            let (weight, bias) = (params[2 * k], params[2 * k + 1]);
            h = if self.inputs == 0 {
                bias.broadcast_to(input.shape().with_cols(self.outputs))
            } else {
                h.matmul_t(weight) + bias
            };
            if k + 1 < layers {
                h = match self.activation {
                    Activation::Tanh => h.tanh(),
                    Activation::Relu => h.max(r.scalar(T::ZERO)),
                    Activation::Silu => h * h.sigmoid(),
                };
            }
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
