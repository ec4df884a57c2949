//! How much rounding there is in a computed function, measured.

use crate::flow::Error;
use crate::random::generator;
use eigenflow_linalg::Matrix;
use rand::RngExt;
use rand_distr::StandardNormal;

/// Directions along which noise is measured.
const DIRECTIONS: usize = 6;
/// Points a direction.
const POINTS: usize = 14;
/// Order of the differences.
const ORDER: usize = 6;
/// Step relative to the point: its sixth power is far below rounding, so that differences of a
/// smooth function are pure rounding.
const STEP: f64 = 1e-8;
/// `(ORDER!)² / (2 ORDER)!`: what a difference of independent errors of variance one is divided by.
const NORMALISER: f64 = 1.0 / 924.0;

/// Standard deviation of the rounding errors of each column of `f` near `y`: the largest over
/// random directions, and at least one rounding of the value.
///
/// Differences of order six of values on a very fine grid (R. W. Hamming; J. J. Moré and
/// S. M. Wild, *Estimating computational noise*, SIAM J. Sci. Comput. 33, 2011).
///
/// # Errors
/// Those of `f`.
pub fn rounding<F>(y: &[f64], f: F) -> Result<Option<Vec<f64>>, Error>
where
    F: Fn(&Matrix<f64>) -> Result<Option<Matrix<f64>>, Error>,
{
    let mut random = generator(0, "rounding", y.len() as u64);
    let scale = STEP * (1.0 + y.iter().fold(0.0_f64, |m, x| m.max(x.abs())));
    let mut grid = Vec::new();
    for _ in 0..DIRECTIONS {
        let u: Vec<f64> = y.iter().map(|_| random.sample(StandardNormal)).collect();
        for k in 0..POINTS {
            grid.extend(y.iter().zip(&u).map(|(y, u)| y + scale * k as f64 * u));
        }
    }
    let Some(values) = f(&Matrix::new(DIRECTIONS * POINTS, y.len(), grid))? else { return Ok(None) };
    let noise = (0..values.cols()).map(|column| {
        (0..DIRECTIONS).fold(0.0_f64, |largest, at| {
            let mut v: Vec<f64> = (0..POINTS).map(|k| values[(at * POINTS + k, column)]).collect();
            let rounded = v.iter().fold(0.0_f64, |m, v| m.max(v.abs())) * f64::EPSILON;
            for _ in 0..ORDER {
                v = v.windows(2).map(|w| w[1] - w[0]).collect();
            }
            let mean_square = v.iter().map(|v| v * v).sum::<f64>() / v.len() as f64;
            largest.max((NORMALISER * mean_square).sqrt()).max(rounded)
        })
    });
    Ok(Some(noise.collect()))
}
