//! Radial layers.

use super::tanh_step::steepness;
use crate::flow::bijection::{Bijection, Declaration, Role, Scope, Smoothness};
use crate::flow::number::{Bounded, Number};
use crate::flow::rounding::{Rounding, RoundingAt, count};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand::RngExt;
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// `z = c + (x - c) h`, `h = 1 + β / (α + r)`, `r = |x - c|`: rows near the centre `c` move towards it or away from it.
///
/// With `α > 0` and `γ = 1 + β / α > 0` whatever the parameters are, so that the layer is invertible, and `v = α / (α + r)`:
/// `h = γ v + (1 - v)` and `log|det| = (D - 1) ln h + ln(γ v² + 1 - v²)` (D. J. Rezende, S. Mohamed, *Variational inference with normalizing
/// flows*, 2015, section 4.1 and appendix A.2). It starts as the identity, at `γ = 1`.
///
/// The way back has a closed form: `r` is the positive root of `r² + (αγ - ρ) r - αρ`, `ρ = |z - c|`. At the centre the second derivative
/// jumps. Both directions cost `O(D)` a row.
///
/// ```
/// use eigenflow::flow::{Flow, bijections::Radial};
/// use eigenflow_linalg::Matrix;
/// let mut flow = Flow::<f64>::new(vec![Radial { dim: 2 }.into()], 0, 0).unwrap();
/// let p = flow.parameters_mut();
/// (p[0].data, p[1].data) = (vec![0.0; 2], vec![0.0]); // c = 0, α = 1
/// p[2].data[0] = ((3.0 - 1e-3_f64).exp_m1() / (1.0 - 1e-3_f64).exp_m1()).ln(); // γ = 3, so that β = 2
/// // r = 5, h = 1 + 2 / 6
/// let x = Matrix::new(1, 2, vec![3.0, 4.0]);
/// let z = flow.normalize(&x).unwrap().0;
/// assert!((z[(0, 0)] - 4.0).abs() < 1e-14 && (z[(0, 1)] - 16.0 / 3.0).abs() < 1e-14);
/// assert!((flow.generate(&z).unwrap()[(0, 1)] - 4.0).abs() < 1e-14);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Radial {
    /// Number of columns.
    pub dim: usize,
}

const CENTRE: usize = 0;
const LOG_RADIUS: usize = 1;
const STRENGTH: usize = 2;

/// `(h, γ v² + 1 - v²)` at distance `r`: sums of positive terms.
fn factors<N: Number>(alpha: N, gamma: N, r: N) -> (N, N) {
    let total = alpha + r;
    let (near, far) = (alpha / total, r / total);
    (gamma * near + far, gamma * near * near + far * near.plus(1.0))
}

/// The `r` that is taken to `ρ`, by whichever form of the root does not cancel.
fn distance<N: Number>(alpha: N, gamma: N, rho: N) -> N {
    let half = rho - alpha * gamma;
    let product = alpha * rho;
    let root = (half * half + product.times(4.0)).sqrt();
    half.choose((half + root).times(0.5), product.times(2.0) / half.choose(root, root - half))
}

/// `|v|`, with derivative 0 at 0.
fn length<T: Real>(v: Var<'_, T>) -> Var<'_, T> {
    let (square, zero) = (v.square().sum_cols(), v.recorder().scalar(T::ZERO));
    square.gt(zero).select(square.sqrt(), zero)
}

/// The same with its rounding.
fn bounded_length(v: &[Bounded]) -> Bounded {
    let square = Bounded::dot(v, v);
    if square.value > 0.0 { square.sqrt() } else { Bounded::exact(0.0) }
}

impl Bijection for Radial {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, random: &mut Pcg64) -> Vec<Declaration> {
        let centre = (0..self.dim).map(|_| random.sample::<f64, _>(StandardNormal)).collect();
        let start = 0.5 * (self.dim.max(1) as f64).ln();
        vec![
            Declaration::new("centre", 1, self.dim, centre, Role::Bias),
            Declaration::new("log-radius", 1, 1, vec![start], Role::Bias),
            Declaration::bias("strength", 1),
        ]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let (alpha, gamma) = (scope.params[LOG_RADIUS].exp(), steepness(scope.params[STRENGTH]));
        let from = x - scope.params[CENTRE];
        let (h, along) = factors(alpha, gamma, length(from));
        let log = h.ln() * T::of(self.dim as f64 - 1.0) + along.ln();
        (from * h + scope.params[CENTRE], log)
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        let (alpha, gamma) = (scope.params[LOG_RADIUS].exp(), steepness(scope.params[STRENGTH]));
        let from = z - scope.params[CENTRE];
        let (h, _) = factors(alpha, gamma, distance(alpha, gamma, length(from)));
        from / h + scope.params[CENTRE]
    }

    fn smoothness(&self) -> Smoothness {
        Smoothness::Piecewise
    }

    /// Both directions by running error.
    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        let (alpha, gamma) =
            (Bounded::exact(p[LOG_RADIUS][0]).exp(), steepness(Bounded::exact(p[STRENGTH][0])));
        Box::new(move |x, z| {
            let from = |v: &[f64]| -> Vec<Bounded> {
                v.iter().zip(p[CENTRE]).map(|(&v, &c)| Bounded::exact(v) - Bounded::exact(c)).collect()
            };
            let (here, there) = (from(x), from(z));
            let (h, along) = factors(alpha, gamma, bounded_length(&here));
            let back = factors(alpha, gamma, distance(alpha, gamma, bounded_length(&there))).0;
            let mut out = Rounding::none(self.dim);
            for (j, &centre) in p[CENTRE].iter().enumerate() {
                out.latent[j] = (here[j] * h + Bounded::exact(centre)).error;
                out.data[j] = (there[j] / back + Bounded::exact(centre)).error;
            }
            let (across, along) = (h.ln(), along.ln());
            let others = self.dim as f64 - 1.0;
            out.log_det += others * across.error
                + along.error
                + count(3) * (others * across.value.abs() + along.value.abs());
            out
        })
    }

    fn least_entries(&self) -> u128 {
        self.dim as u128 + 2
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim }]
    }
}
