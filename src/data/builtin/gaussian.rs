//! A normal distribution with a given dimension and condition number.

use super::draw::{normal, rows};
use super::parameters::{Kind, Value};
use super::{Builtin, Parameter, Parameters};
use crate::data::table::default_names;
use crate::data::{Error, Table};
use crate::random::generator;
use eigenflow_linalg::Matrix;
use std::f64::consts::{E, PI};

pub(super) static SET: Builtin = Builtin {
    name: "gaussian",
    summary: "a centred normal distribution; covariance eigenvalues from 1 to 1/condition, evenly on a log scale, in fixed random directions",
    licence: None,
    parameters: &[
        Parameter::rows(20_000, u32::MAX as u64),
        Parameter {
            name: "d",
            kind: Kind::Count(1, 1024),
            default: Value::Count(8),
            meaning: "number of columns",
        },
        Parameter {
            name: "condition",
            kind: Kind::Real(1.0, 1e24),
            default: Value::Real(100.0),
            meaning: "ratio of the largest to the least eigenvalue of the covariance",
        },
        Parameter::seed(),
    ],
    dimension: |p| p.count("d"),
    intrinsic: |p| Some(p.count("d")),
    entropy: |p| Some(gaussian_entropy(p.count("d"), p.real("condition"))),
    make,
};

fn make(parameters: &Parameters) -> Result<Table, Error> {
    let (d, condition) = (parameters.count("d"), parameters.real("condition"));
    // Columns scaled: each row is `factor` times a standard normal vector.
    let (rotation, variances) = (rotation(d), eigenvalues(d, condition));
    let factor = Matrix::from_fn(d, d, |i, j| rotation[(i, j)] * variances[j].sqrt());
    rows("gaussian", parameters.count("n"), parameters.seed(), &default_names(d), |generator, row| {
        let z: Vec<f64> = (0..d).map(|_| normal(generator)).collect();
        for (i, x) in row.iter_mut().enumerate() {
            *x = factor.row(i).iter().zip(&z).map(|(a, b)| a * b).sum();
        }
    })
}

/// The covariance of `builtin:gaussian`: `Q diag(λ) Qᵀ`, `λ_i = condition^(-i/(d-1))`, `Q` a random
/// rotation that depends on `d` alone, so that every seed draws from one distribution. `[d, d]`.
///
/// ```
/// let covariance = eigenflow::data::builtin::gaussian_covariance(2, 4.0);
/// let trace = covariance[(0, 0)] + covariance[(1, 1)];
/// assert!((trace - 1.25).abs() < 1e-15); // 1 + 1/4
/// ```
pub fn gaussian_covariance(d: usize, condition: f64) -> Matrix<f64> {
    let (q, variances) = (rotation(d), eigenvalues(d, condition));
    Matrix::from_fn(d, d, |i, j| (0..d).map(|k| q[(i, k)] * variances[k] * q[(j, k)]).sum())
}

/// Entropy of `builtin:gaussian` in nats: `½ Σ ln(2πe λ_i)`.
///
/// ```
/// let one = eigenflow::data::builtin::gaussian_entropy(1, 1.0);
/// assert!((one - 1.418_938_533_204_672_7).abs() < 1e-15);
/// ```
pub fn gaussian_entropy(d: usize, condition: f64) -> f64 {
    0.5 * (d as f64 * (2.0 * PI * E).ln() + eigenvalues(d, condition).iter().map(|v| v.ln()).sum::<f64>())
}

fn eigenvalues(d: usize, condition: f64) -> Vec<f64> {
    (0..d).map(|i| condition.powf(-(i as f64) / (d.max(2) - 1) as f64)).collect()
}

/// A random orthogonal matrix: a product of reflections that turn each axis in its trailing subspace
/// into a random direction (Stewart, 1980, doi:10.1137/0717034).
fn rotation(d: usize) -> Matrix<f64> {
    let mut generator = generator(0, "gaussian rotation", d as u64);
    let mut q = Matrix::identity(d);
    for first in 0..d.saturating_sub(1) {
        let mut u: Vec<f64> = (first..d).map(|_| normal(&mut generator)).collect();
        let norm = u.iter().map(|x| x * x).sum::<f64>().sqrt();
        u[0] += norm.copysign(u[0]);
        let scale = 2.0 / u.iter().map(|x| x * x).sum::<f64>();
        for i in 0..d {
            let tail = &mut q.row_mut(i)[first..];
            let along = scale * tail.iter().zip(&u).map(|(a, b)| a * b).sum::<f64>();
            tail.iter_mut().zip(&u).for_each(|(a, b)| *a -= along * b);
        }
    }
    q
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rotation_is_orthogonal() {
        for d in [1, 2, 7, 64] {
            let q = rotation(d);
            let gram = q.transpose().mul(&q);
            let worst = Matrix::from_fn(d, d, |i, j| gram[(i, j)] - f64::from(u8::from(i == j))).max_abs();
            assert!(worst < 64.0 * f64::EPSILON * (d as f64).sqrt(), "{d}: {worst:e}");
        }
    }

    /// Whitened by the stated covariance's eigenvectors, draws have unit variances: each sample
    /// variance within five of its standard errors, for either seed.
    #[test]
    fn draws_have_the_stated_covariance() {
        for seed in ["0", "9"] {
            let given = [("n", "20000"), ("d", "4"), ("condition", "1e6"), ("seed", seed)];
            let table = SET.make(&SET.parameters_from(given).unwrap()).unwrap();
            let (q, variances) = (rotation(4), eigenvalues(4, 1e6));
            let white = table.values.mul(&q);
            for k in 0..4 {
                let n = white.rows() as f64;
                let variance =
                    (0..white.rows()).map(|i| white[(i, k)].powi(2)).sum::<f64>() / n / variances[k];
                assert!((variance - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "axis {k}: {variance}");
            }
        }
    }
}
