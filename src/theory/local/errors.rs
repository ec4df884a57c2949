//! The errors of `S(ε)` against its expansion at every radius, and their picture.

use super::order::{Order, RESOLVED};
use super::series::{Series, difference};
use super::spread::Orders;
use crate::theory::{Axis, Chart, Shape};
use eigenflow_linalg::Matrix;

/// `ε²‖K‖` must exceed the remainder by this factor for its order to be read.
const DOMINANT: f64 = 10.0;

/// Errors of a series in units of its scale, Frobenius norms.
#[derive(Clone, Debug)]
pub struct Errors {
    /// Radii, descending; two apart is a factor of 2.
    pub eps: Vec<f64>,
    /// Bound of rounding and cubature.
    pub floor: Vec<f64>,
    /// `‖J_g J_gᵀ‖`.
    size: f64,
    /// `‖S(ε) - J_g J_gᵀ‖`.
    pub leading: Vec<f64>,
    /// `‖S(ε) - J_g J_gᵀ - ε²K‖`.
    pub remainder: Vec<f64>,
    /// `‖(4 S(ε/2) - S(ε))/3 - J_g J_gᵀ‖`, for all radii but the last two.
    pub richardson: Vec<f64>,
    /// Where the radius lies within the Taylor regime.
    usable: Vec<bool>,
    /// Where `ε²K` stands well above the remainder too.
    dominant: Vec<bool>,
}

impl Errors {
    /// The errors of a series in units of `scale`, for a Jacobian `[n, m]` and a second-order term `[n, n]` in
    /// data units.
    pub fn of(series: &Series, scale: &[f64], jacobian: &Matrix<f64>, k: &Matrix<f64>) -> Self {
        let j = Matrix::from_fn(jacobian.rows(), jacobian.cols(), |i, c| jacobian[(i, c)] / scale[i]);
        let k = Matrix::from_fn(k.rows(), k.cols(), |i, c| k[(i, c)] / scale[i] / scale[c]);
        let limit = j.mul(&j.transpose());
        let eps = &series.eps;
        let off: Vec<Matrix<f64>> = series.s.iter().map(|s| difference(s, &limit)).collect();
        let leading: Vec<f64> = off.iter().map(Matrix::norm).collect();
        let remainder: Vec<f64> =
            off.iter().zip(eps).map(|(off, eps)| difference(off, &k.map(|k| eps * eps * k)).norm()).collect();
        // Where the remainder is not small against ε²K, the slope of the sum is neither 2 nor 4.
        let dominant: Vec<bool> = (0..eps.len())
            .map(|i| series.usable[i] && DOMINANT * remainder[i] <= eps[i] * eps[i] * k.norm())
            .collect();
        // ε and ε/2 are two radii apart.
        let richardson: Vec<f64> = (0..eps.len().saturating_sub(2))
            .map(|i| {
                let both = |a: usize, b: usize| (4.0 * off[i + 2][(a, b)] - off[i][(a, b)]) / 3.0;
                Matrix::from_fn(k.rows(), k.cols(), both).norm()
            })
            .collect();
        let (eps, floor, usable) = (eps.clone(), series.floor.clone(), series.usable.clone());
        Self { eps, floor, size: limit.norm(), leading, remainder, richardson, usable, dominant }
    }

    /// The orders of the three errors. `p` is the false-alarm rate of each.
    pub fn orders(&self, p: f64) -> Orders {
        let (eps, floor) = (&self.eps, &self.floor);
        let pairs = self.richardson.len();
        let pair_floor: Vec<f64> = (0..pairs).map(|i| (4.0 * floor[i + 2] + floor[i]) / 3.0).collect();
        let size = vec![self.size; eps.len()];
        let (near, usable) = (&eps[..pairs], &self.usable[..pairs]);
        Orders {
            leading: Order::fit(eps, &self.leading, floor, &size, &self.dominant, p),
            remainder: Order::fit(eps, &self.remainder, floor, &size, &self.usable, p),
            richardson: Order::fit(near, &self.richardson, &pair_floor, &size, usable, p),
        }
    }

    /// The picture of the errors, with lines of the predicted orders through what is resolved.
    pub fn chart(&self, orders: &Orders) -> Chart {
        let said = |name: &str, order: &Order| match order {
            Order::Fitted { slope, half_width } => format!("{name} has order {slope:.3} ± {half_width:.3}"),
            Order::Rounding => format!("{name} is within rounding"),
            Order::Unclear(why) => format!("{name}: {why}"),
        };
        let pairs = self.richardson.len();
        let mut chart = Chart::new(
            "Convergence to the local covariance",
            Axis::log("radius ε of the latent neighbourhood"),
            Axis::log("error of S(ε), relative"),
        )
        .described(format!(
            "Errors of S(ε) at one point against the radius. {}; {}; {}. Predicted: 2, 4 and 4. Below the line of rounding and cubature nothing is resolved.",
            said("‖S − JgJgᵀ‖", &orders.leading),
            said("after ε²K", &orders.remainder),
            said("Richardson", &orders.richardson)
        ))
        .mark("S − JgJgᵀ", Shape::Points, self.eps.clone(), self.leading.clone())
        .mark("S − JgJgᵀ − ε²K", Shape::Points, self.eps.clone(), self.remainder.clone())
        .mark("Richardson", Shape::Points, self.eps[..pairs].to_vec(), self.richardson.clone());
        for (name, error, order) in [("order 2", &self.leading, 2.0), ("order 4", &self.remainder, 4.0)] {
            if let Some((x, y)) = slope(&self.eps, error, &self.floor, order) {
                chart = chart.mark(name, Shape::Dashed, x, y);
            }
        }
        chart.mark("rounding and cubature", Shape::Dashed, self.eps.clone(), self.floor.clone())
    }
}

/// A line of the given order through the finest resolved errors, drawn where it lies above the least floor.
pub(super) fn slope(eps: &[f64], error: &[f64], floor: &[f64], order: f64) -> Option<(Vec<f64>, Vec<f64>)> {
    const THROUGH: usize = 7;
    let resolved: Vec<usize> = (0..error.len()).rev().filter(|&k| error[k] > RESOLVED * floor[k]).collect();
    let finest = &resolved[..resolved.len().min(THROUGH)];
    if finest.is_empty() {
        return None;
    }
    let log = finest.iter().map(|&k| error[k].ln() - order * eps[k].ln()).sum::<f64>() / finest.len() as f64;
    let least = floor.iter().copied().fold(f64::INFINITY, f64::min);
    let line = |e: &f64| (log + order * e.ln()).exp();
    Some(eps.iter().map(|e| (*e, line(e))).filter(|p| p.1 >= least).unzip())
}
