//! The theorem checks: every claim is an object with a prediction, a measurement, a tolerance
//! derived from theory, and a verdict.

pub mod alarm;
pub mod chart;
pub mod claim;
pub mod linear;
pub mod local;
pub mod power;
pub mod registry;
pub mod stability;
pub mod tolerance;

pub use chart::{Axis, Chart, Mark, Shape};
pub use claim::{Claim, Context, Outcome, Verdict};
pub use registry::{claims, verify};
