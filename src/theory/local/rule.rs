//! Cubature rules for latent neighbourhoods: normal, and the uniform ball, in up to three dimensions.

use crate::flow::Error;
use eigenflow_linalg::{Matrix, eigen::eigh};

/// Which neighbourhood of a latent is pushed through the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbourhood {
    /// `N(0, I)`.
    Normal,
    /// Uniform in the ball of radius `sqrt(m + 2)`, whose covariance is `I`; all moments of any
    /// continuous map are finite on it.
    Ball,
}

impl Neighbourhood {
    /// `c` of the fourth moments, see [`super::SecondOrder::k`].
    pub fn fourth(self, m: usize) -> f64 {
        match self {
            Self::Normal => 1.0,
            Self::Ball => (m as f64 + 2.0) / (m as f64 + 4.0),
        }
    }
}

/// Points and weights (which sum to one) of a cubature rule.
pub struct Rule {
    /// One point a row, `[count, m]`.
    pub points: Matrix<f64>,
    /// One weight a point.
    pub weights: Vec<f64>,
}

impl Rule {
    /// A product rule with `n` points a dimension, exact for polynomials of degree `2n - 1`.
    ///
    /// # Errors
    /// Those of the symmetric eigensolver.
    ///
    /// # Panics
    /// If `m` is 0 or above 3.
    pub fn product(kind: Neighbourhood, m: usize, n: usize) -> Result<Self, Error> {
        assert!((1..=3).contains(&m), "product rules are for one to three dimensions");
        match kind {
            Neighbourhood::Normal => {
                let (x, w) = gauss(n, |k| (k as f64).sqrt())?;
                Ok(product(m, &x, &w))
            }
            Neighbourhood::Ball => ball(m, n),
        }
    }

    /// The rule of degree 5 with `2 m² + 1` points: all moments of `N(0, I)` up to the fifth, in any
    /// dimension (A. H. Stroud, *Approximate Calculation of Multiple Integrals*, 1971, rule 5-2 for
    /// the weight `exp(-r²)`). Weights are negative for `m > 4`.
    pub fn fifth_degree(m: usize) -> Self {
        let n = m as f64;
        let (mut points, mut weights) = (vec![0.0; m], vec![2.0 / (n + 2.0)]);
        let mut add = |entries: &[(usize, f64)], weight: f64| {
            let mut point = vec![0.0; m];
            entries.iter().for_each(|&(i, x)| point[i] = x);
            points.extend(point);
            weights.push(weight);
        };
        let (far, near) = ((n + 2.0).sqrt(), (0.5 * (n + 2.0)).sqrt());
        for sign in [1.0, -1.0] {
            for i in 0..m {
                add(&[(i, sign * far)], (4.0 - n) / (2.0 * (n + 2.0).powi(2)));
                for j in 0..i {
                    add(&[(i, sign * near), (j, near)], (n + 2.0).powi(-2));
                    add(&[(i, sign * near), (j, -near)], (n + 2.0).powi(-2));
                }
            }
        }
        Self { points: Matrix::new(weights.len(), m, points), weights }
    }
}

/// Golub and Welsch (1969): nodes are the eigenvalues of the Jacobi matrix with zero diagonal
/// and off-diagonal `b(1), b(2), …`; weights are the squared first components of its eigenvectors.
fn gauss(n: usize, b: impl Fn(usize) -> f64) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let jacobi = Matrix::from_fn(n, n, |i, j| if i.abs_diff(j) == 1 { b(i.max(j)) } else { 0.0 });
    let e = eigh(&jacobi)?;
    // Symmetric by construction; rounding is not.
    let x = (0..n).map(|k| 0.5 * (e.values[k] - e.values[n - 1 - k])).collect();
    let w = |k: usize| e.vectors[(0, k)].powi(2);
    let raw: Vec<f64> = (0..n).map(|k| w(k) + w(n - 1 - k)).collect();
    let total: f64 = raw.iter().sum();
    Ok((x, raw.iter().map(|w| w / total).collect()))
}

