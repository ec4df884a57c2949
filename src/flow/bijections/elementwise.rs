//! Elementwise maps of the whole line, named by their *generative* direction.

use crate::flow::bijection::{Bijection, Declaration, Growth, Role, Scope, Smoothness};
use crate::flow::rounding::{FUNCTION, Rounding, RoundingAt, count};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Generative PReLU: `x = z` for `z ≥ 0`, `x = a z` for `z < 0`, with `a = softplus(raw) > 0` for
/// each column. `log|det| = -Σ_{x<0} ln a`. At the kink the derivative is the right-hand one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prelu {
    /// Number of columns.
    pub dim: usize,
}

/// Generative sinh: `x = sinh z`, `z = asinh x`, `log|det| = -Σ ln cosh z`. Heavy tails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sinh {
    /// Number of columns.
    pub dim: usize,
}

/// Generative asinh: `x = asinh z`, `z = sinh x`, `log|det| = Σ ln cosh x`. Light tails; the
/// normalizing direction has no Lipschitz bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asinh {
    /// Number of columns.
    pub dim: usize,
}

/// Generative leaky ReLU: `x = z` for `z >= 0`, `x = a z` below, with the same fixed `a > 0` for all columns.
///
/// `log|det| = -Σ_{x<0} ln a`. At the kink the derivative is the right-hand one. [`super::Prelu`] trains its slopes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakyRelu {
    /// Number of columns.
    pub dim: usize,
    /// The slope `a` of negative latents.
    pub slope: f64,
}

/// `ln cosh x = softplus(2x) - x - ln 2`: smooth, and finite wherever `x` is.
pub(crate) fn ln_cosh<T: Real>(x: Var<'_, T>) -> Var<'_, T> {
    (x * T::of(2.0)).softplus() - x - T::of(std::f64::consts::LN_2)
}

/// Rounding of [`ln_cosh`], whose terms are at most `3|x| + 2`.
pub(crate) fn of_ln_cosh(x: f64) -> f64 {
    2.0 * FUNCTION * (3.0 * x.abs() + 2.0)
}

/// Initial slope of [`Prelu`].
const SLOPE: f64 = 0.5;

/// What elementwise layers without parameters have in common: `there` gives `(z, ln dz/dx)`, `back` gives `x`.
macro_rules! elementwise {
    ($layer:ident, $($more:item)*) => {
        impl Bijection for $layer {
            fn dim(&self) -> usize {
                self.dim
            }

            fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
                Vec::new()
            }

            fn normalize<'t, T: Real>(
                &self,
                scope: &mut Scope<'_, 't, T>,
                x: Var<'t, T>,
            ) -> (Var<'t, T>, Var<'t, T>) {
                let (z, log) = Self::there(self, scope.recorder, x);
                (z, log.sum_cols())
            }

            fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
                Self::back(self, scope.recorder, z)
            }

            $($more)*
        }
    };
}
pub(super) use elementwise;

impl Bijection for Prelu {
    fn dim(&self) -> usize {
        self.dim
    }

    fn declare(&self, _random: &mut Pcg64) -> Vec<Declaration> {
        // softplus(raw) = SLOPE
        let raw = SLOPE.exp_m1().ln();
        vec![Declaration::new("raw-slope", 1, self.dim, vec![raw; self.dim], Role::Bias)]
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let r = scope.recorder;
        let slope = scope.params[0].softplus();
        let right = x.ge(r.scalar(T::ZERO));
        let z = right.select(x, x * slope.recip());
        (z, right.select(r.scalar(T::ZERO), -slope.ln()).sum_cols())
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        let slope = scope.params[0].softplus();
        z.ge(scope.recorder.scalar(T::ZERO)).select(z, z * slope)
    }

    fn smoothness(&self) -> Smoothness {
        Smoothness::Piecewise
    }

    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, z| {
            Rounding::columns(x.len(), |j| {
                let slope = p[0][j].exp().ln_1p();
                let of_log = 2.0 * FUNCTION * (1.0 + slope.ln().abs());
                (3.0 * FUNCTION * z[j].abs(), 3.0 * FUNCTION * x[j].abs(), of_log)
            })
        })
    }

    fn least_entries(&self) -> u128 {
        self.dim as u128
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim }]
    }
}

type Recorder<T> = eigenflow_autodiff::Recorder<T>;

impl Sinh {
    fn there<'t, T: Real>(_: &Self, _: &'t Recorder<T>, x: Var<'t, T>) -> (Var<'t, T>, Var<'t, T>) {
        let z = x.asinh();
        (z, -ln_cosh(z))
    }

    fn back<'t, T: Real>(_: &Self, _: &'t Recorder<T>, z: Var<'t, T>) -> Var<'t, T> {
        z.sinh()
    }
}

elementwise! { Sinh,
    fn growth(&self) -> Growth {
        Growth::Exponential
    }

    fn rounding<'a>(&'a self, _parameters: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, z| {
            Rounding::columns(x.len(), |j| (FUNCTION * z[j].abs(), FUNCTION * x[j].abs(), of_ln_cosh(z[j])))
        })
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim }]
    }
}

impl Asinh {
    fn there<'t, T: Real>(_: &Self, _: &'t Recorder<T>, x: Var<'t, T>) -> (Var<'t, T>, Var<'t, T>) {
        (x.sinh(), ln_cosh(x))
    }

    fn back<'t, T: Real>(_: &Self, _: &'t Recorder<T>, z: Var<'t, T>) -> Var<'t, T> {
        z.asinh()
    }
}

elementwise! { Asinh,
    fn rounding<'a>(&'a self, _parameters: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, z| {
            Rounding::columns(x.len(), |j| (FUNCTION * z[j].abs(), FUNCTION * x[j].abs(), of_ln_cosh(x[j])))
        })
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim }]
    }
}

impl LeakyRelu {
    fn there<'t, T: Real>(&self, r: &'t Recorder<T>, x: Var<'t, T>) -> (Var<'t, T>, Var<'t, T>) {
        let right = x.ge(r.scalar(T::ZERO));
        let log = right.select(r.scalar(T::ZERO), r.scalar(T::of(-self.slope.ln())));
        (right.select(x, x * T::of(self.slope.recip())), log)
    }

    fn back<'t, T: Real>(&self, r: &'t Recorder<T>, z: Var<'t, T>) -> Var<'t, T> {
        z.ge(r.scalar(T::ZERO)).select(z, z * T::of(self.slope))
    }
}

elementwise! { LeakyRelu,
    fn rounding<'a>(&'a self, _parameters: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, z| {
            let log_det = count(x.len() + 4) * self.slope.ln().abs();
            Rounding::columns(x.len(), |j| (3.0 * z[j].abs(), 3.0 * x[j].abs(), log_det))
        })
    }

    fn smoothness(&self) -> Smoothness {
        Smoothness::Piecewise
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim, slope: 0.3 }]
    }

    fn check(&self) -> Result<(), &'static str> {
        let ok = self.slope > 0.0 && self.slope.is_finite();
        if ok { Ok(()) } else { Err("the slope must be positive") }
    }
}
