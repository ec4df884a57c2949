//! Local covariance of rows: exact Jacobians, then the spectrum of each.

use super::given::Given;
use super::replay::pushed;
use super::{Case, Kind, Work};
use eigenflow::flow::Flow;
use eigenflow::jacobian::{LocalCovariance, local_covariance};
use eigenflow_autodiff::Runner;
use eigenflow_linalg::eigen::{EighBatch, eigh_batch};
use eigenflow_linalg::product::{self, MatMut};
use eigenflow_linalg::svd::{SvdBatch, SvdKind, svd_batch};
use eigenflow_linalg::{Batch, Matrix, Real};
use rayon::prelude::*;
use std::hint::black_box;

/// `[N, D]` eigenvalues of `JᵀJ`, largest first, and `[N, D, D]` `JᵀJ` put together from its
/// eigenvalues (`value(n, k)`) and axes (`axis(n, i, k)`), in any order of `k`.
fn answer(
    (n, d): (usize, usize),
    value: impl Fn(usize, usize) -> f64,
    axis: impl Fn(usize, usize, usize) -> f64,
) -> Vec<f64> {
    let mut out = Vec::with_capacity(n * d * (d + 1));
    for row in 0..n {
        let mut values: Vec<f64> = (0..d).map(|k| value(row, k)).collect();
        values.sort_by(|a, b| b.total_cmp(a));
        out.extend(values);
    }
    for row in 0..n {
        let axes = Matrix::from_fn(d, d, |i, k| axis(row, i, k));
        let scaled = Matrix::from_fn(d, d, |k, j| value(row, k) * axes[(j, k)]);
        out.extend(axes.mul(&scaled).into_data());
    }
    out
}

/// A kept program, then a batched decomposition.
pub struct Kept<T> {
    flow: Flow<T>,
    runner: Runner<T>,
    input: Vec<T>,
    /// The transposed Jacobians.
    block: Batch<T>,
    /// `JᵀJ`; empty for the SVD.
    gram: Batch<T>,
}

impl<T: Real> Kept<T> {
    pub fn new(case: Case, given: &Given) -> Result<Self, String> {
        let flow = given.flow::<T>(case)?;
        let (n, d) = (case.count, case.dim);
        let runner = pushed(&flow).map_err(|e| e.to_string())?.runner();
        let input = given.input(case, n * d)?;
        let squares = if case.kind == Kind::CovarianceEigh { n } else { 0 };
        Ok(Self { flow, runner, input, block: Batch::zeros(n, d, d), gram: Batch::zeros(squares, d, d) })
    }

    fn jacobians(&mut self) {
        let output: &mut [T] = self.block.data_mut();
        let rows = output.len() / (self.flow.dim() * self.flow.dim());
        let run = self.runner.run(rows, &[black_box(&self.input)], &self.flow.slices(), &mut [output]);
        run.expect("the buffers fit");
    }

    fn svd(&mut self) -> SvdBatch<T> {
        self.jacobians();
        svd_batch(&self.block, SvdKind::Thin).expect("Jacobians are finite")
    }

    fn eigh(&mut self) -> EighBatch<T> {
        self.jacobians();
        let (block, d) = (&self.block, self.flow.dim());
        self.gram.data_mut().par_chunks_exact_mut(d * d).enumerate().for_each(|(n, gram)| {
            product::gram(MatMut::from_row_major_slice_mut(gram, d, d), block.view(n))
                .expect("the shapes fit");
        });
        eigh_batch(&self.gram).expect("Jacobians are finite")
    }
}

impl<T: Real> Work for Kept<T> {
    fn call(&mut self) {
        if self.gram.count() > 0 {
            black_box(self.eigh());
        } else {
            black_box(self.svd());
        }
    }

    fn answer(&mut self) -> Vec<f64> {
        let (shape, d) = ((self.block.count(), self.block.rows()), self.block.rows());
        if self.gram.count() > 0 {
            let e = self.eigh();
            let axis = |n, i: usize, k: usize| e.vectors.get(n)[i * d + k].f64();
            answer(shape, |n, k| e.values[(n, k)].f64(), axis)
        } else {
            // The block is Jᵀ = V S Uᵀ.
            let svd = self.svd();
            let axis = |n, i: usize, k: usize| svd.u.get(n)[i * d + k].f64();
            answer(shape, |n, k| svd.s[(n, k)].f64().powi(2), axis)
        }
    }
}

/// The library's own call.
pub struct Called<T> {
    flow: Flow<T>,
    x: Matrix<T>,
}

impl<T: Real> Called<T> {
    pub fn new(case: Case, given: &Given) -> Result<Self, String> {
        let (n, d) = (case.count, case.dim);
        Ok(Self { flow: given.flow(case)?, x: Matrix::new(n, d, given.input(case, n * d)?) })
    }

    fn local(&self) -> LocalCovariance<T> {
        local_covariance(black_box(&self.flow), &self.x, self.flow.dim()).expect("Jacobians are finite")
    }
}

impl<T: Real> Work for Called<T> {
    fn call(&mut self) {
        black_box(self.local());
    }

    fn answer(&mut self) -> Vec<f64> {
        let (local, d) = (self.local(), self.flow.dim());
        let axis = |n, i: usize, k: usize| local.axes.get(n)[i * d + k].f64();
        answer(self.x.shape(), |n, k| local.scales[(n, k)].f64().powi(-2), axis)
    }
}
