//! An equation of each structure, for the laws of values that are solved for.

use eigenflow_autodiff::implicit::{Equation, Structure};
use eigenflow_autodiff::primitive::Eval;
use eigenflow_autodiff::{Error, Shape, Var};
use eigenflow_linalg::Real;

/// `2 y + tanh(y) Mᵀ = x` for three columns, `M` the entries of a shared matrix that the structure allows.
#[derive(Clone, Debug)]
pub struct Tanh(pub Structure);

/// Where entries of the matrix are below 0.3 the step `y ← (x - tanh(y) Mᵀ) / 2` contracts by 0.45.
const STEPS: usize = 60;

impl Tanh {
    /// The order of columns of a triangular one.
    pub fn triangular() -> Self {
        Self(Structure::Triangular([2, 0, 1].into()))
    }

    fn allows(&self, row: usize, col: usize) -> bool {
        let place = |order: &[usize], column: usize| order.iter().position(|&j| j == column);
        match &self.0 {
            Structure::Diagonal => row == col,
            Structure::Triangular(order) => place(order, col) <= place(order, row),
            Structure::Dense => true,
        }
    }

    fn mask<T: Real>(&self) -> Vec<T> {
        (0..9).map(|k| if self.allows(k / 3, k % 3) { T::ONE } else { T::ZERO }).collect()
    }
}

impl<T: Real> Equation<T> for Tanh {
    fn name(&self) -> &'static str {
        "tanh equation"
    }

    fn structure(&self) -> Structure {
        self.0.clone()
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, Error> {
        Ok(inputs[0])
    }

    fn residual<'t>(&self, x: &[Var<'t, T>], y: Var<'t, T>) -> Var<'t, T> {
        let matrix = x[1] * y.recorder().constant(3, 3, &self.mask::<T>());
        y * T::of(2.0) + y.tanh().matmul_t(matrix) - x[0]
    }

    fn solve(&self, cx: &mut Eval<'_, '_, T>) {
        let mask = self.mask::<T>();
        let matrix: Vec<T> = cx.inputs[1].iter().zip(&mask).map(|(&w, &m)| w * m).collect();
        for (y, x) in cx.outputs[0].chunks_exact_mut(3).zip(cx.inputs[0].chunks_exact(3)) {
            y.fill(T::ZERO);
            for _ in 0..STEPS {
                let t = [y[0], y[1], y[2]].map(|y| T::of(y.f64().tanh()));
                for (i, y) in y.iter_mut().enumerate() {
                    let sum: T = t.iter().zip(&matrix[3 * i..]).map(|(&t, &w)| t * w).sum();
                    *y = (x[i] - sum) * T::of(0.5);
                }
            }
        }
    }
}
