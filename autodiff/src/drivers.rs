//! Derivatives of closures, in one call.
//!
//! Each driver records the closure, differentiates it and runs it once. For repeated use record a
//! [`Program`] that differentiates, and keep its [`crate::Runner`].
//!
//! A function of rows takes one variable of `D` columns and gives a value of `M` columns; rows do
//! not see each other. A function of parameters takes shared matrices.

use crate::{Error, Program, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;

/// How a Jacobian is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One block of tangents pushed forward: cost grows with the number of inputs.
    Forward,
    /// One block of cotangents pulled back: cost grows with the number of outputs.
    Reverse,
    /// Whichever is narrower.
    Cheaper,
}

/// Gradient of `Σ f` (summed over all numbers of the result) with respect to rows of numbers.
///
/// Each input is a `1 x n` shared row.
///
/// ```
/// use eigenflow_autodiff::grad;
/// // d/dx (x² y) = 2 x y, d/dy = x²
/// let g = grad(|_, v| v[0].square() * v[1], &[&[3.0], &[5.0]]).unwrap();
/// assert_eq!(g, [[30.0], [9.0]]);
/// ```
pub fn grad<T: Real, F>(f: F, x: &[&[T]]) -> Result<Vec<Vec<T>>, Error>
where
    F: for<'t> FnOnce(&'t Recorder<T>, &[Var<'t, T>]) -> Var<'t, T>,
{
    value_and_grad(f, x).map(|(_, g)| g)
}

/// Value and gradient of `Σ f`.
///
/// ```
/// use eigenflow_autodiff::value_and_grad;
/// let (v, g) = value_and_grad(|_, v| v[0].exp(), &[&[0.0, 0.0]]).unwrap();
/// assert_eq!((v, g), (2.0, vec![vec![1.0, 1.0]]));
/// ```
pub fn value_and_grad<T: Real, F>(f: F, x: &[&[T]]) -> Result<(T, Vec<Vec<T>>), Error>
where
    F: for<'t> FnOnce(&'t Recorder<T>, &[Var<'t, T>]) -> Var<'t, T>,
{
    let program = Program::try_record(|r| {
        let vars: Vec<_> = x.iter().map(|x| r.shared(1, x.len())).collect();
        let y = f(r, &vars).sum_all();
        let mut out = vec![y];
        out.extend(r.gradient(y, &vars)?);
        Ok::<_, Error>(out)
    })?;
    let mut out = program.run(0, &[], x)?;
    let value = out.remove(0)[0];
    Ok((value, out))
}

/// Product of the Jacobian of a function of rows with one direction a row: `J_n v_n`.
///
/// Gives values and products, each `rows x M`.
///
/// ```
/// use eigenflow_autodiff::jvp;
/// // y = (x₀ x₁), J = (x₁, x₀)
/// let (y, jv) = jvp(|_, x| x.slice(0..1) * x.slice(1..2), 2, &[3.0, 5.0], &[1.0, 10.0]).unwrap();
/// assert_eq!((y, jv), (vec![15.0], vec![35.0]));
/// ```
pub fn jvp<T: Real, F>(f: F, cols: usize, x: &[T], v: &[T]) -> Result<(Vec<T>, Vec<T>), Error>
where
    F: for<'t> FnOnce(&'t Recorder<T>, Var<'t, T>) -> Var<'t, T>,
{
    let program = Program::try_record(|r| {
        let (x, v) = (r.batch(cols), r.batch(cols));
        let y = f(r, x);
        Ok::<_, Error>(vec![y, r.jvp(&[y], &[(x, v)])?[0]])
    })?;
    let mut out = program.run(rows_of(x.len(), cols), &[x, v], &[])?;
    let product = out.pop().unwrap_or_default();
    Ok((out.pop().unwrap_or_default(), product))
}

/// Products of the transposed Jacobian of a function of rows with `seeds` cotangents a row, in one
/// sweep: entry `[n, s, j]` is `Σ_i u[n, s, i] dy_i / dx_j`.
///
/// ```
/// use eigenflow_autodiff::vjp;
/// // J = diag(2 x): two seeds at x = (1, 2)
/// let uj = vjp(|_, x| x.square(), 2, &[1.0, 2.0], 2, &[1.0, 1.0, 0.0, 3.0]).unwrap();
/// assert_eq!(uj, [2.0, 4.0, 0.0, 12.0]);
/// ```
pub fn vjp<T: Real, F>(f: F, cols: usize, x: &[T], seeds: usize, u: &[T]) -> Result<Vec<T>, Error>
where
    F: for<'t> FnOnce(&'t Recorder<T>, Var<'t, T>) -> Var<'t, T>,
{
    let program = Program::try_record(|r| {
        let x = r.batch(cols);
        let y = f(r, x);
        let u = r.batch_block(seeds, y.cols());
        r.vjp(&[(y, u)], &[x])
    })?;
    Ok(program.run(rows_of(x.len(), cols), &[x, u], &[])?.pop().unwrap_or_default())
}

/// Jacobians of a function of rows: entry `[n, i, j]` is `dy_i / dx_j`, row-major.
///
/// ```
/// use eigenflow_autodiff::{jacobian, Mode};
/// use eigenflow_autodiff::Var;
/// // y = (x₀ x₁, x₁): J = ((x₁, x₀), (0, 1))
/// for mode in [Mode::Forward, Mode::Reverse, Mode::Cheaper] {
///     let j = jacobian(
///         |_, x| Var::concat(&[x.slice(0..1) * x.slice(1..2), x.slice(1..2)]),
///         2,
///         &[3.0, 5.0],
///         mode,
///     );
///     assert_eq!(j.unwrap(), [5.0, 3.0, 0.0, 1.0]);
/// }
/// ```
pub fn jacobian<T: Real, F>(f: F, cols: usize, x: &[T], mode: Mode) -> Result<Vec<T>, Error>
where
    F: for<'t> FnOnce(&'t Recorder<T>, Var<'t, T>) -> Var<'t, T>,
{
    let mut transposed = false;
    let program = Program::try_record(|r| {
        let x = r.batch(cols);
        let y = f(r, x);
        transposed = mode == Mode::Forward || (mode == Mode::Cheaper && cols < y.cols());
        Ok::<_, Error>(vec![if transposed { push_jacobian(r, y, x)? } else { pull_jacobian(r, y, x)? }])
    })?;
    let rows = rows_of(x.len(), cols);
    let out = program.run(rows, &[x], &[])?.pop().unwrap_or_default();
    if !transposed || out.is_empty() {
        return Ok(out);
    }
    let m = out.len() / rows / cols;
    let mut j = vec![T::ZERO; out.len()];
    for (j, t) in j.chunks_exact_mut(m * cols).zip(out.chunks_exact(m * cols)) {
        for i in 0..m {
            for k in 0..cols {
                j[i * cols + k] = t[k * m + i];
            }
        }
    }
    Ok(j)
}

/// Records the transposed Jacobians of `y` with respect to `x` by one push:
/// `[rows, D, M]`, entry `[n, j, i] = dy_i / dx_j`.
///
/// # Errors
/// If `y` is not a value of each row, or depends on `x` through a sum over rows or an operation
/// without a derivative.
pub fn push_jacobian<'t, T: Real>(
    r: &'t Recorder<T>,
    y: Var<'t, T>,
    x: Var<'t, T>,
) -> Result<Var<'t, T>, Error> {
    let seeds = x.cols();
    rowwise(y.shape())?;
    let t = r.push(&[y], &[(x, Tangent::identity(seeds))])?.swap_remove(0);
    let zero = || r.full(y.shape().with_tangents(seeds), T::ZERO);
    Ok(t.into_block(r, y.shape(), seeds).unwrap_or_else(zero))
}

