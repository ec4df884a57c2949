//! Couplings with any transformer and conditioner.

use super::conditional::Conditioned;
use crate::flow::bijection::{Bijection, Declaration, Growth, Scope, Smoothness};
use crate::flow::conditioner::{Activation, Mlp};
use crate::flow::fused::transform;
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
    /// Columns that pass unchanged, ascending.
    fn passed(&self) -> Vec<usize> {
        (0..self.dim).filter(|j| !self.moved.contains(j)).collect()
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

    /// Records one direction: the result and `log|det dz/dx|`.
    fn record<'t, T: Real>(
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
        let (passed, moved) = (v.gather(&self.passed()), v.gather(&self.moved));
        let seen = context.map_or(passed, |c| Var::concat(&[passed, c]));
        let network = self.network_given(context.map_or(0, |c| c.cols()));
        let raw = network.record(scope.recorder, scope.params, seen);
        let (y, log) = apply(&self.transformer, raw, moved, generate);
        let log_det = match self.transformer {
            Transformer::Additive => scope.recorder.scalar(T::ZERO),
            _ => log.broadcast_to(moved.shape()).sum_cols(),
        };
        let order: Vec<usize> = self.passed().into_iter().chain(self.moved.iter().copied()).collect();
        let mut places = vec![0; self.dim];
        order.iter().enumerate().for_each(|(k, &j)| places[j] = k);
        (Var::concat(&[passed, y]).gather(&places), log_det)
    }
}

/// Records a transformer of the columns of `v`, with the parameters `raw`, parameter by parameter: `(y, ln dz/dx)`.
pub(super) fn apply<'t, T: Real>(
    transformer: &Transformer,
    raw: Var<'t, T>,
    v: Var<'t, T>,
    generate: bool,
) -> (Var<'t, T>, Var<'t, T>) {
    if let Transformer::Spline(spline) = transformer {
        return transform(spline, raw, v, generate);
    }
    let m = v.cols();
    let theta: Vec<Var<'t, T>> = (0..raw.cols() / m).map(|k| raw.slice(k * m..(k + 1) * m)).collect();
    if generate { transformer.generate(&theta, v) } else { transformer.normalize(&theta, v) }
}

/// Biases of a network's last layer at which it starts from the identity: those of each parameter `columns` times.
pub(super) fn start_at_identity(declared: &mut [Declaration], transformer: &Transformer, columns: usize) {
    let bias = declared.iter_mut().rfind(|d| d.name.starts_with("bias"));
    let start = transformer.identity();
    for (k, b) in bias.into_iter().flat_map(|d| d.initial.iter_mut()).enumerate() {
        *b += start[k / columns];
    }
}

impl Conditioned for GeneralCoupling {
    fn network_given(&self, context: usize) -> Mlp {
        Self::network_given(self, context)
    }

    fn declare_given(&self, context: usize, random: &mut Pcg64) -> Vec<Declaration> {
        let mut declared = self.network_given(context).declare(random);
        start_at_identity(&mut declared, &self.transformer, self.moved.len());
        declared
    }

    fn record_given<'t, T: Real>(
        &self,
        scope: &Scope<'_, 't, T>,
        v: Var<'t, T>,
        context: Var<'t, T>,
        generate: bool,
    ) -> (Var<'t, T>, Var<'t, T>) {
        self.record(scope, v, Some(context), generate)
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
        self.record(scope, x, None, false)
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        self.record(scope, z, None, true).0
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
        match (&self.transformer, self.activation) {
            (Transformer::Spline(_), _) => Growth::Linear,
            (_, Activation::Tanh) => self.transformer.growth(false),
            _ => self.transformer.growth(false).max(Growth::Polynomial),
        }
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
        ]
    }

    fn check(&self) -> Result<(), &'static str> {
        let ascending = self.moved.windows(2).all(|w| w[0] < w[1]);
        if !ascending || self.moved.last().is_some_and(|&j| j >= self.dim) {
            return Err("the moved columns must be ascending and smaller than the number of columns");
        }
        self.transformer.check()?;
        self.network().check()
    }
}
