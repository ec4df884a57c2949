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
        let mut all = Matrix::zeros(x.rows(), draws);
        for k in 0..draws {
            let drawn = self.draws(seed, k as u64);
            let mut slices = self.slices();
            drawn.iter().for_each(|(p, value)| slices[*p] = value);
            let log_p = self.density_checked(x, self.replay_with(&program, x, &slices)?)?;
            log_p.iter().enumerate().for_each(|(i, p)| all[(i, k)] = p.f64());
        }
        Ok(Estimate::over(&all))
    }
}
