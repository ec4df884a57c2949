//! Columns with few distinct values: no density fits them, and what to do about it.

use super::Table;
use crate::random::{ROWS_PER_GENERATOR, generator};
use rand::RngExt;
use rayon::prelude::*;

/// A column with few distinct values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Discrete {
    /// Its number, from 0.
    pub column: usize,
    /// How many distinct values it has.
    pub values: usize,
    /// The least difference between two of them.
    pub quantum: f64,
}

/// Share of distinct values below which a column counts as discrete.
const SHARE: f64 = 0.01;
/// Differences below this fraction of the largest number are rounding of one value.
const ROUNDING: f64 = 1e-6;

impl Table {
    /// The columns that have more than one distinct value, but fewer than 1 % of the number of rows.
    ///
    /// ```
    /// use eigenflow::data::{Dtype, Table};
    /// use eigenflow_linalg::Matrix;
    /// let x = Matrix::from_fn(1000, 2, |i, j| if j == 0 { i as f64 } else { 0.5 * (i % 4) as f64 });
    /// let found = Table::new(x, vec![], "t", Dtype::F64)?.discrete_columns();
    /// assert_eq!((found.len(), found[0].column, found[0].values, found[0].quantum), (1, 1, 4, 0.5));
    /// # Ok::<(), eigenflow::data::Error>(())
    /// ```
    pub fn discrete_columns(&self) -> Vec<Discrete> {
        let few = |values: usize| values > 1 && (values as f64) < SHARE * self.rows() as f64;
        let counts = self.distinct().into_iter().enumerate();
        let found = counts.filter(|&(_, values)| few(values));
        found.map(|(column, values)| Discrete { column, values, quantum: self.quantum(column) }).collect()
    }

    /// The least difference between two values of a column; 0 where it is constant. Differences within rounding of single
    /// precision are passed over.
    pub fn quantum(&self, column: usize) -> f64 {
        let mut x = self.values.col(column);
        x.sort_unstable_by(f64::total_cmp);
        let largest = x.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        let gaps = x.windows(2).map(|w| w[1] - w[0]).filter(|gap| *gap > ROUNDING * largest);
        let least = gaps.fold(f64::INFINITY, f64::min);
        if least.is_finite() { least } else { 0.0 }
    }

    /// Spreads each value of these columns evenly over its quantum: adds `q (u - ½)`, `u ~ U(0, 1)`. The density of a
    /// spread column is at most (share of its commonest value) / q.
    ///
    /// Row `k` depends on `seed`, `purpose` and `k` alone.
    pub fn jitter(&mut self, quanta: &[(usize, f64)], seed: u64, purpose: &str) {
        let block = ROWS_PER_GENERATOR * self.cols();
        let cols = self.cols();
        self.values.data_mut().par_chunks_mut(block).enumerate().for_each(|(k, rows)| {
            let mut random = generator(seed, purpose, k as u64);
            for row in rows.chunks_mut(cols) {
                for &(column, quantum) in quanta {
                    row[column] += quantum * (random.random::<f64>() - 0.5);
                }
            }
        });
        for &(column, _) in quanta {
            self.integer[column] = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dtype;
    use eigenflow_linalg::Matrix;

    fn table(f: impl Fn(usize) -> f64) -> Table {
        Table::new(Matrix::from_fn(2000, 1, |i, _| f(i)), vec![], "t", Dtype::F64).unwrap()
    }

    #[test]
    fn the_share_decides_and_rounding_does_not() {
        assert!(table(|i| (i % 20) as f64).discrete_columns().is_empty());
        assert!(table(|_| 3.0).discrete_columns().is_empty());
        let found = table(|i| (i % 19) as f64).discrete_columns();
        assert_eq!((found[0].values, found[0].quantum), (19, 1.0));
        // Tenths that came by way of single precision and arithmetic.
        let tenths = table(|i| f64::from(0.1_f32 * (i % 5) as f32) + 1e-9 * (i % 2) as f64);
        assert!((tenths.quantum(0) - 0.1).abs() < 1e-6);
    }

    /// Each value spreads over its own quantum and no further, evenly: the mean stays, the variance grows by q²/12.
    #[test]
    fn jitter_fills_the_quantum() {
        let plain = table(|i| 0.5 * (i % 4) as f64);
        let mut spread = plain.clone();
        spread.jitter(&[(0, plain.quantum(0))], 7, "test");
        let offsets: Vec<f64> = (0..2000).map(|i| spread.values[(i, 0)] - plain.values[(i, 0)]).collect();
        assert!(offsets.iter().all(|d| (-0.25..0.25).contains(d)));
        let mean = offsets.iter().sum::<f64>() / 2000.0;
        let variance = offsets.iter().map(|d| d * d).sum::<f64>() / 2000.0;
        // Five standard errors: q/√(12 n) and q²/12 · √(4/5n).
        assert!(mean.abs() < 5.0 * 0.5 / (24_000.0_f64).sqrt());
        assert!((variance - 0.25 / 12.0).abs() < 5.0 * 0.25 / 12.0 * (0.8 / 2000.0_f64).sqrt(), "{variance}");
        assert!(spread.discrete_columns().is_empty());
        let mut again = plain.clone();
        again.jitter(&[(0, 0.5)], 7, "test");
        assert_eq!(again.values, spread.values);
    }
}
