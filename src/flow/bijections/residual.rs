//! Residual layers: the identity plus a contraction.

mod inverse;
mod series;

use self::inverse::Inverse;
use super::spectral::{bound, bound_of};
use crate::flow::bijection::{Bijection, Declaration, Role, Scope, Smoothness, Way};
use crate::flow::conditioner::{Activation, Mlp};
use crate::flow::number::Bounded;
use crate::flow::rounding::{FUNCTION, Rounding, RoundingAt, count};
use eigenflow_autodiff::implicit::solve;
use eigenflow_autodiff::{Error, Recorder, Tangent, Var};
use eigenflow_linalg::{Matrix, Real};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `z = x + g(x)`, `g` a perceptron with a Lipschitz constant of at most `L = 0.9`, whatever its weights are.
///
/// Each of `n` weights is divided by `max(1, σ / c)`, `c^n = L`, with a smooth upper bound `σ` of its spectral norm (at most 4 % above it up to a width
/// of 128), and activations have slopes of at most 1: `tanh`, ReLU, or SiLU divided by 1.1. So the layer is
/// invertible, `1 - L <= |z - z'| / |x - x'| <= 1 + L` (J. Behrmann et al., *Invertible residual networks*, 2019; R. T. Q. Chen et al., *Residual flows
/// for invertible generative modeling*, 2019).
///
/// Up to 64 columns `log|det (I + J_g)|` is exact, by a pushed Jacobian (`D` tangents through the network) and its LU factorisation, `2/3 D³` a
/// row. Beyond, it is an unbiased *estimate* of the power series, a pure function of the row and of the number of the draw (a parameter,
/// [`Role::Draw`]), with an unbiased gradient (Russian roulette and random signs, `residual/series.rs`). [`crate::flow::Flow::log_density_estimate`] averages draws and gives the standard error.
///
/// The way back is numeric: Newton's method for `x + g(x) = z`, with the step `x ← z - g(x)`, which contracts by `L`,
/// wherever Newton's does not help, and alone beyond 64 columns; it ends at the rounding of the residual.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// Number of columns.
    pub dim: usize,
    /// Widths of the network's hidden layers.
    pub hidden: Vec<usize>,
    /// The network's nonlinearity.
    pub activation: Activation,
}

/// The Lipschitz constant `L` of `g`.
const LIPSCHITZ: f64 = 0.9;
/// SiLU is steeper than 1, by less than this.
const STEEPEST: f64 = 1.1;
/// Most columns for which the determinant is taken; beyond, it is estimated.
const MOST_COLUMNS: usize = 64;

impl Residual {
    fn network(&self) -> Mlp {
        let (dim, hidden) = (self.dim, self.hidden.clone());
        Mlp { inputs: dim, hidden, outputs: dim, activation: self.activation, residual: false }
    }

    /// Whether the log-determinant is an estimate.
    fn is_estimated(&self) -> bool {
        self.dim > MOST_COLUMNS
    }

    /// Parameters of the network: all but the number of the draw.
    fn own<'p, P>(&self, params: &'p [P]) -> &'p [P] {
        &params[..params.len() - usize::from(self.is_estimated())]
    }

    /// The share `c` of each weight in the Lipschitz constant.
    fn share(&self) -> f64 {
        LIPSCHITZ.powf((self.hidden.len() as f64 + 1.0).recip())
    }

    /// By how much the weight `k` is divided beside its norm: the slope of the activation before it.
    fn slope_before(&self, k: usize) -> f64 {
        if k > 0 && self.activation == Activation::Silu { STEEPEST } else { 1.0 }
    }

    /// The parameters of the network, weights scaled down.
    fn contracted<'t, T: Real>(&self, params: &[Var<'t, T>]) -> Vec<Var<'t, T>> {
        let scaled = |k: usize| {
            if !k.is_multiple_of(2) {
                return params[k];
            }
            let over =
                (bound(params[k]) * T::of(self.share().recip())).max(params[k].recorder().scalar(T::ONE));
            params[k] / (over * T::of(self.slope_before(k / 2)))
        };
        (0..params.len()).map(scaled).collect()
    }

    /// The same for numbers.
    fn contracted_numbers(&self, p: &[&[f64]]) -> Vec<Vec<f64>> {
        let widths = self.network().widths();
        let scaled = |k: usize| {
            if !k.is_multiple_of(2) {
                return p[k].to_vec();
            }
            let weight = Matrix::new(widths[k / 2 + 1], widths[k / 2], p[k].to_vec());
            let over = (bound_of(&weight) / self.share()).max(1.0) * self.slope_before(k / 2);
            p[k].iter().map(|w| w / over).collect()
        };
        (0..p.len()).map(scaled).collect()
    }
}

