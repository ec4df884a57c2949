//! Exact Jacobians: three routes, inverses, finite differences, spectra.

use crate::zoo;

use eigenflow::flow::bijections::{Affine, Asinh, Coupling, Form, Permutation, Standardize};
use eigenflow::flow::conditioner::Activation;
use eigenflow::flow::{Flow, Layer};
use eigenflow::jacobian::{Direction, Route, condition_numbers, jacobians, local_covariance};
use eigenflow_linalg::{Matrix, Real, lu};
use zoo::{Anatomy, Case, DIMS, Worst, by_routes, distance, row, rows};

/// What three exact routes may differ by, relative to `∏‖J_l‖`: `1e-12` in `f64`, and as many units
/// in the last place in `f32`.
fn agreement<T: Real>() -> f64 {
    1e-12 / f64::EPSILON * T::EPS.f64()
}

fn routes_agree<T: Real>(case: &Case, relative: bool, worst: &mut Worst) {
    let flow: Flow<T> = case.flow.cast();
    let exact: Flow<f64> = flow.cast();
    let x: Matrix<T> = rows(3, flow.dim(), 7);
    let z = flow.normalize(&x).unwrap().0;
    for (direction, at) in [(Direction::Normalize, &x), (Direction::Generate, &z)] {
        let [push, pull, layers] = by_routes(&flow, at, direction);
        for i in 0..x.rows() {
            let anatomy = Anatomy::of(&exact, &row(&x, i).cast());
            let product = match direction {
                _ if relative => push.matrix(i).norm().f64(),
                Direction::Normalize => anatomy.norms(),
                Direction::Generate => anatomy.inverse_norms(),
            };
            let name = format!("{} {} {direction:?} row {i}", case.name, T::NAME);
            let bound = agreement::<T>() * product;
            worst.check(format_args!("{name}, pull"), distance(&push.matrix(i), &pull.matrix(i)), bound);
            worst.check(format_args!("{name}, layers"), distance(&push.matrix(i), &layers.matrix(i)), bound);
        }
    }
}

#[test]
fn push_pull_and_layers_agree() {
    let mut worst = Worst::default();
    for case in DIMS.iter().flat_map(|&d| zoo::everything(d)) {
        routes_agree::<f64>(&case, false, &mut worst);
        routes_agree::<f32>(&case, false, &mut worst);
    }
    worst.report("routes, randomised");
}

#[test]
fn routes_agree_to_relative_accuracy_on_fresh_models() {
    let mut worst = Worst::default();
    for case in DIMS.iter().flat_map(|&d| zoo::presets(d, false)) {
        routes_agree::<f64>(&case, true, &mut worst);
    }
    worst.report("routes, fresh");
}

fn inverse_jacobians<T: Real>(case: &Case, worst: &mut Worst) {
    let d = case.flow.dim();
    let flow: Flow<T> = case.flow.cast();
    let exact: Flow<f64> = flow.cast();
    let x: Matrix<T> = rows(4, d, 8);
    let z = flow.normalize(&x).unwrap().0;
    let j = jacobians(&flow, &x, Direction::Normalize, Route::Push).unwrap();
    let g = jacobians(&flow, &z, Direction::Generate, Route::Push).unwrap();
    for i in 0..x.rows() {
        let anatomy = Anatomy::of(&exact, &row(&x, i).cast());
        let error = distance(&g.matrix(i).mul(&j.matrix(i)), &Matrix::identity(d));
        // Each factor carries its own rounding errors, and J_g stands at the rounded z, whose
        // distance from the exact one enters through the curvature of the layers.
        let bound = (d as f64 + 24.0)
            * T::EPS.f64()
            * (anatomy.norms() * anatomy.inverse_norms() + anatomy.magnification(true));
        worst.check(format_args!("{} {} row {i}", case.name, T::NAME), error, bound);
    }
}

#[test]
fn jacobian_of_generate_inverts_that_of_normalize() {
    let mut worst = Worst::default();
    for case in DIMS.iter().flat_map(|&d| zoo::everything(d)) {
        inverse_jacobians::<f64>(&case, &mut worst);
        inverse_jacobians::<f32>(&case, &mut worst);
    }
    worst.report("J_g J = I");
}

