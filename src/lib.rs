//! eigenflow: learn a normalizing flow, read the local covariance of the data off its exact
//! Jacobians, and check on the spot that the theory holds for that model.

pub mod cli;
pub mod components;
pub mod data;
pub mod dimension;
pub mod flow;
pub mod jacobian;
pub mod random;
pub mod report;
pub mod theory;
pub mod train;

/// The example of the README, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
