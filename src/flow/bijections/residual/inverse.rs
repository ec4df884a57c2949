//! The way back through a residual layer: Newton's method with the contraction to fall back on.

use super::{MOST_COLUMNS, Residual, jacobian};
use crate::flow::conditioner::Mlp;
use eigenflow_autodiff::implicit::{Equation, Structure};
use eigenflow_autodiff::primitive::{Eval, shape_error};
use eigenflow_autodiff::primitives::row_solve::RowSolve;
use eigenflow_autodiff::{Error, Nested, Pool, Shape, Var};
use eigenflow_linalg::Real;

/// `y + g(y) = z`: inputs `z`, and the parameters of `g`.
#[derive(Debug)]
pub(super) struct Inverse<T> {
    network: Mlp,
    /// The residual and Newton's step from `y` and `z`.
    newton: Nested<T>,
    /// What is known of the rows of a shard, and the least residual of each.
    rows: Pool<Vec<(State, f64)>>,
}

/// Most evaluations of a row: `0.9^400` is below the rounding of any precision.
const MOST: usize = 400;
/// A step must shrink the residual to this part of it.
const PROGRESS: f64 = 0.99;

impl<T: Real> Inverse<T> {
    /// With the parameters as they contract. Beyond 64 columns a Jacobian costs more than the contraction's steps: those alone.
    pub(super) fn new(layer: &Residual, inputs: &[Var<'_, T>]) -> Self {
        let network = layer.network();
        let shapes: Vec<Shape> = inputs[1..].iter().map(Var::shape).collect();
        let newton = Nested::new(|r| {
            let (y, z) = (r.batch(layer.dim), r.batch(layer.dim));
            let params: Vec<Var<'_, T>> = shapes.iter().map(|&s| r.input(s)).collect();
            let residual = y + network.record(r, &params, y) - z;
            let newton = |block| r.apply(RowSolve { transpose: true, order: None }, &[block, residual]);
            let step = match layer.dim {
                ..=MOST_COLUMNS => jacobian(r, residual, y).map_or(residual, newton),
                _ => residual,
            };
            vec![residual, step]
        });
        Self { network, newton, rows: Pool::default() }
    }
}

/// What the iteration knows of a row.
#[derive(Clone, Copy, Debug)]
enum State {
    /// The row stands where Newton's step led.
    Newton,
    /// The row stands where the contraction led.
    Contraction,
    /// The best point is the solution.
    Done,
}

impl<T: Real> Equation<T> for Inverse<T> {
    fn name(&self) -> &'static str {
        "residual layer, inverted"
    }

    fn structure(&self) -> Structure {
        Structure::Dense
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, Error> {
        if inputs[0] == Shape::batch(self.network.inputs) {
            return Ok(inputs[0]);
        }
        shape_error("residual layer, inverted", inputs, "the first input is a batch of the layer's columns")
    }

    fn residual<'t>(&self, x: &[Var<'t, T>], y: Var<'t, T>) -> Var<'t, T> {
        y + self.network.record(y.recorder(), &x[1..], y) - x[0]
    }

    fn solve(&self, cx: &mut Eval<'_, '_, T>) {
        let n = cx.rows;
        self.rows.with(|| Vec::with_capacity(n), |rows| self.iterate(cx, rows));
    }

    fn scratch(&self, inputs: &[Shape], rows: usize) -> usize {
        4 * inputs[0].len(rows)
    }
}

impl<T: Real> Inverse<T> {
    /// Rows go in step through the network, each with a state of its own; one that is done stays where it is.
    fn iterate(&self, cx: &mut Eval<'_, '_, T>, rows: &mut Vec<(State, f64)>) {
        let (z, params, d) = (cx.inputs[0], &cx.inputs[1..], self.network.inputs);
        let best = &mut *cx.outputs[0];
        let (y, rest) = cx.scratch.split_at_mut(z.len());
        let (residual, rest) = rest.split_at_mut(z.len());
        let (step, rest) = rest.split_at_mut(z.len());
        let of_best = &mut rest[..z.len()];
        best.copy_from_slice(z);
        y.copy_from_slice(z);
        rows.clear();
        rows.resize(cx.rows, (State::Contraction, f64::INFINITY));
        for _ in 0..MOST {
            if self.newton.run(cx.rows, &[y, z], params, &mut [&mut *residual, &mut *step]).is_err() {
                return best.fill(T::NAN);
            }
            let mut busy = false;
            for (i, (state, least)) in rows.iter_mut().enumerate() {
                let at = i * d..(i + 1) * d;
                let size = length(&residual[at.clone()]);
                *state = match *state {
                    State::Done => State::Done,
                    _ if size < PROGRESS * *least => {
                        *least = size;
                        best[at.clone()].copy_from_slice(&y[at.clone()]);
                        of_best[at.clone()].copy_from_slice(&residual[at.clone()]);
                        for k in at {
                            y[k] -= step[k];
                        }
                        State::Newton
                    }
                    State::Newton => {
                        for k in at {
                            y[k] = best[k] - of_best[k];
                        }
                        State::Contraction
                    }
                    State::Contraction => State::Done,
                };
                busy |= !matches!(state, State::Done);
            }
            if !busy {
                break;
            }
        }
        for (i, (state, least)) in rows.iter().enumerate() {
            let size = 1.0 + length(&z[i * d..(i + 1) * d]);
            // A residual at rounding is far below this; anything above, or NaN, is no solution.
            if !(matches!(state, State::Done) && *least <= T::EPS.f64().sqrt() * size) {
                best[i * d..(i + 1) * d].fill(T::NAN);
            }
        }
    }
}

/// `|v|`, without overflow.
fn length<T: Real>(v: &[T]) -> f64 {
    let most = v.iter().fold(0.0_f64, |m, v| m.max(v.f64().abs()));
    if v.iter().any(|v| !v.is_finite()) {
        return f64::INFINITY;
    }
    if most == 0.0 { 0.0 } else { most * v.iter().map(|v| (v.f64() / most).powi(2)).sum::<f64>().sqrt() }
}
