//! Factorisations of shared square matrices and what they are for: `log|det|`, solves, inverse.
//!
//! A factorisation is an output of its own, so that derivative rules reuse it instead of
//! factoring again. No derivative flows through the factors: a solve takes the matrix
//! itself beside them, and its rules are those of `W⁻¹` (M. Giles, *Collected matrix derivative
//! results for forward and reverse mode algorithmic differentiation*, 2008).
//!
//! Right-hand sides are rows: each line `b` of a value is replaced by `W⁻¹ b`, so that one
//! primitive serves batches and shared matrices. A singular matrix gives NaN, never a panic.

use super::key;
use crate::primitive::{Cotangents, Eval, Key, Primitive, Shapes, Tangents, shape_error};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::triangular::{Half, Triangular, solve_in_place};
use eigenflow_linalg::{Real, cholesky, lu};
use smallvec::smallvec;

impl<T: Real> Var<'_, T> {
    /// `log|det W|` of a shared square matrix, `1 x 1`: no overflow at any size.
    #[track_caller]
    pub fn log_abs_det(self) -> Self {
        self.recorder().apply_all(Lu, &[self])[0]
    }

    /// `W⁻¹ b` for every line `b` of `rhs` (rows of a batch, or of a shared matrix).
    #[track_caller]
    pub fn solve_lines(self, rhs: Self) -> Self {
        lu_solve(self, rhs, false)
    }

    /// `W⁻¹ B` of shared matrices.
    #[track_caller]
    pub fn solve(self, rhs: Self) -> Self {
        self.solve_lines(rhs.transpose()).transpose()
    }

    /// `W⁻¹` of a shared square matrix.
    #[track_caller]
    pub fn inverse(self) -> Self {
        let n = self.cols();
        lu_solve(self, identity(self.recorder(), n), true)
    }

    /// The lower Cholesky factor `L`, `L Lᵀ = A`, of a shared positive definite matrix.
    ///
    /// Only the lower half of `A` is read, and its cotangent lies there.
    #[track_caller]
    pub fn cholesky(self) -> Self {
        self.recorder().apply(Cholesky, &[self])
    }

    /// `op(T)⁻¹ b` for every line `b` of `rhs`, with a triangular matrix in one half of `self`.
    #[track_caller]
    pub fn solve_triangular(self, kind: Triangular, rhs: Self) -> Self {
        self.recorder().apply(TriangularSolve(kind), &[self, rhs])
    }
}

fn lu_solve<'t, T: Real>(w: Var<'t, T>, rhs: Var<'t, T>, transpose: bool) -> Var<'t, T> {
    let lu = w.recorder().apply_all(Lu, &[w]);
    w.recorder().apply(LuSolve { transpose }, &[w, lu[1], lu[2], rhs])
}

fn identity<T: Real>(r: &Recorder<T>, n: usize) -> Var<'_, T> {
    triangle(r, n, |i, j| if i == j { 1.0 } else { 0.0 })
}

/// A constant `n x n` matrix of weights.
fn triangle<T: Real>(r: &Recorder<T>, n: usize, f: impl Fn(usize, usize) -> f64) -> Var<'_, T> {
    let data: Vec<T> = (0..n * n).map(|k| T::of(f(k / n, k % n))).collect();
    r.constant(n, n, &data)
}

fn square(op: &'static str, shape: Shape, all: &[Shape]) -> Result<usize, Error> {
    match shape {
        Shape::Shared { rows, cols } if rows == cols => Ok(rows),
        _ => shape_error(op, all, "the matrix must be shared and square"),
    }
}

/// A single tangent of a shared matrix, if not zero.
fn moved<'t, T: Real>(r: &'t Recorder<T>, x: Var<'t, T>, dx: &Tangent<'t, T>) -> Option<Var<'t, T>> {
    dx.to_dense(r, x.shape()).map(|(_, block)| block)
}

/// `(log|det W|, packed factors, row permutation)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lu;

impl<T: Real> Primitive<T> for Lu {
    fn name(&self) -> &'static str {
        "log_abs_det"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let n = square("log_abs_det", inputs[0], inputs)?;
        Ok(smallvec![Shape::shared(1, 1), Shape::shared(n, n), Shape::shared(1, n)])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let [log, packed, perm] = cx.outputs else { return };
        packed.copy_from_slice(cx.inputs[0]);
        // Lengths are those of `shapes`, so neither call can fail.
        let factored = lu::factor_in_place(packed, perm);
        let (_, value) = factored.and_then(|_| lu::slogdet_packed(packed, perm)).unwrap_or((T::NAN, T::NAN));
        log[0] = if cx.inputs[0].iter().all(|x| x.is_finite()) { value } else { T::NAN };
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        // d log|det W| = tr(W⁻¹ dW)
        let log = dx[0].linear(r, x[0].shape(), 1, |dw| (x[0].inverse().transpose() * dw).sum_all());
        // The factors reach solves only, as auxiliary inputs.
        Ok(smallvec![log, Tangent::zero(y[1].cols()), Tangent::zero(y[2].cols())])
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        _need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        if dy[1].is_some() || dy[2].is_some() {
            return Err(Error::NoDerivative {
                op: "lu",
                kind: "reverse",
                reason: "the factors are for solves with the same matrix",
            });
        }
        Ok(smallvec![dy[0].map(|dy| x[0].inverse().transpose() * dy)])
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(0, 0))
    }
}

