//! The solver of large symmetric matrices, one at a time, scaled and guarded.
//!
//! By reduction to tridiagonal form, divide and conquer, and the way back. Eigenvalues alone come from the tridiagonal form by faer's
//! QR iteration, and what does not pass the guard goes through faer's solver from the beginning.

use super::divide::DivideAndConquer;
use super::reduction::Reduction;
use crate::probe::Probe;
use crate::scale::{Scale, max_abs};
use crate::{Error, Real, transpose};
use dyn_stack::{MemBuffer, MemStack};
use faer::diag::{DiagMut, DiagRef};
use faer::linalg::evd::{
    ComputeEigenvectors, SelfAdjointEvdParams, self_adjoint_evd, self_adjoint_evd_scratch,
    tridiagonal_self_adjoint_evd,
};
use faer::{Auto, MatMut, MatRef, Par, Spec};

/// Buffers for matrices of one size, used again and again.
pub(super) struct Solver<T> {
    n: usize,
    with_vectors: bool,
    /// The scaled matrix, both triangles.
    a: Vec<T>,
    /// Eigenvectors, column-major as faer likes them.
    v: Vec<T>,
    s: Vec<T>,
    /// The columns by ascending eigenvalues.
    order: Vec<usize>,
    probe: Probe<T>,
    reduction: Reduction<T>,
    subdiagonal: Vec<T>,
    divide: DivideAndConquer<T>,
}

impl<T: Real> Solver<T> {
    pub(super) fn new(n: usize, with_vectors: bool) -> Self {
        Self {
            n,
            with_vectors,
            a: vec![T::ZERO; n * n],
            v: vec![T::ZERO; n * n],
            s: vec![T::ZERO; n],
            order: (0..n).collect(),
            probe: Probe::new(n),
            reduction: Reduction::new(n.max(1)),
            subdiagonal: vec![T::ZERO; n],
            divide: DivideAndConquer::new(if with_vectors { n } else { 0 }),
        }
    }

    /// Decomposes one finite row-major matrix; `vectors` is not touched when only values are wanted.
    pub(super) fn run(
        &mut self,
        op: &'static str,
        index: usize,
        a: &[T],
        values: &mut [T],
        vectors: &mut [T],
    ) -> Result<(), Error> {
        let n = self.n;
        if n == 0 {
            return Ok(());
        }
        let scale = Scale::of((0..n).map(|i| max_abs(&a[i * n..=i * n + i])).fold(T::ZERO, T::maximum));
        // The lower triangle, mirrored.
        self.a.iter_mut().zip(a).for_each(|(to, &x)| *to = scale.down(x));
        transpose(&mut self.v, &self.a, n, n);
        for i in 0..n {
            let right = i * n + i + 1..(i + 1) * n;
            self.a[right.clone()].copy_from_slice(&self.v[right]);
        }
        self.reduction.run(&self.a, &mut self.s, &mut self.subdiagonal);
        let done = if self.with_vectors { self.divide(vectors) } else { self.values_of_tridiagonal() };
        if !done && !self.start_anew() {
            return Err(Error::NoConvergence { op, index });
        }
        self.order.iter_mut().enumerate().for_each(|(i, j)| *j = i);
        self.order.sort_by(|&i, &j| self.s[i].f64().total_cmp(&self.s[j].f64()));
        for (value, &i) in values.iter_mut().zip(&self.order) {
            *value = scale.up(self.s[i]);
            if !value.is_finite() {
                return Err(Error::Overflow { op, index });
            }
        }
        if self.with_vectors {
            let sorted = self.reduction.spare();
            for (line, &i) in sorted.chunks_exact_mut(n).zip(&self.order) {
                line.copy_from_slice(&self.v[i * n..(i + 1) * n]);
            }
            transpose(vectors, sorted, n, n);
        }
        Ok(())
    }

    /// From the tridiagonal form, by divide and conquer and the way back; `room` is for `n²` numbers.
    fn divide(&mut self, room: &mut [T]) -> bool {
        if !self.divide.run(&mut self.s, &self.subdiagonal, &mut self.v, room) {
            return false;
        }
        self.reduction.back(&mut self.v);
        self.vectors_hold()
    }

    /// Eigenvalues of the tridiagonal form, by QR iteration.
    fn values_of_tridiagonal(&mut self) -> bool {
        let (n, params) = (self.n, qr_iteration());
        let scratch = self_adjoint_evd_scratch::<T>(n, ComputeEigenvectors::No, Par::Seq, params);
        let diagonal = self.s.clone();
        let result = tridiagonal_self_adjoint_evd(
            DiagRef::from_slice(&diagonal),
            DiagRef::from_slice(&self.subdiagonal),
            DiagMut::from_slice_mut(&mut self.s),
            None,
            Par::Seq,
            MemStack::new(&mut MemBuffer::new(scratch)),
            params,
        );
        result.is_ok() && self.values_hold()
    }

