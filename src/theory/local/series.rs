//! `S(ε) = Cov(g(y + ε P ξ)) / ε²` over a range of radii, with bounds for what rounding and cubature
//! did to it.

use super::map::{Evaluator, Map};
use super::noise::rounding;
use super::rule::{Neighbourhood, Rule};
use super::second_order::directional;
use crate::flow::Error;
use eigenflow_linalg::Matrix;

/// Number of radii for orders.
pub const RADII: usize = 25;
/// The measured noise is a standard deviation: this many of them bound it.
const DEVIATIONS: f64 = 10.0;
/// Within the Taylor regime the next term is at most this part of the last one kept.
const TAYLOR: f64 = 0.2;

/// `S(ε)` in units of `scale`: entry `(i, j)` is divided by `scale_i scale_j`.
pub struct Series {
    /// Radii, descending.
    pub eps: Vec<f64>,
    /// `S(ε)` of each.
    pub s: Vec<Matrix<f64>>,
    /// Bound of rounding and cubature in the Frobenius norm of each.
    pub floor: Vec<f64>,
    /// Whether the radius is within the Taylor regime, where that is not seen by the cubature itself.
    pub usable: Vec<bool>,
}

/// How neighbourhoods are integrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cubature {
    /// Two product rules of different order: the true covariance, for one to three directions.
    Product(Neighbourhood),
    /// Stroud's rule of degree 5: the normal moments up to the fifth, which is all that the expansion
    /// up to `ε²` and the order of its remainder see.
    FifthDegree,
}

impl Cubature {
    /// `c` of the fourth moments, see [`super::SecondOrder::k`].
    pub fn fourth(self, m: usize) -> f64 {
        match self {
            Self::Product(kind) => kind.fourth(m),
            Self::FifthDegree => 1.0,
        }
    }

    pub(in crate::theory) fn rules(self, m: usize) -> Result<Vec<Rule>, Error> {
        match self {
            Self::FifthDegree => Ok(vec![Rule::fifth_degree(m)]),
            Self::Product(kind) => {
                let (coarse, fine) = [(24, 32), (15, 20), (9, 12)][m - 1];
                Ok(vec![Rule::product(kind, m, coarse)?, Rule::product(kind, m, fine)?])
            }
        }
    }
}

/// The radii at which orders are read: `2^{-k/2}`, descending.
pub fn radii() -> Vec<f64> {
    (0..RADII).map(|k| (-0.5 * k as f64).exp2()).collect()
}

