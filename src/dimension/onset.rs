//! The onset law: a dimension from the slope of the loss over models at several scales.

use super::effective::jacobian_norms;
use super::slope::slopes;
use super::{By, Curve, Estimate, Method, Rung};
use crate::flow::Error;
use crate::random::{ROWS_PER_GENERATOR, generator};
use eigenflow_linalg::Matrix;
use rand::RngExt;
use rand_distr::StandardNormal;

/// Draws of noise a row.
const DRAWS: usize = 4;

/// The loss that a model was trained for, of each row: `-log p(x) + α‖J(x)‖²_F`, or the mean of `-log p(x + σξ)` over four draws
/// of noise, the same for every scale.
///
/// # Errors
/// As [`crate::flow::Flow::log_density`].
pub fn regularised_losses(
    rung: &Rung,
    rows: &Matrix<f64>,
    estimated: bool,
    seed: u64,
) -> Result<Vec<f64>, Error> {
    let core = &rung.core;
    match rung.by {
        By::Alpha => {
            let alpha = 0.5 * rung.variance();
            let norms = jacobian_norms(core, rows, estimated, seed)?;
            let log_p = core.log_density(rows)?;
            Ok(log_p.iter().zip(norms).map(|(p, norm)| alpha * norm - p).collect())
        }
        By::Noise => {
            let mut out = vec![0.0; rows.rows()];
            for draw in 0..DRAWS {
                let mut noisy = rows.clone();
                for (k, block) in noisy.data_mut().chunks_mut(ROWS_PER_GENERATOR * core.dim()).enumerate() {
                    let mut random = generator(seed, &format!("onset-noise-{draw}"), k as u64);
                    block.iter_mut().for_each(|v| *v += rung.scale * random.sample::<f64, _>(StandardNormal));
                }
                let log_p = core.log_density(&noisy)?;
                out.iter_mut().zip(log_p).for_each(|(o, p)| *o -= p / DRAWS as f64);
            }
            Ok(out)
        }
    }
}

/// `D - ΔL(x)/Δ log σ` of every row between neighbouring scales, where `losses` has for each scale the regularised losses of the same
/// rows under the model of that scale.
///
/// The entropy of a `d`-dimensional set with noise `σ` grows by `D - d` for each unit of `log σ` (claim L6). On a path of
/// weights `dL/d log σ = σ²E‖J‖²` at every optimum (the envelope theorem), so that there the law is the effective dimension, and a
/// difference between the two says that the path is not stationary.
///
/// ```
/// use eigenflow::dimension::onset;
/// // A line in three columns: the loss grows by 2 log σ.
/// let loss = [0.1, 0.01].map(|s: f64| vec![2.0 * s.ln()]);
/// assert!((onset(3, &[0.1, 0.01], &loss).estimates[0].mean - 1.0).abs() < 1e-14);
/// ```
pub fn onset(dim: usize, scales: &[f64], losses: &[Vec<f64>]) -> Curve {
    let of = |(scale, slope): (f64, Vec<f64>)| {
        Estimate::of_rows(scale, slope.into_iter().map(|s| dim as f64 - s).collect())
    };
    Curve::new(Method::Onset, slopes(scales, losses).into_iter().map(of).collect())
}
