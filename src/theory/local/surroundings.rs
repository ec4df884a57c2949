//! The model's own neighbourhood of a latent, of any size: `x = g(y0 + εξ)`, `ξ ~ N(0, I)`.

use super::weighted::studentised;
use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, jacobians};
use crate::random::generator;
use crate::theory::power::JacobianError;
use eigenflow_linalg::lu::{inverse, inverse_batch};
use eigenflow_linalg::svd::condition_number;
use eigenflow_linalg::{Batch, Matrix};
use rand::RngExt;
use rand_distr::StandardNormal;

/// Roundings per column and layer in a Jacobian and its inverse.
const ROUNDINGS: f64 = 32.0;

/// A frame in which all directions of data space weigh alike: displacements from `g(y0)`, multiplied by `J` there.
///
/// For an affine flow `J(x - x0) = y - y0` exactly, so what is left, `r = J(x - x0) - (y - y0)`, is the non-linearity.
#[derive(Clone, Debug)]
pub struct Frame {
    /// `x0 = g(y0)`.
    pub origin: Vec<f64>,
    /// `J(x0)`.
    pub jacobian: Matrix<f64>,
    /// Its inverse, `J_g(y0)`.
    pub inverse: Matrix<f64>,
}

impl Frame {
    /// The frame at the latent `centre`.
    ///
    /// # Errors
    /// As [`Flow::generate`]; if the Jacobian there is singular.
    pub fn new(flow: &Flow<f64>, centre: &[f64]) -> Result<Self, Error> {
        let x = flow.generate(&Matrix::new(1, centre.len(), centre.to_vec()))?;
        let jacobian = jacobians(flow, &x, Direction::Normalize, Route::Push)?.matrix(0);
        Ok(Self { origin: x.into_data(), inverse: inverse(&jacobian)?, jacobian })
    }

    /// `J(x0) (x - x0)` of each row.
    pub fn displacements(&self, x: &Matrix<f64>) -> Matrix<f64> {
        let from = Matrix::from_fn(x.rows(), x.cols(), |n, j| x[(n, j)] - self.origin[j]);
        from.mul(&self.jacobian.transpose())
    }

    /// Condition number of `J(x0)` with its columns scaled to length one: that of the units of the data's columns is left out.
    ///
    /// # Errors
    /// Those of the singular values.
    ///
    /// ```
    /// use eigenflow::flow::{Flow, bijections::{Affine, Form}};
    /// use eigenflow::theory::local::Frame;
    /// let mut flow = Flow::<f64>::new(vec![Affine::new(2, Form::Full).into()], 0, 0).unwrap();
    /// flow.parameters_mut()[0].data = vec![1e6, 0.0, 0.0, 1e-7];
    /// let frame = Frame::new(&flow, &[0.0, 0.0]).unwrap();
    /// assert!((frame.condition().unwrap() - 1.0).abs() < 1e-15);
    /// ```
    pub fn condition(&self) -> Result<f64, Error> {
        let (j, lengths) = (&self.jacobian, lengths(&self.jacobian));
        Ok(condition_number(&Matrix::from_fn(j.rows(), j.cols(), |i, k| j[(i, k)] / lengths[k]))?)
    }

    /// A matrix of this frame in data units: `J⁻¹ A J⁻ᵀ`.
    pub fn in_data(&self, a: &Matrix<f64>) -> Matrix<f64> {
        self.inverse.mul(a).mul(&self.inverse.transpose())
    }
}

/// `J(x0) J(x)⁻¹` of each row, and what rounding can make of it, in the Frobenius norm.
///
/// A push rounds each column of a Jacobian in units of its length, and so does LU. With the columns of `J(x)` scaled to length one, `J = Ĵ C`, a
/// bound is `32 D L eps ‖Ĵ‖_F ‖Ĵ⁻¹‖_F ‖J(x0) J⁻¹‖_F`, `‖Ĵ‖_F = √D`: the units of the data's columns cancel, as they do in `J(x0) J(x)⁻¹`.
#[derive(Clone, Debug)]
pub struct Slopes {
    /// `[N, D, D]`.
    pub matrices: Batch<f64>,
    /// One bound a row.
    pub rounding: Vec<f64>,
}

impl Slopes {
    /// From Jacobians of `normalize` at some rows.
    ///
    /// # Errors
    /// If one is singular.
    pub fn new(flow: &Flow<f64>, frame: &Frame, j: &Batch<f64>) -> Result<Self, Error> {
        let d = flow.dim();
        let unit = ROUNDINGS * (d * flow.layers().len()) as f64 * f64::EPSILON;
        let inverses = inverse_batch(j)?;
        let (mut data, mut rounding) = (Vec::new(), Vec::new());
        for n in 0..j.count() {
            let back = inverses.matrix(n);
            let slope = frame.jacobian.mul(&back);
            let lengths = lengths(&j.matrix(n));
            let scaled = Matrix::from_fn(d, d, |i, k| lengths[i] * back[(i, k)]);
            rounding.push(unit * (d as f64).sqrt() * scaled.norm() * slope.norm());
            data.extend_from_slice(slope.data());
        }
        Ok(Self { matrices: Batch::new(j.count(), d, d, data), rounding })
    }
}