/// Every line `b` becomes `W⁻¹ b` (or `W⁻ᵀ b`); inputs `W`, packed factors, permutation, lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LuSolve {
    /// Whether to solve with `Wᵀ`.
    transpose: bool,
}

/// Columns that a solve works on for so many lines. A single one would take the matrix-vector
/// kernels, which round differently: a row's result would depend on whether it stands alone.
fn columns_for(lines: usize) -> usize {
    lines.max(2)
}

/// Puts `lines` of `n` numbers side by side as columns, zeros where there are too few of them;
/// `solve` works on the columns, and the lines come back in `out` (NaN if it fails).
fn by_columns<T: Real>(
    out: &mut [T],
    lines: &[T],
    n: usize,
    columns: &mut [T],
    solve: impl FnOnce(&mut [T]) -> bool,
) {
    let count = lines.len() / n.max(1);
    let m = columns_for(count);
    columns.fill(T::ZERO);
    for (i, line) in lines.chunks_exact(n.max(1)).enumerate() {
        line.iter().enumerate().for_each(|(j, &x)| columns[j * m + i] = x);
    }
    if !solve(columns) {
        return out.fill(T::NAN);
    }
    for (i, line) in out.chunks_exact_mut(n.max(1)).enumerate() {
        line.iter_mut().enumerate().for_each(|(j, x)| *x = columns[j * m + i]);
    }
}

impl<T: Real> Primitive<T> for LuSolve {
    fn name(&self) -> &'static str {
        "solve"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let n = square("solve", inputs[0], inputs)?;
        if inputs[3].cols() != n {
            return shape_error("solve", inputs, "the lines must have as many columns as the matrix");
        }
        Ok(smallvec![inputs[3]])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let n = cx.input_shapes[0].cols();
        let b = cx.inputs[3];
        let len = n * columns_for(b.len() / n.max(1));
        let (columns, rest) = cx.scratch[..2 * len].split_at_mut(len);
        by_columns(cx.outputs[0], b, n, columns, |columns| {
            lu::solve_packed(cx.inputs[1], cx.inputs[2], columns, rest, self.transpose).is_ok()
        });
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        // x = W⁻¹ b: dx = W⁻¹ (db - dW x)
        let (w, lines) = (x[0], y[0].shape());
        let solve = |b: Var<'t, T>| lu_solve(w, b, self.transpose);
        let from_b = dx[3].linear(r, lines, lines.cols(), solve);
        let from_w = match moved(r, w, &dx[0]) {
            None => Tangent::zero(lines.cols()),
            Some(dw) => {
                let moved = if self.transpose { y[0].matmul(dw) } else { y[0].matmul_t(dw) };
                Tangent::dense(-solve(moved))
            }
        };
        Ok(smallvec![from_b.add(from_w, r, lines)])
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let Some(dy) = dy[0] else { return Ok(smallvec![None, None, None, None]) };
        // db = W⁻ᵀ dx, dW = -db xᵀ, summed over lines
        let db = lu_solve(x[0], dy, !self.transpose);
        let dw = need[0].then(|| if self.transpose { -y[0].outer(db) } else { -db.outer(y[0]) });
        Ok(smallvec![dw, None, None, need[3].then_some(db)])
    }

    fn is_auxiliary(&self, input: usize) -> bool {
        input == 1 || input == 2
    }

    fn scratch(&self, inputs: &[Shape], rows: usize) -> usize {
        2 * inputs[3].cols() * columns_for(inputs[3].lines(rows))
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(u64::from(self.transpose), 0))
    }
}

/// The lower factor of a symmetric positive definite matrix.
///
/// `dL = L Φ(L⁻¹ dA L⁻ᵀ)`, where `Φ` keeps the lower half and halves the diagonal.
#[derive(Clone, Copy, Debug)]
pub struct Cholesky;

/// `Φ` as a matrix of weights.
fn phi<T: Real>(r: &Recorder<T>, n: usize) -> Var<'_, T> {
    triangle(r, n, |i, j| if i > j { 1.0 } else { 0.5 * f64::from(u8::from(i == j)) })
}

