//! Masked autoregressive layers.

mod replay;
mod sequential;

use super::conditional::Conditioned;
use super::transformed::{self, apply, start_at_identity};
use crate::flow::bijection::{Bijection, Declaration, Growth, Role, Scope, Smoothness, Values, Way};
use crate::flow::conditioner::{Activation, Mlp};
use crate::flow::masks;
use crate::flow::number::Bounded;
use crate::flow::rounding::{Rounding, RoundingAt, count};
use crate::flow::transformer::{Scale, Spline, Transformer};
use eigenflow_autodiff::Var;
use eigenflow_autodiff::implicit::solve;
use eigenflow_linalg::{Matrix, Real};
use rand_pcg::Pcg64;
use sequential::Sequential;
use serde::{Deserialize, Serialize};

/// Every column passes a [`Transformer`] whose parameters a masked network makes of the columns before it.
///
/// `z_j = τ(x_j; θ_j)`, `θ_j` a function of the columns `i` with `order_i < order_j` alone, `log|det| = Σ ln τ'`
/// (G. Papamakarios, T. Pavlakou, I. Murray, *Masked autoregressive flow*, 2017; the network: M. Germain et al., *MADE*, 2015). With
/// `inverse` the same map runs from latents to data (D. P. Kingma et al., *Inverse autoregressive flow*, 2016).
///
/// The parallel direction, `normalize` (`generate` with `inverse`), costs one pass of the network. The other one is exact and sequential: passes
/// are repeated until no bit changes, at most as many as the order has places, for each makes at least one more place final, and usually far
/// fewer (Y. Song et al., *Accelerating feedforward computation via parallel nonlinear equation solving*, 2021). It is one operation of the tape,
/// whose derivatives take the Jacobian of the parallel direction (`D` tangents) and a substitution in the order, `D²` a line. Where values
/// alone are wanted (samples) one place is recorded and replayed with the weights of each, which costs as much as one pass if there is one
/// hidden layer.
///
/// Masks are parameters that are not trained: weights count where their mask is 1. Any masks do that keep the
/// order; those of a new layer follow MADE with the units' places in turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autoregressive {
    /// Place of each column, from 0; columns that share one do not see each other.
    pub order: Vec<usize>,
    /// Widths of the network's hidden layers.
    pub hidden: Vec<usize>,
    /// The network's nonlinearity.
    pub activation: Activation,
    /// Whether pairs of hidden layers are residual blocks.
    #[serde(default)]
    pub residual: bool,
    /// What happens to a column.
    pub transformer: Transformer,
    /// Whether the parallel direction is `generate`.
    #[serde(default)]
    pub inverse: bool,
}

impl Autoregressive {
    fn network(&self) -> Mlp {
        self.network_given(0)
    }

    fn network_given(&self, context: usize) -> Mlp {
        let d = self.order.len();
        Mlp {
            inputs: d.saturating_add(context),
            hidden: self.hidden.clone(),
            outputs: self.transformer.parameters().saturating_mul(d),
            activation: self.activation,
            residual: self.residual,
        }
    }

    /// Weights times masks, and biases: the parameters of the network.
    fn masked<'t, T: Real>(&self, scope: &Scope<'_, 't, T>) -> Vec<Var<'t, T>> {
        let (network, masks) = scope.params.split_at(self.network().parameters());
        let weight = |k: usize| if k.is_multiple_of(2) { network[k] * masks[k / 2] } else { network[k] };
        (0..network.len()).map(weight).collect()
    }

    /// The same for numbers.
    fn masked_numbers(&self, p: &[&[f64]]) -> Vec<Vec<f64>> {
        let (network, masks) = p.split_at(self.network().parameters());
        let product = |k: usize| network[k].iter().zip(masks[k / 2]).map(|(w, m)| w * m).collect();
        (0..network.len())
            .map(|k| if k.is_multiple_of(2) { product(k) } else { network[k].to_vec() })
            .collect()
    }

    /// The direction in which all columns are known: `(τ(v), Σ ln τ')`.
    fn parallel<'t, T: Real>(
        &self,
        scope: &Scope<'_, 't, T>,
        v: Var<'t, T>,
        context: Option<Var<'t, T>>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let seen = context.map_or(v, |c| Var::concat(&[v, c]));
        let network = self.network_given(seen.cols() - v.cols());
        let raw = network.record(scope.recorder, &self.masked(scope), seen);
        let (out, log) = apply(&self.transformer, raw, v, false);
        (out, transformed::total(&self.transformer, log, v))
    }

    /// The other one, as the solution of the parallel one: `(τ⁻¹(v), Σ ln τ')`.
    fn sequential<'t, T: Real>(
        &self,
        scope: &Scope<'_, 't, T>,
        v: Var<'t, T>,
        context: Option<Var<'t, T>>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let inputs: Vec<Var<'t, T>> = [v].into_iter().chain(context).chain(self.masked(scope)).collect();
        let y = solve(Sequential::new(self, &inputs, context.is_some()), &inputs);
        let (_, log) = self.parallel(scope, y, context);
        (y, log)
    }
}

impl Conditioned for Autoregressive {
    fn network_given(&self, context: usize) -> Mlp {
        Self::network_given(self, context)
    }

