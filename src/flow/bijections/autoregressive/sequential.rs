//! The sequential direction as one operation of the tape.

use super::Autoregressive;
use crate::flow::bijections::transformed::apply;
use eigenflow_autodiff::implicit::{Equation, Structure};
use eigenflow_autodiff::primitive::{Eval, shape_error};
use eigenflow_autodiff::{Error, Nested, Shape, Var};
use eigenflow_linalg::Real;
use std::sync::Arc;

/// `τ(y; θ(y, c)) = v`: inputs `v`, the context `c` if there is one, and the weights times their masks, and biases.
#[derive(Debug)]
pub(super) struct Sequential<T> {
    layer: Autoregressive,
    /// Whether there is a context.
    given: bool,
    /// Columns by their places.
    order: Arc<[usize]>,
    /// `τ⁻¹(v; θ(y))` from `y` and `v`.
    pass: Nested<T>,
}

/// What the network makes of the columns `y`: `x` are the inputs after `v`.
fn raw<'t, T: Real>(layer: &Autoregressive, given: bool, x: &[Var<'t, T>], y: Var<'t, T>) -> Var<'t, T> {
    let (seen, params) = if given { (Var::concat(&[y, x[0]]), &x[1..]) } else { (y, x) };
    layer.network_given(seen.cols() - y.cols()).record(y.recorder(), params, seen)
}

impl<T: Real> Sequential<T> {
    pub fn new(layer: &Autoregressive, inputs: &[Var<'_, T>], given: bool) -> Self {
        let d = layer.order.len();
        let shapes: Vec<Shape> = inputs[1..].iter().map(Var::shape).collect();
        let pass = Nested::new(|r| {
            let (y, v) = (r.batch(d), r.batch(d));
            let rest: Vec<Var<'_, T>> = shapes.iter().map(|&s| r.input(s)).collect();
            vec![apply(&layer.transformer, raw(layer, given, &rest, y), v, true).0]
        });
        let mut order: Vec<usize> = (0..d).collect();
        order.sort_by_key(|&j| layer.order[j]);
        Self { layer: layer.clone(), given, order: order.into(), pass }
    }
}

impl<T: Real> Equation<T> for Sequential<T> {
    fn name(&self) -> &'static str {
        "autoregressive layer, inverted"
    }

    fn structure(&self) -> Structure {
        Structure::Triangular(self.order.clone())
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, Error> {
        let fits = inputs[0] == Shape::batch(self.order.len())
            && (!self.given || inputs[1] == Shape::batch(inputs[1].cols()));
        if fits {
            return Ok(inputs[0]);
        }
        shape_error(
            "autoregressive layer, inverted",
            inputs,
            "the first input is a batch of the layer's columns",
        )
    }

    fn residual<'t>(&self, x: &[Var<'t, T>], y: Var<'t, T>) -> Var<'t, T> {
        apply(&self.layer.transformer, raw(&self.layer, self.given, &x[1..], y), y, false).0 - x[0]
    }

    fn solve(&self, cx: &mut Eval<'_, '_, T>) {
        let (v, rest) = (cx.inputs[0], &cx.inputs[1..]);
        let (context, params) = rest.split_at(usize::from(self.given));
        let (y, next) = (&mut *cx.outputs[0], &mut cx.scratch[..v.len()]);
        y.copy_from_slice(v);
        // What overflows on the way, in a column that is not final yet, must not reach final ones as 0 times infinity.
        let kept = |v: T| if v.is_finite() { v } else { T::ZERO };
        let same = |a: T, b: T| a.f64().to_bits() == kept(b).f64().to_bits();
        // One pass more than there are places, to see that nothing changes.
        let mut left = self.layer.order.iter().max().map_or(0, |last| last + 1);
        loop {
            if run(&self.pass, cx.rows, [y, v], context, params, next).is_err() {
                return y.fill(T::NAN);
            }
            let settled = y.iter().zip(&*next).all(|(&a, &b)| same(a, b));
            if settled || left == 0 {
                return y
                    .iter_mut()
                    .zip(&*next)
                    .for_each(|(y, &v)| *y = if same(*y, v) { v } else { T::NAN });
            }
            left -= 1;
            y.iter_mut().zip(&*next).for_each(|(y, &v)| *y = kept(v));
        }
    }

    fn scratch(&self, inputs: &[Shape], rows: usize) -> usize {
        inputs[0].len(rows)
    }
}

/// One pass.
fn run<T: Real>(
    pass: &Nested<T>,
    rows: usize,
    [y, v]: [&[T]; 2],
    context: &[&[T]],
    params: &[&[T]],
    next: &mut [T],
) -> Result<(), Error> {
    match context {
        [c] => pass.run(rows, &[y, v, c], params, &mut [next]),
        _ => pass.run(rows, &[y, v], params, &mut [next]),
    }
}