/// Central differences of columns `j` of every row with steps `h` and `2h`, and the Jacobians at the
/// ends of the longer step.
fn differences_agree(case: &Case, direction: Direction, worst: &mut Worst) -> (usize, usize) {
    let h = 1e-4;
    let d = case.flow.dim();
    let map = |x: &Matrix<f64>| match direction {
        Direction::Normalize => case.flow.normalize(x).unwrap().0,
        Direction::Generate => case.flow.generate(x).unwrap(),
    };
    let x = match direction {
        Direction::Normalize => rows::<f64>(8, d, 9),
        Direction::Generate => case.flow.normalize(&rows(8, d, 9)).unwrap().0,
    };
    let at = |x: &Matrix<f64>| jacobians(&case.flow, x, direction, Route::Push).unwrap();
    let exact = at(&x);
    let (mut tried, mut skipped) = (0, 0);
    for j in 0..d {
        let moved = |step: f64| Matrix::from_fn(8, d, |n, c| x[(n, c)] + if c == j { step } else { 0.0 });
        let slope = |h: f64| {
            let (right, left) = (map(&moved(h)), map(&moved(-h)));
            Matrix::from_fn(8, d, |n, i| (right[(n, i)] - left[(n, i)]) / (2.0 * h))
        };
        let (near, far) = (slope(h), slope(2.0 * h));
        let (right, left) = (at(&moved(2.0 * h)), at(&moved(-2.0 * h)));
        let value = map(&x);
        for n in 0..8 {
            tried += 1;
            let size = exact.matrix(n).norm();
            if !case.is_smooth() && distance(&right.matrix(n), &left.matrix(n)) > 0.01 * size {
                skipped += 1; // a kink in between
                continue;
            }
            let anatomy = if direction == Direction::Normalize {
                Anatomy::of(&case.flow, &row(&x, n)).magnification(false)
            } else {
                let data = row(&value, n);
                Anatomy::of(&case.flow, &data).magnification(true)
            };
            for i in 0..d {
                // The longer step is wrong by four times as much as the shorter one; what is left is
                // rounding, of values and of the step.
                let truncation = (far[(n, i)] - near[(n, i)]).abs();
                let rounding = (d as f64 + 24.0) * f64::EPSILON * anatomy / h;
                let error = (near[(n, i)] - exact.matrix(n)[(i, j)]).abs();
                let what = format!("{} {direction:?} [{n}, {i}, {j}]", case.name);
                worst.check(what, error, truncation + rounding);
            }
        }
    }
    (tried, skipped)
}

#[test]
fn jacobians_agree_with_central_differences() {
    let mut worst = Worst::default();
    let (mut tried, mut skipped) = (0, 0);
    for case in DIMS.iter().flat_map(|&d| zoo::selection(d)) {
        for direction in [Direction::Normalize, Direction::Generate] {
            let (t, s) = differences_agree(&case, direction, &mut worst);
            (tried, skipped) = (tried + t, skipped + s);
        }
    }
    worst.report("finite differences");
    assert!(skipped * 20 < tried, "{skipped} of {tried} rows near a kink: the test says too little");
}

/// `C(x) = J_g J_gᵀ`: its axes and scales against products with the exact `J_g`.
#[test]
fn local_covariance_is_that_of_the_generating_map() {
    for case in DIMS.iter().flat_map(|&d| zoo::selection(d)) {
        let d = case.flow.dim();
        let x = rows::<f64>(4, d, 10);
        let z = case.flow.normalize(&x).unwrap().0;
        let local = local_covariance(&case.flow, &x, d).unwrap();
        let g = jacobians(&case.flow, &z, Direction::Generate, Route::Push).unwrap();
        let kappa = condition_numbers(&case.flow, &x).unwrap();
        assert_eq!(kappa, local.condition);
        for (n, kappa) in kappa.into_iter().enumerate() {
            let anatomy = Anatomy::of(&case.flow, &row(&x, n));
            let unit = 8.0 * (d as f64 + 24.0) * f64::EPSILON * (1.0 + anatomy.magnification(true));
            let (v, u) = (local.axes.matrix(n), local.latent_axes.matrix(n));
            // J_g U = V diag(scales)
            let scaled = Matrix::from_fn(d, d, |i, k| v[(i, k)] * local.scales[(n, k)]);
            let size = local.scales[(n, 0)] * anatomy.norms() * anatomy.inverse_norms();
            let error = distance(&g.matrix(n).mul(&u), &scaled);
            assert!(error <= unit * size, "{} row {n}: {error:e} > {:e}", case.name, unit * size);
            let orthogonal = distance(&v.transpose().mul(&v), &Matrix::identity(d));
            assert!(orthogonal <= 64.0 * d as f64 * f64::EPSILON, "{}: {orthogonal:e}", case.name);
            assert!(local.scales.row(n).windows(2).all(|s| s[0] >= s[1]), "largest first");
            let expected = local.scales[(n, 0)] / local.scales[(n, d - 1)];
            assert!((kappa / expected - 1.0).abs() <= unit * size, "{}", case.name);
            for k in 0..d {
                let largest =
                    v.col(k).into_iter().fold(0.0_f64, |m, e| if e.abs() > m.abs() { e } else { m });
                assert!(largest > 0.0, "{}: the largest entry of an axis is positive", case.name);
            }
        }
        let top = local_covariance(&case.flow, &x, 1).unwrap();
        assert_eq!(top.scales.data(), local.scales.col(0), "{}", case.name);
    }
}

