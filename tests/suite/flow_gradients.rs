//! Gradients with respect to every trained parameter, and batch normalization in training.

use crate::zoo;

use eigenflow::flow::bijections::{Asinh, BatchNorm};
use eigenflow::flow::{Flow, base};
use eigenflow::random::generator;
use eigenflow_autodiff::{Program, Recorder, Var, pull_jacobian, push_jacobian};
use eigenflow_linalg::Matrix;
use rand::RngExt;
use zoo::{Case, Worst, rows};

/// A scalar of a flow and a batch, and its gradient with respect to all parameters.
struct Objective {
    program: Program<f64>,
}

impl Objective {
    fn new<F>(flow: &Flow<f64>, f: F) -> Self
    where
        F: for<'t> Fn(&'t Recorder<f64>, &[Var<'t, f64>], Var<'t, f64>) -> Var<'t, f64>,
    {
        let program = Program::try_record(|r| {
            let params = flow.declare(r);
            let x = r.batch(flow.dim());
            let total = f(r, &params, x).sum_all();
            let mut out = vec![total];
            out.extend(r.gradient(total, &params)?);
            Ok::<_, eigenflow_autodiff::Error>(out)
        });
        Self { program: program.unwrap() }
    }

    fn at(&self, flow: &Flow<f64>, x: &Matrix<f64>) -> (f64, Vec<Vec<f64>>) {
        let mut out = self.program.run(x.rows(), &[x.data()], &flow.slices()).unwrap();
        let value = out.remove(0)[0];
        (value, out)
    }
}

/// The gradient of `objective` against central differences of `check`, which is the same function
/// computed in another way or by the same program; up to `entries` random entries of each parameter.
fn gradient_agrees(
    case: &Case,
    objective: &Objective,
    check: &Objective,
    x: &Matrix<f64>,
    entries: usize,
    worst: &mut Worst,
) {
    let h = 1e-4;
    let mut random = generator(1, "entries", 0);
    let (value, gradient) = objective.at(&case.flow, x);
    let mut flow = case.flow.clone();
    for (p, gradient) in gradient.iter().enumerate() {
        let len = flow.parameters()[p].data.len();
        if !flow.parameters()[p].role.is_trained() || len == 0 {
            continue;
        }
        let chosen: Vec<usize> = if len <= entries {
            (0..len).collect()
        } else {
            (0..entries).map(|_| random.random_range(0..len)).collect()
        };
        for k in chosen {
            let kept = flow.parameters()[p].data[k];
            let mut value_at = |step: f64| {
                flow.parameters_mut()[p].data[k] = kept + step;
                let value = check.at(&flow, x).0;
                flow.parameters_mut()[p].data[k] = kept;
                value
            };
            let mut slope = |h: f64| (value_at(h) - value_at(-h)) / (2.0 * h);
            let (near, far) = (slope(h), slope(2.0 * h));
            // Rounding: sums of values of this size, a few hundred operations deep.
            let rounding = 256.0 * f64::EPSILON * (1.0 + value.abs() + x.rows() as f64) / h;
            let name = format!("{}, {}[{k}]", case.name, flow.parameters()[p].name);
            worst.check(name, (gradient[k] - near).abs(), (far - near).abs() + rounding);
        }
    }
}

fn log_density(flow: &Flow<f64>) -> Objective {
    let all = 0..flow.layers().len();
    Objective::new(flow, |_, params, x| flow.record_log_density(params, x, all.clone()))
}

/// `Σ ‖J‖²_F`, by pushed or by pulled Jacobians.
fn penalty(flow: &Flow<f64>, push: bool) -> Objective {
    let all = 0..flow.layers().len();
    Objective::new(flow, |r, params, x| {
        let z = flow.record_normalize(params, x, all.clone(), false).out;
        let block = if push { push_jacobian(r, z, x) } else { pull_jacobian(r, z, x) };
        block.unwrap().square()
    })
}

#[test]
fn log_density_gradients_agree_with_differences() {
    let mut worst = Worst::default();
    for case in zoo::DIMS.iter().flat_map(|&d| zoo::selection(d)) {
        let objective = log_density(&case.flow);
        let x = rows::<f64>(5, case.flow.dim(), 12);
        gradient_agrees(&case, &objective, &objective, &x, 12, &mut worst);
    }
    worst.report("log-density gradient");
}

