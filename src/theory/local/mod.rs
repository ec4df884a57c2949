//! Claims about a map near a point: the covariance of small latent neighbourhoods, its spectrum,
//! and the components that are read off it. They hold for every flow, trained or not.

mod analytic;
mod contrast;
mod eigenvalues;
mod entropy;
mod gauge;
mod kinks;
mod map;
mod moments;
mod noise;
mod order;
mod point;
mod rule;
mod sandwich;
mod second_order;
mod series;
mod spread;
mod student;
mod unwhitened;

pub use analytic::{AnalyticFlows, Case, Closed};
pub use contrast::{Contrast, Orthogonality};
pub use eigenvalues::{Eigenpairs, LocalSpectrum};
pub use entropy::{Entropies, Shares};
pub use gauge::{Comparison, Gauge};
pub use kinks::{Limit, limit};
pub use map::{Evaluator, Map};
pub use moments::{Block, Directions, blocks};
pub use noise::rounding;
pub use order::{Order, RESOLVED};
pub use point::{Point, data_rows, latents, random_directions};
pub use rule::{Neighbourhood, Rule};
pub use sandwich::Sandwich;
pub use second_order::{Directional, SecondOrder, directional};
pub use series::{Cubature, RADII, Series, radii, series};
pub use spread::{LocalCovarianceOrder, Orders};
pub use student::{Blocks, t_quantile};
pub use unwhitened::{Unwhitened, displacement_error, rotation_error};
