//! The coordinates about a curve as one operation of the tape.

use super::Curve;
use eigenflow_autodiff::primitive::{Cotangents, Eval, Primitive, Shapes, Tangents, shape_error};
use eigenflow_autodiff::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use smallvec::smallvec;

/// `(x, z) → (t, w)`: two values of one column from two. Computed in `f64` in either precision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coordinates<C>(pub C);

impl<C: Curve> Coordinates<C> {
    /// Rows of the inverse Jacobian at the outputs: `∇t = τ/σ` and `∇w = n`.
    fn gradients<'t, T: Real>(&self, y: &[Var<'t, T>]) -> [[Var<'t, T>; 2]; 2] {
        let [cos, sin] = self.0.tangent(y[0]);
        let stretch = self.0.stretch(y[0], y[1]);
        [[cos / stretch, sin / stretch], [-sin, cos]]
    }
}

impl<T: Real, C: Curve> Primitive<T> for Coordinates<C> {
    fn name(&self) -> &'static str {
        "curve coordinates"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if inputs != [inputs[0]; 2] || inputs[0].tangents() != 1 {
            return shape_error(
                "curve coordinates",
                inputs,
                "two values of one shape, not blocks, are needed",
            );
        }
        Ok(smallvec![inputs[0]; 2])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        for i in 0..cx.inputs[0].len() {
            let point = [cx.inputs[0][i].f64(), cx.inputs[1][i].f64()];
            let [t, w] = self.0.coordinates(point).map_or([T::NAN; 2], |found| found.map(T::of));
            cx.outputs[0][i] = t;
            cx.outputs[1][i] = w;
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        _x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let row = |[a, b]: [Var<'t, T>; 2]| dx[0].scale(a).add(dx[1].scale(b), r, y[0].shape());
        Ok(self.gradients(y).into_iter().map(row).collect())
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        _x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let gradients = self.gradients(y);
        let column = |j: usize| {
            let terms = gradients.iter().zip(dy).filter_map(|(row, dy)| Some(dy.as_ref()?.chain(row[j])));
            terms.reduce(|a, b| a + b)
        };
        Ok((0..2).map(|j| if need[j] { column(j) } else { None }).collect())
    }
}
