//! The solver of large or rectangular matrices, one at a time: faer's, scaled and guarded.

use super::SvdKind;
use crate::probe::Probe;
use crate::scale::{Scale, max_abs};
use crate::{Error, Real};
use dyn_stack::{MemBuffer, MemStack};
use faer::diag::DiagMut;
use faer::linalg::svd::{ComputeSvdVectors, SvdParams, svd as faer_svd, svd_scratch};
use faer::{Auto, MatMut, MatRef, Par, Spec};

impl SvdKind {
    fn compute(self) -> ComputeSvdVectors {
        match self {
            Self::Values => ComputeSvdVectors::No,
            Self::Thin => ComputeSvdVectors::Thin,
            Self::Full => ComputeSvdVectors::Full,
        }
    }
}

/// Buffers for matrices of one shape, used again and again. Factors are column-major, as faer likes them.
pub(super) struct Solver<T> {
    m: usize,
    n: usize,
    kind: SvdKind,
    /// The scaled matrix, row-major: its transpose is column-major, so that is what faer gets.
    a: Vec<T>,
    u: Vec<T>,
    s: Vec<T>,
    v: Vec<T>,
    probe: Probe<T>,
    scratch: MemBuffer,
}

impl<T: Real> Solver<T> {
    pub(super) fn new(m: usize, n: usize, kind: SvdKind) -> Self {
        let (nu, nv) = kind.columns(m, n);
        let compute = kind.compute();
        Self {
            m,
            n,
            kind,
            a: vec![T::ZERO; m * n],
            u: vec![T::ZERO; m * nu],
            s: vec![T::ZERO; m.min(n)],
            v: vec![T::ZERO; n * nv],
            probe: Probe::new(m.max(n)),
            scratch: MemBuffer::new(svd_scratch::<T>(n, m, compute, compute, Par::Seq, divide_and_conquer())),
        }
    }

    /// Decomposes one finite row-major matrix.
    pub(super) fn run(
        &mut self,
        op: &'static str,
        index: usize,
        a: &[T],
        u: &mut [T],
        s: &mut [T],
        v: &mut [T],
    ) -> Result<(), Error> {
        let scale = Scale::of(max_abs(a));
        self.a.iter_mut().zip(a).for_each(|(x, &y)| *x = scale.down(y));
        if !self.attempt(divide_and_conquer()) && !self.attempt(qr_iteration()) {
            return Err(Error::NoConvergence { op, index });
        }
        for (value, &x) in s.iter_mut().zip(&self.s) {
            *value = scale.up(x);
            if !value.is_finite() {
                return Err(Error::Overflow { op, index });
            }
        }
        let (nu, nv) = self.kind.columns(self.m, self.n);
        to_row_major(&self.u, u, nu);
        to_row_major(&self.v, v, nv);
        Ok(())
    }

    fn attempt(&mut self, params: Spec<SvdParams, T>) -> bool {
        let (m, n) = (self.m, self.n);
        let (nu, nv) = self.kind.columns(m, n);
        let vectors = self.kind != SvdKind::Values;
        // Aᵀ = V diag(s) Uᵀ: the roles of U and V change places.
        let result = faer_svd(
            MatRef::from_column_major_slice(&self.a, n, m),
            DiagMut::from_slice_mut(&mut self.s),
            vectors.then(|| MatMut::from_column_major_slice_mut(&mut self.v, n, nv)),
            vectors.then(|| MatMut::from_column_major_slice_mut(&mut self.u, m, nu)),
            Par::Seq,
            MemStack::new(&mut self.scratch),
            params,
        );
        result.is_ok() && if vectors { self.vectors_hold(nu, nv) } else { self.values_hold() }
    }

    /// `A V = U diag(s)`, `UᵀU = I` and `VᵀV = I`, along a vector of signs.
    fn vectors_hold(&mut self, nu: usize, nv: usize) -> bool {
        let (m, n, k) = (self.m, self.n, self.s.len());
        let a = MatRef::from_row_major_slice(&self.a, m, n);
        let u = MatRef::from_column_major_slice(&self.u, m, nu);
        let v = MatRef::from_column_major_slice(&self.v, n, nv);
        let unit = T::of(16.0 * m.max(n) as f64) * T::EPS;
        let norm = self.a.iter().map(|&x| x * x).sum::<T>().sqrt();
        self.probe.factorisation(a, u.subcols(0, k), &self.s, v.subcols(0, k)) <= unit * norm
            && self.probe.orthonormality(u) <= unit
            && self.probe.orthonormality(v) <= unit
    }

    /// `Σs² = ‖A‖_F²`, which a backward error of `16 max(m, n) eps ‖A‖_F` moves by twice that, relatively.
    fn values_hold(&self) -> bool {
        let square: f64 = self.a.iter().map(|x| x.f64() * x.f64()).sum();
        let sum: f64 = self.s.iter().map(|x| x.f64() * x.f64()).sum();
        (sum - square).abs() <= 32.0 * self.m.max(self.n) as f64 * T::EPS.f64() * square
    }
}

/// Copies a column-major matrix into a row-major one of `cols` columns.
fn to_row_major<T: Real>(from: &[T], to: &mut [T], cols: usize) {
    let rows = from.len().checked_div(cols).unwrap_or(0);
    for i in 0..rows {
        for j in 0..cols {
            to[i * cols + j] = from[j * rows + i];
        }
    }
}

fn divide_and_conquer<T: Real>() -> Spec<SvdParams, T> {
    params::<T>().into()
}

fn qr_iteration<T: Real>() -> Spec<SvdParams, T> {
    SvdParams { recursion_threshold: usize::MAX, ..params::<T>() }.into()
}

/// faer's defaults, without the QR factorisation that it puts before long matrices. That one drops what is
/// left of a column below `16 m eps` and so misses the residual that the rest achieves; and with full
/// factors it leaves a block of one unwritten, which is wrong in a buffer that is used again.
fn params<T: Real>() -> SvdParams {
    SvdParams { qr_ratio_threshold: f64::INFINITY, ..<SvdParams as Auto<T>>::auto() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matrix;

    /// The guards accept what the solver returns, and nothing that is off by a thousand times their tolerance.
    #[test]
    fn guards_refuse_a_wrong_decomposition() {
        let (m, n) = (50, 30);
        let a = Matrix::from_fn(m, n, |i, j| 1.0 / (1.0 + (i + j) as f64));
        let off = 16_000.0 * m as f64 * f64::EPSILON;
        let (mut u, mut s, mut v) = (vec![0.0; m * m], vec![0.0; n], vec![0.0; n * n]);

        let mut solver = Solver::new(m, n, SvdKind::Full);
        solver.run("test", 0, a.data(), &mut u, &mut s, &mut v).unwrap();
        let norm = solver.a.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!(solver.vectors_hold(m, n));
        solver.s[20] += off * norm;
        assert!(!solver.vectors_hold(m, n));
        solver.s[20] -= off * norm;
        // In a column that carries no singular value: only orthonormality sees it.
        solver.u[49 * m + 3] += off;
        assert!(!solver.vectors_hold(m, n));

        let mut solver = Solver::new(m, n, SvdKind::Values);
        solver.run("test", 0, a.data(), &mut [], &mut s, &mut []).unwrap();
        assert!(solver.values_hold());
        solver.s[0] += off * norm;
        assert!(!solver.values_hold());
    }
}
