//! The laws of every primitive: one list of primitives, one set of laws.

mod equations;
mod registry;

use eigenflow_autodiff::{
    Error, GradReport, Program, Recorder, Shape, Var, gradient_report, pull_jacobian, push_jacobian,
};
use eigenflow_linalg::Real;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::SeedableRng as _;
use rand_pcg::Pcg64;
use registry::{Case, Domain, Input, cases};

/// Condition numbers of the registry's matrices stay below this (`|R/4| <= 3/4`: `1.75 / 0.25`).
const CONDITION: f64 = 7.0;

impl<T: Real> Case<T> {
    fn sample(&self, rows: usize, seed: u64) -> Vec<Vec<T>> {
        let mut rng = Pcg64::seed_from_u64(seed);
        self.inputs.iter().map(|i| i.sample(rows, &mut rng)).collect()
    }

    fn shapes(&self) -> Vec<Shape> {
        self.inputs.iter().map(|i| i.shape).collect()
    }

    /// The factor that the condition of a matrix allows.
    fn condition(&self) -> f64 {
        let solves =
            ["solve", "inverse", "cholesky", "log_abs_det", "row_solve", "row_log_abs_det", "implicit"];
        if solves.iter().any(|s| self.name.starts_with(s)) { CONDITION } else { 1.0 }
    }
}

fn declare<'t, T: Real>(r: &'t Recorder<T>, shapes: &[Shape]) -> Vec<Var<'t, T>> {
    shapes.iter().map(|&s| r.input(s)).collect()
}

fn with_data<'a, T>(shapes: &[Shape], data: &'a [Vec<T>]) -> Vec<(Shape, &'a [T])> {
    shapes.iter().zip(data).map(|(&s, x)| (s, x.as_slice())).collect()
}

fn run<T: Real>(program: &Program<T>, rows: usize, inputs: &[(Shape, &[T])]) -> Vec<Vec<T>> {
    let of = |batch: bool| -> Vec<&[T]> {
        inputs.iter().filter(|(s, _)| s.is_batch() == batch).map(|&(_, x)| x).collect()
    };
    program.run(rows, &of(true), &of(false)).unwrap()
}

/// `Σ x²`-norm in f64.
fn norm<T: Real>(x: &[T]) -> f64 {
    x.iter().map(|x| x.f64().powi(2)).sum::<f64>().sqrt()
}

fn first_order<T: Real>(case: &Case<T>, rows: usize, seed: u64) -> GradReport {
    let x = case.sample(rows, seed);
    gradient_report(|r, v| Ok((case.call)(r, v)), rows, &with_data(&case.shapes(), &x)).unwrap()
}

/// Every run of a law goes through the whole registry, so a few runs are many.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        max_shrink_iters: 0,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(2),
        ..ProptestConfig::default()
    }
}

/// The shape of what a case computes.
fn output<T: Real>(case: &Case<T>) -> Shape {
    Program::record(|r| vec![(case.call)(r, &declare(r, &case.shapes()))]).output_shapes()[0]
}

/// `(x, v) -> J(x) v`.
fn pushed<'t, T: Real>(case: &Case<T>, r: &'t Recorder<T>, xv: &[Var<'t, T>]) -> Result<Var<'t, T>, Error> {
    let (x, v) = xv.split_at(case.inputs.len());
    let seeds: Vec<_> = x.iter().copied().zip(v.iter().copied()).collect();
    Ok(r.jvp(&[(case.call)(r, x)], &seeds)?[0])
}

/// `(x, u) -> J(x)ᵀ u`, all inputs.
fn pulled<'t, T: Real>(
    case: &Case<T>,
    r: &'t Recorder<T>,
    xu: &[Var<'t, T>],
) -> Result<Vec<Var<'t, T>>, Error> {
    let (u, x) = xu.split_last().expect("inputs and one cotangent");
    r.vjp(&[((case.call)(r, x), *u)], x)
}

/// Worst of several measurements.
fn worst(reports: &[GradReport]) -> GradReport {
    let pick = |f: fn(&GradReport) -> f64| {
        reports.iter().map(f).fold(0.0, |m: f64, x| if x.is_nan() || x > m { x } else { m })
    };
    GradReport { jvp: pick(|r| r.jvp), vjp: pick(|r| r.vjp), duality: pick(|r| r.duality) }
}