fn product(m: usize, x: &[f64], w: &[f64]) -> Rule {
    let n = x.len();
    let digit = |row: usize, j: usize| row / n.pow(j as u32) % n;
    let count = n.pow(m as u32);
    let points = Matrix::from_fn(count, m, |row, j| x[digit(row, j)]);
    let weights = (0..count).map(|row| (0..m).map(|j| w[digit(row, j)]).product()).collect();
    Rule { points, weights }
}

/// Radius by Gauss-Legendre with the density `m t^{m-1}`, directions by equal angles, and by
/// Gauss-Legendre in the height for `m = 3`.
fn ball(m: usize, n: usize) -> Result<Rule, Error> {
    let legendre = |n: usize| gauss(n, |k| k as f64 / ((4 * k * k - 1) as f64).sqrt());
    // One more point takes the density's degree m - 1 <= 2.
    let (t, wt) = legendre(n + 1)?;
    let angles = 2 * n;
    let circle = |k: usize| (std::f64::consts::PI * (2 * k + 1) as f64 / angles as f64).sin_cos();
    let directions: Vec<(Vec<f64>, f64)> = match m {
        1 => vec![(vec![1.0], 0.5), (vec![-1.0], 0.5)],
        2 => (0..angles).map(|k| (vec![circle(k).1, circle(k).0], 1.0 / angles as f64)).collect(),
        _ => {
            let (h, wh) = legendre(n)?;
            let mut all = Vec::new();
            for (h, wh) in h.iter().zip(&wh) {
                let across = (1.0 - h * h).sqrt();
                all.extend(
                    (0..angles)
                        .map(|k| (vec![across * circle(k).1, across * circle(k).0, *h], wh / angles as f64)),
                );
            }
            all
        }
    };
    let radius = (m as f64 + 2.0).sqrt();
    let (mut points, mut weights) = (Vec::new(), Vec::new());
    for (t, wt) in t.iter().zip(&wt) {
        let t = 0.5 * (t + 1.0);
        for (u, wu) in &directions {
            points.extend(u.iter().map(|u| radius * t * u));
            weights.push(wt * m as f64 * t.powi(m as i32 - 1) * wu);
        }
    }
    let total: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|w| *w /= total);
    Ok(Rule { points: Matrix::new(weights.len(), m, points), weights })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `E ξ_i ξ_j = δ`, and fourth moments as [`Neighbourhood::fourth`] says.
    #[test]
    fn moments_up_to_four() {
        let mut rules = Vec::new();
        for m in 1..=3 {
            for kind in [Neighbourhood::Normal, Neighbourhood::Ball] {
                rules.push((kind, m, Rule::product(kind, m, 9).unwrap()));
            }
        }
        rules.extend([2, 4, 7].map(|m| (Neighbourhood::Normal, m, Rule::fifth_degree(m))));
        for (kind, m, rule) in rules {
            {
                assert!((rule.weights.iter().sum::<f64>() - 1.0).abs() < 1e-13);
                let mean = |f: &dyn Fn(&[f64]) -> f64| -> f64 {
                    rule.weights.iter().enumerate().map(|(k, w)| w * f(rule.points.row(k))).sum()
                };
                let c = kind.fourth(m);
                for i in 0..m {
                    assert!(mean(&|x| x[i]).abs() < 1e-13);
                    assert!((mean(&|x| x[i] * x[i]) - 1.0).abs() < 1e-13);
                    assert!((mean(&|x| x[i].powi(4)) - 3.0 * c).abs() < 1e-12, "{kind:?} {m}");
                    for j in 0..i {
                        assert!(mean(&|x| x[i] * x[j]).abs() < 1e-13);
                        assert!((mean(&|x| (x[i] * x[j]).powi(2)) - c).abs() < 1e-12);
                    }
                }
            }
        }
    }
}
