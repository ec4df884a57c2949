//! Convergence orders, fitted with their uncertainty.

use super::student::t_quantile;
use crate::theory::claim::LARGEST;

/// An error counts as resolved when it exceeds its rounding and cubature floor by this factor.
pub const RESOLVED: f64 = 30.0;
/// Points of a fit: the finest resolved ones, at most this many.
const MOST: usize = 7;
/// Fewer points are no fit.
const LEAST: usize = 5;
/// A fit with a wider confidence interval says nothing.
const WIDEST: f64 = 0.5;

/// What a sequence of errors says about their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// A slope of `log error` against `log ε`, with the half width of its confidence interval.
    Fitted {
        /// The slope.
        slope: f64,
        /// Half width: t quantile times standard error, plus what the floor can do.
        half_width: f64,
    },
    /// All errors are within rounding.
    Rounding,
    /// No interval of `ε` shows a clean power; why.
    Unclear(&'static str),
}

impl Order {
    /// Whether a fit excludes that the errors are `O(ε^order)`.
    pub fn below(&self, order: f64) -> bool {
        matches!(self, Self::Fitted { slope, half_width } if slope + half_width < order)
    }

    /// Whether a fit excludes that the errors go as `ε^order`.
    pub fn other_than(&self, order: f64) -> bool {
        matches!(self, Self::Fitted { slope, half_width } if (slope - order).abs() > *half_width)
    }

    /// Whether it says anything.
    pub fn is_clear(&self) -> bool {
        !matches!(self, Self::Unclear(_))
    }

    /// Fits the finest resolved points. `floor` bounds rounding and cubature in each error, `size` is how large what is compared is
    /// at each radius (errors are rounding only where resolved ones would be a tenth of it at most); points at which `usable` is false are left out. `p` is the false-alarm rate of the interval.
    pub fn fit(eps: &[f64], error: &[f64], floor: &[f64], size: &[f64], usable: &[bool], p: f64) -> Self {
        let resolved = |&k: &usize| usable[k] && error[k] > RESOLVED * floor[k];
        let mut at: Vec<usize> = (0..eps.len()).filter(resolved).collect();
        at.sort_by(|&a, &b| eps[a].total_cmp(&eps[b]));
        at.truncate(MOST);
        if at.len() < LEAST {
            let seen = |&k: &usize| usable[k] && RESOLVED * floor[k] <= LARGEST * size[k];
            let quiet = (0..eps.len()).filter(seen).filter(|&k| error[k] <= RESOLVED * floor[k]).count();
            return if quiet >= LEAST {
                Self::Rounding
            } else {
                Self::Unclear("too few radii at which the expansion is resolved")
            };
        }
        let n = at.len() as f64;
        let x: Vec<f64> = at.iter().map(|&k| eps[k].ln()).collect();
        let y: Vec<f64> = at.iter().map(|&k| error[k].ln()).collect();
        let (mx, my) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
        let sxx: f64 = x.iter().map(|x| (x - mx).powi(2)).sum();
        let slope = x.iter().zip(&y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>() / sxx;
        let rest: f64 = x.iter().zip(&y).map(|(x, y)| (y - my - slope * (x - mx)).powi(2)).sum();
        let nu = at.len() - 2;
        let standard = (rest / nu as f64 / sxx).sqrt();
        // Each logarithm is off by at most -ln(1 - floor / error).
        let floor: f64 =
            at.iter().zip(&x).map(|(&k, x)| ((x - mx) / sxx).abs() * -(-floor[k] / error[k]).ln_1p()).sum();
        let half_width = t_quantile(p, nu) * standard + floor;
        if half_width > WIDEST {
            return Self::Unclear("no clean power of the radius: the asymptotic regime is not reached");
        }
        Self::Fitted { slope, half_width }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(error: impl Fn(f64) -> f64, floor: f64, size: f64) -> Order {
        let eps: Vec<f64> = (0..12).map(|k| 0.5_f64.powi(k)).collect();
        let error: Vec<f64> = eps.iter().map(|e| error(*e)).collect();
        Order::fit(&eps, &error, &[floor; 12], &[size; 12], &[true; 12], 1e-3)
    }

    /// `ε⁴` above its floor has order 4; what is below it is rounding where the floor is small beside what is compared, and nothing
    /// elsewhere.
    #[test]
    fn rounding_is_no_excuse_for_anything() {
        assert!(
            matches!(fit(|e| e.powi(4), 1e-12, 1.0), Order::Fitted { slope, .. } if (slope - 4.0).abs() < 1e-6)
        );
        assert_eq!(fit(|_| 0.0, 1e-12, 1.0), Order::Rounding);
        assert!(!fit(|_| 0.5, 0.1, 1.0).is_clear());
        assert!(!fit(|_| 0.0, 1e-12, 1e-11).is_clear());
    }
}
