//! Densities, latents and samples of a batch of rows.

use super::bijection::Bijection;
use super::{Error, Flow, Layer, Recorded};
use crate::random::{ROWS_PER_GENERATOR, generator};
use eigenflow_autodiff::{Program, Var};
use eigenflow_linalg::{Matrix, Real};
use rand::RngExt;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use std::ops::Range;

impl<T: Real> Flow<T> {
    /// Latents and `log|det J|` of each row of `x`.
    ///
    /// # Errors
    /// If the width does not fit, an entry is not finite, or a row is outside the support.
    pub fn normalize(&self, x: &Matrix<T>) -> Result<(Matrix<T>, Vec<T>), Error> {
        self.check_rows("data", x)?;
        let all = 0..self.layers().len();
        let mut out = self.run(x, |params, x| {
            let recorded = self.record_normalize(params, x, all.clone(), false);
            vec![recorded.out, recorded.log_det]
        })?;
        let log_det = out.pop().unwrap_or_default();
        let z = Matrix::new(x.rows(), self.dim(), out.pop().unwrap_or_default());
        self.check_result("normalize", x, &z, &log_det)?;
        Ok((z, log_det))
    }

    /// Data of each row of latents.
    ///
    /// # Errors
    /// If the width does not fit, an entry is not finite, or the result overflows.
    pub fn generate(&self, z: &Matrix<T>) -> Result<Matrix<T>, Error> {
        self.check_rows("latents", z)?;
        let x = self.generate_values(z, 0..self.layers().len())?;
        self.check_result("generate", z, &x, &[])?;
        Ok(x)
    }

    /// Latents to data through the layers `range`. Those that have a way of their own to the values take it, the others run as one program.
    fn generate_values(&self, z: &Matrix<T>, range: Range<usize>) -> Result<Matrix<T>, Error> {
        let slices = self.slices();
        let recorded = |x: Matrix<T>, range: Range<usize>| -> Result<Matrix<T>, Error> {
            if range.is_empty() {
                return Ok(x);
            }
            let mut out =
                self.run(&x, |params, x| vec![self.record_generate(params, x, range.clone()).out])?;
            Ok(Matrix::new(x.rows(), self.dim(), out.pop().unwrap_or_default()))
        };
        let (mut x, mut end) = (z.clone(), range.end);
        for k in range.clone().rev() {
            if let Some(values) = self.layers()[k].values(&slices[self.parameters_of(k)]) {
                (x, end) = (values(&recorded(x, k + 1..end)?)?, k);
            }
        }
        recorded(x, range.start..end)
    }

    /// `log p(x)` of each row, in nats: `-(D ln 2π + |f(x)|²)/2 + log|det J(x)|`.
    ///
    /// # Errors
    /// As [`Flow::normalize`].
    pub fn log_density(&self, x: &Matrix<T>) -> Result<Vec<T>, Error> {
        self.check_rows("data", x)?;
        let all = 0..self.layers().len();
        let mut out = self.run(x, |params, x| vec![self.record_log_density(params, x, all.clone())])?;
        let log_p = out.pop().unwrap_or_default();
        if log_p.iter().any(|p| !p.is_finite()) {
            self.check_result("normalize", x, x, &log_p)?;
        }
        Ok(log_p)
    }

    /// Latents `z ~ N(0, T²)` for `n` rows; row `k` does not depend on `n`.
    pub fn draw_latents(&self, n: usize, temperature: f64, seed: u64) -> Matrix<T> {
        let dim = self.dim();
        let mut data = vec![T::ZERO; n * dim];
        data.par_chunks_mut(ROWS_PER_GENERATOR * dim).enumerate().for_each(|(k, rows)| {
            let mut random = generator(seed, "latents", k as u64);
            for z in rows {
                let normal: f64 = random.sample(StandardNormal);
                *z = T::of(temperature * normal);
            }
        });
        Matrix::new(n, dim, data)
    }

    /// `n` draws from the model, with latents `N(0, T²)`.
    ///
    /// # Errors
    /// As [`Flow::generate`].
    pub fn sample(&self, n: usize, temperature: f64, seed: u64) -> Result<Matrix<T>, Error> {
        self.generate(&self.draw_latents(n, temperature, seed))
    }

    /// The values after each layer of `normalize`, data side first: `x` itself is not among them.
    pub fn layer_values(&self, x: &Matrix<T>) -> Result<Vec<Matrix<T>>, Error> {
        let all = 0..self.layers().len();
        self.values(x, |params, x| self.record_normalize(params, x, all.clone(), false))
    }

    fn values<F>(&self, x: &Matrix<T>, record: F) -> Result<Vec<Matrix<T>>, Error>
    where
        F: for<'t> Fn(&[Var<'t, T>], Var<'t, T>) -> Recorded<'t, T>,
    {
        let out = self.run(x, |params, x| record(params, x).values)?;
        Ok(out.into_iter().map(|data| Matrix::new(x.rows(), self.dim(), data)).collect())
    }

    /// Records a function of rows and parameters, and runs it once on `x`.
    pub fn run<F>(&self, x: &Matrix<T>, record: F) -> Result<Vec<Vec<T>>, Error>
    where
        F: for<'t> Fn(&[Var<'t, T>], Var<'t, T>) -> Vec<Var<'t, T>>,
    {
        let program = Program::record(|r| {
            let params = self.declare(r);
            record(&params, r.batch(self.dim()))
        });
        Ok(program.run(x.rows(), &[x.data()], &self.slices())?)
    }

    /// That rows have the model's width and finite entries.
    pub fn check_rows(&self, what: &'static str, x: &Matrix<T>) -> Result<(), Error> {
        if x.cols() != self.dim() {
            return Err(Error::Columns { expected: self.dim(), given: x.cols() });
        }
        match x.data().iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(k) => Err(Error::NotFinite { what, row: k / x.cols(), column: k % x.cols() }),
        }
    }

    /// That a result is finite; else an error that names the first layer at which it was not.
    pub(crate) fn check_result(
        &self,
        direction: &'static str,
        from: &Matrix<T>,
        to: &Matrix<T>,
        numbers: &[T],
    ) -> Result<(), Error> {
        let bad_value = to.data().iter().position(|v| !v.is_finite()).map(|k| k / self.dim());
        let bad_number = numbers.iter().position(|v| !v.is_finite());
        let Some(row) = bad_value.into_iter().chain(bad_number).min() else { return Ok(()) };
        let one = Matrix::new(1, self.dim(), from.row(row).to_vec());
        let count = self.layers().len();
        let found = if direction == "normalize" {
            let recorded = self.run(&one, |params, from| {
                let Recorded { values, log_dets, .. } = self.record_normalize(params, from, 0..count, false);
                values.into_iter().chain(log_dets).collect()
            })?;
            // Values come first, then log-determinants; of either there is one for each layer.
            let bad = |(k, v): (usize, &Vec<T>)| Some((k % count, v.iter().position(|x| !x.is_finite())?));
            recorded.iter().enumerate().filter_map(bad).min_by_key(|&(layer, _)| layer)
        } else {
            let (mut x, mut found) = (one, None);
            for k in (0..count).rev() {
                x = self.generate_values(&x, k..k + 1)?;
                found = x.data().iter().position(|v| !v.is_finite()).map(|column| (k, column));
                if found.is_some() {
                    break;
                }
            }
            found
        };
        let last = if direction == "normalize" { count - 1 } else { 0 };
        let (layer, column) = found.unwrap_or((last, 0));
        let kind = self.layers().get(layer).map_or("base", Layer::kind);
        Err(Error::OutOfRange { direction, row, layer, kind, column, precision: T::NAME })
    }
}