/// A rotation by hand: `J = [[2, 0], [0, 1/3]]` has `C = diag(1/4, 9)`.
#[test]
fn local_covariance_of_a_diagonal_map() {
    let mut flow = Flow::<f64>::new(vec![Standardize { dim: 2 }.into()], 0, 0).unwrap();
    flow.parameters_mut()[1].data = vec![0.5, 3.0];
    let local = local_covariance(&flow, &Matrix::new(1, 2, vec![1.0, 1.0]), 2).unwrap();
    assert_eq!(local.scales.data(), [3.0, 0.5]);
    assert_eq!(local.eigenvalues().data(), [9.0, 0.25]);
    assert_eq!(local.axes.data(), [0.0, 1.0, 1.0, 0.0]);
    assert_eq!(local.condition, [6.0]);
}

/// A singular matrix: infinite condition number and scales, no NaN; also the zero matrix.
#[test]
fn singular_jacobians_have_infinite_condition() {
    for (d, entries) in [(2, vec![1.0, 1.0, 1.0, 1.0]), (2, vec![0.0; 4]), (1, vec![0.0])] {
        let mut flow = Flow::<f64>::new(vec![Affine::new(d, Form::Full).into()], 0, 0).unwrap();
        flow.parameters_mut()[0].data = entries;
        let x = Matrix::zeros(1, d);
        let kappa = condition_numbers(&flow, &x).unwrap()[0];
        assert!(kappa > 1e15, "{kappa}");
        let local = local_covariance(&flow, &x, d).unwrap();
        assert!(local.scales.data().iter().all(|s| !s.is_nan()));
        assert!(flow.normalize(&x).is_err(), "a singular matrix has no log-determinant");
    }
}

/// A thousand columns: structure is kept, and `J_g J = I`.
#[test]
fn a_thousand_columns() {
    let dim = 1000;
    let coupling = |moved: Vec<usize>| -> Layer {
        Coupling { dim, moved, hidden: vec![8], activation: Activation::Tanh, bound: 1.0 }.into()
    };
    let layers = vec![
        Standardize { dim }.into(),
        coupling((500..1000).collect()),
        Permutation::reversed(dim).into(),
        coupling((0..1000).step_by(2).collect()),
        Asinh { dim }.into(),
    ];
    let mut flow = Flow::<f64>::new(layers, 1, 0).unwrap();
    zoo::randomise(&mut flow, 1);
    let x = rows::<f64>(1, dim, 11);
    let z = flow.normalize(&x).unwrap().0;
    assert!(distance(&flow.generate(&z).unwrap(), &x) < 1e-11 * x.norm());
    let j = jacobians(&flow, &x, Direction::Normalize, Route::Push).unwrap().matrix(0);
    let pulled = jacobians(&flow, &x, Direction::Normalize, Route::Pull).unwrap().matrix(0);
    assert!(distance(&j, &pulled) <= 1e-12 * j.norm());
    let g = jacobians(&flow, &z, Direction::Generate, Route::Push).unwrap().matrix(0);
    let bound = 1e-12 * g.norm() * j.norm();
    assert!(distance(&g.mul(&j), &Matrix::identity(dim)) <= bound);
    let by_lu = lu::slogdet(&j).unwrap().1;
    assert!((flow.normalize(&x).unwrap().1[0] - by_lu).abs() < 1e-9);
}
