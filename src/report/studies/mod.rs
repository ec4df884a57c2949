//! Worked studies: data, and what a model makes of it.

pub mod galaxies;
pub mod images;
pub mod s_curve;
mod statistics;

pub use statistics::{Mean, quantile, rank_correlation};
