//! Training: objectives, the optimiser, the guard, and the loop that runs them.
//!
//! Training happens in *training units*: the rows after the flow's preprocessing layers. There
//! the Tikhonov weight `α` and the input noise act, and condition numbers are watched.

mod adam;
mod error;
mod fit;
mod guard;
pub(crate) mod objective;
mod options;
pub mod polish;
mod prepare;
mod record;
mod stepper;

pub use error::Error;
pub use fit::fit;
pub use objective::Penalty;
pub use options::{Schedule, TrainOptions};
pub use prepare::{Design, Prepared, Preprocess, build, build_given, dequantizing};
pub use record::{EpochRow, Stop, TrainingRecord};
pub use stepper::Stepper;
