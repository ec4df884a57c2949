//! Claims about a map near a point: the covariance of small latent neighbourhoods, its spectrum,
//! and the components that are read off it. They hold for every flow, trained or not.

mod analytic;
mod eigenvalues;
mod errors;
mod held_out;
mod kinks;
mod local_to_global;
mod map;
mod noise;
mod order;
mod point;
mod rule;
mod second_order;
mod series;
mod spread;
mod student;
mod surroundings;
mod synchronised;
mod unwhitened;
mod weighted;

pub use analytic::{AnalyticFlows, Case, Closed};
pub use eigenvalues::{Eigenpairs, LocalSpectrum};
pub use errors::Errors;
pub use held_out::{HeldOut, Reading, Rows, comparisons};
pub use kinks::{Limit, limit};
pub use local_to_global::Curve;
pub use map::{Evaluator, Map};
pub use noise::rounding;
pub use order::{Order, RESOLVED};
pub use point::{Point, latents, random_directions};
pub use rule::{Neighbourhood, Rule};
pub use second_order::{Directional, SecondOrder, directional};
pub use series::{Cubature, RADII, Series, radii, series};
pub use spread::{LocalCovarianceOrder, Orders};
pub use student::t_quantile;
pub use surroundings::{Frame, Slopes, Surroundings};
pub use synchronised::{SignSynchronisation, brute_force, violation};
pub use unwhitened::{Unwhitened, displacement_error, rotation_error};
pub use weighted::{Weighted, studentised};
