//! Figures of a table's columns.

use super::Table;
use eigenflow_linalg::Real;
use rayon::prelude::*;

/// Mean and spread of one column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    /// `m = (1/n) Σ x_i`.
    pub mean: f64,
    /// `sqrt((1/n) Σ (x_i - m)²)`: the population's, not the sample's.
    pub std: f64,
}

impl Table {
    /// Mean and population standard deviation of each column, in two passes.
    ///
    /// A column is scaled by a power of two first, so neither sum nor square overflows for any finite
    /// numbers; a constant column has `std` exactly 0. Cost: three passes over the numbers.
    ///
    /// ```
    /// use eigenflow::data::{Dtype, Table};
    /// use eigenflow_linalg::Matrix;
    /// let table = Table::new(Matrix::new(2, 1, vec![1.0, 5.0]), vec![], "t", Dtype::F64)?;
    /// let column = table.moments()[0];
    /// assert_eq!((column.mean, column.std), (3.0, 2.0));
    /// # Ok::<(), eigenflow::data::Error>(())
    /// ```
    pub fn moments(&self) -> Vec<Moments> {
        self.per_column(|x| moments(&x))
    }

    /// Mean of each column.
    pub fn means(&self) -> Vec<f64> {
        self.moments().iter().map(|m| m.mean).collect()
    }

    /// Population standard deviation of each column.
    pub fn stds(&self) -> Vec<f64> {
        self.moments().iter().map(|m| m.std).collect()
    }

    /// The columns (from 0) that hold one value only.
    #[expect(clippy::float_cmp, reason = "constant means the same bits")]
    pub fn constant_columns(&self) -> Vec<usize> {
        let first = self.values.row(0);
        (0..self.cols()).filter(|&j| (1..self.rows()).all(|i| self.values[(i, j)] == first[j])).collect()
    }

    /// Number of distinct values of each column (0 and -0 are one). Cost: a sort of each column.
    pub fn distinct(&self) -> Vec<usize> {
        self.per_column(|mut x| {
            for v in &mut x {
                *v += 0.0;
            }
            x.sort_unstable_by(f64::total_cmp);
            x.dedup();
            x.len()
        })
    }

    fn per_column<R: Send>(&self, f: impl Fn(Vec<f64>) -> R + Sync) -> Vec<R> {
        (0..self.cols()).into_par_iter().map(|j| f(self.values.col(j))).collect()
    }
}

#[expect(clippy::float_cmp, reason = "constant means the same bits")]
fn moments(x: &[f64]) -> Moments {
    let largest = x.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    if !largest.is_finite() || x.iter().any(|v| v.is_nan()) {
        return Moments { mean: f64::NAN, std: f64::NAN };
    }
    if x.iter().all(|&v| v == x[0]) {
        return Moments { mean: x[0], std: 0.0 };
    }
    let exponent = largest.ilogb().clamp(-1000, 1000);
    let (down, up) = (f64::exp2i(-exponent), f64::exp2i(exponent));
    let n = x.len() as f64;
    let mean = x.iter().map(|v| v * down).sum::<f64>() / n;
    // The second sum removes what rounding left of the mean (Chan, Golub and LeVeque, 1983, eq. 1.7).
    let (mut squares, mut rest) = (0.0, 0.0);
    for v in x {
        let d = v * down - mean;
        squares += d * d;
        rest += d;
    }
    let variance = (squares - rest * rest / n) / n;
    Moments { mean: (mean + rest / n) * up, std: variance.max(0.0).sqrt() * up }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact results are asserted")]
mod tests {
    use super::*;
    use crate::data::Dtype;
    use eigenflow_linalg::Matrix;

    fn column(x: &[f64]) -> Table {
        Table::new(Matrix::new(x.len(), 1, x.to_vec()), vec![], "t", Dtype::F64).unwrap()
    }

    #[test]
    fn two_passes_keep_digits_and_range() {
        // A large offset: one pass of squares would return nonsense.
        let offset = column(&[1e9, 1e9 + 1.0, 1e9 + 2.0]).moments()[0];
        assert_eq!(offset.mean, 1e9 + 1.0);
        assert!((offset.std - (2.0_f64 / 3.0).sqrt()).abs() < 1e-15);
        for scale in [1e-300, 1e-160, 1e160, 1e307] {
            let m = column(&[-scale, 3.0 * scale]).moments()[0];
            assert!((m.mean / scale - 1.0).abs() < 1e-15 && (m.std / scale - 2.0).abs() < 1e-15, "{m:?}");
        }
    }

    #[test]
    fn constant_columns_have_zero_spread_exactly() {
        let table = column(&[0.1; 7]);
        assert_eq!(table.moments()[0], Moments { mean: 0.1, std: 0.0 });
        assert_eq!(table.constant_columns(), [0]);
        assert_eq!(column(&[0.1, 0.2]).constant_columns(), [0usize; 0]);
    }

    #[test]
    fn distinct_values_are_counted() {
        assert_eq!(column(&[1.0, 2.0, 1.0, 0.0, -0.0]).distinct(), [3]);
    }
}