    /// From the matrix itself, by faer's reduction and QR iteration.
    fn start_anew(&mut self) -> bool {
        let (n, params) = (self.n, qr_iteration());
        let compute = if self.with_vectors { ComputeEigenvectors::Yes } else { ComputeEigenvectors::No };
        let result = self_adjoint_evd(
            MatRef::from_column_major_slice(&self.a, n, n),
            DiagMut::from_slice_mut(&mut self.s),
            self.with_vectors.then(|| MatMut::from_column_major_slice_mut(&mut self.v, n, n)),
            Par::Seq,
            MemStack::new(&mut MemBuffer::new(self_adjoint_evd_scratch::<T>(n, compute, Par::Seq, params))),
            params,
        );
        result.is_ok() && if self.with_vectors { self.vectors_hold() } else { self.values_hold() }
    }

    /// `A V = V diag(λ)` and `VᵀV = I`, along a vector of signs.
    fn vectors_hold(&mut self) -> bool {
        let n = self.n;
        let a = MatRef::from_column_major_slice(&self.a, n, n);
        let v = MatRef::from_column_major_slice(&self.v, n, n);
        let unit = T::of(16.0 * n as f64) * T::EPS;
        let norm = self.a.iter().map(|&x| x * x).sum::<T>().sqrt();
        self.probe.factorisation(a, v, &self.s, v) <= unit * norm && self.probe.orthonormality(v) <= unit
    }

    /// `Σλ = tr A` and `Σλ² = ‖A‖_F²`. For a backward error `‖E‖_F <= 16 n eps ‖A‖_F` the trace moves by
    /// at most `√n ‖E‖_F`, the square of the norm by `2 ‖E‖_F ‖A‖_F` to first order.
    fn values_hold(&self) -> bool {
        let unit = 16.0 * self.n as f64 * T::EPS.f64();
        let trace: f64 = self.a.iter().step_by(self.n + 1).map(|x| x.f64()).sum();
        let square: f64 = self.a.iter().map(|x| x.f64() * x.f64()).sum();
        let (sum, sum_squares) =
            self.s.iter().fold((0.0, 0.0), |(s, q), x| (s + x.f64(), q + x.f64() * x.f64()));
        (sum - trace).abs() <= unit * (self.n as f64 * square).sqrt()
            && (sum_squares - square).abs() <= 2.0 * unit * square
    }
}

fn qr_iteration<T: Real>() -> Spec<SelfAdjointEvdParams, T> {
    let auto = <SelfAdjointEvdParams as Auto<T>>::auto();
    SelfAdjointEvdParams { recursion_threshold: usize::MAX, ..auto }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matrix;

    /// The guards accept what the solver returns, and nothing that is off by a thousand times their tolerance.
    #[test]
    fn guards_refuse_a_wrong_decomposition() {
        let n = 50;
        let a = Matrix::from_fn(n, n, |i, j| 1.0 / (1.0 + (i + j) as f64));
        let (mut values, mut vectors) = (vec![0.0; n], vec![0.0; n * n]);
        let off = 16_000.0 * n as f64 * f64::EPSILON;

        let mut solver = Solver::new(n, true);
        solver.run("test", 0, a.data(), &mut values, &mut vectors).unwrap();
        let norm = solver.a.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!(solver.vectors_hold());
        solver.s[20] += off * norm;
        assert!(!solver.vectors_hold());
        solver.s[20] -= off * norm;
        solver.v[7 * n + 3] += off;
        assert!(!solver.vectors_hold());
        assert!(solver.start_anew() && solver.s.is_sorted());

        let mut solver = Solver::new(n, false);
        solver.run("test", 0, a.data(), &mut values, &mut []).unwrap();
        assert!(solver.values_hold());
        solver.s[0] -= off * norm * (n as f64).sqrt();
        assert!(!solver.values_hold());
        assert!(solver.start_anew() && solver.s.is_sorted());
    }

    /// Sizes that lanes take, which come here when lanes give up, and sizes at which matrices are cut anew.
    #[test]
    fn every_size_is_decomposed() {
        for n in (0..=9).chain([23, 24, 25, 47, 48, 49, 50, 97, 100]) {
            let a = Matrix::from_fn(n, n, |i, j| ((i * j) % 7) as f64 + ((i + j) % 5) as f64);
            let (mut values, mut vectors) = (vec![0.0; n], vec![0.0; n * n]);
            let mut solver = Solver::new(n, true);
            solver.run("test", 0, a.data(), &mut values, &mut vectors).unwrap();
            assert!(values.is_sorted(), "{n}");
            let (mut residual, mut size) = (0.0, 0.0);
            for i in 0..n {
                for j in 0..n {
                    let sum: f64 = (0..n).map(|k| vectors[i * n + k] * values[k] * vectors[j * n + k]).sum();
                    residual += (sum - a[(i, j)]).powi(2);
                    size += a[(i, j)].powi(2);
                }
            }
            // A quarter of what the guard allows.
            assert!(residual.sqrt() <= 4.0 * n as f64 * f64::EPSILON * size.sqrt(), "{n}: {residual:e}");
        }
    }
}
