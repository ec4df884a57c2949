//! Local PCA: the spectrum of the neighbourhood of a row.

use super::estimate::error_of;
use super::neighbours::affordable;
use super::{Curve, Estimate, Method, Neighbours};
use crate::flow::Error;
use crate::random::generator;
use eigenflow_linalg::Matrix;
use eigenflow_linalg::eigen::eigvalsh;
use rand::RngExt;
use rayon::prelude::*;

/// Numbers of nearest rows that make a neighbourhood, unless there are too few rows.
const SIZES: [usize; 7] = [16, 32, 64, 128, 256, 512, 1024];
/// Largest share of the rows in one neighbourhood.
const SHARE: usize = 8;
/// A gap of the spectrum: neighbouring variances of this ratio. Between its directions a flat ball of `2d` or more rows has less.
const GAP: f64 = 4.0;
/// Variances below this fraction of the largest are rounding.
const FLOOR: f64 = 1e-12;

/// The number of variances above the largest gap in the spectrum of the neighbourhoods of up to `centres` rows, for growing
/// neighbourhoods; the scale is the mean distance to the farthest row of a neighbourhood.
///
/// On a `d`-dimensional set with noise `σ`, at a radius `σ ≪ r ≪` reach, `d` variances are about `r²/(d+2)` and the rest about
/// `σ² + O(r⁴)` (Fukunaga and Olsen 1971). `D` where no two neighbouring variances differ by a factor of four: no gap, no
/// subspace. A neighbourhood has at least `2D` rows, or up to an eighth of all. Standard errors count only as many neighbourhoods of `k` rows as
/// do not overlap, `N/k`.
///
/// # Errors
/// If an entry is not finite.
pub fn local_pca(rows: &Matrix<f64>, centres: usize, seed: u64) -> Result<Curve, Error> {
    let (n, d) = rows.shape();
    let near = Neighbours::of(rows)?;
    let chosen = some(n, affordable(centres.min(n), n, d), seed);
    let most = n / SHARE;
    let least = SIZES[0].max(2 * d).min(most);
    let mut sizes: Vec<usize> = SIZES.into_iter().filter(|k| (least..=most).contains(k)).collect();
    if sizes.is_empty() && most > 1 {
        sizes.push(most);
    }
    let Some(&largest) = sizes.last() else { return Ok(Curve::new(Method::LocalPca, Vec::new())) };
    let one = |&i: &usize| -> Result<Vec<(f64, f64)>, Error> {
        let found = near.nearest(i, largest);
        sizes
            .iter()
            .map(|&k| Ok((found[k.min(found.len()) - 1].0, count(rows, &found[..k.min(found.len())])?)))
            .collect()
    };
    let all: Vec<Vec<(f64, f64)>> = chosen.par_iter().map(one).collect::<Result<_, Error>>()?;
    let at = |s: usize| {
        let radius = all.iter().map(|v| v[s].0).sum::<f64>() / all.len() as f64;
        let values: Vec<f64> = all.iter().map(|v| v[s].1).collect();
        // Neighbourhoods share rows: as many are independent as fit side by side.
        let independent = (n as f64 / sizes[s] as f64).min(values.len() as f64);
        let shared = (values.len() as f64 / independent).sqrt() * error_of(&values);
        let mut estimate = Estimate::of_rows(radius, values);
        estimate.error = estimate.error.max(shared);
        estimate
    };
    Ok(Curve::new(Method::LocalPca, (0..sizes.len()).map(at).collect()))
}

/// Variances above the largest gap.
fn count(rows: &Matrix<f64>, near: &[(f64, usize)]) -> Result<f64, Error> {
    let d = rows.cols();
    let k = near.len() as f64;
    let mean: Vec<f64> = (0..d).map(|j| near.iter().map(|n| rows[(n.1, j)]).sum::<f64>() / k).collect();
    let centred = Matrix::from_fn(near.len(), d, |i, j| rows[(near[i].1, j)] - mean[j]);
    // The smaller of the two products: what squaring loses lies below the floor.
    let product =
        if near.len() < d { centred.mul(&centred.transpose()) } else { centred.transpose().mul(&centred) };
    let mut variances = eigvalsh(&product)?;
    variances.reverse();
    let largest = variances.first().copied().unwrap_or(0.0);
    // Rows that are the same differ by the rounding of their mean.
    let entry = near.iter().flat_map(|n| rows.row(n.1)).fold(0.0_f64, |m, v| m.max(v.abs()));
    if largest <= k * d as f64 * (8.0 * f64::EPSILON * entry).powi(2) {
        return Ok(0.0);
    }
    variances.resize(d, 0.0);
    variances.iter_mut().for_each(|v| *v = v.max(FLOOR * largest));
    let gaps = variances.windows(2).map(|w| w[0] / w[1]).enumerate();
    let widest = gaps.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, gap)| *gap >= GAP);
    Ok(widest.map_or(d, |(at, _)| at + 1) as f64)
}

/// Up to `count` seeded rows, ascending.
fn some(n: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    let mut random = generator(seed, "local-pca", 0);
    for i in 0..count.min(n) {
        order.swap(i, random.random_range(i..n));
    }
    order.truncate(count);
    order.sort_unstable();
    order
}
