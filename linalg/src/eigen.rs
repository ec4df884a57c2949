//! Eigendecomposition of symmetric matrices.
//!
//! The solver is faer's (tridiagonalisation, then divide and conquer or QR iteration). Two things are
//! added. The matrix is scaled by a power of two so that its largest entry lies in `[1, 2)`: divide
//! and conquer deflates by a tolerance that is only right at unit scale. And every result is
//! checked by a guard of cost `O(n²)`; if it fails, QR iteration gets a try before an error is returned.

use crate::error::square;
use crate::parallel::{for_each_matrix, for_each_span};
use crate::probe::Probe;
use crate::scale::{Scale, max_abs};
use crate::{Batch, Error, Matrix, Real, small};
use dyn_stack::{MemBuffer, MemStack};
use faer::diag::DiagMut;
use faer::linalg::evd::{
    ComputeEigenvectors, SelfAdjointEvdParams, self_adjoint_evd, self_adjoint_evd_scratch,
};
use faer::{Auto, MatMut, MatRef, Par, Spec};

/// `A = V diag(values) Vᵀ`.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigh<T> {
    /// The `n` eigenvalues, ascending.
    pub values: Vec<T>,
    /// Orthonormal eigenvectors `[n, n]`, one a column, in the order of the values; signs are arbitrary.
    pub vectors: Matrix<T>,
}

/// The eigendecompositions of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct EighBatch<T> {
    /// Eigenvalues `[N, n]`, one row a matrix, ascending.
    pub values: Matrix<T>,
    /// Eigenvectors `[N, n, n]`, one a column.
    pub vectors: Batch<T>,
}

/// Eigenvalues and eigenvectors of a symmetric matrix, of which only the lower triangle is read.
///
/// `A = V diag(λ) Vᵀ` with `λ` ascending. Backward stable at every scale: the guard accepts
/// `‖A V − V diag(λ)‖` up to `16 n eps ‖A‖_F` and `‖VᵀV − I‖` up to `16 n eps` (norms as estimated
/// along a vector of signs). Cost about `9 n³` flops, scratch `O(n²)`.
///
/// # Errors
/// [`Error::Shape`] if `a` is not square, [`Error::NotFinite`] for NaN or infinity anywhere,
/// [`Error::NoConvergence`] if the guard fails, [`Error::Overflow`] if an eigenvalue is beyond range.
///
/// # References
/// G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013), chapter 8.
///
/// ```
/// use eigenflow_linalg::{Matrix, eigen::eigh};
/// let e = eigh(&Matrix::new(2, 2, vec![2.0, 1.0, 1.0, 2.0])).unwrap(); // eigenvalues 1 and 3
/// assert!((e.values[0] - 1.0_f64).abs() < 1e-14 && (e.values[1] - 3.0).abs() < 1e-14);
/// let ratio = e.vectors[(0, 1)] / e.vectors[(1, 1)]; // the eigenvector of 3 is (1, 1) / √2
/// assert!((ratio - 1.0).abs() < 1e-14);
/// ```
pub fn eigh<T: Real>(a: &Matrix<T>) -> Result<Eigh<T>, Error> {
    let n = square("eigh", a.shape())?;
    a.check_finite("eigh")?;
    let (mut values, mut vectors) = (vec![T::ZERO; n], Matrix::zeros(n, n));
    decompose("eigh", 0, n, a.data(), &mut values, vectors.data_mut(), true)?;
    Ok(Eigh { values, vectors })
}

/// Eigenvalues of a symmetric matrix, ascending, of which only the lower triangle is read.
///
/// Guarded by the two invariants `Σλ = tr A` and `Σλ² = ‖A‖_F²`. Cost about `4/3 n³` flops.
///
/// # Errors
/// As [`eigh`].
///
/// ```
/// use eigenflow_linalg::{Matrix, eigen::eigvalsh};
/// let l = eigvalsh(&Matrix::new(2, 2, vec![0.0, 1e150, 1e150, 0.0])).unwrap();
/// assert!((l[0] / 1e150 + 1.0_f64).abs() < 1e-14 && (l[1] / 1e150 - 1.0).abs() < 1e-14);
/// ```
pub fn eigvalsh<T: Real>(a: &Matrix<T>) -> Result<Vec<T>, Error> {
    let n = square("eigvalsh", a.shape())?;
    a.check_finite("eigvalsh")?;
    let mut values = vec![T::ZERO; n];
    decompose("eigvalsh", 0, n, a.data(), &mut values, &mut [], false)?;
    Ok(values)
}

