//! Exact Jacobians of a batch of rows, by three independent routes.

use crate::flow::{Error, Flow};
use eigenflow_autodiff::{Program, Recorder, Var, pull_jacobian, push_jacobian};
use eigenflow_linalg::{Batch, Matrix, Real};

/// Which map is differentiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Data to latent: `J`.
    Normalize,
    /// Latent to data: `J_g`.
    Generate,
}

/// How a Jacobian is computed. All routes are exact; they differ in cost, and check each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// One block of `D` structured tangents pushed through the whole map: the fast one.
    Push,
    /// One block of `D` cotangents pulled back through the whole map.
    Pull,
    /// The product of the layers' own Jacobians, each by its own pull.
    Layers,
}

/// Jacobians of the rows of `x`: entry `[n, i, j] = d out_i / d in_j`. A context is a constant: `D x D` at the row's own.
///
/// # Errors
/// As [`Flow::normalize`] and [`Flow::generate`], and [`Error::OutOfRange`] where a Jacobian overflows.
///
/// ```
/// use eigenflow::flow::{Flow, bijections::Sinh};
/// use eigenflow::jacobian::{Direction, Route, jacobians};
/// use eigenflow_linalg::Matrix;
/// let flow = Flow::<f64>::new(vec![Sinh { dim: 1 }.into()], 0, 0).unwrap();
/// // z = asinh x, dz/dx = 1 / sqrt(1 + x²) = 0.8 at x = 0.75
/// let j = jacobians(&flow, &Matrix::new(1, 1, vec![0.75]), Direction::Normalize, Route::Push).unwrap();
/// assert!((j.data()[0] - 0.8).abs() < 1e-15);
/// ```
pub fn jacobians<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    direction: Direction,
    route: Route,
) -> Result<Batch<T>, Error> {
    let what = match direction {
        Direction::Normalize => "data",
        Direction::Generate => "latents",
    };
    flow.check_rows(what, x)?;
    match route {
        Route::Push => {
            let pushed = pushed(flow, x, direction)?;
            Ok(transpose(&pushed))
        }
        Route::Pull => Recorded::pull(flow, direction)?.at(flow, x),
        Route::Layers => by_layers(flow, x, direction),
    }
}

/// The pushed block itself: entry `[n, j, i] = d out_i / d in_j`, the transposed Jacobians.
pub(crate) fn pushed<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    direction: Direction,
) -> Result<Batch<T>, Error> {
    Recorded::push(flow, direction)?.at(flow, x)
}

impl Direction {
    /// The map, and its Jacobian, in messages.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Normalize => ("normalize", "the Jacobian of normalize"),
            Self::Generate => ("generate", "the Jacobian of generate"),
        }
    }
}

/// How a block is recorded, from the output and the input.
type Block<T> =
    for<'t> fn(&'t Recorder<T>, Var<'t, T>, Var<'t, T>) -> Result<Var<'t, T>, eigenflow_autodiff::Error>;

/// A map and the block of one route, recorded once for any rows and any parameters of flows with the same layers.
pub(crate) struct Recorded<T> {
    program: Program<T>,
    direction: Direction,
}

impl<T: Real> Recorded<T> {
    /// By [`Route::Push`]; blocks as those of [`pushed`].
    pub(crate) fn push(flow: &Flow<T>, direction: Direction) -> Result<Self, Error> {
        Self::new(flow, direction, push_jacobian)
    }

    /// By [`Route::Pull`]; blocks are the Jacobians.
    fn pull(flow: &Flow<T>, direction: Direction) -> Result<Self, Error> {
        Self::new(flow, direction, pull_jacobian)
    }

    fn new(flow: &Flow<T>, direction: Direction, block: Block<T>) -> Result<Self, Error> {
        let all = 0..flow.layers().len();
        let program = Program::try_record(|r| {
            let input = r.batch(flow.dim());
            let params = flow.declare(r);
            let out = match direction {
                Direction::Normalize => flow.record_normalize(&params, input, all.clone(), false).out,
                Direction::Generate => flow.record_generate(&params, input, all.clone()).out,
            };
            Ok::<_, Error>(vec![out, block(r, out, input)?])
        })?;
        Ok(Self { program, direction })
    }

