//! Walks along the leading components of one example of each class.

use super::Settings;
use crate::components::{Traversal, Walk, traverse_leading};
use crate::flow::{Error, Flow};
use eigenflow_linalg::Matrix;

/// Components along which one walks; local standard deviations in each direction, and points there; allowed error per local standard
/// deviation.
pub const COMPONENTS: usize = 3;
const REACH: f64 = 2.0;
const POINTS: usize = 4;
const TOLERANCE: f64 = 1e-2;
/// Leading axes among which a component is continued.
const AXES: usize = 8;

/// Walks from the rows along each of the leading components.
///
/// # Errors
/// As [`traverse_leading`].
pub fn walks(
    flow: &Flow<f64>,
    rows: &Matrix<f64>,
    settings: &Settings,
) -> Result<Vec<Traversal<f64>>, Error> {
    let top = AXES.min(flow.dim());
    let one = |component: usize| {
        let walk = Walk { component, reach: REACH, points: POINTS, tolerance: TOLERANCE };
        traverse_leading(flow, rows, &walk, top, settings.seed)
    };
    (0..COMPONENTS.min(top)).map(one).collect()
}
