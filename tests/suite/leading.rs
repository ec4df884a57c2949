//! Leading components and estimates from products with Jacobians, against the dense ones.

use crate::cli_support::Room;
use crate::zoo;

use eigenflow::components::{components, leading_components, leading_reconstruct, reconstruct};
use eigenflow::flow::presets::{Name, Preset};
use eigenflow::flow::{Flow, bijections::Asinh};
use eigenflow::jacobian::{
    Direction, Route, condition_numbers, frobenius_estimate, jacobians, leading_condition_numbers,
    leading_covariance, local_covariance, log_det_estimate,
};
use eigenflow_linalg::{Matrix, Real};
use zoo::rows;

/// Leading pairs against the SVD of the dense Jacobian, for every bijection and preset.
fn agree<T: Real>(case: &zoo::Case, tolerance: f64) {
    let flow: Flow<T> = case.flow.cast();
    let (d, k) = (flow.dim(), flow.dim().div_ceil(2));
    let x: Matrix<T> = rows(3, d, 17);
    let dense = local_covariance(&flow, &x, d).unwrap();
    let found = leading_covariance(&flow, &x, k, tolerance, 1).unwrap();
    for n in 0..x.rows() {
        let largest = dense.scales[(n, 0)].f64().powi(2);
        // The dense route has its own rounding, relative to the largest of J: s_max eps on every s.
        let kappa = dense.condition[n].f64();
        for c in 0..k {
            let (value, exact) = (found.scales[(n, c)].f64().powi(2), dense.scales[(n, c)].f64().powi(2));
            let residual = found.residuals[(n, c)].f64();
            let rounding = 64.0 * d as f64 * T::EPS.f64() * (largest + kappa * exact);
            let name = format!("{} {} row {n}, pair {c}", case.name, T::NAME);
            assert!(
                (value - exact).abs() <= residual + rounding,
                "{name}: {value} {exact}, within {residual:e}"
            );
            assert!(residual <= tolerance * value + rounding, "{name}: residual {residual:e} of {value}");
        }
    }
}

#[test]
fn leading_pairs_are_those_of_the_dense_jacobian() {
    for case in zoo::single_layers(8).iter().chain(&zoo::presets(8, true)) {
        agree::<f64>(case, 1e-9);
        agree::<f32>(case, 1e-3);
    }
}

fn wide(dim: usize) -> Flow<f64> {
    let preset = Preset { layers: Some(4), hidden: Some(vec![32, 32]), ..Preset::named(Name::Realnvp) };
    let mut flow = Flow::new(preset.layers(dim, 5).unwrap(), 0, 5).unwrap();
    zoo::randomise(&mut flow, 5);
    flow
}

/// D = 784, K = 16: eigenvalues to 1e-6 of the dense ones, axes that span the same space, the same bits on any number of
/// threads and whatever the other rows.
#[test]
fn sixteen_axes_of_784_columns() {
    let (flow, x) = (wide(784), rows::<f64>(2, 784, 3));
    let dense = local_covariance(&flow, &x, 784).unwrap();
    let found = leading_covariance(&flow, &x, 16, 1e-6, 0).unwrap();
    for n in 0..2 {
        for c in 0..16 {
            let (a, b) = (found.scales[(n, c)].powi(2), dense.scales[(n, c)].powi(2));
            assert!((a - b).abs() <= 1e-6 * b, "{a} {b}");
        }
    }
    let second = Matrix::new(1, 784, x.row(1).to_vec());
    let alone = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| leading_covariance(&flow, &second, 16, 1e-6, 0).unwrap())
    };
    let (one, two) = (alone(1), alone(2));
    assert_eq!(one.axes.data(), two.axes.data());
    assert_eq!(one.scales.row(0), found.scales.row(1));
    assert_eq!(one.axes.data(), found.axes.get(1));
}

#[test]
fn three_thousand_columns_take_no_dense_jacobian() {
    let (flow, x) = (wide(3072), rows::<f64>(1, 3072, 3));
    let found = leading_covariance(&flow, &x, 4, 1e-4, 0).unwrap();
    for c in 0..4 {
        assert!(found.residuals[(0, c)] <= 1.1e-4 * found.scales[(0, c)].powi(2));
    }
    // Against the definition along its own axis: |J_gᵀ u| = σ.
    let z = flow.normalize(&x).unwrap().0;
    let mut products = eigenflow::jacobian::JacobianProducts::new(&flow, Direction::Generate, 1).unwrap();
    let axis: Vec<f64> = (0..3072).map(|i| found.axes.data()[i * 4]).collect();
    let pulled = products.pull(&z, &axis).unwrap();
    let size = pulled.iter().map(|v| v * v).sum::<f64>().sqrt();
    assert!((size / found.scales[(0, 0)] - 1.0).abs() < 1e-6, "{size}");
}

