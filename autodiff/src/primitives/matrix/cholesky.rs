//! Cholesky factors.

use super::{square, triangle};
use crate::primitive::{Cotangents, Eval, Key, Primitive, Shapes, Tangents};
use crate::primitives::key;
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::triangular::Triangular;
use eigenflow_linalg::{Real, cholesky};
use smallvec::smallvec;

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
