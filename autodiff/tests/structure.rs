//! Tangents keep their structure, and use it; with any structure, all routes give one Jacobian.

use eigenflow_autodiff::{Error, Program, Recorder, Shape, Tangent, Var, pull_jacobian, push_jacobian};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Pushes the identity through a function of `cols` columns; the tangent as text, and the number
/// of operations that the push recorded.
fn push<F>(cols: usize, f: F) -> (String, usize)
where
    F: for<'t> FnOnce(&'t Recorder<f64>, Var<'t, f64>) -> Var<'t, f64>,
{
    let r = Recorder::new();
    let x = r.batch(cols);
    let y = f(&r, x);
    let before = r.len();
    let t = r.push(&[y], &[(x, Tangent::identity(cols))]).unwrap().swap_remove(0);
    (format!("{t:?}"), r.len() - before)
}

#[test]
fn moves_of_columns_record_nothing() {
    assert_eq!(push(3, |_, x| x.gather(&[2, 0, 1])), ("[diagonal [2, 0, 1]]".into(), 0));
    assert_eq!(push(3, |_, x| x.gather(&[1, 1])), ("[diagonal [1, 1]]".into(), 0));
    assert_eq!(push(3, |_, x| x.slice(1..2)), ("[diagonal [1]]".into(), 0));
    let (kind, ops) = push(4, |r, x| Var::concat(&[x.slice(2..4), r.full(Shape::batch(1), 7.0)]));
    assert_eq!((kind.as_str(), ops), ("[diagonal [2, 3], zero 1]", 0));
    assert_eq!(push(2, |_, x| x + 1.0), ("[diagonal [0, 1]]".into(), 0));
}

#[test]
fn elementwise_chains_stay_diagonal() {
    let (kind, _) = push(3, |_, x| (x.tanh() * 2.0 + x.exp() - x / 3.0).asinh().max(x));
    assert_eq!(kind, "[diagonal [0, 1, 2]]");
    let (kind, _) = push(3, |r, x| x.ge(r.scalar(0.0)).select(x, x * 0.25).abs().sqrt());
    assert_eq!(kind, "[diagonal [0, 1, 2]]");
    let (kind, _) = push(3, |r, x| x.lt(r.scalar(0.0)).select(r.full(x.shape(), 1.0), x.powi(3)));
    assert_eq!(kind, "[diagonal [0, 1, 2]]");
    // A gradient of an elementwise function is elementwise, selections and partial functions too.
    let (kind, _) = push(2, |r, x| {
        let y = x.gt(r.scalar(0.0)).select(x.ln(), x.sinh()) * x.recip();
        r.gradient(y, &[x]).unwrap()[0]
    });
    assert_eq!(kind, "[diagonal [0, 1]]");
}

#[test]
fn a_coupling_touches_half_of_the_columns() {
    let (kind, _) = push(4, |r, x| {
        let (a, b) = (x.slice(0..2), x.slice(2..4));
        let w = r.constant(2, 2, &[1.0, 2.0, 3.0, 4.0]);
        Var::concat(&[a, b * a.matmul(w).tanh().exp() + a.matmul(w)])
    });
    assert_eq!(kind, "[diagonal [0, 1], dense Batch { tangents: 4, cols: 2 } from seed 0]");
    // Sums of tangents that are cut alike are taken piece by piece.
    let (kind, _) = push(4, |r, x| {
        let (a, b) = (x.slice(0..2), x.slice(2..4));
        let w = r.constant(2, 2, &[1.0, 2.0, 3.0, 4.0]);
        let y = Var::concat(&[a, b.matmul(w)]);
        y.sin() + y.cos()
    });
    assert_eq!(kind, "[diagonal [0, 1], dense Batch { tangents: 2, cols: 2 } from seed 2]");
}

#[test]
fn the_first_product_only_scales_rows() {
    let (kind, ops) = push(3, |r, x| x.tanh().matmul(r.constant(3, 2, &[1.0; 6])));
    // tanh' = 1 - y² (three operations) and the scaled rows: no block is multiplied.
    assert_eq!((kind.as_str(), ops), ("[dense Batch { tangents: 3, cols: 2 } from seed 0]", 4));
}

/// A step of a random program on values of three columns.
#[derive(Clone, Debug)]
enum Step {
    Elementwise(u8),
    Permute(Vec<usize>),
    Repeat([usize; 3]),
    MatMul([f64; 9], bool),
    Coupling([f64; 4], usize),
    Mix(usize, usize),
    Select(usize),
    Swap(usize),
    Narrow(usize),
    Normalise,
}

