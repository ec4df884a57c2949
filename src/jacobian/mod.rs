//! Exact Jacobians of flows, and what is read off them.

mod exact;
mod spectrum;

pub use exact::{Direction, Route, jacobians};
pub use spectrum::{LocalCovariance, condition_numbers, local_covariance};
