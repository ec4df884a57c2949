//! The spectrum of local standard deviations.

use super::spread;
use crate::flow::{Error, Flow};
use crate::jacobian::local_covariance;
use crate::theory::linear::Spectrum;
use crate::theory::{Axis, Chart, Shape};
use eigenflow_linalg::Matrix;

/// Most rows, and the multiply-adds that their Jacobians may cost.
const ROWS: usize = 256;
const WORK: usize = 400_000_000;

/// Local standard deviations `1/s_k` in training units, largest first: mean over rows with its standard error, between the
/// standard deviations of the data along their principal axes. `None` without rows.
///
/// # Errors
/// As [`local_covariance`].
pub fn spectrum(flow: &Flow<f64>, data: &Matrix<f64>, at: &Matrix<f64>) -> Result<Option<Chart>, Error> {
    let d = flow.dim();
    let work = flow.layers().len() * 4 * d * d * d;
    let rows = spread(at, (WORK / work.max(1)).clamp(8, ROWS));
    if rows.rows() == 0 || data.rows() < 2 {
        return Ok(None);
    }
    let units = |x: &Matrix<f64>| match flow.preprocessing() {
        0 => Ok(x.clone()),
        n => Ok::<_, Error>(flow.part(0..n)?.normalize(x)?.0),
    };
    let local = local_covariance(&flow.part(flow.core())?, &units(&rows)?, d)?;
    let (mut mean, mut error) = (Vec::new(), Vec::new());
    for k in 0..d {
        let finite: Vec<f64> = local.scales.col(k).into_iter().filter(|v| v.is_finite()).collect();
        let n = finite.len() as f64;
        let centre = finite.iter().sum::<f64>() / n;
        let square = finite.iter().map(|v| (v - centre).powi(2)).sum::<f64>();
        mean.push(centre);
        error.push(if n > 1.0 { (square / (n - 1.0) / n).sqrt() } else { 0.0 });
    }
    let global: Vec<f64> = Spectrum::of(&units(data)?)?.values.iter().map(|v| v.sqrt()).collect();
    let index: Vec<f64> = (1..=d).map(|k| k as f64).collect();
    let text = |v: f64| crate::report::text::number(v, 3);
    let chart = Chart::new(
        "Spectrum of local standard deviations",
        Axis::linear("component"),
        Axis::log("standard deviation (training units)"),
    )
    .described(format!(
        "Local standard deviations 1/s fall from {} to {} (mean over {} rows, with its standard error); those of the \
         data along their principal axes from {} to {}. A component far below the data's own is a direction that bends.",
        text(mean[0]),
        text(mean[d - 1]),
        rows.rows(),
        text(global[0]),
        text(global[d - 1])
    ))
    .mark("local, mean over rows", Shape::Points, index.clone(), mean)
    .error_bars(error)
    .mark("data, principal axes", Shape::Dashed, index, global);
    Ok(Some(chart))
}
