//! Every bijection, listed once.

use super::bijection::{Bijection, Declaration, Growth, Scope, Smoothness, Values, Way};
use super::bijections::{
    ActNorm, Affine, Asinh, Autoregressive, Banana, BatchNorm, Conditional, Coupling, Exp, GeneralCoupling,
    Householder, LeakyRelu, Logit, LuLinear, Permutation, Planar, PolarShear, Prelu, Radial, Residual,
    SCurveTube, Sinh, SinhArcsinh, SoftTail, Softplus, Squash, Standardize, Support, SwissRoll, Sylvester,
    Tanh,
};
use super::rounding::RoundingAt;
use eigenflow_autodiff::Var;
use eigenflow_linalg::Real;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

macro_rules! registry {
    ($($kind:literal => $layer:ident,)*) => {
        /// A layer of a flow: one of the registered bijections, with its configuration.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Layer {
            $(
                #[doc = concat!("`", $kind, "`")]
                #[serde(rename = $kind)]
                $layer($layer),
            )*
        }

        $(impl From<$layer> for Layer {
            fn from(layer: $layer) -> Self {
                Self::$layer(layer)
            }
        })*

        impl Layer {
            /// Names of all registered bijections, as they stand in model files.
            pub const KINDS: &[&str] = &[$($kind),*];

            /// The name of this one.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$layer(_) => $kind,)*
                }
            }
        }

        impl Bijection for Layer {
            fn dim(&self) -> usize {
                match self { $(Self::$layer(l) => l.dim(),)* }
            }

            fn declare(&self, random: &mut Pcg64) -> Vec<Declaration> {
                match self { $(Self::$layer(l) => l.declare(random),)* }
            }

            fn normalize<'t, T: Real>(
                &self,
                scope: &mut Scope<'_, 't, T>,
                x: Var<'t, T>,
            ) -> (Var<'t, T>, Var<'t, T>) {
                match self { $(Self::$layer(l) => l.normalize(scope, x),)* }
            }

            fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T> {
                match self { $(Self::$layer(l) => l.generate(scope, z),)* }
            }

            fn values<'a, T: Real>(&'a self, parameters: &'a [&'a [T]]) -> Option<Values<'a, T>> {
                match self { $(Self::$layer(l) => l.values(parameters),)* }
            }

            fn examples(dim: usize) -> Vec<Self> {
                let mut all = Vec::new();
                $(all.extend($layer::examples(dim).into_iter().map(Self::$layer));)*
                all
            }

            fn check(&self) -> Result<(), &'static str> {
                match self { $(Self::$layer(l) => l.check(),)* }
            }

            fn rounding<'a>(&'a self, parameters: &'a [&'a [f64]]) -> RoundingAt<'a> {
                match self { $(Self::$layer(l) => l.rounding(parameters),)* }
            }

            fn least_entries(&self) -> u128 {
                match self { $(Self::$layer(l) => l.least_entries(),)* }
            }

            fn check_parameters(&self, parameters: &[&[f64]]) -> Result<(), &'static str> {
                match self { $(Self::$layer(l) => l.check_parameters(parameters),)* }
            }

            fn ways(&self) -> [Way; 2] {
                match self { $(Self::$layer(l) => l.ways(),)* }
            }

            fn smoothness(&self) -> Smoothness {
                match self { $(Self::$layer(l) => l.smoothness(),)* }
            }

            fn growth(&self) -> Growth {
                match self { $(Self::$layer(l) => l.growth(),)* }
            }
        }
    };
}

registry! {
    "act-norm" => ActNorm,
    "affine" => Affine,
    "asinh" => Asinh,
    "autoregressive" => Autoregressive,
    "banana" => Banana,
    "batch-norm" => BatchNorm,
    "conditional" => Conditional,
    "coupling" => Coupling,
    "exp" => Exp,
    "general-coupling" => GeneralCoupling,
    "householder" => Householder,
    "leaky-relu" => LeakyRelu,
    "logit" => Logit,
    "lu-linear" => LuLinear,
    "permutation" => Permutation,
    "planar" => Planar,
    "polar-shear" => PolarShear,
    "prelu" => Prelu,
    "radial" => Radial,
    "residual" => Residual,
    "s-curve-tube" => SCurveTube,
    "sinh" => Sinh,
    "sinh-arcsinh" => SinhArcsinh,
    "soft-tail" => SoftTail,
    "softplus" => Softplus,
    "squash" => Squash,
    "standardize" => Standardize,
    "support" => Support,
    "swiss-roll" => SwissRoll,
    "sylvester" => Sylvester,
    "tanh" => Tanh,
}
