//! The bijections, one family a file.

mod affine;
mod banana;
mod batch_norm;
mod coupling;
mod elementwise;
mod logit;
mod permutation;
mod polar_shear;
mod s_curve;
mod sinh_arcsinh;
mod standardize;
mod swiss_roll;
mod tail;
mod uniform;

pub use affine::{Affine, Form};
pub use banana::Banana;
pub use batch_norm::BatchNorm;
pub use coupling::Coupling;
pub(crate) use elementwise::ln_cosh;
pub use elementwise::{Asinh, Prelu, Sinh};
pub use logit::Logit;
pub use permutation::Permutation;
pub use polar_shear::PolarShear;
pub use s_curve::SCurveTube;
pub use sinh_arcsinh::SinhArcsinh;
pub use standardize::Standardize;
pub use swiss_roll::SwissRoll;
pub use tail::SoftTail;