#[test]
fn tikhonov_gradients_agree_with_differences() {
    let mut worst = Worst::default();
    for case in [1, 2, 3].iter().flat_map(|&d| zoo::selection(d)) {
        let x = rows::<f64>(5, case.flow.dim(), 13);
        let (pushed, pulled) = (penalty(&case.flow, true), penalty(&case.flow, false));
        gradient_agrees(&case, &pushed, &pulled, &x, 12, &mut worst);
        gradient_agrees(&case, &pulled, &pushed, &x, 4, &mut worst);
    }
    worst.report("Tikhonov gradient");
}

/// Batch normalization, a nonlinearity, and batch normalization again: three phases a run.
fn normalized(dim: usize) -> Case {
    let layers = vec![
        BatchNorm::new(dim).into(),
        Asinh { dim }.into(),
        BatchNorm { momentum: 0.25, ..BatchNorm::new(dim) }.into(),
    ];
    let mut flow = Flow::new(layers, 0, 0).unwrap();
    zoo::randomise(&mut flow, 2);
    Case { name: format!("batch-norm in training, D = {dim}"), flow }
}

/// One batch normalization in training, by hand: values, log-determinant, new statistics.
fn by_hand(
    x: &Matrix<f64>,
    p: [&[f64]; 4],
    momentum: f64,
    epsilon: f64,
) -> (Matrix<f64>, f64, Vec<f64>, Vec<f64>) {
    let (n, d) = (x.rows() as f64, x.cols());
    let mean: Vec<f64> = (0..d).map(|j| x.col(j).iter().sum::<f64>() / n).collect();
    let variance: Vec<f64> =
        (0..d).map(|j| x.col(j).iter().map(|v| (v - mean[j]).powi(2)).sum::<f64>() / n).collect();
    let scale: Vec<f64> = (0..d).map(|j| p[0][j].exp() / (variance[j] + epsilon).sqrt()).collect();
    let z = Matrix::from_fn(x.rows(), d, |i, j| (x[(i, j)] - mean[j]) * scale[j] + p[1][j]);
    let blend = |old: &[f64], new: &[f64]| -> Vec<f64> {
        old.iter().zip(new).map(|(o, n)| (1.0 - momentum) * o + momentum * n).collect()
    };
    (z, scale.iter().map(|s| s.ln()).sum(), blend(p[2], &mean), blend(p[3], &variance))
}

fn close(a: &[f64], b: &[f64], tolerance: f64) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{a} {b}");
    }
}

#[test]
fn batch_norm_trains_on_the_statistics_of_its_batch() {
    for (dim, n) in [(1, 1), (1, 5), (3, 40), (2, 3000)] {
        let case = normalized(dim);
        let flow = &case.flow;
        let x = rows::<f64>(n, dim, 14);
        let program = Program::record(|r| {
            let params = flow.declare(r);
            let recorded = flow.record_normalize(&params, r.batch(dim), 0..3, true);
            assert_eq!(recorded.updates.iter().map(|u| u.0).collect::<Vec<_>>(), [2, 3, 6, 7]);
            let mut out = vec![recorded.out, recorded.log_det];
            out.extend(recorded.updates.iter().map(|u| u.1));
            out
        });
        let run = || program.run(n, &[x.data()], &flow.slices()).unwrap();
        let out = run();

        let p = flow.slices();
        let (first, log_first, mean_0, variance_0) = by_hand(&x, [p[0], p[1], p[2], p[3]], 0.1, 1e-5);
        let middle = first.map(f64::sinh);
        let log_middle = |i: usize| first.row(i).iter().map(|v| v.cosh().ln()).sum::<f64>();
        let (last, log_last, mean_1, variance_1) = by_hand(&middle, [p[4], p[5], p[6], p[7]], 0.25, 1e-5);
        let tolerance = 1e-12; // sums of up to 3000 numbers of order one
        close(&out[0], last.data(), tolerance);
        let log_det: Vec<f64> = (0..n).map(|i| log_first + log_middle(i) + log_last).collect();
        close(&out[1], &log_det, tolerance);
        close(&out[2], &mean_0, tolerance);
        close(&out[3], &variance_0, tolerance);
        close(&out[4], &mean_1, tolerance);
        close(&out[5], &variance_1, tolerance);

        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(run) == out, "{threads} threads, D = {dim}, {n} rows");
        }
    }
}

#[test]
fn batch_norm_gradients_go_through_the_statistics() {
    let mut worst = Worst::default();
    for dim in [1, 2, 3] {
        let case = normalized(dim);
        let flow = &case.flow;
        let objective = Objective::new(flow, |_, params, x| {
            let recorded = flow.record_normalize(params, x, 0..3, true);
            base::log_density(recorded.out) + recorded.log_det
        });
        gradient_agrees(&case, &objective, &objective, &rows(50, dim, 15), 12, &mut worst);
    }
    worst.report("batch-norm gradient");
}
