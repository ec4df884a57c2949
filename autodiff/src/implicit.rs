//! Values that an equation defines: solved for, and differentiated by the implicit function theorem.

use crate::primitive::{Cotangents, Eval, Primitive, Shapes, Tangents};
use crate::primitives::row_solve::RowSolve;
use crate::{Error, Recorder, Shape, Tangent, Var, expand};
use eigenflow_linalg::Real;
use smallvec::{SmallVec, smallvec};
use std::fmt::Debug;

/// How the residual of a row depends on the unknowns of that row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure {
    /// Residual `j` depends on unknown `j` alone: derivatives cost a division.
    Diagonal,
    /// Every residual on every unknown: derivatives cost an LU factorisation of `∂F/∂y` a row.
    Dense,
}

/// An equation `F(x, y) = 0` of each row that defines the batch value `y`, with as many residuals as unknowns.
///
/// It is written once, as the residual that is *recorded*; how it is solved numerically is another matter. With `y` at hand
/// all derivatives, of any order, follow from the residual: `dy = -(∂F/∂y)⁻¹ (∂F/∂x) dx`.
pub trait Equation<T: Real>: Debug + Send + Sync + 'static {
    /// Name, for messages.
    fn name(&self) -> &'static str;

    /// How residuals depend on unknowns.
    fn structure(&self) -> Structure;

    /// Shape of the unknown, a batch value of one tangent, or why the inputs do not fit.
    ///
    /// # Errors
    /// If the shapes do not fit.
    fn shape(&self, inputs: &[Shape]) -> Result<Shape, Error>;

    /// Records `F(x, y)`.
    fn residual<'t>(&self, x: &[Var<'t, T>], y: Var<'t, T>) -> Var<'t, T>;

    /// Solves numerically: writes the one output. A row without a solution, or whose iteration does not converge, is NaN.
    fn solve(&self, cx: &mut Eval<'_, '_, T>);

    /// Scratch numbers that [`Equation::solve`] needs for `rows` batch rows.
    fn scratch(&self, inputs: &[Shape], rows: usize) -> usize {
        let _ = (inputs, rows);
        0
    }
}

/// Records the solution of an equation.
///
/// # Panics
/// If the shapes do not fit; the message says all of them.
#[track_caller]
pub fn solve<'t, T: Real>(equation: impl Equation<T>, x: &[Var<'t, T>]) -> Var<'t, T> {
    x[0].recorder().apply(Implicit(equation), x)
}

/// The operation that solves an equation.
#[derive(Debug)]
struct Implicit<E>(E);

/// `∂F/∂y` at the solution.
enum Rate<'t, T> {
    /// Its diagonal.
    Diagonal(Var<'t, T>),
    /// Its transpose: entry `[j, i]` is `dF_i / dy_j`.
    Dense(Var<'t, T>),
}

impl<'t, T: Real> Rate<'t, T> {
    fn of<E: Equation<T>>(
        equation: &E,
        r: &'t Recorder<T>,
        residual: Var<'t, T>,
        x: &[Var<'t, T>],
        y: Var<'t, T>,
    ) -> Result<Self, Error> {
        let shape = y.shape();
        match equation.structure() {
            Structure::Diagonal => {
                let (all, need) = held(x, &vec![false; x.len()], y, true);
                let ones = Some(r.full(shape, T::ONE));
                let rate = expand::pull(r, &[residual], &all, &[ones], &need)?.pop().flatten();
                Ok(Self::Diagonal(rate.unwrap_or_else(|| r.full(shape, T::ZERO))))
            }
            Structure::Dense => {
                let n = shape.cols();
                let still = x.iter().map(|&x| (x, Tangent::zero(x.cols())));
                let seeds: Vec<_> = still.chain([(y, Tangent::identity(n))]).collect();
                let block = r.push(&[residual], &seeds)?.pop().and_then(|t| t.into_block(r, shape, n));
                Ok(Self::Dense(block.unwrap_or_else(|| r.full(shape.with_tangents(n), T::ZERO))))
            }
        }
    }

    /// `-(∂F/∂y)⁻¹ t`.
    fn push(&self, r: &'t Recorder<T>, shape: Shape, t: &Tangent<'t, T>) -> Tangent<'t, T> {
        match *self {
            Self::Diagonal(rate) => t.scale(-rate.recip()),
            Self::Dense(block) => t.linear(r, shape, shape.cols(), |lines| {
                -r.apply(RowSolve { transpose: true }, &[block, lines])
            }),
        }
    }

    /// `-(∂F/∂y)⁻ᵀ c`.
    fn pull(&self, r: &'t Recorder<T>, c: Var<'t, T>) -> Var<'t, T> {
        match *self {
            Self::Diagonal(rate) => c.chain(-rate.recip()),
            Self::Dense(block) => -r.apply(RowSolve { transpose: false }, &[block, c]),
        }
    }
}

/// Inputs and unknown together, with which of them are wanted: partial derivatives stop at all of them.
#[allow(clippy::type_complexity)]
fn held<'t, T: Real>(
    x: &[Var<'t, T>],
    need: &[bool],
    y: Var<'t, T>,
    need_y: bool,
) -> (SmallVec<[Var<'t, T>; 4]>, SmallVec<[bool; 4]>) {
    (x.iter().copied().chain([y]).collect(), need.iter().copied().chain([need_y]).collect())
}

impl<T: Real, E: Equation<T>> Primitive<T> for Implicit<E> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        Ok(smallvec![self.0.shape(inputs)?])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        self.0.solve(cx);
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let residual = self.0.residual(x, y[0]);
        let moving = x.iter().copied().zip(dx.iter().cloned());
        let seeds: Vec<_> = moving.chain([(y[0], Tangent::zero(y[0].cols()))]).collect();
        let moved = r.push(&[residual], &seeds)?;
        let rate = Rate::of(&self.0, r, residual, x, y[0])?;
        Ok(moved.iter().map(|t| rate.push(r, y[0].shape(), t)).collect())
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let Some(dy) = dy[0] else { return Ok(smallvec![None; x.len()]) };
        let residual = self.0.residual(x, y[0]);
        let force = Rate::of(&self.0, r, residual, x, y[0])?.pull(r, dy);
        let (all, need) = held(x, need, y[0], false);
        let mut found = expand::pull(r, &[residual], &all, &[Some(force)], &need)?;
        found.pop();
        Ok(found)
    }

    fn scratch(&self, inputs: &[Shape], rows: usize) -> usize {
        self.0.scratch(inputs, rows)
    }
}
