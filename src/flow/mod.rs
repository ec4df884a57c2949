//! Normalizing flows: bijections, their composition, presets and files.
//!
//! `normalize` takes data `x` to latents `z`, `generate` takes latents to data. `J` is the Jacobian of
//! `normalize`, `J_g` that of `generate`. Log-densities are in nats, in the data's own units.

pub mod base;
pub mod bijection;
pub mod bijections;
pub mod conditioner;
mod context;
mod curve;
mod dequantize;
mod error;
mod estimate;
mod evaluate;
pub mod file;
mod fused;
pub mod import;
mod masks;
mod model;
pub mod number;
pub mod presets;
mod registry;
pub mod rounding;
pub mod transformer;

pub use base::Base;
pub use bijection::{Bijection, Growth, Role, Smoothness, Way};
pub use context::Variable;
pub use dequantize::Dequantize;
pub(crate) use dequantize::dequantizing_noise;
pub use error::Error;
pub use estimate::Estimate;
pub use file::{AnyModel, FileError, Model, beside};
pub use model::{Flow, Parameter, Recorded};
pub use registry::Layer;
