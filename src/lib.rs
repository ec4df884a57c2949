//! eigenflow.

pub mod data;
pub mod random;
