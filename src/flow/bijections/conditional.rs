//! Layers whose conditioner sees a context beside the columns.

use super::{Autoregressive, Coupling, GeneralCoupling};
use crate::flow::Layer;
use crate::flow::bijection::{Bijection, Declaration, Growth, Scope, Smoothness, Way};
use crate::flow::conditioner::Mlp;
use crate::flow::rounding::RoundingAt;
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

/// A layer with a conditioner, which may see a context.
pub(super) trait Conditioned: Bijection {
    /// The network, with `context` more inputs.
    fn network_given(&self, context: usize) -> Mlp;

    /// As [`Bijection::declare`], for `context` more inputs.
    fn declare_given(&self, context: usize, random: &mut Pcg64) -> Vec<Declaration>;

    /// Records one direction, given a context or none: the result, and `log|det dz/dx|`.
    fn record_given<'t, T: Real>(
        &self,
        scope: &Scope<'_, 't, T>,
        v: Var<'t, T>,
        context: Option<Var<'t, T>>,
        generate: bool,
    ) -> (Var<'t, T>, Var<'t, T>);

    /// Parameters of the layer itself that is this one at a fixed context.
    fn fixed(&self, params: &[&[f64]], context: &[f64]) -> Vec<Vec<f64>>;

    /// As [`Bijection::check_parameters`].
    fn check_given(&self, context: usize, parameters: &[&[f64]]) -> Result<(), &'static str> {
        let _ = (context, parameters);
        Ok(())
    }
}

/// A layer given a context: its conditioner sees `context` columns beside those of the row, which are no columns of the map.
///
/// `z = τ(x; network([x, c]))`: the layer's formula with more inputs to the network, and as many more columns in its first weight
/// (C. Winkler et al., *Learning likelihoods with conditional normalizing flows*, 2019). The Jacobian is that in `x` alone. At a fixed
/// `c` it is the layer itself with another first bias: [`Layer::at`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditional {
    /// Columns of the context.
    pub context: usize,
    /// The layer.
    pub layer: Inner,
}

macro_rules! inner {
    ($($kind:literal => $layer:ident,)*) => {
        /// What can be given a context.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Inner {
            $(
                #[doc = concat!("`", $kind, "`")]
                #[serde(rename = $kind)]
                $layer($layer),
            )*
        }

        impl Layer {
            /// The same layer with a conditioner that sees `context` columns of context; a layer without a conditioner
            /// as it is.
            #[must_use]
            pub fn given(self, context: usize) -> Self {
                match self {
                    _ if context == 0 => self,
                    $(Self::$layer(layer) => Conditional { context, layer: Inner::$layer(layer) }.into(),)*
                    other => other,
                }
            }
        }

        impl From<Inner> for Layer {
            fn from(inner: Inner) -> Self {
                match inner { $(Inner::$layer(layer) => Self::$layer(layer),)* }
            }
        }

        /// Calls a method of the layer within.
        macro_rules! within {
            ($self:expr, $l:ident => $call:expr) => {
                match &$self.layer { $(Inner::$layer($l) => $call,)* }
            };
        }
    };
}

inner! {
    "autoregressive" => Autoregressive,
    "coupling" => Coupling,
    "general-coupling" => GeneralCoupling,
}

impl Layer {
    /// Columns of context that the layer sees.
    pub fn context(&self) -> usize {
        if let Self::Conditional(layer) = self { layer.context } else { 0 }
    }

    /// The layer at a fixed (standardised) context, without one: the layer and its parameters. `None` if it sees no context.
    pub fn at(&self, params: &[&[f64]], context: &[f64]) -> Option<(Self, Vec<Vec<f64>>)> {
        let Self::Conditional(layer) = self else { return None };
        Some((layer.layer.clone().into(), within!(layer, l => l.fixed(params, context))))
    }

    /// Instances with a context, for the laws that run over every layer that takes one.
    pub fn conditional_examples(dim: usize, context: usize) -> Vec<Self> {
        let all = Self::examples(dim).into_iter().map(|layer| layer.given(context));
        all.filter(|layer| layer.context() > 0).collect()
    }
}

impl Conditional {
    fn record<'t, T: Real>(
        &self,
        scope: &Scope<'_, 't, T>,
        v: Var<'t, T>,
        generate: bool,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let context = scope.context.expect("a conditional flow declares its context");
        within!(self, l => l.record_given(scope, v, Some(context), generate))
    }
}

impl Bijection for Conditional {
    fn dim(&self) -> usize {
        within!(self, l => l.dim())
    }

    fn declare(&self, random: &mut Pcg64) -> Vec<Declaration> {
        within!(self, l => l.declare_given(self.context, random))
    }

    fn normalize<'t, T: Real>(
        &self,
        scope: &mut Scope<'_, 't, T>,
        x: Var<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        self.record(scope, x, false)
    }

    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
        self.record(scope, z, true).0
    }

    /// Rows come with their (standardised) context behind them.
    fn rounding<'a>(&'a self, p: &'a [&'a [f64]]) -> RoundingAt<'a> {
        Box::new(move |x, z| {
            let (x, context) = x.split_at(self.dim());
            let fixed = within!(self, l => l.fixed(p, context));
            let fixed: Vec<&[f64]> = fixed.iter().map(Vec::as_slice).collect();
            within!(self, l => l.rounding(&fixed)(x, z))
        })
    }

    fn least_entries(&self) -> u128 {
        within!(self, l => l.network_given(self.context).entries())
    }

    fn check_parameters(&self, parameters: &[&[f64]]) -> Result<(), &'static str> {
        within!(self, l => l.check_given(self.context, parameters))
    }

    fn ways(&self) -> [Way; 2] {
        within!(self, l => l.ways())
    }

    fn smoothness(&self) -> Smoothness {
        within!(self, l => l.smoothness())
    }

    fn growth(&self) -> Growth {
        within!(self, l => l.growth())
    }

    /// None without a context: see [`Layer::conditional_examples`].
    fn examples(_dim: usize) -> Vec<Self> {
        Vec::new()
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.context == 0 {
            return Err("a conditional layer needs at least one column of context");
        }
        within!(self, l => l.check())
    }
}
