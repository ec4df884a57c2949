//! LIDL: a dimension from the slope of the log-density over models at several scales.

use super::slope::slopes;
use super::{Curve, Estimate, Method};

/// `D + Δ log p(x)/Δ log σ` of every row between neighbouring scales (Tempczyk and others 2022), where `log_p` has for each scale the
/// log-densities of the same rows under the model of that scale.
///
/// A density `p_σ` of a `d`-dimensional set and noise `σ` behaves as `σ^{d-D}` at its points. Estimates stand at the geometric mean
/// of their two scales. Without two scales the curve is empty.
///
/// ```
/// use eigenflow::dimension::lidl;
/// // A point on a line in three columns: log p = -2 log σ.
/// let log_p = [0.1, 0.01].map(|s: f64| vec![-2.0 * s.ln()]);
/// let curve = lidl(3, &[0.1, 0.01], &log_p);
/// assert!((curve.estimates[0].mean - 1.0).abs() < 1e-14);
/// ```
pub fn lidl(dim: usize, scales: &[f64], log_p: &[Vec<f64>]) -> Curve {
    let of = |(scale, slope): (f64, Vec<f64>)| {
        Estimate::of_rows(scale, slope.into_iter().map(|s| dim as f64 + s).collect())
    };
    Curve::new(Method::Lidl, slopes(scales, log_p).into_iter().map(of).collect())
}