/// [`eigh`] of every matrix of a batch, threaded over the matrices.
///
/// # Errors
/// As [`eigh`], naming the first matrix at fault.
pub fn eigh_batch<T: Real>(a: &Batch<T>) -> Result<EighBatch<T>, Error> {
    let n = square("eigh_batch", (a.rows(), a.cols()))?;
    a.check_finite("eigh_batch")?;
    let (mut values, mut vectors) = (Matrix::zeros(a.count(), n), Batch::zeros(a.count(), n, n));
    decompose_batch("eigh_batch", a, &mut values, Some(&mut vectors))?;
    Ok(EighBatch { values, vectors })
}

/// [`eigvalsh`] of every matrix of a batch `[N, n, n]`: eigenvalues `[N, n]`.
///
/// # Errors
/// As [`eigh`], naming the first matrix at fault.
pub fn eigvalsh_batch<T: Real>(a: &Batch<T>) -> Result<Matrix<T>, Error> {
    let n = square("eigvalsh_batch", (a.rows(), a.cols()))?;
    a.check_finite("eigvalsh_batch")?;
    let mut values = Matrix::zeros(a.count(), n);
    decompose_batch("eigvalsh_batch", a, &mut values, None)?;
    Ok(values)
}

/// Every matrix of a batch; small ones by lanes, large ones one by one.
fn decompose_batch<T: Real>(
    op: &'static str,
    a: &Batch<T>,
    values: &mut Matrix<T>,
    vectors: Option<&mut Batch<T>>,
) -> Result<(), Error> {
    let n = a.rows();
    let with_vectors = vectors.is_some();
    let (vectors, size) = vectors.map_or((&mut [][..], 0), |v| (v.data_mut(), n * n));
    let outputs = [(values.data_mut(), n), (vectors, size)];
    let flops = if with_vectors { 9 * n.pow(3) } else { 2 * n.pow(3) };
    if n <= small::eigh_limit::<T>() {
        return for_each_span(a.count(), small::span::<T>(flops), outputs, |range, [values, vectors]| {
            let matrices = &a.data()[range.start * n * n..range.end * n * n];
            decompose(op, range.start, n, matrices, values, vectors, with_vectors)
        });
    }
    for_each_matrix(
        a.count(),
        flops,
        outputs,
        || Solver::new(n, with_vectors),
        |solver, i, [values, vectors]| solver.run(op, i, a.get(i), values, vectors),
    )
}

/// Finite matrices one after another, the first of them number `first` of its batch. Small ones go by lanes,
/// and those that the lanes give up by the solver of large ones.
fn decompose<T: Real>(
    op: &'static str,
    first: usize,
    n: usize,
    a: &[T],
    values: &mut [T],
    vectors: &mut [T],
    with_vectors: bool,
) -> Result<(), Error> {
    if n == 0 {
        return Ok(());
    }
    let left: Vec<usize> = if n <= small::eigh_limit::<T>() {
        small::eigh(n, a, values, vectors)
    } else {
        (0..values.len() / n).collect()
    };
    left.into_iter().try_for_each(|i| {
        let of = |size: usize| i * size..(i + 1) * size;
        let vectors = &mut vectors[if with_vectors { of(n * n) } else { 0..0 }];
        Solver::new(n, with_vectors).run(op, first + i, &a[of(n * n)], &mut values[of(n)], vectors)
    })
}

/// Buffers for matrices of one size, used again and again.
struct Solver<T> {
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
    fn new(n: usize, with_vectors: bool) -> Self {
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
    fn run(
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
