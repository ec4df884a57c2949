//! The solver of large symmetric matrices, one at a time: faer's, scaled and guarded.

use crate::probe::Probe;
use crate::scale::{Scale, max_abs};
use crate::{Error, Real};
use dyn_stack::{MemBuffer, MemStack};
use faer::diag::DiagMut;
use faer::linalg::evd::{
    ComputeEigenvectors, SelfAdjointEvdParams, self_adjoint_evd, self_adjoint_evd_scratch,
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
    probe: Probe<T>,
    scratch: MemBuffer,
}

impl<T: Real> Solver<T> {
    pub(super) fn new(n: usize, with_vectors: bool) -> Self {
        let compute = if with_vectors { ComputeEigenvectors::Yes } else { ComputeEigenvectors::No };
        let req = if n == 0 {
            dyn_stack::StackReq::EMPTY
        } else {
            self_adjoint_evd_scratch::<T>(n, compute, Par::Seq, divide_and_conquer())
        };
        Self {
            n,
            with_vectors,
            a: vec![T::ZERO; n * n],
            v: vec![T::ZERO; if with_vectors { n * n } else { 0 }],
            s: vec![T::ZERO; n],
            probe: Probe::new(n),
            scratch: MemBuffer::new(req),
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
        for i in 0..n {
            for j in 0..=i {
                let x = scale.down(a[i * n + j]);
                self.a[i * n + j] = x;
                self.a[j * n + i] = x;
            }
        }
        if !self.attempt(divide_and_conquer()) && !self.attempt(qr_iteration()) {
            return Err(Error::NoConvergence { op, index });
        }
        for (value, &s) in values.iter_mut().zip(&self.s) {
            *value = scale.up(s);
            if !value.is_finite() {
                return Err(Error::Overflow { op, index });
            }
        }
        if self.with_vectors {
            for i in 0..n {
                for j in 0..n {
                    vectors[i * n + j] = self.v[j * n + i];
                }
            }
        }
        Ok(())
    }

    fn attempt(&mut self, params: Spec<SelfAdjointEvdParams, T>) -> bool {
        let n = self.n;
        let result = self_adjoint_evd(
            MatRef::from_column_major_slice(&self.a, n, n),
            DiagMut::from_slice_mut(&mut self.s),
            self.with_vectors.then(|| MatMut::from_column_major_slice_mut(&mut self.v, n, n)),
            Par::Seq,
            MemStack::new(&mut self.scratch),
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

fn divide_and_conquer<T: Real>() -> Spec<SelfAdjointEvdParams, T> {
    <SelfAdjointEvdParams as Auto<T>>::auto().into()
}

fn qr_iteration<T: Real>() -> Spec<SelfAdjointEvdParams, T> {
    SelfAdjointEvdParams { recursion_threshold: usize::MAX, ..<SelfAdjointEvdParams as Auto<T>>::auto() }
        .into()
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

        let mut solver = Solver::new(n, false);
        solver.run("test", 0, a.data(), &mut values, &mut []).unwrap();
        assert!(solver.values_hold());
        solver.s[0] -= off * norm * (n as f64).sqrt();
        assert!(!solver.values_hold());
    }
}
