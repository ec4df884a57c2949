//! A self-contained tape over batched matrices: reverse mode, forward mode, any nesting of the
//! two, and exact batched Jacobians.
//!
//! A closure is recorded once into a [`Program`] and replayed on new inputs without allocating.
//! Each primitive has three rules ([`Primitive`]): `eval`, `jvp` and `vjp`; the two derivative
//! rules *record* tape operations, so they can be differentiated again.

pub mod check;
pub mod drivers;
mod error;
pub mod expand;
mod forward;
pub mod implicit;
mod nested;
mod plan;
mod pool;
pub mod primitive;
pub mod primitives;
mod program;
mod recorder;
mod reverse;
mod run;
mod shape;
mod shared;
mod stage;
mod sums;
mod tangent;
mod var;

pub use check::{GradReport, gradcheck, gradient_report};
pub use drivers::{
    Mode, grad, hessian, hvp, jacobian, jvp, pull_jacobian, push_jacobian, value_and_grad, vjp,
};
pub use error::Error;
pub use nested::Nested;
pub use pool::Pool;
pub use primitive::Primitive;
pub use primitives::mask::Mask;
pub use program::Program;
pub use recorder::Recorder;
pub use run::Runner;
pub use shape::Shape;
pub use tangent::{Diagonal, Tangent};
pub use var::Var;