/// Derivatives of `J v` and of `Jᵀ u`: all four nestings of two orders.
fn second_order<T: Real>(case: &Case<T>, rows: usize, seed: u64) -> GradReport {
    let shapes = case.shapes();
    let (x, v) = (case.sample(rows, seed), case.sample(rows, seed ^ 1));
    let twice: Vec<Shape> = shapes.iter().chain(&shapes).copied().collect();
    let xv: Vec<Vec<T>> = x.iter().chain(&v).cloned().collect();
    let mut reports =
        vec![gradient_report(|r, xv| pushed(case, r, xv), rows, &with_data(&twice, &xv)).unwrap()];
    let y = output(case);
    let u = Input { shape: y, domain: Domain::In(-1.0, 1.0) };
    let u = u.sample(rows, &mut Pcg64::seed_from_u64(seed ^ 2));
    let with_u: Vec<Shape> = shapes.iter().copied().chain([y]).collect();
    let xu: Vec<Vec<T>> = x.iter().cloned().chain([u]).collect();
    for k in 0..shapes.len() {
        reports.push(
            gradient_report(|r, xu| Ok(pulled(case, r, xu)?[k]), rows, &with_data(&with_u, &xu)).unwrap(),
        );
    }
    worst(&reports)
}

/// Derivatives of `D(J v) w` and of the gradient of `<u, J v>`.
fn third_order(case: &Case<f64>, rows: usize, seed: u64) -> GradReport {
    let shapes = case.shapes();
    let k = shapes.len();
    let data: Vec<Vec<f64>> = (0..3).flat_map(|order| case.sample(rows, seed ^ order)).collect();
    let three: Vec<Shape> = shapes.iter().cycle().take(3 * k).copied().collect();
    let all = with_data(&three, &data);
    let forward = gradient_report(|r, xvw| third_forward(case, r, xvw), rows, &all);
    let two = with_data(&three[..2 * k], &data[..2 * k]);
    let reverse = gradient_report(|r, xv| third_reverse(case, r, xv), rows, &two);
    worst(&[forward.unwrap(), reverse.unwrap()])
}

fn third_forward<'t>(
    case: &Case<f64>,
    r: &'t Recorder<f64>,
    xvw: &[Var<'t, f64>],
) -> Result<Var<'t, f64>, Error> {
    let (xv, w) = xvw.split_at(2 * case.inputs.len());
    let seeds: Vec<_> = xv.iter().copied().zip(w.iter().copied()).collect();
    Ok(r.jvp(&[pushed(case, r, xv)?], &seeds)?[0])
}

fn third_reverse<'t>(
    case: &Case<f64>,
    r: &'t Recorder<f64>,
    xv: &[Var<'t, f64>],
) -> Result<Var<'t, f64>, Error> {
    Ok(r.gradient(pushed(case, r, xv)?.square(), &xv[..1])?[0])
}

/// Jacobians with respect to one batch input, each `[rows, D, M]`: by a push, by a pull of all
/// seeds, by single tangents and by single cotangents. `None` where rows have none of their own.
fn jacobians(case: &Case<f64>, input: usize, rows: usize, seed: u64) -> Option<[Vec<f64>; 4]> {
    let shapes = case.shapes();
    let y = output(case);
    let of_rows = |s: Shape| s == Shape::batch(s.cols());
    // A block of tangents cannot be pushed through a value that carries one.
    let blocks = shapes.iter().any(|s| s.tangents() > 1);
    if blocks || !of_rows(shapes[input]) || !of_rows(y) {
        return None;
    }
    let (d, m) = (shapes[input].cols(), y.cols());
    let program = Program::try_record(|r| {
        let x = declare(r, &shapes);
        let y = (case.call)(r, &x);
        let x = x[input];
        let mut out = vec![push_jacobian(r, y, x)?, pull_jacobian(r, y, x)?];
        let unit = |n: usize, k: usize| {
            let mut e = vec![0.0; n];
            e[k] = 1.0;
            r.row(&e).broadcast_to(Shape::batch(n))
        };
        for k in 0..d {
            out.push(r.jvp(&[y], &[(x, unit(d, k))])?[0]);
        }
        for i in 0..m {
            out.push(r.vjp(&[(y, unit(m, i))], &[x])?[0]);
        }
        Ok::<_, Error>(out)
    });
    let x = case.sample(rows, seed);
    let out = run(&program.unwrap(), rows, &with_data(&shapes, &x));
    let assemble = |entry: &dyn Fn(usize, usize, usize) -> f64| -> Vec<f64> {
        (0..rows * d * m).map(|k| entry(k / (d * m), k / m % d, k % m)).collect()
    };
    Some([
        out[0].clone(),
        assemble(&|n, k, i| out[1][(n * m + i) * d + k]),
        assemble(&|n, k, i| out[2 + k][n * m + i]),
        assemble(&|n, k, i| out[2 + d + i][n * d + k]),
    ])
}

