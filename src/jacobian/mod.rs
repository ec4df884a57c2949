//! Exact Jacobians of flows, and what is read off them.

mod estimates;
mod exact;
mod leading;
mod products;
mod spectrum;

pub use crate::flow::Estimate;
pub(crate) use estimates::remaining_square;
pub use estimates::{frobenius_estimate, log_det_estimate};
pub(crate) use exact::Recorded;
pub use exact::{Direction, Route, jacobians};
pub use leading::{LeadingCovariance, leading_condition_numbers, leading_covariance};
pub use products::JacobianProducts;
pub use spectrum::{LocalCovariance, condition_numbers, local_covariance};
