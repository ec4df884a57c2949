//! Values that an equation defines, and the solves with the block of each row behind their derivatives.

use crate::zoo;

use eigenflow::flow::Flow;
use eigenflow::flow::bijections::{Autoregressive, Planar, Residual, Sylvester};
use eigenflow::flow::conditioner::Activation;
use eigenflow::flow::presets::{Name, Preset};
use eigenflow::flow::{Bijection, Layer};
use eigenflow::jacobian::{Direction, Route, jacobians};
use eigenflow_autodiff::implicit::{Equation, Structure, solve};
use eigenflow_autodiff::primitive::Eval;
use eigenflow_autodiff::primitives::row_solve::RowSolve;
use eigenflow_autodiff::{Error, Program, Shape, Var, gradcheck, gradient_report};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::svd::singular_values;
use zoo::rows;

/// `y + tanh(y) Wᵀ / 2 + force · y² = x` for two columns, with a `force` that the solver does not know of.
#[derive(Clone, Debug)]
struct Coupled {
    structure: Structure,
    force: f64,
}

impl Equation<f64> for Coupled {
    fn name(&self) -> &'static str {
        "coupled"
    }

    fn structure(&self) -> Structure {
        self.structure.clone()
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, Error> {
        Ok(inputs[0])
    }

    fn residual<'t>(&self, x: &[Var<'t, f64>], y: Var<'t, f64>) -> Var<'t, f64> {
        y + y.tanh().matmul_t(x[1]) * 0.5 + y.square() * self.force - x[0]
    }

    fn solve(&self, cx: &mut Eval<'_, '_, f64>) {
        let w = cx.inputs[1];
        for (y, x) in cx.outputs[0].chunks_exact_mut(2).zip(cx.inputs[0].chunks_exact(2)) {
            y.copy_from_slice(x);
            for _ in 0..200 {
                let t = [y[0].tanh(), y[1].tanh()];
                y[0] = x[0] - 0.5 * (w[0] * t[0] + w[1] * t[1]);
                y[1] = x[1] - 0.5 * (w[2] * t[0] + w[3] * t[1]);
            }
        }
    }
}

const X: [f64; 6] = [0.3, -1.1, 2.0, 0.4, -0.2, 0.9];

fn inputs(w: &[f64]) -> [(Shape, &[f64]); 2] {
    [(Shape::batch(2), &X), (Shape::shared(2, 2), w)]
}

#[test]
fn implicit_values_are_differentiated_by_their_equation() {
    let order: std::sync::Arc<[usize]> = [1, 0].into();
    let cases: [(Structure, [f64; 4]); 3] = [
        (Structure::Dense, [0.7, -0.5, 0.4, 0.6]),
        (Structure::Diagonal, [0.7, 0.0, 0.0, -0.6]),
        (Structure::Triangular(order), [0.7, -0.9, 0.0, 0.6]),
    ];
    for (structure, w) in cases {
        let equation = Coupled { structure: structure.clone(), force: 0.0 };
        // Weights that the structure says are zero are held: the solver would see them move.
        let whole = structure == Structure::Dense;
        if whole {
            gradcheck(|_, v| solve(equation.clone(), &[v[0], v[1]]), 3, &inputs(&w)).unwrap();
        }
        let rows_only = [(Shape::batch(2), &X[..])];
        gradcheck(|r, v| solve(equation.clone(), &[v[0], r.constant(2, 2, &w)]), 3, &rows_only).unwrap();
        // Second order: the derivatives of a directional derivative, through the solves.
        let v = [1.0, 0.5, -0.3, 0.8, 0.2, -1.0];
        let both = [(Shape::batch(2), &X[..]), (Shape::batch(2), &v[..])];
        let report = gradient_report(
            |r, x| {
                let y = solve(equation.clone(), &[x[0], r.constant(2, 2, &w)]);
                Ok(r.jvp(&[y], &[(x[0], x[1])])?[0])
            },
            3,
            &both,
        )
        .unwrap();
        assert!(report.jvp <= 1.0 && report.vjp <= 1.0 && report.duality <= 1.0, "{structure:?} {report:?}");
    }
}

