//! Affine coupling (RealNVP).

use super::conditional::Conditioned;
use super::moved;
use crate::flow::bijection::{Bijection, Declaration, Growth, Scope, Smoothness};
use crate::flow::conditioner::{Activation, Mlp};
use crate::flow::fused::{Spec, coupling};
use crate::flow::number::{Bounded, Number};
use crate::flow::rounding::{Rounding, RoundingAt};
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
    fn passed(&self) -> Vec<usize> {
        moved::passed(self.dim, &self.moved)
    }

    fn network(&self) -> Mlp {
        self.network_given(0)
    }

    fn network_given(&self, context: usize) -> Mlp {
        Mlp {
            inputs: self.dim.saturating_sub(self.moved.len()).saturating_add(context),
            hidden: self.hidden.clone(),
            outputs: 2 * self.moved.len(),
            activation: self.activation,
            residual: false,
        }
    }
}

impl Conditioned for Coupling {
    fn network_given(&self, context: usize) -> Mlp {
        Self::network_given(self, context)
    }

    fn declare_given(&self, context: usize, random: &mut Pcg64) -> Vec<Declaration> {
        self.network_given(context).declare(random)
    }

    /// Records the coupling of columns `x` in one direction: the result and `log|det|`.
    ///
    /// Where the passed or moved columns are a permutation of a value, the weights are permuted and not the
    /// rows: a reversal between couplings moves nothing.
    fn record_given<'t, T: Real>(
        &self,
        scope: &Scope<'_, 't, T>,
        x: Var<'t, T>,
        context: Option<Var<'t, T>>,
        generate: bool,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let (passed, moving) = (x.gather(&self.passed()), x.gather(&self.moved));
        let (mut params, mut a, mut b) = (scope.params.to_vec(), passed, moving);
        if let (Some((from, indices)), Some(weight)) = (passed.unpermuted(), params.first_mut()) {
            let width = context.map_or(0, |c| c.cols());
            let behind = indices.len()..indices.len() + width;
            *weight = weight.gather(&moved::inverse(&indices).into_iter().chain(behind).collect::<Vec<_>>());
            a = from;
        }
        if let Some(context) = context {
            a = Var::concat(&[a, context]);
        }
        let permuted = moving.unpermuted();
        if let (Some((from, indices)), [.., weight, bias]) = (&permuted, &mut params[..]) {
            let order = moved::inverse(indices);
            let both: Vec<usize> =
                order.iter().copied().chain(order.iter().map(|k| order.len() + k)).collect();
            (*weight, *bias) = (weight.gather_rows(&both), bias.gather(&both));
            b = *from;
        }
        let network = self.network_given(context.map_or(0, |c| c.cols()));
        let spec = Spec { network, bound: self.bound, generate };
        let [y, log_det] = coupling(spec, a, b, &params);
        let y = permuted.map_or(y, |(_, indices)| y.gather(&indices));
        (moved::join(passed, y, &self.moved), log_det)
    }

    fn fixed(&self, params: &[&[f64]], context: &[f64]) -> Vec<Vec<f64>> {
        self.network_given(context.len()).with_fixed(params, context)
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
        self.record_given(scope, x, None, false)
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        self.record_given(scope, z, None, true).0
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

    /// `b' = b e^l + t`, with the running error of the network that gives `l` and `t`.
    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        let (network, passed, m) = (self.network(), self.passed(), self.moved.len());
        Box::new(move |x, z| {
            let input: Vec<Bounded> = passed.iter().map(|&j| Bounded::exact(x[j])).collect();
            let raw = network.bounded(p, &input);
            let mut out = Rounding::none(self.dim);
            for (i, &j) in self.moved.iter().enumerate() {
                let l = raw[i].times(self.bound.recip()).tanh().times(self.bound);
                let shift = raw[m + i];
                out.latent[j] = (Bounded::exact(x[j]) * l.exp() + shift).error;
                out.data[j] = ((Bounded::exact(z[j]) - shift) * (-l).exp()).error;
                out.log_det += l.error + l.value.abs();
            }
            out
        })
    }

    fn least_entries(&self) -> u128 {
        self.network().entries()
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
        moved::check(self.dim, &self.moved)?;
        if self.hidden.contains(&0) {
            return Err("hidden layers need at least one unit");
        }
        if self.bound > 0.0 && self.bound.is_finite() { Ok(()) } else { Err("the bound must be positive") }
    }
}
