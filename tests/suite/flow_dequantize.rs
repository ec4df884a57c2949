//! Dequantisation: bounds of the probability of whole numbers, against that probability summed exactly.

use eigenflow::flow::presets::{Name, Preset};
use eigenflow::flow::{AnyModel, Base, Dequantize, Error, Flow, Model};
use eigenflow::random::generator;
use eigenflow::train::{Design, Preprocess, TrainOptions, build_given, dequantizing, fit};
use eigenflow_linalg::Matrix;
use rand::RngExt;
use std::ops::ControlFlow;

/// Pairs of whole numbers, few and correlated: `0, 1, 2` and the same or one more.
fn pairs(n: usize, seed: u64) -> Matrix<f64> {
    let mut random = generator(seed, "pairs", 0);
    let mut data = Vec::new();
    for _ in 0..n {
        let a = (3.0 * random.random::<f64>().powi(2)).floor();
        data.extend([a, a + f64::from(u8::from(random.random::<f64>() < 0.3))]);
    }
    Matrix::new(n, 2, data)
}

fn trained(dequantize: Dequantize, x: &Matrix<f64>) -> Flow<f64> {
    let preset = Preset { layers: Some(4), hidden: Some(vec![24]), ..Preset::named(Name::Realnvp) };
    let options = TrainOptions { epochs: 40, patience: 0, lr: 5e-3, ..TrainOptions::default() };
    let design =
        Design { preset: &preset, preprocess: Preprocess::Standardize, base: &Base::Normal, context: &[] };
    let middle = x.map(|v| v + 0.5);
    let flow = build_given::<f64>(&design, &middle, &options).unwrap().flow;
    let mut flow = dequantizing(&flow, dequantize, x, 0).unwrap();
    fit(&mut flow, x, None, &options, &mut |_, _| ControlFlow::Continue(())).unwrap();
    flow
}

/// `log P(x) = log ∫ p(x + u) du` by the midpoint rule.
fn exact(flow: &Flow<f64>, x: &[f64]) -> f64 {
    let n = 200;
    let at = |k: usize| (k as f64 + 0.5) / n as f64;
    let grid = Matrix::from_fn(n * n, 2, |k, j| x[j] + at(if j == 0 { k / n } else { k % n }));
    let p: f64 = flow.log_density(&grid).unwrap().iter().map(|p| p.exp()).sum();
    (p / (n * n) as f64).ln()
}

fn mean_and_error(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    (mean, (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n * (n - 1.0))).sqrt())
}

#[test]
fn bounds_are_below_the_truth_and_variational_ones_are_nearer() {
    let x = pairs(1500, 1);
    let test = pairs(800, 2);
    let mut best = Vec::new();
    for dequantize in [Dequantize::Uniform, Dequantize::variational(2)] {
        let name = format!("{dequantize:?}").chars().take(8).collect::<String>();
        let flow = trained(dequantize, &x);
        let truth: Vec<f64> = {
            let mut known: Vec<(Vec<f64>, f64)> = Vec::new();
            let mut of = |row: &[f64]| {
                if let Some((_, p)) = known.iter().find(|(r, _)| r == row) {
                    return *p;
                }
                let p = exact(&flow, row);
                known.push((row.to_vec(), p));
                p
            };
            (0..test.rows()).map(|i| of(test.row(i))).collect()
        };
        let gap = |draws: usize| {
            let bound = flow.log_probability_bound(&test, draws, 5).unwrap();
            let gaps: Vec<f64> = truth.iter().zip(&bound).map(|(t, b)| t - b).collect();
            (mean_and_error(&gaps), bound.iter().sum::<f64>() / bound.len() as f64)
        };
        let ((one, error), _) = gap(1);
        assert!(one > -4.0 * error, "{name}: the bound is {one} ± {error} below the truth");
        let ((many, closer), bound) = gap(64);
        assert!(
            many > -4.0 * closer && many < one + 4.0 * error,
            "{name}: {many} ± {closer} with 64 draws, {one} with one"
        );
        // 64 weights of finite variance: most of the gap is gone.
        assert!(many < 0.5 * one + 4.0 * closer + 0.01, "{name}: {many} of {one}");
        best.push((one, error, bound));
    }
    let (uniform, variational) = (&best[0], &best[1]);
    assert!(variational.0 < uniform.0 + 4.0 * uniform.1.hypot(variational.1), "{best:?}");
    assert!(variational.2 > uniform.2 - 0.02, "{best:?}");
    // Whole numbers of few values: no bound can pass their entropy by more than chance.
    assert!(best.iter().all(|b| b.2 < -1.0), "{best:?}");
}

#[test]
fn dequantisation_is_seeded_row_by_row_and_kept_in_files() {
    let x = pairs(300, 3);
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    for dequantize in [Dequantize::Uniform, Dequantize::variational(2)] {
        let short = || {
            let preset = Preset { layers: Some(2), hidden: Some(vec![5]), ..Preset::named(Name::Maf) };
            let options = TrainOptions { epochs: 2, alpha: 1e-3, ..TrainOptions::default() };
            let base = Base::Student { learned: true };
            let design =
                Design { preset: &preset, preprocess: Preprocess::Whiten, base: &base, context: &[] };
            let flow = build_given::<f64>(&design, &x, &options).unwrap().flow;
            let mut flow = dequantizing(&flow, dequantize.clone(), &x, 0).unwrap();
            let before = flow.clone();
            fit(&mut flow, &x, Some(&x), &options, &mut |_, _| ControlFlow::Continue(())).unwrap();
            let moved = flow.dequantizer_parameters().any(|k| flow.parameters()[k] != before.parameters()[k]);
            assert_eq!(moved, dequantize != Dequantize::Uniform, "the dequantiser is trained");
            let bound = flow.log_probability_bound(&x, 3, 1).unwrap();
            (flow, bound)
        };
        let (flow, bound) = pool(1).install(short);
        assert!((flow.clone(), bound.clone()) == pool(2).install(short));
        let first = Matrix::new(1, 2, x.row(0).to_vec());
        assert_eq!(flow.log_probability_bound(&first, 3, 1).unwrap()[0].to_bits(), bound[0].to_bits());
        let (moved, _) = flow.dequantized(&x, 7, 0).unwrap();
        assert!(moved.data().iter().zip(x.data()).all(|(m, x)| m > x && *m <= x + 1.0));
        let error = flow.dequantized(&x.map(|v| v + 0.5), 7, 0).unwrap_err();
        assert!(matches!(error, Error::NotWhole { row: 0, column: 0 }), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let model = Model { flow, columns: vec!["a".into(), "b".into()], record: None };
        model.save(&path).unwrap();
        assert!(AnyModel::load(&path).unwrap() == AnyModel::F64(model));
    }
}
