//! Elementwise maps onto half-lines and intervals, named by their *generative* direction.
//!
//! The sigmoid is [`super::Logit`]; intervals column by column are [`super::Support`].

use super::elementwise::elementwise;
use super::of_ln_cosh;
use crate::flow::bijection::{Bijection, Declaration, Growth, Scope};
use crate::flow::number::{Bounded, Number};
use crate::flow::rounding::{FUNCTION, Rounding, RoundingAt, count};
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// Generative exponential: `x = low + e^z`, for data above `low`; `z = ln(x - low)`, `log|det| = -Σ z`.
///
/// A row at or below `low` is out of support and gives NaN, which everything that takes data refuses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exp {
    /// Number of columns.
    pub dim: usize,
    /// Lower end of the support.
    pub low: f64,
}

/// Generative softplus: `x = low + ln(1 + e^z)`, for data above `low`.
///
/// With `u = x - low`: `z = u + ln(1 - e^-u)`, `log|det| = -Σ ln(1 - e^-u)`. Near the identity far above `low`, exponential near it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Softplus {
    /// Number of columns.
    pub dim: usize,
    /// Lower end of the support.
    pub low: f64,
}

/// Generative hyperbolic tangent: `x = r tanh(z / r)`, for data in `(-r, r)`.
///
/// `z = r artanh(x / r)`, `log|det| = Σ 2 ln cosh(z / r)`. Near the identity in the middle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tanh {
    /// Number of columns.
    pub dim: usize,
    /// Half the width `r` of the support.
    pub radius: f64,
}

type Recorder<T> = eigenflow_autodiff::Recorder<T>;

/// The example's support reaches this far below 0, so that normal rows lie in it.
const FAR: f64 = 50.0;

impl Exp {
    fn there<'t, T: Real>(&self, _r: &'t Recorder<T>, x: Var<'t, T>) -> (Var<'t, T>, Var<'t, T>) {
        let z = (x - T::of(self.low)).ln();
        (z, -z)
    }

    fn back<'t, T: Real>(&self, _r: &'t Recorder<T>, z: Var<'t, T>) -> Var<'t, T> {
        z.exp() + T::of(self.low)
    }
}

elementwise! { Exp,
    fn rounding<'a>(&'a self, _parameters: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, z| {
            Rounding::columns(x.len(), |j| {
                let there = Bounded::exact(x[j]).plus(-self.low).ln();
                let back = Bounded::exact(z[j]).exp().plus(self.low);
                (there.error, back.error, there.error + count(x.len()) * z[j].abs())
            })
        })
    }

    fn growth(&self) -> Growth {
        Growth::Exponential
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim, low: -FAR }]
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.low.is_finite() { Ok(()) } else { Err("the lower end must be finite") }
    }
}

impl Softplus {
    fn there<'t, T: Real>(&self, _r: &'t Recorder<T>, x: Var<'t, T>) -> (Var<'t, T>, Var<'t, T>) {
        let u = x - T::of(self.low);
        let log = (-(-u).exp_m1()).ln();
        (u + log, -log)
    }

    fn back<'t, T: Real>(&self, _r: &'t Recorder<T>, z: Var<'t, T>) -> Var<'t, T> {
        z.softplus() + T::of(self.low)
    }
}

elementwise! { Softplus,
    fn rounding<'a>(&'a self, _parameters: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, z| {
            Rounding::columns(x.len(), |j| {
                let u = Bounded::exact(x[j]).plus(-self.low);
                // d ln(1 - e^-u) = du / (e^u - 1)
                let below = -(-u.value).exp_m1();
                let of_log = u.error / u.value.exp_m1() + FUNCTION * (1.0 + below.ln().abs());
                let back = Bounded::exact(z[j]).softplus().plus(self.low);
                (u.error + of_log + z[j].abs(), back.error, of_log + count(x.len()) * below.ln().abs())
            })
        })
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim, low: -FAR }]
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.low.is_finite() { Ok(()) } else { Err("the lower end must be finite") }
    }
}

impl Tanh {
    fn there<'t, T: Real>(&self, _r: &'t Recorder<T>, x: Var<'t, T>) -> (Var<'t, T>, Var<'t, T>) {
        let v = x * T::of(self.radius.recip());
        let u = (v.ln_1p() - (-v).ln_1p()) * T::of(0.5);
        (u * T::of(self.radius), super::ln_cosh(u) * T::of(2.0))
    }

    fn back<'t, T: Real>(&self, _r: &'t Recorder<T>, z: Var<'t, T>) -> Var<'t, T> {
        (z * T::of(self.radius.recip())).tanh() * T::of(self.radius)
    }
}

elementwise! { Tanh,
    fn rounding<'a>(&'a self, _parameters: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(|x, z| {
            Rounding::columns(x.len(), |j| {
                let (v, u) = (x[j] / self.radius, z[j] / self.radius);
                // v is off by 2 eps of itself, which passes with slope 1 / (1 - v²).
                let of_u = 2.0 * v.abs() / ((1.0 - v) * (1.0 + v))
                    + FUNCTION * (v.ln_1p().abs() + (-v).ln_1p().abs())
                    + 2.0 * u.abs();
                let latent = self.radius * of_u + 2.0 * z[j].abs();
                let data = (FUNCTION + 4.0) * x[j].abs();
                (latent, data, 2.0 * (of_ln_cosh(u) + of_u))
            })
        })
    }

    fn examples(dim: usize) -> Vec<Self> {
        vec![Self { dim, radius: FAR }]
    }

    fn check(&self) -> Result<(), &'static str> {
        let ok = self.radius > 0.0 && self.radius.is_finite();
        if ok { Ok(()) } else { Err("the radius must be positive") }
    }
}
