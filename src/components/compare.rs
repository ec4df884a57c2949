//! The local axes beside other axes of the same rows: PCA, local PCA, the latent axes.

use super::graph::nearest_of;
use crate::flow::{Error, Flow};
use crate::jacobian::{LocalCovariance, local_covariance};
use eigenflow_linalg::eigen::eigh;
use eigenflow_linalg::subspace::principal_angles;
use eigenflow_linalg::svd::svd;
use eigenflow_linalg::{Matrix, qr};
use rayon::prelude::*;

/// Rows at which axes are compared.
const ROWS: usize = 300;

/// Medians over rows of what other methods say.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Standard deviations along the principal axes of all rows, `D` numbers.
    pub pca: Vec<f64>,
    /// Shares of the variance of neighbourhoods along their own principal axes, mean over rows.
    pub local_pca: Vec<f64>,
    /// Largest angle, degrees, median over rows, between the span of the leading `k` local axes and that of the leading `k` principal axes, for
    /// `k = 1 .. D-1`.
    pub to_pca: Vec<f64>,
    /// The same to the principal axes of the row's neighbourhood.
    pub to_local_pca: Vec<f64>,
    /// The same to the columns of `J_g` of the `k` latents whose columns are longest at the row.
    pub to_latent: Vec<f64>,
    /// Rows at which axes were compared.
    pub rows: usize,
    /// Rows in a neighbourhood.
    pub neighbours: usize,
}

/// Compares the local axes of a flow at up to 300 rows, evenly spread over those of `x`, with the principal axes of all rows, those of the
/// `neighbours` nearest rows (distances in standard deviations of the columns), and the latent axes.
///
/// Eigenvalues of neighbourhoods grow with their radius, so only their shares and axes can be compared. A neighbourhood sees a
/// tangent plane where it is larger than the noise and smaller than the bends. Cost: a push, an SVD and an `eigh` of `D × D` for each row compared, and
/// `D` angles each.
///
/// # Errors
/// As [`Flow::normalize`].
pub fn compare(flow: &Flow<f64>, x: &Matrix<f64>, neighbours: usize) -> Result<Comparison, Error> {
    let (n, d) = (x.rows(), flow.dim());
    let count = n.min(ROWS);
    let chosen: Vec<usize> = (0..count).map(|i| i * n / count.max(1)).collect();
    let rows = Matrix::from_fn(count, x.cols(), |i, j| x[(chosen[i], j)]);
    let local = local_covariance(flow, &rows, d)?;
    let x = &flow.samples(x);
    let global = principal(x, &(0..n).collect::<Vec<_>>())?;
    let near = nearest_of(x, &chosen, neighbours)?;
    let one = |at: usize| -> Result<Row, Error> {
        let own = local.axes.matrix(at);
        let around = principal(x, &near[at])?;
        let latent = latent_axes(&local, at);
        let angles = |other: &Matrix<f64>| {
            (1..d).map(|k| angle(&leading(&own, k), &leading(other, k))).collect::<Result<Vec<f64>, Error>>()
        };
        let total: f64 = around.0.iter().sum();
        let shares = around.0.iter().map(|v| if total > 0.0 { v / total } else { 0.0 }).collect();
        Ok(Row { shares, to: [angles(&global.1)?, angles(&around.1)?, angles(&latent)?] })
    };
    let found = (0..count).into_par_iter().map(one).collect::<Result<Vec<Row>, Error>>()?;
    let medians = |which: usize| {
        (0..d.saturating_sub(1)).map(|k| median(found.iter().map(|r| r.to[which][k]).collect())).collect()
    };
    Ok(Comparison {
        pca: global.0.iter().map(|v| v.sqrt()).collect(),
        local_pca: (0..d)
            .map(|k| found.iter().map(|r| r.shares[k]).sum::<f64>() / count.max(1) as f64)
            .collect(),
        to_pca: medians(0),
        to_local_pca: medians(1),
        to_latent: medians(2),
        rows: count,
        neighbours: neighbours.min(n.saturating_sub(1)),
    })
}

/// What one row says.
struct Row {
    shares: Vec<f64>,
    to: [Vec<f64>; 3],
}

/// Variances and axes of some rows, largest first.
fn principal(x: &Matrix<f64>, rows: &[usize]) -> Result<(Vec<f64>, Matrix<f64>), Error> {
    let (n, d) = (rows.len().max(1) as f64, x.cols());
    let mean: Vec<f64> = (0..d).map(|j| rows.iter().map(|&i| x[(i, j)]).sum::<f64>() / n).collect();
    let centred = Matrix::from_fn(rows.len(), d, |i, j| x[(rows[i], j)] - mean[j]);
    let e = eigh(&centred.transpose().mul(&centred).map(|v| v / n))?;
    let values = (0..d).map(|k| e.values[d - 1 - k].max(0.0)).collect();
    Ok((values, Matrix::from_fn(d, d, |i, k| e.vectors[(i, d - 1 - k)])))
}

/// The columns of `J_g = V S⁻¹ Uᵀ`, longest first.
fn latent_axes(local: &LocalCovariance<f64>, at: usize) -> Matrix<f64> {
    let (v, u, scales) = (local.axes.matrix(at), local.latent_axes.matrix(at), local.scales.row(at));
    let d = scales.len();
    let scaled = Matrix::from_fn(d, d, |i, k| v[(i, k)] * scales[k]);
    let g = scaled.mul(&u.transpose());
    let length = |j: usize| (0..d).map(|i| g[(i, j)].powi(2)).sum::<f64>();
    let mut order: Vec<usize> = (0..d).collect();
    order.sort_by(|&a, &b| length(b).total_cmp(&length(a)));
    Matrix::from_fn(d, d, |i, j| g[(i, order[j])])
}

fn leading(axes: &Matrix<f64>, k: usize) -> Matrix<f64> {
    Matrix::from_fn(axes.rows(), k, |i, j| axes[(i, j)])
}

/// Largest principal angle between the spans of the columns, degrees.
pub(super) fn angle(a: &Matrix<f64>, b: &Matrix<f64>) -> Result<f64, Error> {
    let basis = qr::qr(b)?.q;
    // qr gives a basis of the columns; a rank below theirs shows in the singular values.
    if svd(b)?.s.last().is_none_or(|s| *s == 0.0) {
        return Ok(90.0);
    }
    let angles = principal_angles(a, &basis)?;
    Ok(angles.into_iter().fold(0.0, f64::max).to_degrees())
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    match v.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => v[n / 2],
        n => 0.5 * (v[n / 2 - 1] + v[n / 2]),
    }
}
