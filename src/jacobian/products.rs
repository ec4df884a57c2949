//! Products with Jacobians, which are never formed.

use super::exact::Direction;
use crate::flow::{Error, Flow};
use eigenflow_autodiff::{Program, Runner, Tangent};
use eigenflow_linalg::{Matrix, Real};

/// Products of the Jacobians of rows with blocks of vectors, `J V` forward and `Jᵀ U` in reverse, each in one pass.
///
/// Recorded once for a width of block and run as often as needed. Cost of a call: the map itself, and `b` tangents (or
/// cotangents) a row; memory `O(b D)` a row in flight. Rows of a conditional flow have their context behind them.
///
/// ```
/// use eigenflow::flow::{Flow, bijections::Sinh};
/// use eigenflow::jacobian::{Direction, JacobianProducts};
/// use eigenflow_linalg::Matrix;
/// let flow = Flow::<f64>::new(vec![Sinh { dim: 1 }.into()], 0, 0).unwrap();
/// // z = asinh x, dz/dx = 0.8 at x = 0.75
/// let mut products = JacobianProducts::new(&flow, Direction::Normalize, 1).unwrap();
/// let x = Matrix::new(1, 1, vec![0.75]);
/// assert!((products.push(&x, &[10.0]).unwrap()[0] - 8.0).abs() < 1e-14);
/// ```
pub struct JacobianProducts<'f, T> {
    flow: &'f Flow<T>,
    width: usize,
    push: Runner<T>,
    pull: Runner<T>,
}

impl<'f, T: Real> JacobianProducts<'f, T> {
    /// Products with blocks of `width` vectors.
    ///
    /// # Errors
    /// If a layer has no derivative of the kind.
    pub fn new(flow: &'f Flow<T>, direction: Direction, width: usize) -> Result<Self, Error> {
        let (d, all) = (flow.dim(), 0..flow.layers().len());
        let program = |forward: bool| {
            Program::try_record(|r| {
                let (x, block) = (r.batch(d), r.batch_block(width, d));
                let params = flow.declare(r);
                let y = match direction {
                    Direction::Normalize => flow.record_normalize(&params, x, all.clone(), false).out,
                    Direction::Generate => flow.record_generate(&params, x, all.clone()).out,
                };
                if forward {
                    let pushed = r.push(&[y], &[(x, Tangent::dense(block))])?.swap_remove(0);
                    let zero = || r.full(y.shape().with_tangents(width), T::ZERO);
                    Ok(vec![pushed.into_block(r, y.shape(), width).unwrap_or_else(zero)])
                } else {
                    Ok::<_, Error>(r.vjp(&[(y, block)], &[x])?)
                }
            })
        };
        // The flow is borrowed: its parameters stay as they are.
        let runner =
            |forward| Ok::<_, Error>(program(forward)?.with_late_inputs(&[1]).runner().with_fixed_shared());
        Ok(Self { flow, width, push: runner(true)?, pull: runner(false)? })
    }

    /// Computes what follows from the parameters alone, such as the factors of a layer's matrix.
    pub(super) fn prepare(&mut self) -> Result<(), Error> {
        let none = Matrix::zeros(0, self.flow.dim() + self.flow.context_columns());
        let (flow, width, push, pull) = (self.flow, self.width, &mut self.push, &mut self.pull);
        let empty = |runner: &mut Runner<T>| run(runner, flow, width, (&none, false), &[]);
        let (a, b) = rayon::join(|| empty(push), || empty(pull));
        a.and(b).map(|_| ())
    }

    /// The same products on the calling thread alone: for callers that share rows among threads themselves.
    pub(super) fn alone(&self) -> Self {
        Self { push: self.push.fork(), pull: self.pull.fork(), ..*self }
    }

    /// Bytes that are kept of the map at each row, for products with other vectors.
    pub(super) fn row_bytes(&self) -> usize {
        self.push.program().kept_row_bytes() + self.pull.program().kept_row_bytes()
    }

    /// `J_n v` for the `b` vectors of each row: `[N, b, D]` to `[N, b, D]`.
    ///
    /// # Errors
    /// If lengths do not fit. Numbers that overflow come out as such.
    pub fn push(&mut self, x: &Matrix<T>, block: &[T]) -> Result<Vec<T>, Error> {
        self.push_at(x, false, block)
    }

    /// `J_nᵀ u` for the `b` vectors of each row.
    ///
    /// # Errors
    /// As [`JacobianProducts::push`].
    pub fn pull(&mut self, x: &Matrix<T>, block: &[T]) -> Result<Vec<T>, Error> {
        self.pull_at(x, false, block)
    }

    /// [`JacobianProducts::push`]; at the rows of the last push, if `again`, so that the map is not computed anew.
    pub(super) fn push_at(&mut self, x: &Matrix<T>, again: bool, block: &[T]) -> Result<Vec<T>, Error> {
        run(&mut self.push, self.flow, self.width, (x, again), block)
    }

    /// [`JacobianProducts::pull`]; at the rows of the last pull, if `again`.
    pub(super) fn pull_at(&mut self, x: &Matrix<T>, again: bool, block: &[T]) -> Result<Vec<T>, Error> {
        run(&mut self.pull, self.flow, self.width, (x, again), block)
    }
}

/// The products at rows `x`, which are those of the last run if `again`.
fn run<T: Real>(
    runner: &mut Runner<T>,
    flow: &Flow<T>,
    width: usize,
    (x, again): (&Matrix<T>, bool),
    block: &[T],
) -> Result<Vec<T>, Error> {
    let mut out = vec![T::ZERO; x.rows() * width * flow.dim()];
    let (own, context) = flow.split(x.data());
    let all = [&own[..], block, &context];
    let inputs = if flow.context_columns() == 0 { &all[..2] } else { &all };
    let run = if again { Runner::run_again } else { Runner::run };
    run(runner, x.rows(), inputs, &flow.slices(), &mut [&mut out])?;
    Ok(out)
}

/// The error for a product that is not finite at a row: the exact Jacobian of that row says at which layer.
pub(super) fn not_finite<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    direction: Direction,
    row: usize,
    column: usize,
) -> Error {
    let one = Matrix::new(1, x.cols(), x.row(row).to_vec());
    if let Err(error) = super::exact::pushed(flow, &one, direction) {
        return error.after_rows(row);
    }
    let layer = flow.layers().len() - 1;
    let (direction, kind) = ("a product with the Jacobian", flow.layers()[layer].kind());
    Error::OutOfRange { direction, row, layer, kind, column, precision: T::NAME }
}