#[test]
fn condition_numbers_without_a_jacobian() {
    for case in zoo::presets(8, true).iter().step_by(5) {
        let x = rows::<f64>(3, 8, 4);
        let dense = condition_numbers(&case.flow, &x).unwrap();
        let found = leading_condition_numbers(&case.flow, &x, 1e-8, 0).unwrap();
        for (a, b) in found.iter().zip(dense) {
            assert!((a / b - 1.0).abs() <= 1e-7 + 1e-13 * b, "{}: {a} {b}", case.name);
        }
    }
}

/// Components by products alone against those of the SVD: values and axes to the residual over the gap (sin Θ theorem), shares within five of
/// their own standard errors, which are small enough to mean something.
#[test]
fn leading_components_are_the_dense_ones() {
    let (flow, x, k) = (wide(96), rows::<f64>(12, 96, 21), 6);
    let (z, _) = flow.normalize(&x).unwrap();
    let dense = components(&flow, &x, k + 1).unwrap();
    let found = leading_components(&flow, &x, k, 1e-9, 4).unwrap();
    let c = &found.components;
    for n in 0..x.rows() {
        let eigenvalue = |j: usize| dense.scales[(n, j)].powi(2);
        let length = z.row(n).iter().map(|v| v * v).sum::<f64>().sqrt();
        for j in 0..k {
            let below = eigenvalue(j) - eigenvalue(j + 1);
            let gap = if j == 0 { below } else { below.min(eigenvalue(j - 1) - eigenvalue(j)) };
            let turn = 2.0 * found.residuals[(n, j)] / gap + 1e-12 * eigenvalue(0) / gap;
            let scale = dense.scales[(n, j)];
            assert!((c.scales[(n, j)] / scale - 1.0).abs() < 1e-9);
            let off = (c.values[(n, j)] - dense.values[(n, j)]).abs();
            assert!(off <= 2.0 * turn * scale * length, "{off:e}, turned by {turn:e}");
            let axis = (0..96).map(|i| {
                let at = n * 96 + i;
                (c.axes.data()[at * k + j] - dense.axes.data()[at * (k + 1) + j]).powi(2)
            });
            assert!(axis.sum::<f64>().sqrt() <= 2.0 * turn);
        }
    }
    for j in 0..k {
        let (share, error) = (c.significance[j], found.significance_error[j]);
        let off = (share - dense.significance[j]).abs();
        assert!(
            off <= 5.0 * error && error > 0.0 && error < 0.02 * share,
            "{share} ± {error}: off by {off:e}"
        );
    }
    // All axes leave nothing to estimate.
    let (all, dense) =
        (leading_components(&flow, &x, 96, 1e-9, 4).unwrap(), components(&flow, &x, 96).unwrap());
    for (a, b) in all.components.significance.iter().zip(&dense.significance) {
        assert!((a - b).abs() < 1e-9);
    }
    assert!(all.significance_error.iter().all(|e| *e < 1e-12));
}

#[test]
fn rows_are_rebuilt_without_a_jacobian() {
    let (flow, x) = (wide(48), rows::<f64>(5, 48, 8));
    for keep in [0, 1, 5, 48] {
        let dense = reconstruct(&flow, &x, keep).unwrap();
        let found = leading_reconstruct(&flow, &x, keep, 1e-11, 0).unwrap();
        for (a, b) in found.rows.data().iter().zip(dense.rows.data()) {
            assert!((a - b).abs() < 1e-7, "{keep}: {a} {b}");
        }
        for (a, b) in found.predicted.iter().zip(&dense.predicted) {
            assert!((a - b).abs() < 1e-7 * (1.0 + b), "{keep}: {a} {b}");
        }
    }
}

