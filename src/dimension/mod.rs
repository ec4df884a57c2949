//! Intrinsic dimension: how many directions the data fill, at a stated scale.
//!
//! A dimension is a statement at a scale `σ`: directions in which the data vary much more than `σ` count, those in which they vary
//! much less do not. A model trained with the Tikhonov weight `α` looks at the data at the scale `σ = √(2α)`, as one trained
//! with input noise `σ` does; a neighbourhood looks at them at its radius. Scales are in training units, and so is everything here: rows
//! after the flow's preprocessing, and the flow's core.
//!
//! With `h_i = λ_i/(λ_i + σ²)` for a linear flow at its optimum (`λ_i` the variances of the data), in closed form:
//!
//! | estimator | from | what it is | linear flow |
//! | --- | --- | --- | --- |
//! | [`effective_dimension`] | one model | `Σ (1 - σ² s_i²)` | `Σ h_i` |
//! | [`onset`] | a path of models | `D - dL/d log σ`, `L` the regularised loss | `Σ h_i` |
//! | [`lidl`] | a path of models | `D + d log p/d log σ` at the data | `Σ (2h_i - h_i²)` |
//! | [`flipd`] | one model | `D + σ²(Δ log p + ‖∇ log p‖²)` at the data | `Σ (2h_i - h_i²)` |
//! | [`local_pca`] | neighbours | the largest gap in the spectrum of a neighbourhood | – |
//! | [`two_nn`] | neighbours | the law of `r₂/r₁` | – |
//!
//! [`Survey`] has them side by side over the scales, with the plateau that is called.

mod effective;
mod estimate;
mod flipd;
mod lidl;
mod local_pca;
mod neighbours;
mod onset;
mod path;
mod plateau;
mod slope;
mod survey;
mod two_nn;

pub use effective::{effective_dimension, jacobian_norms};
pub use estimate::{Curve, Estimate, Method};
pub use flipd::{Derivatives, Points, Trace, derivatives, flipd, projected};
pub use lidl::lidl;
pub use local_pca::local_pca;
pub use neighbours::Neighbours;
pub use onset::{onset, regularised_losses};
pub use path::{By, Rung, path};
pub use plateau::{Call, Plateau, Rule};
pub use survey::{Plan, Survey};
pub use two_nn::two_nn;