/// `S(ε)` of `map` at `y` along the rows of `directions`, and its floor. Radii at which the map is not
/// finite are left out.
///
/// `jacobian_noise` is the standard deviation of rounding in the Jacobian, in units of `scale`.
///
/// # Errors
/// Those of the tape.
pub fn series(
    map: &dyn Map,
    y: &[f64],
    directions: &Matrix<f64>,
    cubature: Cubature,
    scale: &[f64],
    jacobian_noise: f64,
    radii: &[f64],
) -> Result<Series, Error> {
    let (m, n) = (directions.rows(), scale.len());
    let evaluator = Evaluator::new(map);
    let mut out = Series { eps: Vec::new(), s: Vec::new(), floor: Vec::new(), usable: Vec::new() };
    let Some(noise) = rounding(y, |z| evaluator.rows(z))? else { return Ok(out) };
    let rho = noise.iter().zip(scale).map(|(a, d)| (a / d).powi(2)).sum::<f64>().sqrt();
    let rules = cubature.rules(m)?;
    let taylor = match cubature {
        Cubature::FifthDegree => {
            let xi = rules[0].points.mul(directions);
            Some(directional(map, y, &xi, &xi)?)
        }
        Cubature::Product(_) => None,
    };
    for &eps in radii {
        let mut s: Vec<Matrix<f64>> = Vec::new();
        let mut usable = true;
        for rule in &rules {
            let Some(mut delta) = displacements(&evaluator, y, directions, rule, eps)? else { break };
            for row in delta.data_mut().chunks_exact_mut(n) {
                row.iter_mut().zip(scale).for_each(|(x, d)| *x /= d);
            }
            if let Some(t) = &taylor {
                let part = |of: &Matrix<f64>, i: usize, j: usize| of[(i, j)] / scale[j];
                let size = |f: &dyn Fn(usize, usize) -> f64| Matrix::from_fn(delta.rows(), n, f).norm();
                let (second, third) = (eps / 2.0, eps * eps / 6.0);
                let quadratic = size(&|i, j| second * part(&t.second, i, j));
                let cubic = size(&|i, j| third * part(&t.third, i, j));
                let rest = size(&|i, j| {
                    let known = part(&t.first, i, j) + second * part(&t.second, i, j);
                    delta[(i, j)] - known - third * part(&t.third, i, j)
                });
                let rounding = DEVIATIONS * rho / eps * (delta.rows() as f64).sqrt();
                usable = rest <= TAYLOR * quadratic.max(cubic) + rounding;
            }
            s.push(covariance(&delta, &rule.weights));
        }
        let Some(last) = (s.len() == rules.len()).then(|| s.pop()).flatten() else { continue };
        // Weights may be negative: errors add up with their magnitudes.
        let mass: f64 = rules[rules.len() - 1].weights.iter().map(|w| w.abs()).sum();
        let size = (last.norm() + n as f64).sqrt();
        let errors = (rho / eps, size * jacobian_noise);
        let mut floor = DEVIATIONS * mass * (2.0 * size * errors.0 + errors.0.powi(2));
        floor += DEVIATIONS * (2.0 * errors.1 + 16.0 * f64::EPSILON * last.norm().max(1.0));
        if let Some(coarse) = s.pop() {
            floor += DEVIATIONS * difference(&last, &coarse).norm();
        }
        out.eps.push(eps);
        out.s.push(last);
        out.floor.push(floor);
        out.usable.push(usable);
    }
    Ok(out)
}

/// `(g(y + ε P ξ) - g(y)) / ε` of every point; `None` if one is not finite.
fn displacements(
    evaluator: &Evaluator<'_>,
    y: &[f64],
    directions: &Matrix<f64>,
    rule: &Rule,
    eps: f64,
) -> Result<Option<Matrix<f64>>, Error> {
    let mut z = rule.points.mul(directions).map(|x| eps * x);
    for row in z.data_mut().chunks_exact_mut(y.len()) {
        row.iter_mut().zip(y).for_each(|(z, y)| *z += y);
    }
    let centre = evaluator.rows(&Matrix::new(1, y.len(), y.to_vec()))?;
    let (Some(centre), Some(mut x)) = (centre, evaluator.rows(&z)?) else { return Ok(None) };
    for row in x.data_mut().chunks_exact_mut(centre.cols()) {
        row.iter_mut().zip(centre.data()).for_each(|(x, c)| *x = (*x - c) / eps);
    }
    Ok(Some(x))
}

/// `Σ w δδᵀ - (Σ w δ)(Σ w δ)ᵀ`.
fn covariance(delta: &Matrix<f64>, weights: &[f64]) -> Matrix<f64> {
    let weighted = Matrix::from_fn(delta.rows(), delta.cols(), |k, j| weights[k] * delta[(k, j)]);
    let mean: Vec<f64> = (0..delta.cols()).map(|j| weighted.col(j).iter().sum()).collect();
    let second = weighted.transpose().mul(delta);
    Matrix::from_fn(mean.len(), mean.len(), |i, j| {
        0.5 * (second[(i, j)] + second[(j, i)]) - mean[i] * mean[j]
    })
}

/// `a - b`.
pub(super) fn difference(a: &Matrix<f64>, b: &Matrix<f64>) -> Matrix<f64> {
    Matrix::from_fn(a.rows(), a.cols(), |i, j| a[(i, j)] - b[(i, j)])
}
