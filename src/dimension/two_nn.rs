//! TwoNN: a dimension from the distances to the two nearest neighbours.

use super::estimate::{BLOCKS, error_of};
use super::neighbours::{affordable, finite};
use super::{Curve, Estimate, Method, Neighbours};
use crate::flow::Error;
use eigenflow_linalg::Matrix;
use rayon::prelude::*;

/// Fewest rows of a subset.
const FEWEST: usize = 500;
/// Share of the largest ratios that is left out: they are those of rows where the density changes between neighbours.
const LEFT_OUT: f64 = 0.1;
/// Logarithms of ratios up to here are those of equal distances, but for rounding.
const EQUAL: f64 = 1e-9;

/// The dimension at which the ratios `μ = r₂/r₁` of the distances to the two nearest neighbours have the law `F(μ) = 1 - μ^{-d}`, which
/// they have wherever the density is constant over that distance (Facco and others 2017): the slope of `-log(1 - F)` over `log μ`
/// through the origin, without the largest tenth. Over subsets of every `2^k`-th row, whose neighbours are farther apart; the
/// scale is the mean of `r₂`.
///
/// Noise of the size of the distances fills all columns: a plateau begins where the subset is thin enough. Identical rows are
/// left out; on a grid, where most rows have two nearest neighbours that are equally far, the law does not hold and there is no estimate. Beyond 16 columns, where a tree saves little, it starts from the subset whose search costs 5·10¹⁰ products at most. The standard error is that of 32 blocks of rows.
///
/// # Errors
/// If an entry is not finite.
pub fn two_nn(rows: &Matrix<f64>) -> Result<Curve, Error> {
    finite(rows)?;
    let (n, d) = rows.shape();
    let mut estimates = Vec::new();
    // A search without the tree's help costs n² d.
    let mut step = (1..n.max(2)).find(|s| affordable(n / s, n / s, d) == n / s).unwrap_or(1);
    while n / step >= FEWEST {
        let part = Matrix::from_fn(n / step, d, |i, j| rows[(i * step, j)]);
        estimates.extend(one(&part)?);
        step *= 2;
    }
    Ok(Curve::new(Method::TwoNn, estimates))
}

/// The estimate of one subset.
fn one(rows: &Matrix<f64>) -> Result<Option<Estimate>, Error> {
    let near = Neighbours::of(rows)?;
    let pair = |i: usize| match near.nearest(i, 2)[..] {
        [(first, _), (second, _)] if first > 0.0 => Some((second, second / first)),
        _ => None,
    };
    let pairs: Vec<(f64, f64)> = (0..rows.rows()).into_par_iter().filter_map(pair).collect();
    if pairs.len() < FEWEST {
        return Ok(None);
    }
    let ratios: Vec<f64> = pairs.iter().map(|p| p.1).collect();
    if 2 * ratios.iter().filter(|r| r.ln() <= EQUAL).count() > ratios.len() {
        return Ok(None);
    }
    let blocks: Vec<f64> = ratios.chunks(ratios.len().div_ceil(BLOCKS)).map(fitted).collect();
    let scale = pairs.iter().map(|p| p.0).sum::<f64>() / pairs.len() as f64;
    Ok(Some(Estimate { scale, mean: fitted(&ratios), error: error_of(&blocks), rows: Vec::new() }))
}

/// The slope through the origin of `-log(1 - F)` over `log μ`.
fn fitted(ratios: &[f64]) -> f64 {
    let mut sorted: Vec<f64> = ratios.iter().map(|r| r.ln()).collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let kept = ((n * (1.0 - LEFT_OUT)) as usize).max(1);
    let (mut xy, mut xx) = (0.0, 0.0);
    for (i, x) in sorted.iter().take(kept).enumerate() {
        let y = -(1.0 - (i + 1) as f64 / (n + 1.0)).ln();
        xy += x * y;
        xx += x * x;
    }
    xy / xx
}
