//! Batched decompositions, and products.

use super::given::Given;
use super::{Case, Kind, Work};
use eigenflow_linalg::eigen::eigh_batch;
use eigenflow_linalg::lu::slogdet_batch;
use eigenflow_linalg::product::{Accum, matmul};
use eigenflow_linalg::svd::{SvdKind, svd_batch};
use eigenflow_linalg::{Batch, Matrix, Real};
use std::hint::black_box;

/// `eigh`, `svd` or `slogdet` of a batch of square matrices.
pub struct Decomposition<T> {
    kind: Kind,
    a: Batch<T>,
}

impl<T: Real> Decomposition<T> {
    /// For `eigh` a drawn matrix is made symmetric, `A + Aᵀ`; a given one is taken as it is.
    pub fn new(case: Case, given: &Given) -> Result<Self, String> {
        let (count, n) = (case.count, case.dim);
        let mut a = Batch::new(count, n, n, given.input::<T>(case, count * n * n)?);
        if case.kind == Kind::Eigh && given.input.is_none() {
            let symmetric = (0..count).flat_map(|k| {
                let a = a.matrix(k);
                Matrix::from_fn(n, n, |i, j| a[(i, j)] + a[(j, i)]).into_data()
            });
            a = Batch::new(count, n, n, symmetric.collect());
        }
        Ok(Self { kind: case.kind, a })
    }
}

impl<T: Real> Work for Decomposition<T> {
    fn call(&mut self) {
        let a = black_box(&self.a);
        match self.kind {
            Kind::Eigh => drop(black_box(eigh_batch(a).expect("finite"))),
            Kind::Svd => drop(black_box(svd_batch(a, SvdKind::Thin).expect("finite"))),
            _ => drop(black_box(slogdet_batch(a).expect("finite"))),
        }
    }

    /// `[N, n]` values, largest first, then `[N, n, n]` the matrices put together again; or `[N]` signs, then
    /// `[N]` logarithms.
    fn answer(&mut self) -> Vec<f64> {
        let (count, n) = (self.a.count(), self.a.rows());
        let (mut values, left, right) = match self.kind {
            Kind::Eigh => {
                let e = eigh_batch(&self.a).expect("finite");
                (e.values, e.vectors.clone(), e.vectors)
            }
            Kind::Svd => {
                let svd = svd_batch(&self.a, SvdKind::Thin).expect("finite");
                (svd.s, svd.u, svd.v)
            }
            _ => {
                let (sign, log) = slogdet_batch(&self.a).expect("finite");
                return sign.iter().chain(&log).map(|v| v.f64()).collect();
            }
        };
        let rebuilt: Vec<f64> = (0..count)
            .flat_map(|k| {
                let (left, right) = (left.matrix(k).cast::<f64>(), right.matrix(k).cast::<f64>());
                let scaled = Matrix::from_fn(n, n, |i, j| values[(k, i)].f64() * right[(j, i)]);
                left.mul(&scaled).into_data()
            })
            .collect();
        for k in 0..count {
            values.row_mut(k).sort_by(|a, b| b.f64().total_cmp(&a.f64()));
        }
        values.data().iter().map(|v| v.f64()).chain(rebuilt).collect()
    }
}

/// `C = A B`.
pub struct Product<T> {
    a: Matrix<T>,
    b: Matrix<T>,
    out: Matrix<T>,
}

impl<T: Real> Product<T> {
    pub fn new(case: Case, given: &Given) -> Result<Self, String> {
        let n = case.dim;
        let mut a = given.input(case, 2 * n * n)?;
        let b = a.split_off(n * n);
        Ok(Self { a: Matrix::new(n, n, a), b: Matrix::new(n, n, b), out: Matrix::zeros(n, n) })
    }
}

impl<T: Real> Work for Product<T> {
    fn call(&mut self) {
        let (a, b) = (black_box(&self.a), black_box(&self.b));
        matmul(self.out.view_mut(), Accum::Replace, T::ONE, a.view(), b.view()).expect("the shapes fit");
        black_box(&self.out);
    }

    /// `[n, n]`.
    fn answer(&mut self) -> Vec<f64> {
        self.call();
        self.out.data().iter().map(|v| v.f64()).collect()
    }
}
