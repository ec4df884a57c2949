//! Densities, latents and samples of a batch of rows.

use super::{Base, Error, Flow, Layer, Recorded};
use crate::random::{ROWS_PER_GENERATOR, generator};
use eigenflow_autodiff::{Program, Var};
use eigenflow_linalg::{Matrix, Real};
use rayon::prelude::*;

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
        let all = 0..self.layers().len();
        let mut out = self.run(z, |params, z| vec![self.record_generate(params, z, all.clone()).out])?;
        let x = Matrix::new(z.rows(), self.dim(), out.pop().unwrap_or_default());
        self.check_result("generate", z, &x, &[])?;
        Ok(x)
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
        // Outside a bounded base the density is zero; anything else is out of range.
        let honest = |p: &T| p.is_finite() || (self.is_bounded() && *p == -T::INFINITY);
        if !log_p.iter().all(honest) {
            let finite: Vec<T> = log_p.iter().map(|&p| if honest(&p) { T::ZERO } else { p }).collect();
            self.check_result("normalize", x, x, &finite)?;
        }
        Ok(log_p)
    }

    /// Whether latents have a box, outside which `log p` is `-∞`.
    fn is_bounded(&self) -> bool {
        matches!(self.base(), Base::Uniform { .. })
    }

    /// Latents for `n` rows, drawn from the base and scaled about its location by the temperature; row `k` does not depend on `n`.
    pub fn draw_latents(&self, n: usize, temperature: f64, seed: u64) -> Matrix<T> {
        let dim = self.dim();
        let mut data = vec![T::ZERO; n * dim];
        let params = self.base_numbers();
        let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
        data.par_chunks_mut(ROWS_PER_GENERATOR * dim).enumerate().for_each(|(k, rows)| {
            let mut random = generator(seed, "latents", k as u64);
            let mut draw = vec![0.0; dim];
            for row in rows.chunks_exact_mut(dim) {
                self.base().draw(&params, &mut random, temperature, &mut draw);
                row.iter_mut().zip(&draw).for_each(|(z, &v)| *z = T::of(v));
            }
        });
        Matrix::new(n, dim, data)
    }

    fn base_numbers(&self) -> Vec<Vec<f64>> {
        let own = &self.parameters()[self.base_parameters()];
        own.iter().map(|p| p.data.iter().map(|x| x.f64()).collect()).collect()
    }

    /// The supremum of the base's log-density; for a mixture an upper bound of it, the sum of its components' peaks.
    ///
    /// # Errors
    /// Those of the tape.
    pub fn sup_base(&self) -> Result<f64, Error> {
        let params = self.base_numbers();
        let params: Vec<&[f64]> = params.iter().map(Vec::as_slice).collect();
        let Some(mode) = self.base().mode(self.dim(), &params) else {
            return Ok(Base::peaks(self.dim(), &params));
        };
        let program = Program::record(|r| {
            let z = r.batch(self.dim());
            let params: Vec<_> = params.iter().map(|p| r.constant(1, p.len(), &cast(p))).collect();
            vec![self.base().record(&params, z)]
        });
        Ok(program.run(1, &[&cast::<T>(&mode)], &[])?[0][0].f64())
    }

    /// That a temperature means something for the base.
    pub(crate) fn check_temperature(&self, temperature: f64) -> Result<(), Error> {
        if (temperature - 1.0).abs() > 0.0 && !self.base().takes_temperature() {
            let reason = "has no temperature: that is for one normal, whose deviations it scales; draw at temperature 1";
            return Err(Error::Base { family: self.base().as_str(), reason });
        }
        Ok(())
    }

    /// `n` draws from the model, with latents `N(0, T²)`; other bases than normal ones have temperature 1 alone.
    ///
    /// # Errors
    /// As [`Flow::generate`]; a temperature that the base does not have.
    pub fn sample(&self, n: usize, temperature: f64, seed: u64) -> Result<Matrix<T>, Error> {
        self.check_temperature(temperature)?;
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
            let x = r.batch(self.dim());
            record(&self.declare(r), x)
        });
        self.replay(&program, x)
    }

    /// Runs a program whose batch inputs are the samples and, declared after them, their contexts.
    pub(crate) fn replay(&self, program: &Program<T>, x: &Matrix<T>) -> Result<Vec<Vec<T>>, Error> {
        let (own, context) = self.split(x.data());
        let both = [&own[..], &context];
        let inputs = if self.context_columns() == 0 { &both[..1] } else { &both };
        Ok(program.run(x.rows(), inputs, &self.slices())?)
    }

    /// That rows have the model's width (with that of its context, if it has one) and finite entries.
    pub fn check_rows(&self, what: &'static str, x: &Matrix<T>) -> Result<(), Error> {
        let (columns, context, given) = (self.dim(), self.context_columns(), x.cols());
        if given != columns + context {
            return Err(match context {
                0 => Error::Columns { expected: columns, given },
                _ => Error::Context { columns, context, given },
            });
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
        let bad_value = to.data().iter().position(|v| !v.is_finite()).map(|k| k / to.cols());
        let bad_number = numbers.iter().position(|v| !v.is_finite());
        let Some(row) = bad_value.into_iter().chain(bad_number).min() else { return Ok(()) };
        let one = Matrix::new(1, from.cols(), from.row(row).to_vec());
        let all = 0..self.layers().len();
        let recorded = self.run(&one, |params, from| {
            let Recorded { values, log_dets, .. } = if direction == "normalize" {
                self.record_normalize(params, from, all.clone(), false)
            } else {
                self.record_generate(params, from, all.clone())
            };
            values.into_iter().chain(log_dets).collect()
        })?;
        // Values come first, then log-determinants; of either there is one for each layer passed.
        let found = recorded
            .iter()
            .enumerate()
            .filter_map(|(k, v)| Some((k % self.layers().len(), v.iter().position(|x| !x.is_finite())?)))
            .min_by_key(|&(step, _)| step);
        let last = self.layers().len() - 1;
        let (step, column) = found.unwrap_or((last, 0));
        let layer = if direction == "normalize" { step } else { last - step };
        let kind = self.layers().get(layer).map_or("base", Layer::kind);
        Err(Error::OutOfRange { direction, row, layer, kind, column, precision: T::NAME })
    }
}

fn cast<T: Real>(x: &[f64]) -> Vec<T> {
    x.iter().map(|&v| T::of(v)).collect()
}
