//! Training: objectives, the optimiser, the guard, and the loop that runs them.
//!
//! Training happens in *training units*: the rows after the flow's preprocessing layers. There
//! the Tikhonov weight `α` and the input noise act, and condition numbers are watched.

mod adam;
mod average;
mod columns;
mod error;
mod fit;
mod gauge;
mod guard;
mod held_out;
pub(crate) mod objective;
mod options;
pub mod polish;
mod prepare;
mod race;
mod record;
mod state;
mod stepper;
mod units;

pub use error::Error;
pub(crate) use fit::to_training_units;
pub use fit::{Epoch, fit, fit_from};
pub use gauge::{Gauge, mean_contrast};
pub use held_out::{HeldOut, held_out};
pub use objective::Penalty;
pub use options::{Schedule, TrainOptions};
pub use prepare::{Design, Prepared, Preprocess, build, build_given, check_support, dequantizing};
pub use race::{Race, race};
pub use record::{EpochRow, Stop, TrainingRecord};
pub use state::{Progress, State};
pub use stepper::Stepper;