    fn declare_given(&self, context: usize, random: &mut Pcg64) -> Vec<Declaration> {
        let network = self.network_given(context);
        let mut declared = network.declare(random);
        start_at_identity(&mut declared, &self.transformer, self.order.len());
        let masks = masks::made(&self.order, &network.widths());
        for (k, mask) in masks.iter().enumerate() {
            let weight = &mut declared[2 * k];
            weight.initial.iter_mut().zip(mask).for_each(|(w, m)| *w *= m);
        }
        for (k, mask) in masks.into_iter().enumerate() {
            let (rows, cols) = (declared[2 * k].rows, declared[2 * k].cols);
            declared.push(Declaration::new(&format!("mask-{k}"), rows, cols, mask, Role::Frozen));
        }
        declared
    }

    /// One direction: the result, and `log|det dz/dx|` where it normalizes.
    fn record_given<'t, T: Real>(
        &self,
        scope: &Scope<'_, 't, T>,
        v: Var<'t, T>,
        context: Option<Var<'t, T>>,
        generate: bool,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let (out, log_det) = if self.inverse == generate {
            self.parallel(scope, v, context)
        } else {
            self.sequential(scope, v, context)
        };
        (out, if self.inverse { -log_det } else { log_det })
    }

    fn fixed(&self, params: &[&[f64]], context: &[f64]) -> Vec<Vec<f64>> {
        let network = self.network_given(context.len());
        let (own, masks) = params.split_at(network.parameters());
        let first: Vec<f64> = own[0].iter().zip(masks[0]).map(|(w, m)| w * m).collect();
        let masked: Vec<&[f64]> = [&first[..]].into_iter().chain(own[1..].iter().copied()).collect();
        let mut out = network.with_fixed(&masked, context);
        let of_columns = masks[0].chunks_exact(network.inputs);
        out.push(of_columns.flat_map(|row| row[..self.order.len()].iter().copied()).collect());
        out.extend(masks[1..].iter().map(|m| m.to_vec()));
        out
    }

    fn check_given(&self, context: usize, parameters: &[&[f64]]) -> Result<(), &'static str> {
        let network = self.network_given(context);
        masks::check(&self.order, &network.widths(), self.residual, &parameters[network.parameters()..])
    }
}

impl Bijection for Autoregressive {
    fn dim(&self) -> usize {
        self.order.len()
    }

    fn declare(&self, random: &mut Pcg64) -> Vec<Declaration> {
        self.declare_given(0, random)
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        self.record_given(scope, x, None, false)
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        self.record_given(scope, z, None, true).0
    }

    fn values<'a, T: Real>(&'a self, parameters: &'a [&'a [T]]) -> Option<Values<'a, T>> {
        // Without hidden layers there is no network to spare.
        let replayed = !self.inverse && !self.hidden.is_empty();
        replayed.then(|| Box::new(move |z: &Matrix<T>| self.replay(parameters, z)) as Values<'a, T>)
    }

    /// The sequential direction solves the parallel one with an error in each column, which is a backward error there.
    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        let (network, params, d) = (self.network(), self.masked_numbers(p), self.order.len());
        Box::new(move |x, z| {
            let (from, to) = if self.inverse { (z, x) } else { (x, z) };
            let input: Vec<Bounded> = from.iter().map(|&v| Bounded::exact(v)).collect();
            let raw = network.bounded(&params, &input);
            let mut out = Rounding::none(d);
            for j in 0..d {
                let theta: Vec<Bounded> = raw.iter().skip(j).step_by(d).copied().collect();
                let (there, log) = self.transformer.normalize(&theta, input[j]);
                let (back, _) = self.transformer.generate(&theta, Bounded::exact(to[j]));
                let end = if self.inverse { &mut out.data } else { &mut out.latent };
                end[j] = there.error + log.value.exp() * back.error;
                out.log_det += log.error + count(d) * log.value.abs();
            }
            out
        })
    }

    fn least_entries(&self) -> u128 {
        self.network().entries()
    }

    fn check_parameters(&self, parameters: &[&[f64]]) -> Result<(), &'static str> {
        self.check_given(0, parameters)
    }

    fn ways(&self) -> [Way; 2] {
        if self.inverse { [Way::Sequential, Way::ClosedForm] } else { [Way::ClosedForm, Way::Sequential] }
    }

    fn smoothness(&self) -> Smoothness {
        self.network().smoothness().min(self.transformer.smoothness())
    }

    fn growth(&self) -> Growth {
        transformed::growth(&self.transformer, self.activation, self.inverse)
    }

    fn examples(dim: usize) -> Vec<Self> {
        let make = |order: Vec<usize>, residual: bool, activation, transformer, inverse| Self {
            order,
            hidden: if residual { vec![6; 3] } else { vec![7, 5] },
            activation,
            residual,
            transformer,
            inverse,
        };
        let affine = |scale| Transformer::Affine { scale };
        let natural: Vec<usize> = (0..dim).collect();
        let reversed: Vec<usize> = (0..dim).rev().collect();
        let pairs: Vec<usize> = (0..dim).map(|j| j / 2).collect();
        vec![
            make(reversed.clone(), false, Activation::Silu, affine(Scale::Tanh { bound: 2.0 }), false),
            make(natural.clone(), true, Activation::Relu, affine(Scale::Softplus { least: 1e-3 }), false),
            make(pairs, false, Activation::Tanh, Transformer::Spline(Spline::new(3, 2.0)), false),
            make(reversed, false, Activation::Tanh, affine(Scale::SoftClamp { least: 1e-3 }), true),
            Self { hidden: vec![], ..make(natural, false, Activation::Tanh, Transformer::Additive, true) },
        ]
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.order.iter().any(|&place| place >= self.order.len()) {
            return Err("places in the order must be smaller than the number of columns");
        }
        transformed::check(&self.transformer, &self.network())
    }
}
