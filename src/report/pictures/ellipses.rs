//! Ellipses of local covariance over the data.

use super::spread;
use crate::flow::{Error, Flow};
use crate::jacobian::{LocalCovariance, local_covariance};
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
const SIZE: f64 = 0.15;

/// Data in two columns, or in three on the leading principal axis and each of the two others, with ellipses of `C(x)` at
/// about 30 of the rows `at`. A neighbourhood of `ε` local standard deviations is drawn, the same for all of a chart; no
/// chart in other dimensions.
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
) -> Result<Vec<Chart>, Error> {
    let d = data.cols();
    if !(d == 2 || d == 3) || data.rows() < 2 || at.rows() == 0 {
        return Ok(Vec::new());
    }
    let chosen = spread(at, ELLIPSES);
    let local = local_covariance(flow, &chosen, d)?;
    let principal = Spectrum::of(data)?;
    let size = SIZE * principal.values[0].sqrt();
    if d == 2 {
        let name = |k: usize| names.get(k).map_or_else(|| format!("column {k}"), Clone::clone);
        let plane = Plane { origin: vec![0.0; 2], axes: Matrix::identity(2), names: [name(0), name(1)] };
        return Ok(plane.chart(data, &chosen, &local, size)?.into_iter().collect());
    }
    let mut charts = Vec::new();
    for second in [1, 2] {
        let axes = Matrix::from_fn(3, 2, |i, j| principal.axes[(i, j * second)]);
        let names = [0, second].map(|k| format!("principal axis {}", k + 1));
        let plane = Plane { origin: principal.mean.clone(), axes, names };
        charts.extend(plane.chart(data, &chosen, &local, size)?);
    }
    Ok(charts)
}

/// A plane onto which data are projected: orthonormal columns through an origin.
struct Plane {
    origin: Vec<f64>,
    axes: Matrix<f64>,
    names: [String; 2],
}

impl Plane {
    fn project(&self, x: &Matrix<f64>) -> Matrix<f64> {
        Matrix::from_fn(x.rows(), x.cols(), |i, j| x[(i, j)] - self.origin[j]).mul(&self.axes)
    }

    /// Half axes of the ellipse of row `row`, the columns of `V diag(√λ)`; `None` where a scale is not finite.
    fn ellipse(&self, local: &LocalCovariance<f64>, row: usize) -> Result<Option<Matrix<f64>>, Error> {
        let axes = self.axes.transpose().mul(&local.axes.matrix(row));
        let scaled = Matrix::from_fn(2, axes.cols(), |i, k| axes[(i, k)] * local.scales[(row, k)]);
        if scaled.data().iter().any(|v| !v.is_finite()) {
            return Ok(None);
        }
        let e = eigh(&scaled.mul(&scaled.transpose()))?;
        Ok(Some(Matrix::from_fn(2, 2, |i, k| e.vectors[(i, k)] * e.values[k].max(0.0).sqrt())))
    }

    /// Scatter and ellipses, whose median half axis is about `size`.
    fn chart(
        &self,
        data: &Matrix<f64>,
        chosen: &Matrix<f64>,
        local: &LocalCovariance<f64>,
        size: f64,
    ) -> Result<Option<Chart>, Error> {
        let (shown, centres) = (self.project(&spread(data, ROWS)), self.project(chosen));
        let mut halves = Vec::new();
        for row in 0..chosen.rows() {
            halves.extend(self.ellipse(local, row)?.map(|half| (row, half)));
        }
        let mut longest: Vec<f64> = halves.iter().map(|(_, h)| h[(0, 1)].hypot(h[(1, 1)])).collect();
        longest.sort_by(f64::total_cmp);
        let Some(median) = longest.get(longest.len() / 2) else { return Ok(None) };
        let epsilon = one_digit(size / median);
        let [first, second] = &self.names;
        let mut chart =
            Chart::new("Local covariance on the data", Axis::linear(first), Axis::linear(second))
                .equal()
                .described(format!(
                    "{} rows of the data with ellipses of the local covariance C(x) = (JᵀJ)⁻¹ at {} rows, against \
                     {first} and {second}. Each reaches {epsilon} local standard deviations: where the data bend, the \
                     ellipses turn with them.",
                    shown.rows(),
                    halves.len()
                ))
                .mark("data", Shape::Points, shown.col(0), shown.col(1));
        for (row, half) in &halves {
            let corner = |k: u32, i: usize| {
                let (sin, cos) = (TAU * f64::from(k) / f64::from(CORNERS)).sin_cos();
                centres[(*row, i)] + epsilon * (half[(i, 0)] * sin + half[(i, 1)] * cos)
            };
            let of = |i: usize| (0..CORNERS).map(|k| corner(k, i)).collect::<Vec<f64>>();
            chart = chart.mark("local covariance", Shape::Outline, of(0), of(1));
        }
        Ok(Some(chart))
    }
}

/// Rounded to one significant digit, at most 1.
fn one_digit(v: f64) -> f64 {
    if !(v > 0.0 && v < 1.0) {
        return 1.0;
    }
    format!("{v:.0e}").parse().unwrap_or(v)
}