/// Lengths of the columns; squares of finite numbers may overflow.
fn lengths(a: &Matrix<f64>) -> Vec<f64> {
    (0..a.cols()).map(|j| a.col(j).into_iter().fold(0.0, f64::hypot)).collect()
}

/// Draws of the model in a neighbourhood, in the units of a [`Frame`].
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// `ε`.
    pub eps: f64,
    /// The rows, `[N, D]`, in data units.
    pub x: Matrix<f64>,
    /// `v = y - y0`, `[N, D]`.
    pub latent: Matrix<f64>,
    /// `r = J(x0)(x - x0) - v`, `[N, D]`.
    pub rest: Matrix<f64>,
}

impl Surroundings {
    /// `count` draws at `centre`; the same `ξ` for the same seed, whatever the centre and the radius.
    ///
    /// # Errors
    /// As [`Flow::generate`].
    pub fn draw(
        flow: &Flow<f64>,
        frame: &Frame,
        centre: &[f64],
        eps: f64,
        count: usize,
        seed: u64,
    ) -> Result<Self, Error> {
        let mut random = generator(seed, "surroundings", flow.dim() as u64);
        let latent = Matrix::from_fn(count, flow.dim(), |_, _| eps * random.sample::<f64, _>(StandardNormal));
        let y = Matrix::from_fn(count, flow.dim(), |n, j| centre[j] + latent[(n, j)]);
        let x = flow.generate(&y)?;
        let moved = frame.displacements(&x);
        let rest = Matrix::from_fn(count, flow.dim(), |n, j| moved[(n, j)] - latent[(n, j)]);
        Ok(Self { eps, x, latent, rest })
    }

    /// Mean of `r`, `Cov(v + r)` with the known `Cov(v) = ε² I` in place of its sample, and the variance of each of its
    /// entries.
    pub fn moments(&self) -> (Vec<f64>, Matrix<f64>, Matrix<f64>) {
        let (count, d) = self.rest.shape();
        let scale = 1.0 / count as f64;
        let mean: Vec<f64> = (0..d).map(|j| self.rest.col(j).iter().sum::<f64>() * scale).collect();
        let (mut covariance, mut variance) = (Matrix::zeros(d, d), Matrix::zeros(d, d));
        for i in 0..d {
            for j in 0..=i {
                let term = |n: usize| {
                    let (v, r) = (self.latent.row(n), self.rest.row(n));
                    v[i] * r[j] + r[i] * v[j] + r[i] * r[j]
                };
                let first = (0..count).map(term).sum::<f64>() * scale;
                let second = (0..count).map(|n| (term(n) - first).powi(2)).sum::<f64>() * scale;
                let known = if i == j { self.eps * self.eps } else { 0.0 };
                covariance[(i, j)] = known + first - mean[i] * mean[j];
                covariance[(j, i)] = covariance[(i, j)];
                (variance[(i, j)], variance[(j, i)]) = (second * scale, second * scale);
            }
        }
        (mean, covariance, variance)
    }

    /// Stein's identity `Cov(x, y) = ε² E J_g` on these draws: the largest studentised entry of
    /// `E[u vᵀ - ε² J(x0) J_g]`, with `E[v vᵀ] = ε² I` as control variate. `None` if no entry has a stable variance. With it the mean
    /// rounding of `J(x0) J_g`.
    ///
    /// # Errors
    /// As [`jacobians`]; if a Jacobian is singular.
    pub fn stein(
        &self,
        flow: &Flow<f64>,
        frame: &Frame,
        error: &JacobianError,
    ) -> Result<(Option<f64>, f64), Error> {
        let j = error.apply(jacobians(flow, &self.x, Direction::Normalize, Route::Push)?);
        let slopes = Slopes::new(flow, frame, &j)?;
        let (count, d) = self.rest.shape();
        let square = self.eps * self.eps;
        let total = slopes.rounding.iter().sum::<f64>();
        let rounding = square * total;
        let entry = |i: usize, k: usize| {
            let one = f64::from(u8::from(i == k));
            let term = |n: usize| {
                let slope = slopes.matrices.get(n)[i * d + k] - one;
                self.rest[(n, i)] * self.latent[(n, k)] - square * slope
            };
            studentised((0..count).map(term), rounding * rounding)
        };
        Ok((largest((0..d * d).map(|at| entry(at / d, at % d))), total / count.max(1) as f64))
    }
}

/// The largest magnitude of what there is; NaN stays.
pub(super) fn largest(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let larger = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
    values.flatten().map(f64::abs).reduce(larger)
}
