//! The bijections, one family a file.

mod affine;
mod autoregressive;
mod banana;
mod batch_norm;
mod coupling;
mod elementwise;
mod general_coupling;
mod logit;
mod permutation;
mod sinh_arcsinh;
mod standardize;
mod tail;

pub use affine::{Affine, Form};
pub use autoregressive::Autoregressive;
pub use banana::Banana;
pub use batch_norm::BatchNorm;
pub use coupling::Coupling;
pub use elementwise::{Asinh, Prelu, Sinh};
pub(crate) use elementwise::{ln_cosh, of_ln_cosh};
pub use general_coupling::GeneralCoupling;
pub use logit::Logit;
pub use permutation::Permutation;
pub use sinh_arcsinh::SinhArcsinh;
pub use standardize::Standardize;
pub use tail::SoftTail;