/// Records the Jacobians of `y` with respect to `x` by one pull of all seeds:
/// `[rows, M, D]`, entry `[n, i, j] = dy_i / dx_j`.
///
/// # Errors
/// As [`push_jacobian`].
pub fn pull_jacobian<'t, T: Real>(
    r: &'t Recorder<T>,
    y: Var<'t, T>,
    x: Var<'t, T>,
) -> Result<Var<'t, T>, Error> {
    let m = y.cols();
    let shape = rowwise(y.shape())?;
    let identity = Tangent::identity(m).into_block(r, shape, m);
    let identity = identity.unwrap_or_else(|| r.full(shape.with_tangents(m), T::ZERO));
    let pulled = r.sweep(&[(y, identity)], &[x], &[], true)?[0];
    Ok(pulled.unwrap_or_else(|| r.full(x.shape().with_tangents(m), T::ZERO)))
}

/// Hessians of a function of rows with one column: entry `[n, i, j]`, forward over reverse.
///
/// ```
/// use eigenflow_autodiff::hessian;
/// // f = x₀² x₁ at (3, 5): ((2 x₁, 2 x₀), (2 x₀, 0))
/// let h = hessian(|_, x| x.slice(0..1).square() * x.slice(1..2), 2, &[3.0, 5.0]).unwrap();
/// assert_eq!(h, [10.0, 6.0, 6.0, 0.0]);
/// ```
pub fn hessian<T: Real, F>(f: F, cols: usize, x: &[T]) -> Result<Vec<T>, Error>
where
    F: for<'t> FnOnce(&'t Recorder<T>, Var<'t, T>) -> Var<'t, T>,
{
    let program = Program::try_record(|r| {
        let x = r.batch(cols);
        let y = column(f(r, x))?;
        let gradient = r.gradient(y, &[x])?[0];
        Ok::<_, Error>(vec![push_jacobian(r, gradient, x)?])
    })?;
    Ok(program.run(rows_of(x.len(), cols), &[x], &[])?.pop().unwrap_or_default())
}