/// A residual that is not the one that was solved, or a structure that the equation has not, gives wrong derivatives; the check sees it.
#[test]
fn a_wrong_residual_or_structure_is_seen() {
    let w = [0.7, -0.5, 0.4, 0.6];
    for wrong in [
        Coupled { structure: Structure::Dense, force: 0.1 },
        Coupled { structure: Structure::Diagonal, force: 0.0 },
        Coupled { structure: Structure::Triangular([0, 1].into()), force: 0.0 },
    ] {
        let error = gradcheck(|_, v| solve(wrong.clone(), &[v[0], v[1]]), 3, &inputs(&w)).unwrap_err();
        assert!(matches!(error, Error::Gradient { .. }), "{wrong:?}: {error}");
    }
}

/// Blocks near the identity, two lines a row.
fn blocks() -> ([f64; 18], [f64; 12]) {
    let a = std::array::from_fn(|k| f64::from(u8::from(k % 9 % 4 == 0)) + 0.3 * (k as f64 * 1.7).sin());
    (a, std::array::from_fn(|k| (k as f64 * 0.9).cos()))
}

#[test]
fn solves_with_the_block_of_each_row() {
    let (a, b) = blocks();
    for transpose in [false, true] {
        let op = RowSolve { transpose, order: None };
        let shapes = [(Shape::block(3, 3), &a[..]), (Shape::block(2, 3), &b[..])];
        gradcheck(|r, v| r.apply(op.clone(), v), 2, &shapes).unwrap();
        gradcheck(|r, v| r.apply(op.clone(), v).square().sum_cols().sum_tangents(), 2, &shapes).unwrap();
        let program = Program::<f64>::record(|r| {
            let v = [r.batch_block(3, 3), r.batch_block(2, 3)];
            vec![r.apply(op.clone(), &v)]
        });
        let x = program.run(2, &[&a, &b], &[]).unwrap().remove(0);
        for (n, k) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            for i in 0..3 {
                let entry = |j: usize| if transpose { a[9 * n + 3 * j + i] } else { a[9 * n + 3 * i + j] };
                let product: f64 = (0..3).map(|j| entry(j) * x[6 * n + 3 * k + j]).sum();
                assert!((product - b[6 * n + 3 * k + i]).abs() < 1e-14);
            }
        }
    }
    gradcheck(|_, v| v[0].row_log_abs_det(), 2, &[(Shape::block(3, 3), &a)]).unwrap();
}

/// A singular block is NaN in its own row alone.
#[test]
fn a_singular_block_spoils_its_own_row() {
    let (mut a, b) = blocks();
    a[..9].fill(1.0);
    let program = Program::<f64>::record(|r| {
        let v = [r.batch_block(3, 3), r.batch_block(2, 3)];
        vec![r.apply(RowSolve { transpose: false, order: None }, &v), v[0].row_log_abs_det()]
    });
    let out = program.run(2, &[&a, &b], &[]).unwrap();
    assert!(out[0][..6].iter().all(|v| !v.is_finite()) && out[0][6..].iter().all(|v| v.is_finite()));
    assert!(!out[1][0].is_finite() && out[1][1].is_finite());
}

fn disturbed(layer: Layer, size: f64) -> Flow<f64> {
    let mut flow = Flow::new(vec![layer], 0, 3).unwrap();
    zoo::randomise(&mut flow, 8);
    for p in flow.parameters_mut().iter_mut().filter(|p| !p.name.contains("mask")) {
        p.data.iter_mut().for_each(|w| *w *= size);
    }
    flow
}