/// Estimates lie within five of their own standard errors of the truth, over many rows, and the errors shrink as
/// they should.
#[test]
fn estimates_and_their_errors() {
    let (flow, x) = (wide(32), rows::<f64>(200, 32, 9));
    let j = jacobians(&flow, &x, Direction::Normalize, Route::Push).unwrap();
    let exact: Vec<f64> = (0..200).map(|n| j.matrix(n).norm().powi(2)).collect();
    let log_dets = flow.normalize(&x).unwrap().1;
    let score = |truth: &[f64], e: &eigenflow::jacobian::Estimate| {
        let z: Vec<f64> = truth.iter().zip(&e.values).zip(&e.errors).map(|((t, v), s)| (v - t) / s).collect();
        (z.iter().map(|z| z * z).sum::<f64>() / 200.0, z.iter().sum::<f64>() / 200.0)
    };
    // Student's t with 31 degrees of freedom has the variance 31/29; over 200 rows its mean square is within 0.15 (s.d. about 0.11).
    let e = frobenius_estimate(&flow, &x, Direction::Normalize, 32, 2).unwrap();
    let (square, mean) = score(&exact, &e);
    assert!((square - 31.0 / 29.0).abs() < 0.55 && mean.abs() < 5.0 / 200.0_f64.sqrt(), "{square} {mean}");
    let e = log_det_estimate(&flow, &x, Direction::Normalize, 32, 32, 2).unwrap();
    let (square, mean) = score(&log_dets, &e);
    assert!((square - 31.0 / 29.0).abs() < 0.55 && mean.abs() < 5.0 / 200.0_f64.sqrt(), "{square} {mean}");
    // With all steps the rule is exact: in one column every probe is.
    let flow = Flow::<f64>::new(vec![Asinh { dim: 1 }.into()], 0, 0).unwrap();
    let x = Matrix::new(1, 1, vec![0.4]);
    let e = log_det_estimate(&flow, &x, Direction::Normalize, 2, 1, 0).unwrap();
    assert!((e.values[0] - flow.normalize(&x).unwrap().1[0]).abs() < 1e-14);
}

#[test]
fn estimates_refuse_a_single_probe() {
    let (flow, x) = (wide(4), rows::<f64>(1, 4, 9));
    let error = frobenius_estimate(&flow, &x, Direction::Normalize, 1, 0).unwrap_err();
    assert!(error.to_string().contains("at least 2"), "{error}");
}

/// `covariance --method matrix-free` writes what `dense` writes, and a bound beside it.
#[test]
fn the_command_line_has_both_routes() {
    let (room, data) = (Room::with_model(), "builtin:s-curve?n=200");
    room.ok(&format!("covariance m.safetensors {data} --top 2 --method dense --out a.npz"));
    room.ok(&format!(
        "covariance m.safetensors {data} --top 2 --method matrix-free --tolerance 1e-8 --out b.npz"
    ));
    let read = |array: &str| room.array(array).data;
    let (a, b) = (read("a.npz:eigenvalues"), read("b.npz:eigenvalues"));
    assert_eq!(a.len(), 400);
    for (a, b) in a.iter().zip(&b) {
        assert!((a / b - 1.0).abs() < 1e-7, "{a} {b}");
    }
    for (a, b) in read("a.npz:condition").iter().zip(read("b.npz:condition")) {
        assert!((a / b - 1.0).abs() < 1e-6, "{a} {b}");
    }
    assert!(read("b.npz:residuals").iter().zip(&b).all(|(r, v)| *r <= 1.1e-8 * v));
    room.says(
        "covariance m.safetensors builtin:s-curve?n=2 --tolerance -1",
        2,
        &["--tolerance -1", "between 0 and 1"],
    );
}

/// `components` and `reconstruct` by either route write the same, aligned signs included; what needs all axes is refused by name.
#[test]
fn components_from_the_command_line_take_no_jacobian() {
    let (room, data) = (Room::with_model(), "builtin:s-curve?n=200");
    room.ok(&format!("components m.safetensors {data} --top 2 --method dense --out a.npz"));
    room.ok(&format!("components m.safetensors {data} --top 2 --method matrix-free --out b.npz"));
    room.ok(&format!("reconstruct m.safetensors {data} --top 1 --method dense --out c.npz"));
    room.ok(&format!("reconstruct m.safetensors {data} --top 1 --method matrix-free --out d.npz"));
    let near = |one: &str, other: &str, within: f64| {
        let (a, b) = (room.array(one).data, room.array(other).data);
        assert_eq!(a.len(), b.len());
        let off = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off <= within, "{one} and {other}: {off:e}");
    };
    // In single precision, 200 rows: the nearest two scales are some hundredths apart.
    near("a.npz:scales", "b.npz:scales", 1e-4);
    near("a.npz:components", "b.npz:components", 1e-2);
    near("a.npz:axes", "b.npz:axes", 1e-2);
    near("c.npz:reconstruction", "d.npz:reconstruction", 1e-2);
    let (dense, shares) = (room.array("a.npz:significance").data, room.array("b.npz:significance").data);
    let errors = room.array("b.npz:significance_error").data;
    for ((a, b), error) in dense.iter().zip(&shares).zip(&errors) {
        assert!((a - b).abs() <= 5.0 * error + 1e-5, "{a} {b} ± {error}");
    }
    for option in ["--path", "--compare", "--order followed", "--plot p"] {
        let run =
            format!("components m.safetensors {data} --top 2 --method matrix-free --out e.npz {option}");
        room.says(&run, 2, &[option.split(" p").next().unwrap_or(option), "all 3 axes", "--method dense"]);
    }
}
