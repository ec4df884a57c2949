//! Masked autoregressive layers.

use super::general_coupling::{apply, start_at_identity};
use crate::flow::bijection::{Bijection, Declaration, Growth, Role, Scope, Smoothness};
use crate::flow::conditioner::{Activation, Mlp};
use crate::flow::masks;
use crate::flow::number::Bounded;
use crate::flow::rounding::{Rounding, RoundingAt, count};
use crate::flow::transformer::{Scale, Spline, Transformer};
use eigenflow_autodiff::implicit::{Equation, Structure, solve};
use eigenflow_autodiff::primitive::{Eval, shape_error};
use eigenflow_autodiff::{Error, Nested, Shape, Var};
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Every column passes a [`Transformer`] whose parameters a masked network makes of the columns before it.
///
/// `z_j = τ(x_j; θ_j)`, `θ_j` a function of the columns `i` with `order_i < order_j` alone, `log|det| = Σ ln τ'`
/// (G. Papamakarios, T. Pavlakou, I. Murray, *Masked autoregressive flow*, 2017; the network: M. Germain et al., *MADE*, 2015). With
/// `inverse` the same map runs from latents to data (D. P. Kingma et al., *Inverse autoregressive flow*, 2016).
///
/// The parallel direction, `normalize` (`generate` with `inverse`), costs one pass of the network. The other one is exact and sequential: passes
/// are repeated until no bit changes, at most as many as the order has places, for each makes at least one more place final, and usually far
/// fewer (Y. Song et al., *Accelerating feedforward computation via parallel nonlinear equation solving*, 2021). It is one operation of the tape,
/// whose derivatives take the Jacobian of the parallel direction (`D` tangents) and a substitution in the order, `D²` a line.
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
        let d = self.order.len();
        Mlp {
            inputs: d,
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
    fn parallel<'t, T: Real>(&self, scope: &Scope<'_, 't, T>, v: Var<'t, T>) -> (Var<'t, T>, Var<'t, T>) {
        let raw = self.network().record(scope.recorder, &self.masked(scope), v);
        let (out, log) = apply(&self.transformer, raw, v, false);
        (out, self.total(scope, log, v))
    }

    /// The other one, as the solution of the parallel one: `(τ⁻¹(v), Σ ln τ')`.
    fn sequential<'t, T: Real>(&self, scope: &Scope<'_, 't, T>, v: Var<'t, T>) -> (Var<'t, T>, Var<'t, T>) {
        let inputs: Vec<Var<'t, T>> = [v].into_iter().chain(self.masked(scope)).collect();
        let y = solve(Sequential::new(self, &inputs), &inputs);
        let raw = self.network().record(scope.recorder, &inputs[1..], y);
        let (_, log) = apply(&self.transformer, raw, y, false);
        (y, self.total(scope, log, v))
    }

    fn total<'t, T: Real>(&self, scope: &Scope<'_, 't, T>, log: Var<'t, T>, v: Var<'t, T>) -> Var<'t, T> {
        match self.transformer {
            Transformer::Additive => scope.recorder.scalar(T::ZERO),
            _ => log.broadcast_to(v.shape()).sum_cols(),
        }
    }
}

/// `τ(y; θ(y)) = v`: inputs `v`, and the weights times their masks, and biases.
#[derive(Debug)]
struct Sequential<T> {
    layer: Autoregressive,
    /// Columns by their places.
    order: Arc<[usize]>,
    /// `τ⁻¹(v; θ(y))` from `y` and `v`.
    pass: Nested<T>,
}

impl<T: Real> Sequential<T> {
    fn new(layer: &Autoregressive, inputs: &[Var<'_, T>]) -> Self {
        let d = layer.order.len();
        let shapes: Vec<Shape> = inputs[1..].iter().map(Var::shape).collect();
        let pass = Nested::new(|r| {
            let (y, v) = (r.batch(d), r.batch(d));
            let params: Vec<Var<'_, T>> = shapes.iter().map(|&s| r.input(s)).collect();
            let raw = layer.network().record(r, &params, y);
            vec![apply(&layer.transformer, raw, v, true).0]
        });
        let mut order: Vec<usize> = (0..d).collect();
        order.sort_by_key(|&j| layer.order[j]);
        Self { layer: layer.clone(), order: order.into(), pass }
    }
}

impl<T: Real> Equation<T> for Sequential<T> {
    fn name(&self) -> &'static str {
        "autoregressive layer, inverted"
    }

    fn structure(&self) -> Structure {
        Structure::Triangular(self.order.clone())
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, Error> {
        if inputs[0] == Shape::batch(self.order.len()) {
            return Ok(inputs[0]);
        }
        shape_error(
            "autoregressive layer, inverted",
            inputs,
            "the first input is a batch of the layer's columns",
        )
    }

    fn residual<'t>(&self, x: &[Var<'t, T>], y: Var<'t, T>) -> Var<'t, T> {
        let raw = self.layer.network().record(y.recorder(), &x[1..], y);
        apply(&self.layer.transformer, raw, y, false).0 - x[0]
    }

    fn solve(&self, cx: &mut Eval<'_, '_, T>) {
        let (v, params) = (cx.inputs[0], &cx.inputs[1..]);
        let (y, next) = (&mut *cx.outputs[0], &mut cx.scratch[..v.len()]);
        y.copy_from_slice(v);
        // What overflows on the way, in a column that is not final yet, must not reach final ones as 0 times infinity.
        let kept = |v: T| if v.is_finite() { v } else { T::ZERO };
        let same = |a: T, b: T| a.f64().to_bits() == kept(b).f64().to_bits();
        // One pass more than there are places, to see that nothing changes.
        let mut left = self.layer.order.iter().max().map_or(0, |last| last + 1);
        loop {
            if self.pass.run(cx.rows, &[y, v], params, &mut [&mut *next]).is_err() {
                return y.fill(T::NAN);
            }
            let settled = y.iter().zip(&*next).all(|(&a, &b)| same(a, b));
            if settled || left == 0 {
                return y
                    .iter_mut()
                    .zip(&*next)
                    .for_each(|(y, &v)| *y = if same(*y, v) { v } else { T::NAN });
            }
            left -= 1;
            y.iter_mut().zip(&*next).for_each(|(y, &v)| *y = kept(v));
        }
    }

    fn scratch(&self, inputs: &[Shape], rows: usize) -> usize {
        inputs[0].len(rows)
    }
}

impl Bijection for Autoregressive {
    fn dim(&self) -> usize {
        self.order.len()
    }

    fn declare(&self, random: &mut Pcg64) -> Vec<Declaration> {
        let network = self.network();
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

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        if self.inverse {
            let (z, log_det) = self.sequential(scope, x);
            (z, -log_det)
        } else {
            self.parallel(scope, x)
        }
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        if self.inverse { self.parallel(scope, z).0 } else { self.sequential(scope, z).0 }
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
        // Each weight has its mask.
        self.network().entries().saturating_mul(2)
    }

    fn check_parameters(&self, parameters: &[&[f64]]) -> Result<(), &'static str> {
        let network = self.network();
        masks::check(&self.order, &network.widths(), self.residual, &parameters[network.parameters()..])
    }

    fn smoothness(&self) -> Smoothness {
        self.network().smoothness().min(self.transformer.smoothness())
    }

    fn growth(&self) -> Growth {
        match (&self.transformer, self.activation) {
            (Transformer::Spline(_), _) => Growth::Linear,
            (_, Activation::Tanh) => self.transformer.growth(self.inverse),
            _ => self.transformer.growth(self.inverse).max(Growth::Polynomial),
        }
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
        self.transformer.check()?;
        self.network().check()
    }
}
