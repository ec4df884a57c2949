//! Couplings with any transformer and conditioner.

use super::conditional::Conditioned;
use super::{moved, transformed};
use crate::flow::bijection::{Bijection, Declaration, Growth, Scope, Smoothness};
use crate::flow::conditioner::{Activation, Mlp};
use crate::flow::number::Bounded;
use crate::flow::rounding::{Rounding, RoundingAt, count};
use crate::flow::transformer::{Logits, Scale, Spline, Transformer};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Columns `moved` pass a [`Transformer`] whose parameters a network makes of the other columns.
///
/// `z_j = τ(x_j; θ_j)`, `θ = network(passed columns)`, `log|det| = Σ ln τ'`, and back `x_j = τ⁻¹(z_j; θ_j)` (G. Papamakarios et
/// al., *Normalizing flows for probabilistic modeling and inference*, 2021, section 3.1.3). Both directions cost one
/// pass of the network. The network gives parameter `k` of all moved columns side by side, then parameter `k + 1`.
///
/// [`super::Coupling`] is the affine one with a bounded log-scale, fused into one operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneralCoupling {
    /// Number of columns.
    pub dim: usize,
    /// Columns that move, ascending.
    pub moved: Vec<usize>,
    /// Widths of the conditioner's hidden layers.
    pub hidden: Vec<usize>,
    /// The conditioner's nonlinearity.
    pub activation: Activation,
    /// Whether pairs of hidden layers are residual blocks.
    #[serde(default)]
    pub residual: bool,
    /// What happens to a moved column.
    pub transformer: Transformer,
}

impl GeneralCoupling {
    /// Each column passes the transformer with trained parameters of its own: a coupling that moves all columns has nothing to make
    /// them of, and its network is a bias.
    pub fn elementwise(dim: usize, transformer: Transformer) -> Self {
        let (moved, hidden) = ((0..dim).collect(), Vec::new());
        Self { dim, moved, hidden, activation: Activation::Tanh, residual: false, transformer }
    }

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
            outputs: self.transformer.parameters().saturating_mul(self.moved.len()),
            activation: self.activation,
            residual: self.residual,
        }
    }

    /// What the network of these parameters gives where no column passes, so that it has no inputs: its first weight has no columns.
    pub(crate) fn constant(&self, parameters: &[Vec<f64>]) -> Vec<f64> {
        let mut network = Mlp { inputs: 1, ..self.network() };
        network.outputs = parameters.last().map_or(0, Vec::len);
        let mut own = parameters.to_vec();
        own[0] = vec![0.0; own[1].len()];
        network.bounded(&own, &[Bounded::exact(0.0)]).into_iter().map(|v| v.value).collect()
    }
}

impl Conditioned for GeneralCoupling {
    fn network_given(&self, context: usize) -> Mlp {
        Self::network_given(self, context)
    }

    fn declare_given(&self, context: usize, random: &mut Pcg64) -> Vec<Declaration> {
        let mut declared = self.network_given(context).declare(random);
        transformed::start_at_identity(&mut declared, &self.transformer, self.moved.len());
        declared
    }

    /// Records one direction: the result and `log|det dz/dx|`.
    fn record_given<'t, T: Real>(
        &self,
        scope: &Scope<'_, 't, T>,
        v: Var<'t, T>,
        context: Option<Var<'t, T>>,
        generate: bool,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let m = self.moved.len();
        if m == 0 {
            return (v, scope.recorder.scalar(T::ZERO));
        }
        let (passed, moving) = (v.gather(&self.passed()), v.gather(&self.moved));
        let seen = context.map_or(passed, |c| Var::concat(&[passed, c]));
        let network = self.network_given(context.map_or(0, |c| c.cols()));
        let raw = network.record(scope.recorder, scope.params, seen);
        let (y, log) = transformed::apply(&self.transformer, raw, moving, generate);
        let log_det = transformed::total(&self.transformer, log, moving);
        (moved::join(passed, y, &self.moved), log_det)
    }

    fn fixed(&self, params: &[&[f64]], context: &[f64]) -> Vec<Vec<f64>> {
        self.network_given(context.len()).with_fixed(params, context)
    }
}

impl Bijection for GeneralCoupling {
    fn dim(&self) -> usize {
        self.dim
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

    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        let (network, passed, m) = (self.network(), self.passed(), self.moved.len());
        Box::new(move |x, z| {
            let input: Vec<Bounded> = passed.iter().map(|&j| Bounded::exact(x[j])).collect();
            let raw = network.bounded(p, &input);
            let mut out = Rounding::none(self.dim);
            for (i, &j) in self.moved.iter().enumerate() {
                let theta: Vec<Bounded> = raw.iter().skip(i).step_by(m).copied().collect();
                let (there, log) = self.transformer.normalize(&theta, Bounded::exact(x[j]));
                let (back, _) = self.transformer.generate(&theta, Bounded::exact(z[j]));
                (out.latent[j], out.data[j]) = (there.error, back.error);
                out.log_det += log.error + count(m) * log.value.abs();
            }
            out
        })
    }

    fn least_entries(&self) -> u128 {
        self.network().entries()
    }

    fn smoothness(&self) -> Smoothness {
        self.network().smoothness().min(self.transformer.smoothness())
    }

    fn growth(&self) -> Growth {
        transformed::growth(&self.transformer, self.activation, false)
    }

    fn examples(dim: usize) -> Vec<Self> {
        let make = |second: bool, residual: bool, activation, transformer| Self {
            dim,
            moved: if second { (dim / 2..dim).collect() } else { (0..dim).step_by(2).collect() },
            hidden: if residual { vec![5; 3] } else { vec![7, 5] },
            activation,
            residual,
            transformer,
        };
        let affine = |scale| Transformer::Affine { scale };
        let clamped = Spline { bins: 4, bound: 2.5, logits: Logits::SoftClamp { least: 1e-3 } };
        vec![
            make(true, false, Activation::Silu, Transformer::Additive),
            make(false, false, Activation::Relu, affine(Scale::SoftClamp { least: 1e-3 })),
            make(true, true, Activation::Tanh, affine(Scale::Sigmoid { offset: 2.0, least: 1e-3 })),
            make(false, false, Activation::Tanh, Transformer::Spline(Spline::new(3, 2.0))),
            make(true, true, Activation::Relu, Transformer::Spline(clamped)),
            Self::elementwise(dim, Transformer::Spline(Spline::new(5, 3.0))),
        ]
    }

    fn check(&self) -> Result<(), &'static str> {
        moved::check(self.dim, &self.moved)?;
        transformed::check(&self.transformer, &self.network())
    }
}
