//! The limit of `S(ε)` for piecewise smooth maps, away from kinks.

use super::map::Map;
use super::point::{along, jacobian_noise, units};
use super::rule::{Neighbourhood, Rule};
use super::series::{Cubature, difference, series};
use crate::flow::Error;
use crate::theory::Verdict;
use eigenflow_linalg::Matrix;

/// The neighbourhood counts as free of kinks when the variation of `J_g` can move `S` by less than this.
const SMALL: f64 = 0.01;
/// The variation is seen at the points of a grid: this factor stands for what is between them.
const BETWEEN: f64 = 2.0;
/// Points a dimension of the grid.
const GRID: usize = 20;

/// What was seen at one latent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// `‖S(ε) - J_g J_gᵀ‖ / ‖J_g J_gᵀ‖` and its bound, at the radius with the least bound.
    Measured {
        /// The error.
        error: f64,
        /// Its bound.
        tolerance: f64,
    },
    /// At every radius above rounding there is a kink, or the map is not finite.
    Kink,
}

impl Limit {
    /// Holds or fails by the bound.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Measured { error, tolerance } if error <= tolerance => Verdict::Holds,
            Self::Measured { .. } => Verdict::Fails,
            Self::Kink => Verdict::Undecided("a kink within 6ε of every point at every radius".to_owned()),
        }
    }
}

/// Compares `S(ε)` with `J_g J_gᵀ` for the given `jacobian`, `[n, m]`, along the rows of `directions`.
///
/// `g(y + εPξ) - g(y) = ε (J_g P + E) ξ` with `‖E‖ ≤ Δ`, the variation of `J_g P` over the
/// neighbourhood, so that `‖S - J_g P Pᵀ J_gᵀ‖ ≤ m (2 ‖J_g P‖ Δ + Δ²)`. A kink shows as a `Δ` that does
/// not shrink with `ε`.
///
/// # Errors
/// Those of the tape.
pub fn limit(
    map: &dyn Map,
    y: &[f64],
    directions: &Matrix<f64>,
    jacobian: &Matrix<f64>,
    kind: Neighbourhood,
) -> Result<Limit, Error> {
    let (m, n) = (directions.rows(), jacobian.rows());
    let scale = units(jacobian);
    let scaled = Matrix::from_fn(n, m, |i, k| jacobian[(i, k)] / scale[i]);
    let expected = scaled.mul(&scaled.transpose());
    let grid = Rule::product(kind, m, GRID)?.points.mul(directions);
    let Some(noise) = jacobian_noise(map, y, directions, &scale)? else { return Ok(Limit::Kink) };
    let radii: Vec<f64> = (3..=10).map(|k| 0.25_f64.powi(k)).collect();
    let measured = series(map, y, directions, Cubature::Product(kind), &scale, noise, &radii)?;
    let own = along(map, &Matrix::new(1, y.len(), y.to_vec()), directions)?;
    let mut best: Option<(f64, f64)> = None;
    for (at, &eps) in measured.eps.iter().enumerate() {
        let z = Matrix::from_fn(grid.rows(), y.len(), |row, j| y[j] + eps * grid[(row, j)]);
        let (Some(there), Some(own)) = (along(map, &z, directions)?, &own) else { continue };
        let change = |row: usize| {
            let square = |k: usize| ((there[(row, k)] - own[(0, k)]) / scale[k % n]).powi(2);
            (0..n * m).map(square).sum::<f64>().sqrt()
        };
        let variation = (0..grid.rows()).map(change).fold(0.0, f64::max);
        let size = own.data().iter().enumerate().map(|(k, x)| (x / scale[k % n]).powi(2)).sum::<f64>().sqrt();
        let moved = BETWEEN * m as f64 * (2.0 * size * variation + variation * variation);
        let tolerance = (moved + measured.floor[at]) / expected.norm();
        let error = difference(&measured.s[at], &expected).norm() / expected.norm();
        if best.is_none_or(|(_, least)| tolerance < least) {
            best = Some((error, tolerance));
        }
    }
    Ok(match best {
        Some((error, tolerance)) if tolerance <= SMALL => Limit::Measured { error, tolerance },
        _ => Limit::Kink,
    })
}
