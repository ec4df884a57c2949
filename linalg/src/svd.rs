//! Singular value decomposition, spectral norm and condition number.
//!
//! The solver is faer's (bidiagonalisation, then divide and conquer). As for [`crate::eigen`] the matrix is
//! scaled by a power of two and the result is checked by a guard of cost `O(m n)`, with QR iteration as
//! the second try.

use crate::parallel::{for_each_matrix, for_each_span};
use crate::probe::Probe;
use crate::scale::{Scale, max_abs};
use crate::{Batch, Error, Matrix, Real, small};
use dyn_stack::{MemBuffer, MemStack};
use faer::diag::DiagMut;
use faer::linalg::svd::{ComputeSvdVectors, SvdParams, svd as faer_svd, svd_scratch};
use faer::{Auto, MatMut, MatRef, Par, Spec};

/// Which singular vectors are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SvdKind {
    /// None: singular values only.
    Values,
    /// The first `min(m, n)` on either side.
    Thin,
    /// All of them: square `U` and `V`.
    Full,
}

impl SvdKind {
    /// Columns of `U` and of `V` for an `m x n` matrix.
    fn columns(self, m: usize, n: usize) -> (usize, usize) {
        match self {
            Self::Values => (0, 0),
            Self::Thin => (m.min(n), m.min(n)),
            Self::Full => (m, n),
        }
    }

    fn compute(self) -> ComputeSvdVectors {
        match self {
            Self::Values => ComputeSvdVectors::No,
            Self::Thin => ComputeSvdVectors::Thin,
            Self::Full => ComputeSvdVectors::Full,
        }
    }
}

/// `A = U diag(s) Vᵀ`.
#[derive(Debug, Clone, PartialEq)]
pub struct Svd<T> {
    /// Left singular vectors, one a column: `[m, min(m, n)]` thin, `[m, m]` full.
    pub u: Matrix<T>,
    /// The `min(m, n)` singular values, descending.
    pub s: Vec<T>,
    /// Right singular vectors, one a column: `[n, min(m, n)]` thin, `[n, n]` full.
    pub v: Matrix<T>,
}

/// The decompositions of a batch. Without vectors `u` and `v` have no columns.
#[derive(Debug, Clone, PartialEq)]
pub struct SvdBatch<T> {
    /// Left singular vectors `[N, m, ·]`.
    pub u: Batch<T>,
    /// Singular values `[N, min(m, n)]`, one row a matrix, descending.
    pub s: Matrix<T>,
    /// Right singular vectors `[N, n, ·]`.
    pub v: Batch<T>,
}

/// The thin singular value decomposition `A = U diag(s) Vᵀ`, `s` descending, `U` and `V` with
/// `min(m, n)` orthonormal columns; for a square matrix it is the full one.
///
/// Backward stable at every scale: the guard accepts `‖A V − U diag(s)‖` up to
/// `16 max(m, n) eps ‖A‖_F` and a loss of orthonormality up to `16 max(m, n) eps` (norms as estimated
/// along a vector of signs). Cost about `22 n³` flops for a square matrix.
///
/// # Errors
/// [`Error::NotFinite`] for NaN or infinity, [`Error::NoConvergence`] if the guard fails,
/// [`Error::Overflow`] if a singular value is beyond range.
///
/// # References
/// G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed. (2013), section 8.6.
///
/// ```
/// use eigenflow_linalg::{Matrix, svd::svd};
/// let d = svd(&Matrix::new(2, 2, vec![0.0, 3.0, -4.0, 0.0])).unwrap(); // singular values 4 and 3
/// assert!((d.s[0] - 4.0_f64).abs() < 1e-14 && (d.s[1] - 3.0).abs() < 1e-14);
/// assert!((d.u[(1, 0)] * d.v[(0, 0)] + 1.0).abs() < 1e-14); // 4 u vᵀ carries the entry -4
/// ```
pub fn svd<T: Real>(a: &Matrix<T>) -> Result<Svd<T>, Error> {
    decompose("svd", a, SvdKind::Thin)
}

/// The full singular value decomposition: `U` is `[m, m]`, `V` is `[n, n]`; the extra columns span
/// the null spaces of `Aᵀ` and `A`.
///
/// # Errors
/// As [`svd`].
pub fn svd_full<T: Real>(a: &Matrix<T>) -> Result<Svd<T>, Error> {
    decompose("svd_full", a, SvdKind::Full)
}

/// The `min(m, n)` singular values, descending, guarded by `Σs² = ‖A‖_F²`.
///
/// # Errors
/// As [`svd`].
pub fn singular_values<T: Real>(a: &Matrix<T>) -> Result<Vec<T>, Error> {
    Ok(decompose("singular_values", a, SvdKind::Values)?.s)
}

