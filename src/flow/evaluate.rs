//! Densities, latents and samples of a batch of rows.

use super::bijection::Bijection;
use super::{Base, Error, Flow, Layer, Recorded};
use crate::random::{ROWS_PER_GENERATOR, generator};
use eigenflow_autodiff::{Program, Var};
use eigenflow_linalg::{Matrix, Real};
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
        if self.context_columns() > 0 {
            return recorded(z.clone(), range);
        }
        let (mut x, mut end) = (z.clone(), range.end);
        for k in range.clone().rev() {
            if let Some(values) = self.layers()[k].values(&slices[self.parameters_of(k)]) {
                (x, end) = (values(&recorded(x, k + 1..end)?)?, k);
            }
        }
        recorded(x, range.start..end)
    }

    /// `log p(x)` of each row, in nats: `-(D ln 2π + |f(x)|²)/2 + log|det J(x)|`. Where the log-determinant is an estimate
    /// ([`Flow::is_estimated`]) this is one draw.
    ///
    /// # Errors
    /// As [`Flow::normalize`].
    pub fn log_density(&self, x: &Matrix<T>) -> Result<Vec<T>, Error> {
        self.check_rows("data", x)?;
        self.density_checked(x, self.replay(&self.density_program(), x)?)
    }

    /// The program of [`Flow::log_density`].
    pub(super) fn density_program(&self) -> Program<T> {
        Program::record(|r| {
            let x = r.batch(self.dim());
            vec![self.record_log_density(&self.declare(r), x, 0..self.layers().len())]
        })
    }

    /// What that program gave, if every number is one.
    pub(super) fn density_checked(&self, x: &Matrix<T>, mut out: Vec<Vec<T>>) -> Result<Vec<T>, Error> {
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
        self.replay_with(program, x, &self.slices())
    }

    /// The same with these parameters.
    pub(super) fn replay_with(
        &self,
        program: &Program<T>,
        x: &Matrix<T>,
        slices: &[&[T]],
    ) -> Result<Vec<Vec<T>>, Error> {
        let (own, context) = self.split(x.data());
        let both = [&own[..], &context];
        let inputs = if self.context_columns() == 0 { &both[..1] } else { &both };
        Ok(program.run(x.rows(), inputs, slices)?)
    }

    /// As [`Flow::check_rows`], for what is not built for conditional flows.
    pub(crate) fn check_samples(&self, what: &'static str, x: &Matrix<T>) -> Result<(), Error> {
        if self.context_columns() > 0 {
            return Err(Error::Conditional);
        }
        self.check_rows(what, x)
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
            let (mut at, mut found) = (one.clone(), None);
            for k in (0..count).rev() {
                let x = self.generate_values(&at, k..k + 1)?;
                found = x.data().iter().position(|v| !v.is_finite()).map(|column| (k, column));
                if found.is_some() {
                    break;
                }
                at = self.with_contexts_of(x, &one)?;
            }
            found
        };
        let last = if direction == "normalize" { count - 1 } else { 0 };
        let (layer, column) = found.unwrap_or((last, 0));
        let kind = self.layers().get(layer).map_or("base", Layer::kind);
        Err(Error::OutOfRange { direction, row, layer, kind, column, precision: T::NAME })
    }
}

fn cast<T: Real>(x: &[f64]) -> Vec<T> {
    x.iter().map(|&v| T::of(v)).collect()
}