/// Products of the Hessian of a function of rows with one direction a row, forward over reverse.
///
/// ```
/// use eigenflow_autodiff::hvp;
/// let h = hvp(|_, x| x.slice(0..1).square() * x.slice(1..2), 2, &[3.0, 5.0], &[1.0, 1.0]).unwrap();
/// assert_eq!(h, [16.0, 6.0]);
/// ```
pub fn hvp<T: Real, F>(f: F, cols: usize, x: &[T], v: &[T]) -> Result<Vec<T>, Error>
where
    F: for<'t> FnOnce(&'t Recorder<T>, Var<'t, T>) -> Var<'t, T>,
{
    let program = Program::try_record(|r| {
        let (x, v) = (r.batch(cols), r.batch(cols));
        let y = column(f(r, x))?;
        let gradient = r.gradient(y, &[x])?[0];
        r.jvp(&[gradient], &[(x, v)])
    })?;
    Ok(program.run(rows_of(x.len(), cols), &[x, v], &[])?.pop().unwrap_or_default())
}

fn column<T: Real>(y: Var<'_, T>) -> Result<Var<'_, T>, Error> {
    if y.cols() == 1 {
        return Ok(y);
    }
    Err(Error::Shape { op: "hessian", shapes: vec![y.shape()], remedy: "the function must give one column" })
}

/// The shape of a function of rows, which has one line a row.
fn rowwise(shape: Shape) -> Result<Shape, Error> {
    if shape == Shape::batch(shape.cols()) {
        return Ok(shape);
    }
    let remedy = "each row must have a value of its own; broadcast a shared one to the batch";
    Err(Error::Shape { op: "jacobian", shapes: vec![shape], remedy })
}

fn rows_of(len: usize, cols: usize) -> usize {
    len.checked_div(cols).unwrap_or(0)
}