/// The gradient of `<u, J v>`, by reverse over forward and by forward over reverse.
fn mixed<T: Real>(case: &Case<T>, rows: usize, seed: u64) -> (Vec<T>, Vec<T>) {
    let shapes = case.shapes();
    let (x, v) = (case.sample(rows, seed), case.sample(rows, seed ^ 1));
    let y = output(case);
    let u = Input { shape: y, domain: Domain::In(-1.0, 1.0) };
    let u = u.sample(rows, &mut Pcg64::seed_from_u64(seed ^ 2));
    let program = Program::try_record(|r| {
        let (x, v, u) = (declare(r, &shapes), declare(r, &shapes), r.input(y));
        let seeds: Vec<_> = x.iter().copied().zip(v.iter().copied()).collect();
        let xv: Vec<_> = x.iter().chain(&v).copied().collect();
        let xu: Vec<_> = x.iter().copied().chain([u]).collect();
        let mut out = r.vjp(&[(pushed(case, r, &xv)?, u)], &x)?;
        out.extend(r.jvp(&pulled(case, r, &xu)?, &seeds)?);
        Ok::<_, Error>(out)
    });
    let mut inputs = with_data(&shapes, &x);
    inputs.extend(with_data(&shapes, &v));
    inputs.push((y, &u));
    let mut out = run(&program.unwrap(), rows, &inputs);
    let forward_over_reverse = out.split_off(shapes.len());
    (out.concat(), forward_over_reverse.concat())
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn derivatives_agree_with_finite_differences_and_with_each_other(rows in 1_usize..5, seed: u64) {
        for case in cases::<f64>() {
            let GradReport { jvp, vjp, duality } = first_order(&case, rows, seed);
            let limit = case.condition();
            prop_assert!(jvp <= limit && vjp <= limit, "{} {:?}: {jvp} {vjp}", case.name, case.inputs);
            prop_assert!(duality <= limit, "{} {:?}: duality {duality}", case.name, case.inputs);
        }
    }

    #[test]
    fn forward_and_reverse_are_transposes_in_f32(rows in 1_usize..5, seed: u64) {
        for case in cases::<f32>() {
            let GradReport { duality, .. } = first_order(&case, rows, seed);
            prop_assert!(duality <= case.condition(), "{} {:?}: {duality}", case.name, case.inputs);
        }
    }

}

proptest! {
    #![proptest_config(config(3))]

    #[test]
    fn second_derivatives_agree_with_finite_differences_and_with_each_other(rows in 1_usize..4, seed: u64) {
        for case in cases::<f64>() {
            // Terms of a second derivative may cancel, so its own norm does not bound its rounding:
            // the transposes are compared below, against the norm of the whole gradient.
            let GradReport { jvp, vjp, .. } = second_order(&case, rows, seed);
            let limit = case.condition().powi(2);
            prop_assert!(jvp <= limit && vjp <= limit, "{} {:?}: {jvp} {vjp}", case.name, case.inputs);
            let (a, b) = mixed(&case, rows, seed);
            let difference: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
            let allowed = 64.0 * (a.len() as f64).sqrt() * f64::EPSILON * norm(&a).max(norm(&b)) * limit;
            prop_assert!(norm(&difference) <= allowed, "{} {:?}: {a:?} {b:?}", case.name, case.inputs);
        }
    }

    #[test]
    fn third_derivatives_agree_with_finite_differences(rows in 1_usize..3, seed: u64) {
        let names = ["exp", "tanh", "powf", "mul", "div", "select lt", "gather with repeats", "matmul",
            "outer", "softmax", "log_abs_det", "solve_lines", "cholesky", "row scale", "row_solve", "implicit, dense"];
        for case in cases::<f64>().into_iter().filter(|c| names.contains(&c.name)) {
            let report = third_order(&case, rows, seed);
            let limit = case.condition().powi(3);
            prop_assert!(report.jvp <= limit && report.vjp <= limit, "{} {:?}: {report:?}", case.name, case.inputs);
        }
    }

    #[test]
    fn pushes_pulls_and_single_tangents_give_one_jacobian(rows in 1_usize..5, seed: u64) {
        for case in cases::<f64>() {
            for input in 0..case.inputs.len() {
                let Some([push, pull, columns, lines]) = jacobians(&case, input, rows, seed) else { continue };
                let scale = norm(&push) * 64.0 * f64::EPSILON * case.condition();
                for (route, other) in [("pull", pull), ("jvps", columns), ("vjps", lines)] {
                    let difference: Vec<f64> = push.iter().zip(&other).map(|(a, b)| a - b).collect();
                    prop_assert!(norm(&difference) <= scale, "{} by {route}: {push:?} {other:?}", case.name);
                }
            }
        }
    }
}

