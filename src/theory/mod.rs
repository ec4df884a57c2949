//! The theorem checks: every claim is an object with a prediction, a measurement, a tolerance
//! derived from theory, and a verdict.

pub mod claim;

pub use claim::{Claim, Context, Outcome, Verdict};
