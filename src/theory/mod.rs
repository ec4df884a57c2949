//! The theorem checks: every claim is an object with a prediction, a measurement, a tolerance
//! derived from theory, and a verdict.

pub mod claim;
pub mod local;

pub use claim::{Claim, Context, Outcome, Verdict};
