//! Claims about any flow: the bound of the penalised likelihood, the virial identity, round trips, effective dimension,
//! input noise against the penalty; and what the penalty does along a path of weights.

mod bound;
mod cap;
mod deep;
mod dimension;
mod intrinsic;
mod noise;
mod passage;
mod path;
mod round_trip;
mod shrinkage;
mod virial;

pub use bound::{Density, S1};
pub use cap::{Certified, S5};
pub use deep::{DeepRun, deep_run};
pub use dimension::{EffectiveDimension, S3};
pub use intrinsic::{AtScale, D1, LinearDimension};
pub use noise::{LogDensity, NoiseExpansion, S4};
pub use passage::{Passage, log_density_error, passages, points};
pub use path::{Chosen, LinearPath};
pub use round_trip::{RoundTrip, S6};
pub use shrinkage::{LedoitWolf, denoised, deshrunk_covariance, ledoit_wolf};
pub use virial::{Moments, S2a, S2b};