    /// The block at the rows of `x`, checked to be finite.
    pub(crate) fn at(&self, flow: &Flow<T>, x: &Matrix<T>) -> Result<Batch<T>, Error> {
        let (values, block) = self.unchecked(flow, x)?;
        flow.check_result(self.direction.names().0, x, &values, &[])?;
        finite(flow, x, self.direction, block)
    }

    /// Values of the map, and the block.
    fn unchecked(&self, flow: &Flow<T>, x: &Matrix<T>) -> Result<(Matrix<T>, Batch<T>), Error> {
        let d = flow.dim();
        let mut outputs = flow.replay(&self.program, x)?;
        let block = Batch::new(x.rows(), d, d, outputs.pop().unwrap_or_default());
        Ok((Matrix::new(x.rows(), d, outputs.pop().unwrap_or_default()), block))
    }
}

/// The Jacobians, or an error that names the first layer at which one is not finite.
fn finite<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    direction: Direction,
    block: Batch<T>,
) -> Result<Batch<T>, Error> {
    let (count, d) = (flow.layers().len(), flow.dim());
    let not_finite = |block: &Batch<T>| block.data().iter().position(|v| !v.is_finite());
    let Some(at) = not_finite(&block) else { return Ok(block) };
    let row = at / (d * d);
    let one = Matrix::new(1, x.cols(), x.row(row).to_vec());
    let order = in_order(direction, count);
    let (mut layer, mut column) = (order[count - 1], 0);
    for &k in &order {
        let passed = if direction == Direction::Normalize { 0..k + 1 } else { k..count };
        let part = flow.part(passed)?;
        let (_, block) = Recorded::push(&part, direction)?.unchecked(&part, &one)?;
        if let Some(at) = not_finite(&block) {
            (layer, column) = (k, at % d);
            break;
        }
    }
    let (direction, kind) = (direction.names().1, flow.layers()[layer].kind());
    Err(Error::OutOfRange { direction, row, layer, kind, column, precision: T::NAME })
}

/// Layers in the order in which a direction passes them.
fn in_order(direction: Direction, count: usize) -> Vec<usize> {
    match direction {
        Direction::Normalize => (0..count).collect(),
        Direction::Generate => (0..count).rev().collect(),
    }
}

/// Transposes every matrix of a batch.
pub(crate) fn transpose<T: Real>(a: &Batch<T>) -> Batch<T> {
    let (m, n) = (a.rows(), a.cols());
    let mut out = Batch::zeros(a.count(), n, m);
    for (out, a) in out.data_mut().chunks_exact_mut((m * n).max(1)).zip(a.data().chunks_exact((m * n).max(1)))
    {
        for i in 0..m {
            for j in 0..n {
                out[j * m + i] = a[i * n + j];
            }
        }
    }
    out
}

/// The product of the layers' Jacobians, each at the value that reaches it.
fn by_layers<T: Real>(flow: &Flow<T>, x: &Matrix<T>, direction: Direction) -> Result<Batch<T>, Error> {
    let (count, d) = (flow.layers().len(), flow.dim());
    let mut at = x.clone();
    let mut product: Option<Batch<T>> = None;
    for k in in_order(direction, count) {
        let layer = flow.part(k..k + 1)?;
        let (values, own) = Recorded::pull(&layer, direction)?.unchecked(&layer, &at)?;
        at = flow.with_contexts_of(values, x)?;
        product = Some(match product {
            None => own,
            Some(p) => {
                let mut next = Batch::zeros(x.rows(), d, d);
                for n in 0..x.rows() {
                    let m = own.matrix(n).mul(&p.matrix(n));
                    next.data_mut()[n * d * d..][..d * d].copy_from_slice(m.data());
                }
                next
            }
        });
    }
    let product = product.ok_or(Error::NoColumns)?;
    flow.check_result(direction.names().0, x, &at, &[])?;
    finite(flow, x, direction, product)
}
