//! Densities of flows whose log-determinant is estimated.

use super::{Error, Flow, Role};
use crate::random::hash_words;
use eigenflow_linalg::{Matrix, Real};
use smallvec::SmallVec;

/// An estimate for each row, and the standard error of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The estimates.
    pub values: Vec<f64>,
    /// Their standard errors over the probes.
    pub errors: Vec<f64>,
}

impl Estimate {
    /// Means over probes, `per_probe` being `[N, probes]`.
    pub(crate) fn over(per_probe: &Matrix<f64>) -> Self {
        let m = per_probe.cols() as f64;
        let of = |row: &[f64]| {
            let mean = row.iter().sum::<f64>() / m;
            let square = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (m - 1.0);
            (mean, (square / m).sqrt())
        };
        let (values, errors) = (0..per_probe.rows()).map(|i| of(per_probe.row(i))).unzip();
        Self { values, errors }
    }
}

/// Means and squared deviations of numbers that come one draw after the other (B. P. Welford, 1962): room for two numbers a row, however
/// many draws there are.
struct Running {
    mean: Vec<f64>,
    squares: Vec<f64>,
    draws: f64,
}

impl Running {
    fn new(rows: usize) -> Self {
        Self { mean: vec![0.0; rows], squares: vec![0.0; rows], draws: 0.0 }
    }

    fn take(&mut self, draw: impl Iterator<Item = f64>) {
        self.draws += 1.0;
        for ((mean, square), v) in self.mean.iter_mut().zip(&mut self.squares).zip(draw) {
            let off = v - *mean;
            *mean += off / self.draws;
            *square += off * (v - *mean);
        }
    }

    fn estimate(self) -> Estimate {
        let m = self.draws;
        let error = |square: f64| (square / (m - 1.0) / m).sqrt();
        Estimate { values: self.mean, errors: self.squares.into_iter().map(error).collect() }
    }
}

/// Numbers of draws are whole and below this: every precision holds them.
const DRAWS: u64 = 1 << 24;

impl<T: Real> Flow<T> {
    /// Whether the log-determinant is an unbiased estimate: residual layers of more than 64 columns. [`Flow::log_density`] is one draw of it
    /// then, always the same for the same row.
    pub fn is_estimated(&self) -> bool {
        self.parameters().iter().any(|p| p.role == Role::Draw)
    }

    /// Other numbers for the draws of all estimates: the index of the parameter, and its value.
    pub(crate) fn draws(&self, seed: u64, draw: u64) -> SmallVec<[(usize, [T; 1]); 32]> {
        let of = |k: usize| [T::of((hash_words(seed, [draw, k as u64]) % DRAWS) as f64)];
        let drawn = |k: &usize| self.parameters()[*k].role == Role::Draw;
        (0..self.parameters().len()).filter(drawn).map(|k| (k, of(k))).collect()
    }

    /// `log p(x)` of each row as the mean of independent draws, with its standard error: 0 where nothing is estimated.
    ///
    /// ```
    /// use eigenflow::flow::{Flow, bijections::Sinh};
    /// use eigenflow_linalg::Matrix;
    /// let flow = Flow::<f64>::new(vec![Sinh { dim: 1 }.into()], 0, 0).unwrap();
    /// let x = Matrix::new(1, 1, vec![0.0]);
    /// let estimate = flow.log_density_estimate(&x, 4, 0).unwrap(); // exact
    /// assert_eq!((estimate.values[0], estimate.errors[0]), (flow.log_density(&x).unwrap()[0], 0.0));
    /// ```
    ///
    /// # Errors
    /// As [`Flow::log_density`], and with fewer than two draws of an estimate.
    pub fn log_density_estimate(&self, x: &Matrix<T>, draws: usize, seed: u64) -> Result<Estimate, Error> {
        if !self.is_estimated() {
            let values: Vec<f64> = self.log_density(x)?.iter().map(|p| p.f64()).collect();
            return Ok(Estimate { errors: vec![0.0; values.len()], values });
        }
        if draws < 2 {
            let reason = "must be at least 2: one has no standard error";
            return Err(Error::Option { flow: "estimate", option: "draws", reason });
        }
        self.check_rows("data", x)?;
        let program = self.density_program();
        let mut all = Running::new(x.rows());
        for k in 0..draws {
            let drawn = self.draws(seed, k as u64);
            let mut slices = self.slices();
            drawn.iter().for_each(|(p, value)| slices[*p] = value);
            let log_p = self.density_checked(x, self.replay_with(&program, x, &slices)?)?;
            all.take(log_p.iter().map(|p| p.f64()));
        }
        Ok(all.estimate())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As from all draws at once, to rounding.
    #[test]
    fn running_sums_are_those_of_all_draws() {
        let draws = Matrix::from_fn(3, 40, |i, k| 1e3 * i as f64 + ((i + 7 * k) as f64).sin());
        let mut running = Running::new(3);
        (0..40).for_each(|k| running.take(draws.col(k).into_iter()));
        let (found, expected) = (running.estimate(), Estimate::over(&draws));
        for i in 0..3 {
            assert!(
                (found.values[i] - expected.values[i]).abs() <= 1e-15 * (1.0 + expected.values[i]) * 40.0
            );
            assert!((found.errors[i] - expected.errors[i]).abs() <= 1e-10 * expected.errors[i]);
        }
    }
}
