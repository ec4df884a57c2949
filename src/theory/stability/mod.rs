//! Claims about any flow: the bound of the penalised likelihood, the virial identity, round trips; effective dimension, and input noise
//! against the penalty.

mod bound;
mod dimension;
mod noise;
mod passage;
mod round_trip;
mod rounding;
mod virial;

pub use bound::{Density, S1};
pub use dimension::{EffectiveDimension, S3};
pub use noise::{LogDensity, NoiseExpansion, S4};
pub use passage::{Passage, log_density_error, passages, points};
pub use round_trip::{RoundTrip, S6};
pub use virial::{Moments, S2a, S2b};
