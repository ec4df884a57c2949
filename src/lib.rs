//! eigenflow: learn a normalizing flow, read the local covariance of the data off its exact
//! Jacobians, and check on the spot that the theory holds for that model.

pub mod components;
pub mod flow;
pub mod jacobian;
pub mod random;
pub mod theory;
