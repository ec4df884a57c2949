//! Columns that pass a transformer whose parameters a network gives: what couplings and autoregressive layers share.

use crate::flow::bijection::{Declaration, Growth};
use crate::flow::conditioner::{Activation, Mlp};
use crate::flow::fused::transform;
use crate::flow::transformer::Transformer;
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;

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

/// `log|det|` of each row from `ln τ'` of the columns of `v`.
pub(super) fn total<'t, T: Real>(transformer: &Transformer, log: Var<'t, T>, v: Var<'t, T>) -> Var<'t, T> {
    match transformer {
        Transformer::Additive => v.recorder().scalar(T::ZERO),
        _ => log.broadcast_to(v.shape()).sum_cols(),
    }
}

/// How fast `generate` grows (`inverse`: `normalize`): a network without `tanh` grows linearly itself.
pub(super) fn growth(transformer: &Transformer, activation: Activation, inverse: bool) -> Growth {
    match (transformer, activation) {
        (Transformer::Spline(_), _) => Growth::Linear,
        (_, Activation::Tanh) => transformer.growth(inverse),
        _ => transformer.growth(inverse).max(Growth::Polynomial),
    }
}

/// What is wrong with the fields of both.
pub(super) fn check(transformer: &Transformer, network: &Mlp) -> Result<(), &'static str> {
    transformer.check()?;
    network.check()
}