/// The transposed Jacobian of `z` by `x`, as a block of each row.
fn jacobian<'t, T: Real>(r: &'t Recorder<T>, z: Var<'t, T>, x: Var<'t, T>) -> Result<Var<'t, T>, Error> {
    let pushed = r.push(&[z], &[(x, Tangent::identity(x.cols()))])?.pop();
    let block = pushed.and_then(|t| t.into_block(r, x.shape(), x.cols()));
    Ok(block.unwrap_or_else(|| r.full(x.shape().with_tangents(x.cols()), T::NAN)))
}

impl Bijection for Residual {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, random: &mut Pcg64) -> Vec<Declaration> {
        let mut all = self.network().declare(random);
        if self.is_estimated() {
            all.push(Declaration::new("draw", 1, 1, vec![0.0], Role::Draw));
        }
        all
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let r = scope.recorder;
        let params = self.contracted(self.own(scope.params));
        let z = x + self.network().record(r, &params, x);
        if let (true, Some(&draw)) = (self.is_estimated(), scope.params.last()) {
            return (z, series::log_det(&self.network(), x, draw, &params));
        }
        // The network is made of operations that all can be pushed through.
        let log_det =
            jacobian(r, z, x).map_or_else(|_| r.full(x.shape().with_cols(1), T::NAN), Var::row_log_abs_det);
        (z, log_det)
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        let params = self.contracted(self.own(scope.params));
        let inputs: Vec<Var<'t, T>> = [z].into_iter().chain(params).collect();
        solve(Inverse::new(self, &inputs), &inputs)
    }

    fn ways(&self) -> [Way; 2] {
        [Way::ClosedForm, Way::Numeric]
    }

    fn smoothness(&self) -> Smoothness {
        self.network().smoothness()
    }

    /// `normalize` by running error. The iteration ends where the residual does not shrink by 1 % although a step contracts it by `L`, so that it
    /// is at most `2 / (0.99 - L)` times the rounding of an evaluation. What is estimated has no bound.
    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        let (network, params, d) = (self.network(), self.contracted_numbers(self.own(p)), self.dim);
        let before: Vec<Mlp> = (0..self.hidden.len())
            .map(|k| Mlp { hidden: self.hidden[..k].to_vec(), outputs: self.hidden[k], ..network.clone() })
            .collect();
        let norm = |k: usize| params[2 * k].iter().map(|w| w * w).sum::<f64>().sqrt();
        let product: f64 = (0..=before.len()).map(norm).product();
        let counts: f64 = network.widths().iter().map(|&w| count(w) + 4.0 * FUNCTION).sum();
        Box::new(move |x, _| {
            let input: Vec<Bounded> = x.iter().map(|&v| Bounded::exact(v)).collect();
            let z: Vec<Bounded> =
                input.iter().zip(network.bounded(&params, &input)).map(|(&x, g)| x + g).collect();
            let whole = z.iter().map(|z| z.error * z.error).sum::<f64>().sqrt();
            let left = 2.0 * whole / (0.99 - LIPSCHITZ);
            // Errors of the arguments at which slopes are taken; |act''| <= 1.
            let bent: f64 = before
                .iter()
                .flat_map(|net| net.bounded(&params[..2 * net.hidden.len() + 2], &input))
                .map(|h| h.error)
                .fold(0.0, |sum, e| sum + e);
            let mut out = Rounding::none(d);
            out.latent.iter_mut().zip(&z).for_each(|(o, z)| *o = z.error + left);
            // |tr J⁻¹δJ| <= √D ‖δJ‖_F / (1 - L), and the factorisation.
            let root = (d as f64).sqrt();
            let condition = (1.0 + LIPSCHITZ) / (1.0 - LIPSCHITZ);
            let terms = d as f64 * (1.0 - LIPSCHITZ).ln().abs();
            out.log_det += root * (counts + bent) * (1.0 + product) / (1.0 - LIPSCHITZ)
                + 3.0 * count(d + 2) * root * condition
                + FUNCTION * terms;
            if self.is_estimated() {
                out.log_det = f64::INFINITY;
            }
            out
        })
    }

    fn least_entries(&self) -> u128 {
        self.network().entries()
    }

    fn examples(dim: usize) -> Vec<Self> {
        let make = |hidden: &[usize], activation| Self { dim, hidden: hidden.to_vec(), activation };
        vec![make(&[7, 5], Activation::Silu), make(&[6], Activation::Tanh), make(&[5, 4], Activation::Relu)]
    }

    fn check(&self) -> Result<(), &'static str> {
        self.network().check()
    }
}