fn step() -> impl Strategy<Value = Step> {
    let weight = -1.0..1.0_f64;
    prop_oneof![
        any::<u8>().prop_map(Step::Elementwise),
        Just(vec![0, 1, 2]).prop_shuffle().prop_map(Step::Permute),
        [0..3_usize, 0..3_usize, 0..3_usize].prop_map(Step::Repeat),
        (prop::array::uniform9(weight.clone()), any::<bool>()).prop_map(|(w, t)| Step::MatMul(w, t)),
        (prop::array::uniform4(weight), 1..3_usize).prop_map(|(w, at)| Step::Coupling(w, at)),
        (0..8_usize, 0..8_usize).prop_map(|(a, b)| Step::Mix(a, b)),
        (0..8_usize).prop_map(Step::Select),
        (0..8_usize).prop_map(Step::Swap),
        (0..3_usize).prop_map(Step::Narrow),
        Just(Step::Normalise),
    ]
}

fn apply<'t>(r: &'t Recorder<f64>, past: &[Var<'t, f64>], step: &Step) -> Var<'t, f64> {
    let x = past[past.len() - 1];
    let earlier = |k: usize| past[k % past.len()];
    match step {
        Step::Elementwise(k) => match k % 6 {
            0 => x.tanh(),
            1 => x.sin() * 1.5,
            2 => x.softplus() - 0.5,
            3 => x.asinh() + x,
            4 => -x.sigmoid(),
            _ => x * r.row(&[0.5, -1.0, 2.0]),
        },
        Step::Permute(order) => x.gather(order),
        Step::Repeat(columns) => x.gather(columns),
        Step::MatMul(w, transpose) => {
            let w = r.constant(3, 3, w);
            if *transpose { x.matmul_t(w) } else { x.matmul(w) }
        }
        Step::Coupling(w, at) => {
            let (a, b) = (x.slice(0..*at), x.slice(*at..3));
            let w = r.constant(*at, 3 - at, &w[..at * (3 - at)]);
            let h = a.matmul(w);
            Var::concat(&[a, b * h.tanh().exp() + h])
        }
        Step::Mix(a, b) => earlier(*a) * 0.5 + earlier(*b) * earlier(*a).tanh(),
        Step::Select(a) => x.lt(earlier(*a)).select(x.sin(), earlier(*a) * 0.75),
        Step::Swap(a) => Var::concat(&[earlier(*a).slice(1..3), x.slice(0..1)]),
        Step::Narrow(c) => x - x.slice(*c..c + 1).tanh(),
        Step::Normalise => x.softmax() + x.cumsum().tanh() - x.logsumexp(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96, failure_persistence: None, rng_seed: RngSeed::Fixed(4), ..ProptestConfig::default()
    })]

    /// By a push, by a pull and by single tangents; and the Hessian of a sum is symmetric.
    #[test]
    fn random_programs_have_one_jacobian(
        steps in prop::collection::vec(step(), 1..10),
        x in prop::collection::vec(-1.5..1.5_f64, 6),
    ) {
        let program = Program::try_record(|r| {
            let x = r.batch(3);
            let mut past = vec![x];
            for step in &steps {
                past.push(apply(r, &past, step));
            }
            let y = past[past.len() - 1];
            let mut out = vec![push_jacobian(r, y, x)?, pull_jacobian(r, y, x)?];
            for k in 0..3 {
                let mut e = [0.0; 3];
                e[k] = 1.0;
                let e = r.row(&e).broadcast_to(x.shape());
                out.push(r.jvp(&[y], &[(x, e)])?[0]);
            }
            let gradient = r.gradient(y.sin().sum_cols(), &[x])?[0];
            out.push(push_jacobian(r, gradient, x)?);
            out.push(pull_jacobian(r, gradient, x)?);
            Ok::<_, Error>(out)
        }).unwrap();
        let out = program.run(2, &[&x], &[]).unwrap();
        let bound = out.iter().flatten().fold(1.0_f64, |m, x| m.max(x.abs())) * 1e-13;
        for n in 0..2 {
            for k in 0..3 {
                for i in 0..3 {
                    let push = out[0][9 * n + 3 * k + i];
                    let pull = out[1][9 * n + 3 * i + k];
                    let single = out[2 + k][3 * n + i];
                    prop_assert!((push - pull).abs() <= bound && (push - single).abs() <= bound,
                        "row {n}, dy{i}/dx{k}: {push} {pull} {single}");
                    let hessian = out[5][9 * n + 3 * k + i];
                    let transposed = out[6][9 * n + 3 * k + i];
                    let symmetric = out[5][9 * n + 3 * i + k];
                    prop_assert!((hessian - transposed).abs() <= bound && (hessian - symmetric).abs() <= bound,
                        "row {n}, {i} {k}: {hessian} {transposed} {symmetric}");
                }
            }
        }
    }
}