/// Whatever the weights are: invertible, with a log-determinant that is a number, and back to where it came from.
#[test]
fn no_parameters_break_invertibility() {
    for size in [0.1, 1.0, 10.0, 100.0, 1e4] {
        let layers: Vec<Layer> = vec![
            Planar { dim: 3 }.into(),
            Sylvester { dim: 3, axes: 2 }.into(),
            Residual { dim: 3, hidden: vec![9, 8], activation: Activation::Silu }.into(),
        ];
        for layer in layers {
            let kind = layer.kind();
            let flow = disturbed(layer, size);
            let x = rows::<f64>(40, 3, 5);
            let (z, log_det) = flow.normalize(&x).unwrap();
            assert!(log_det.iter().all(|l| l.is_finite()), "{kind} {size}");
            let back = flow.generate(&z).unwrap();
            // Slopes are at least 1e-3, or 0.1; steps as long as parameters are large.
            let bound = 1e-11 * (1.0 + z.max_abs() + size * size);
            assert!(zoo::distance(&back, &x) <= bound, "{kind} {size}: {:e}", zoo::distance(&back, &x));
        }
    }
}

/// `1 - L <= |J v| <= 1 + L` for residual layers of any weights: singular values of exact Jacobians.
#[test]
fn residual_layers_are_contractions_beside_the_identity() {
    for activation in [Activation::Silu, Activation::Tanh, Activation::Relu] {
        for size in [0.3, 3.0, 300.0] {
            let flow = disturbed(Residual { dim: 4, hidden: vec![12, 12], activation }.into(), size);
            let x = rows::<f64>(60, 4, 6).map(|v| 0.2 * v);
            let all = jacobians(&flow, &x, Direction::Normalize, Route::Push).unwrap();
            for n in 0..60 {
                let s = singular_values(&all.matrix(n)).unwrap();
                assert!(s[0] <= 1.9 + 1e-12 && s[3] >= 0.1 - 1e-12, "{activation:?} {size}: {s:?}");
            }
        }
    }
}

/// The sequential direction is, bit for bit, what column after column gives.
#[test]
fn passes_until_nothing_changes_are_the_sequential_solution() {
    for d in [1, 2, 5, 8] {
        for layer in Autoregressive::examples(d) {
            let (order, inverse) = (layer.order.clone(), layer.inverse);
            let flow = disturbed(layer.into(), 1.0);
            let v = rows::<f64>(7, d, 9);
            let one_pass =
                |y: &Matrix<f64>| if inverse { flow.generate(y) } else { flow.normalize(y).map(|r| r.0) };
            let y = if inverse { flow.normalize(&v).unwrap().0 } else { flow.generate(&v).unwrap() };
            // What is before a place does not depend on what is at it or behind: cut away, the rest is solved the same.
            let again = one_pass(&y).unwrap();
            assert!(zoo::distance(&again, &v) <= 1e-12 * (1.0 + v.norm()), "{order:?}");
            let first = order.iter().position(|&p| p == 0).unwrap();
            let changed =
                Matrix::from_fn(7, d, |i, j| if order[j] == 0 { v[(i, j)] } else { v[(i, j)] + 1.0 });
            let other =
                if inverse { flow.normalize(&changed).unwrap().0 } else { flow.generate(&changed).unwrap() };
            assert_eq!(other.col(first), y.col(first), "{order:?}");
        }
    }
}

/// A masked autoregressive layer of 784 columns generates: some passes of its network, not a tape of hundreds.
#[test]
fn wide_autoregressive_layers_generate() {
    let preset = Preset { layers: Some(1), hidden: Some(vec![256]), ..Preset::named(Name::Maf) };
    let flow = Flow::<f64>::new(preset.layers(784, 0).unwrap(), 0, 0).unwrap();
    let z = rows::<f64>(2, 784, 1);
    let x = flow.generate(&z).unwrap();
    assert!(zoo::distance(&flow.normalize(&x).unwrap().0, &z) < 1e-10);
    let program = Program::<f64>::record(|r| {
        let params = flow.declare(r);
        vec![flow.record_generate(&params, r.batch(784), 0..1).out]
    });
    assert!(program.len() < 40, "{} operations", program.len());
}