impl<T: Real> Primitive<T> for Cholesky {
    fn name(&self) -> &'static str {
        "cholesky"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let n = square("cholesky", inputs[0], inputs)?;
        Ok(smallvec![Shape::shared(n, n)])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        cx.outputs[0].copy_from_slice(cx.inputs[0]);
        if cholesky::factor_in_place(cx.outputs[0], cx.input_shapes[0].cols()).is_err() {
            cx.outputs[0].fill(T::NAN);
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let (l, n) = (y[0], y[0].cols());
        Ok(smallvec![dx[0].linear(r, x[0].shape(), n, |da| {
            // The lower half of A stands for both.
            let lower = triangle(r, n, |i, j| if i >= j { 1.0 } else { 0.0 });
            let below = triangle(r, n, |i, j| if i > j { 1.0 } else { 0.0 });
            let da = da * lower + (da * below).transpose();
            // Lines of the first solve are L⁻¹ times the columns of dA (symmetric), so the
            // second one gives L⁻¹ dA L⁻ᵀ, transposed, which is itself.
            let half = l.solve_triangular(Triangular::LOWER, da).transpose();
            let whole = l.solve_triangular(Triangular::LOWER, half);
            l.matmul(whole * phi(r, n))
        })])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        _x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        _need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let (l, n) = (y[0], y[0].cols());
        Ok(smallvec![dy[0].map(|dl| {
            // S = L⁻ᵀ Φ(Lᵀ dL) L⁻¹; the cotangent of the lower half is S + Sᵀ, its diagonal once.
            let p = l.outer(dl) * phi(r, n);
            let half = l.solve_triangular(Triangular::LOWER.t(), p.transpose()).transpose();
            let s = l.solve_triangular(Triangular::LOWER.t(), half);
            let both = s + s.transpose();
            both * phi(r, n)
        })])
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(0, 0))
    }
}

/// Every line `b` becomes `op(T)⁻¹ b`; inputs the array that holds `T`, and the lines.
#[derive(Clone, Copy, Debug)]
pub struct TriangularSolve(pub Triangular);

impl<T: Real> Primitive<T> for TriangularSolve {
    fn name(&self) -> &'static str {
        "solve_triangular"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let n = square("solve_triangular", inputs[0], inputs)?;
        if inputs[1].cols() != n {
            return shape_error(
                "solve_triangular",
                inputs,
                "the lines must have as many columns as the matrix",
            );
        }
        Ok(smallvec![inputs[1]])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let n = cx.input_shapes[0].cols();
        let b = cx.inputs[1];
        let columns = &mut cx.scratch[..n * columns_for(b.len() / n.max(1))];
        by_columns(cx.outputs[0], b, n, columns, |columns| {
            solve_in_place(self.0, n, cx.inputs[0], columns).is_ok()
        });
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let lines = y[0].shape();
        let from_b = dx[1].linear(r, lines, lines.cols(), |b| r.apply(*self, &[x[0], b]));
        let from_t = match moved(r, x[0], &dx[0]) {
            None => Tangent::zero(lines.cols()),
            Some(dt) => {
                let dt = dt * self.pattern(r, x[0].cols());
                let moved = if self.0.transpose { y[0].matmul(dt) } else { y[0].matmul_t(dt) };
                Tangent::dense(-r.apply(*self, &[x[0], moved]))
            }
        };
        Ok(smallvec![from_b.add(from_t, r, lines)])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let Some(dy) = dy[0] else { return Ok(smallvec![None, None]) };
        let db = r.apply(Self(self.0.t()), &[x[0], dy]);
        let dt = need[0].then(|| {
            let full = if self.0.transpose { -y[0].outer(db) } else { -db.outer(y[0]) };
            full * self.pattern(r, x[0].cols())
        });
        Ok(smallvec![dt, need[1].then_some(db)])
    }

    fn scratch(&self, inputs: &[Shape], rows: usize) -> usize {
        inputs[1].cols() * columns_for(inputs[1].lines(rows))
    }

    fn key(&self) -> Option<Key> {
        let Triangular { half, unit, transpose } = self.0;
        Some(key::<Self>(u64::from(half == Half::Lower), u64::from(unit) * 2 + u64::from(transpose)))
    }
}

impl TriangularSolve {
    /// Ones where the array is read.
    fn pattern<T: Real>(self, r: &Recorder<T>, n: usize) -> Var<'_, T> {
        let Triangular { half, unit, .. } = self.0;
        triangle(r, n, |i, j| {
            let read = match half {
                Half::Lower => i > j,
                Half::Upper => i < j,
            };
            if read || (i == j && !unit) { 1.0 } else { 0.0 }
        })
    }
}
