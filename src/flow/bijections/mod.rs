//! The bijections, one family a file.

mod act_norm;
mod affine;
mod autoregressive;
mod banana;
mod batch_norm;
mod coupling;
mod elementwise;
mod general_coupling;
mod householder;
mod logit;
mod lu_linear;
mod permutation;
mod sinh_arcsinh;
mod standardize;
mod supported;
mod tail;

pub use act_norm::ActNorm;
pub use affine::{Affine, Form};
pub use autoregressive::Autoregressive;
pub use banana::Banana;
pub use batch_norm::BatchNorm;
pub use coupling::Coupling;
pub use elementwise::{Asinh, Prelu, Sinh};
pub(crate) use elementwise::{ln_cosh, of_ln_cosh};
pub use general_coupling::GeneralCoupling;
pub use householder::Householder;
pub use logit::Logit;
pub use lu_linear::LuLinear;
pub use permutation::Permutation;
pub use sinh_arcsinh::SinhArcsinh;
pub use standardize::Standardize;
pub use supported::{Exp, LeakyRelu, Softplus, Tanh};
pub use tail::SoftTail;