/// No numbers, one row, huge and tiny numbers, NaN and infinity: values, never a panic.
#[test]
fn degenerate_inputs_do_not_panic() {
    let extremes =
        [f64::MAX, -f64::MAX, f64::MIN_POSITIVE, 0.0, -0.0, f64::NAN, f64::INFINITY, -1e200, 1e-200];
    for case in cases::<f64>() {
        let shapes = case.shapes();
        let y = output(&case);
        let program = Program::try_record(|r| {
            let x = declare(r, &shapes);
            let value = (case.call)(r, &x);
            let mut out = vec![value];
            out.extend(r.gradient(value, &x)?);
            let v = declare(r, &shapes);
            let seeds: Vec<_> = x.into_iter().zip(v).collect();
            out.extend(r.jvp(&[value], &seeds)?);
            Ok::<_, Error>(out)
        })
        .unwrap();
        for rows in [0, 1, 3] {
            for shift in 0..extremes.len() {
                let fill =
                    |s: &Shape| (0..s.len(rows)).map(|k| extremes[(k + shift) % extremes.len()]).collect();
                let x: Vec<Vec<f64>> = shapes.iter().chain(&shapes).map(fill).collect();
                let twice: Vec<Shape> = shapes.iter().chain(&shapes).copied().collect();
                let out = run(&program, rows, &with_data(&twice, &x));
                assert_eq!(out[0].len(), y.len(rows), "{}", case.name);
                if rows == 0 && y.is_batch() {
                    assert!(out[0].is_empty());
                }
            }
        }
    }
}

/// A row of NaN spoils its own results and no others.
#[test]
fn not_a_number_stays_in_its_row() {
    let rows = 4;
    for case in cases::<f64>() {
        let (shapes, y) = (case.shapes(), output(&case));
        if !y.is_batch() || !shapes[0].is_batch() || y.unit() == 0 {
            continue;
        }
        let program = Program::record(|r| vec![(case.call)(r, &declare(r, &shapes))]);
        let mut x = case.sample(rows, 3);
        let clean = run(&program, rows, &with_data(&shapes, &x)).swap_remove(0);
        let unit = shapes[0].unit();
        x[0][2 * unit..3 * unit].fill(f64::NAN);
        let spoiled = run(&program, rows, &with_data(&shapes, &x)).swap_remove(0);
        let width = y.unit();
        for n in 0..rows {
            let (a, b) = (&clean[n * width..][..width], &spoiled[n * width..][..width]);
            if n == 2 {
                // Comparisons with NaN do not hold, so a selection may take the other branch.
                let selects = case.name.contains("select") || case.name.contains("mask");
                let unread = ["embed", "scatter", "cumsum from the right"].contains(&case.name);
                assert!(selects || unread || b.iter().any(|y| y.is_nan()), "{}: {b:?}", case.name);
            } else {
                assert_eq!(a, b, "{} {:?}", case.name, case.inputs);
            }
        }
    }
}

/// Values without columns pass through everything that takes any number of columns.
#[test]
fn no_columns_at_all() {
    let program = Program::<f64>::try_record(|r| {
        let (x, w, b) = (r.batch(0), r.shared(0, 2), r.shared(0, 0));
        let y = Var::concat(&[x.tanh() * x, x.softmax(), x.cumsum(), x.gather(&[])]);
        let product = y.matmul(w) + x.sum_cols() + x.logsumexp().exp() + b.log_abs_det();
        let solved = b.solve_lines(x).sum_cols() * x.sum_all();
        let total = product + solved + x.outer(x).sum_all() + b.cholesky().inverse().sum_all();
        let mut out = vec![total];
        out.extend(r.gradient(total, &[x, w, b])?);
        let jacobian = push_jacobian(r, product, x)?;
        Ok::<_, Error>([out, vec![jacobian, pull_jacobian(r, product, x)?]].concat())
    })
    .unwrap();
    for rows in [0, 1, 3] {
        let out = program.run(rows, &[&[]], &[&[], &[]]).unwrap();
        assert_eq!(out[0], vec![0.0; 2 * rows]);
        assert!(out[1..].iter().all(Vec::is_empty));
    }
}