/// The decompositions of a batch `[N, m, n]`, threaded over the matrices.
///
/// # Errors
/// As [`svd`], naming the first matrix at fault.
pub fn svd_batch<T: Real>(a: &Batch<T>, kind: SvdKind) -> Result<SvdBatch<T>, Error> {
    a.check_finite("svd_batch")?;
    let (count, m, n) = (a.count(), a.rows(), a.cols());
    let (nu, nv) = kind.columns(m, n);
    let mut u = Batch::zeros(count, m, nu);
    let mut s = Matrix::zeros(count, m.min(n));
    let mut v = Batch::zeros(count, n, nv);
    let outputs = [(u.data_mut(), m * nu), (s.data_mut(), m.min(n)), (v.data_mut(), n * nv)];
    let flops = if kind == SvdKind::Values { 3 } else { 20 } * m * n * m.min(n);
    if lanes_serve::<T>(m, n) {
        for_each_span(count, small::span::<T>(flops), outputs, |range, [u, s, v]| {
            let matrices = &a.data()[range.start * n * n..range.end * n * n];
            decompose_small("svd_batch", range.start, (n, kind), matrices, [u, s, v])
        })?;
    } else {
        for_each_matrix(
            count,
            flops,
            outputs,
            || Solver::new(m, n, kind),
            |solver, i, [u, s, v]| solver.run("svd_batch", i, a.get(i), u, s, v),
        )?;
    }
    Ok(SvdBatch { u, s, v })
}

/// Spectral norm `‖A‖₂`, the largest singular value; 0 for an empty matrix.
///
/// # Errors
/// As [`svd`].
pub fn norm2<T: Real>(a: &Matrix<T>) -> Result<T, Error> {
    Ok(decompose("norm2", a, SvdKind::Values)?.s.first().copied().unwrap_or(T::ZERO))
}

/// Condition number `κ₂(A) = s_max / s_min`; infinite for a singular matrix, 1 for an empty one.
///
/// # Errors
/// As [`svd`].
///
/// ```
/// use eigenflow_linalg::{Matrix, svd::condition_number};
/// assert_eq!(condition_number(&Matrix::diagonal(&[2.0_f64, -8.0])).unwrap(), 4.0);
/// ```
pub fn condition_number<T: Real>(a: &Matrix<T>) -> Result<T, Error> {
    let s = decompose("condition_number", a, SvdKind::Values)?.s;
    Ok(match (s.first(), s.last()) {
        (Some(_), Some(&min)) if min == T::ZERO => T::INFINITY,
        (Some(&max), Some(&min)) => max / min,
        _ => T::ONE,
    })
}

fn decompose<T: Real>(op: &'static str, a: &Matrix<T>, kind: SvdKind) -> Result<Svd<T>, Error> {
    a.check_finite(op)?;
    let (m, n) = a.shape();
    let (nu, nv) = kind.columns(m, n);
    let (mut u, mut s, mut v) = (Matrix::zeros(m, nu), vec![T::ZERO; m.min(n)], Matrix::zeros(n, nv));
    if lanes_serve::<T>(m, n) {
        decompose_small(op, 0, (n, kind), a.data(), [u.data_mut(), &mut s, v.data_mut()])?;
    } else {
        Solver::new(m, n, kind).run(op, 0, a.data(), u.data_mut(), &mut s, v.data_mut())?;
    }
    Ok(Svd { u, s, v })
}

/// Small square matrices go by lanes.
fn lanes_serve<T: Real>(m: usize, n: usize) -> bool {
    m == n && n > 0 && n <= small::svd_limit::<T>()
}

/// Finite small matrices one after another, the first of them number `first` of its batch. Those that the lanes
/// give up are done by the solver of large ones.
fn decompose_small<T: Real>(
    op: &'static str,
    first: usize,
    (n, kind): (usize, SvdKind),
    a: &[T],
    [u, s, v]: [&mut [T]; 3],
) -> Result<(), Error> {
    small::svd(n, a, u, s, v).into_iter().try_for_each(|i| {
        let matrix = i * n * n..(i + 1) * n * n;
        let vectors = if kind == SvdKind::Values { 0..0 } else { matrix.clone() };
        let (u, v) = (&mut u[vectors.clone()], &mut v[vectors]);
        Solver::new(n, n, kind).run(op, first + i, &a[matrix], u, &mut s[i * n..(i + 1) * n], v)
    })
}

/// Buffers for matrices of one shape, used again and again. Factors are column-major, as faer likes them.
struct Solver<T> {
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
    fn new(m: usize, n: usize, kind: SvdKind) -> Self {
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
    fn run(
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
