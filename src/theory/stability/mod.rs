//! Claims about any flow: the bound of the penalised likelihood, the virial identity, round trips.

mod bound;
mod cap;
mod passage;
mod round_trip;
mod rounding;
mod virial;

pub use bound::{Density, S1};
pub use cap::{Certified, S5};
pub use passage::{Passage, log_density_error, passages, points};
pub use round_trip::{RoundTrip, S6};
pub use virial::{Moments, S2a, S2b};
