//! Ellipses of local covariance over the data.

use super::spread;
use crate::flow::{Error, Flow};
use crate::jacobian::local_covariance;
use crate::theory::linear::Spectrum;
use crate::theory::{Axis, Chart, Shape};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::eigen::eigh;
use std::f64::consts::TAU;

/// Rows of the scatter, ellipses, and corners of an ellipse.
const ROWS: usize = 700;
const ELLIPSES: usize = 30;
const CORNERS: u32 = 36;
/// What an ellipse's longer half axis should be, in standard deviations of the data.
const SIZE: f64 = 0.3;

/// Data in two columns, or in three on their two leading principal axes, with ellipses of `C(x)` at about 30 of the
/// rows `at`. A neighbourhood of `ε` local standard deviations is drawn, the same for all; `None` in other dimensions.
///
/// The projection of `x ~ N(x_0, C)` onto the plane of the orthonormal columns of `P` has the covariance `PᵀCP`.
///
/// # Errors
/// As [`local_covariance`].
pub fn ellipses(
    flow: &Flow<f64>,
    data: &Matrix<f64>,
    at: &Matrix<f64>,
    names: &[String],
) -> Result<Option<Chart>, Error> {
    let d = data.cols();
    if !(d == 2 || d == 3) || data.rows() < 2 || at.rows() == 0 {
        return Ok(None);
    }
    let principal = Spectrum::of(data)?;
    let plane =
        if d == 2 { Matrix::identity(2) } else { Matrix::from_fn(3, 2, |i, j| principal.axes[(i, j)]) };
    let origin = if d == 2 { vec![0.0; 2] } else { principal.mean };
    let project = |x: &Matrix<f64>| Matrix::from_fn(x.rows(), d, |i, j| x[(i, j)] - origin[j]).mul(&plane);
    let (shown, chosen) = (project(&spread(data, ROWS)), spread(at, ELLIPSES));
    let centres = project(&chosen);
    let local = local_covariance(flow, &chosen, d)?;

    // Half axes in the plane, the columns of V diag(√λ).
    let mut halves = Vec::new();
    for row in 0..chosen.rows() {
        let axes = plane.transpose().mul(&local.axes.matrix(row));
        let scaled = Matrix::from_fn(2, d, |i, k| axes[(i, k)] * local.scales[(row, k)]);
        if scaled.data().iter().any(|v| !v.is_finite()) {
            continue;
        }
        let e = eigh(&scaled.mul(&scaled.transpose()))?;
        let half = Matrix::from_fn(2, 2, |i, k| e.vectors[(i, k)] * e.values[k].max(0.0).sqrt());
        halves.push((row, e.values[1].max(0.0).sqrt(), half));
    }
    if halves.is_empty() {
        return Ok(None);
    }
    let mut longest: Vec<f64> = halves.iter().map(|h| h.1).collect();
    longest.sort_by(f64::total_cmp);
    let epsilon = one_digit(SIZE * principal.values[0].sqrt() / longest[longest.len() / 2]);

    let axis = |k: usize| match names.get(k) {
        Some(name) if d == 2 => Axis::linear(name),
        _ => Axis::linear(&format!("principal axis {}", k + 1)),
    };
    let on = if d == 2 { "" } else { ", seen along the two leading principal axes of the data" };
    let mut chart = Chart::new("Local covariance on the data", axis(0), axis(1))
        .equal()
        .described(format!(
            "{} rows of the data with ellipses of the local covariance C(x) = (JᵀJ)⁻¹ at {} held-out rows{on}. Each \
             reaches {epsilon} local standard deviations: where the data bend, the ellipses turn with them.",
            shown.rows(),
            halves.len()
        ))
        .mark("data", Shape::Points, shown.col(0), shown.col(1));
    for (row, _, half) in &halves {
        let corner = |k: u32, i: usize| {
            let (sin, cos) = (TAU * f64::from(k) / f64::from(CORNERS)).sin_cos();
            centres[(*row, i)] + epsilon * (half[(i, 0)] * sin + half[(i, 1)] * cos)
        };
        let of = |i: usize| (0..CORNERS).map(|k| corner(k, i)).collect::<Vec<f64>>();
        chart = chart.mark("local covariance", Shape::Outline, of(0), of(1));
    }
    Ok(Some(chart))
}

/// Rounded to one significant digit, at most 1.
fn one_digit(v: f64) -> f64 {
    if !(v > 0.0 && v < 1.0) {
        return 1.0;
    }
    format!("{v:.0e}").parse().unwrap_or(v)
}
