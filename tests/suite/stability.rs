//! What the penalty does to a covariance, and how it is undone: against closed forms.

use eigenflow::flow::Flow;
use eigenflow::flow::bijections::{Affine, Form, Interval, Support};
use eigenflow::flow::presets::{Name, Preset};
use eigenflow::random::generator;
use eigenflow::report::{html, stability::section};
use eigenflow::theory::linear::{Path, Spectrum};
use eigenflow::theory::stability::{
    Chosen, LinearPath, deep_run, denoised, deshrunk_covariance, ledoit_wolf,
};
use eigenflow::train::polish::polish;
use eigenflow::train::{Preprocess, TrainOptions, build};
use eigenflow_linalg::Matrix;
use proptest::prelude::*;
use rand::RngExt;
use rand_distr::StandardNormal;

/// Correlated rows; the last `null` columns repeat the first ones.
fn rows(n: usize, d: usize, null: usize, seed: u64) -> Matrix<f64> {
    let mut random = generator(seed, "test-rows", 0);
    let mut normal = |r, c| Matrix::from_fn(r, c, |_, _| random.sample::<f64, _>(StandardNormal));
    let (x, mix) = (normal(n, d), normal(d, d));
    let mixed = x.mul(&mix);
    Matrix::from_fn(n, d, |i, j| {
        let from = if j + null >= d { j + null - d } else { j };
        3.0 + (1.0 + from as f64) * mixed[(i, from)]
    })
}

/// A linear flow behind its standardisation, polished to its optimum, and its rows in training units.
fn optimum(x: &Matrix<f64>, alpha: f64) -> (Flow<f64>, Matrix<f64>) {
    let options = TrainOptions { alpha, ..TrainOptions::default() };
    let mut flow =
        build::<f64>(&Preset::named(Name::Affine), Preprocess::Standardize, x, &options).unwrap().flow;
    let rows = flow.part(0..1).unwrap().normalize(x).unwrap().0;
    let mut core = flow.part(flow.core()).unwrap();
    polish(&mut core, &rows, alpha).unwrap();
    flow.replace(1, &core);
    (flow, rows)
}

fn covariance(x: &Matrix<f64>) -> Matrix<f64> {
    let n = x.rows() as f64;
    let mean: Vec<f64> = (0..x.cols()).map(|j| x.col(j).iter().sum::<f64>() / n).collect();
    let centred = Matrix::from_fn(x.rows(), x.cols(), |i, j| x[(i, j)] - mean[j]);
    centred.transpose().mul(&centred).map(|v| v / n)
}

fn distance(a: &Matrix<f64>, b: &Matrix<f64>) -> f64 {
    Matrix::from_fn(a.rows(), a.cols(), |i, j| a[(i, j)] - b[(i, j)]).norm()
}

/// Units of columns that are nine orders of magnitude apart: the covariance of the small ones keeps its digits.
#[test]
fn deshrinking_keeps_small_columns() {
    let units = [1e5, 1.0, 1e-4];
    let given = rows(200, 3, 0, 5);
    let x = Matrix::from_fn(200, 3, |i, j| units[j] * given[(i, j)]);
    let (flow, _) = optimum(&x, 0.05);
    let (sigma, row) = (covariance(&x), Matrix::new(1, 3, x.row(0).to_vec()));
    let back = deshrunk_covariance(&flow, &row, 0.05).unwrap().matrix(0);
    for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
        let unit = (sigma[(i, i)] * sigma[(j, j)]).sqrt();
        assert!((back[(i, j)] - sigma[(i, j)]).abs() < 1e-7 * unit, "{i} {j}: {back:?} {sigma:?}");
    }
}

/// Noise is added in training units: behind a logarithm with `ln x ~ N(0, 4)` the estimate is `x^(1 - 2α/4)`.
#[test]
fn denoising_is_done_in_training_units() {
    let line = Support { columns: vec![Interval::POSITIVE] };
    let mut flow = Flow::<f64>::new(vec![line.into(), Affine::new(1, Form::Full).into()], 1, 0).unwrap();
    flow.parameters_mut().iter_mut().find(|p| p.name == "layers.1.weight").unwrap().data[0] = 0.5;
    let x = Matrix::new(3, 1, vec![0.2, 1.0, 7.0]);
    let got = denoised(&flow, &x, 0.3).unwrap();
    for i in 0..3 {
        let exact = x[(i, 0)].powf(1.0 - 0.15);
        assert!((got[(i, 0)] - exact).abs() < 1e-14 * exact, "{} for {exact}", got[(i, 0)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// At a linear optimum the de-shrunk covariance is that of the data, in data units, null directions included; with another
    /// weight it is not.
    #[test]
    fn deshrinking_undoes_the_penalty(d in 2_usize..7, null in 0_usize..2, alpha in 1e-3..0.3_f64, seed: u64) {
        let x = rows(200, d, null, seed);
        let (flow, _) = optimum(&x, alpha);
        let sigma = covariance(&x);
        let some = Matrix::new(2, d, x.data()[..2 * d].to_vec());
        let back = deshrunk_covariance(&flow, &some, alpha).unwrap();
        for row in 0..2 {
            let error = distance(&back.matrix(row), &sigma) / sigma.norm();
            prop_assert!(error < 1e-7, "{error:e}");
        }
        let wrong = deshrunk_covariance(&flow, &some, 0.5 * alpha).unwrap();
        let expected: f64 = (0..d).map(|j| sigma[(j, j)].powi(2)).sum::<f64>().sqrt() * alpha;
        prop_assert!((distance(&wrong.matrix(0), &sigma) / expected - 1.0).abs() < 1e-6);
    }

    /// At a linear optimum denoising is the Wiener filter `μ + Σ (Σ + 2αI)⁻¹ (h - μ)`, training units.
    #[test]
    fn denoising_is_the_wiener_filter(d in 1_usize..7, alpha in 1e-3..0.3_f64, seed: u64) {
        let x = rows(200, d, 0, seed);
        let (flow, h) = optimum(&x, alpha);
        let got = flow.part(0..1).unwrap().normalize(&denoised(&flow, &x, alpha).unwrap()).unwrap().0;
        let s = Spectrum::of(&h).unwrap();
        let filter = Matrix::from_fn(d, d, |i, j| {
            (0..d).map(|k| s.axes[(i, k)] * s.values[k] / (s.values[k] + 2.0 * alpha) * s.axes[(j, k)]).sum()
        });
        let expected = h.mul(&filter); // the mean is zero in training units
        prop_assert!(distance(&got, &expected) < 1e-8 * h.norm(), "{:e}", distance(&got, &expected));
        prop_assert!(distance(&got, &h) > 1e-4 * h.norm());
    }

    /// The shrinkage from moments is that of the definition, a sum over rows of matrices; and it is a share.
    #[test]
    fn ledoit_wolf_is_its_definition(n in 3_usize..40, d in 2_usize..6, seed: u64) {
        let x = rows(n, d, 0, seed);
        let got = ledoit_wolf(&x, &Spectrum::of(&x).unwrap());
        let (sigma, nf, df) = (covariance(&x), n as f64, d as f64);
        let mean = (0..d).map(|j| sigma[(j, j)]).sum::<f64>() / df;
        let spread = distance(&sigma, &Matrix::identity(d).map(|v| v * mean)).powi(2) / df;
        let mu: Vec<f64> = (0..d).map(|j| x.col(j).iter().sum::<f64>() / nf).collect();
        let one = |i: usize| {
            let outer = Matrix::from_fn(d, d, |a, b| (x[(i, a)] - mu[a]) * (x[(i, b)] - mu[b]));
            distance(&outer, &sigma).powi(2)
        };
        let noise = (0..n).map(one).sum::<f64>() / (nf * nf * df);
        prop_assert!((got.shrinkage - (noise / spread).min(1.0)).abs() < 1e-9);
        prop_assert!((0.0..=1.0).contains(&got.shrinkage));
        // Same ratios of variances as the shrunk covariance.
        if got.shrinkage < 1.0 {
            let ratio = |l: f64| {
                ((1.0 - got.shrinkage) * l + got.shrinkage * mean) / (l + 2.0 * got.alpha)
            };
            prop_assert!((ratio(0.1) / ratio(7.0) - 1.0).abs() < 1e-9);
        }
    }

    /// In one dimension the held-out likelihood is largest where `λ + 2α` is the held-out variance.
    #[test]
    fn held_out_rows_choose_their_own_variance(train in 0.5..2.0_f64, held in 0.1..4.0_f64) {
        let column = |s: f64| Matrix::new(2, 1, vec![-s.sqrt(), s.sqrt()]);
        let path = LinearPath::new(&column(train), &column(held)).unwrap();
        match path.chosen() {
            Chosen::At(alpha) => prop_assert!((2.0 * alpha / (held - train) - 1.0).abs() < 1e-4, "{alpha}"),
            Chosen::None => prop_assert!(held <= train * (1.0 + 1e-6)),
            Chosen::Beyond(_) => prop_assert!(false),
        }
    }

    /// The likelihood along the path is that of the trained optimum, on training and on held-out rows.
    #[test]
    fn the_path_is_that_of_trained_flows(d in 1_usize..6, null in 0_usize..2, alpha in 1e-4..1.0_f64, seed: u64) {
        let x = rows(150, d, null.min(d - 1), seed);
        let (flow, h) = optimum(&x, alpha);
        let held = flow.part(0..1).unwrap().normalize(&rows(60, d, 0, seed ^ 1)).unwrap().0;
        let path = LinearPath::new(&h, &held).unwrap();
        let core = flow.part(flow.core()).unwrap();
        let mean = |x: &Matrix<f64>| core.log_density(x).unwrap().iter().sum::<f64>() / x.rows() as f64;
        let (a, b) = (mean(&h), path.closed().likelihood(alpha));
        prop_assert!((a - b).abs() < 1e-7 * (1.0 + a.abs()), "{a} {b}");
        let (a, b) = (mean(&held), path.held_out(alpha));
        prop_assert!((a - b).abs() < 1e-6 * (1.0 + a.abs()), "{a} {b}");
    }
}

#[test]
fn closed_forms_agree_with_each_other() {
    let path = Path(&[2.0, 0.5, 1e-3]);
    for alpha in [1e-4, 1e-2, 1.0] {
        // L_α = l - α‖W‖², ‖W‖² = Σ 1/(λ + 2α)
        let norm: f64 = path.0.iter().map(|l| (l + 2.0 * alpha).recip()).sum();
        assert!((path.penalised(alpha) - path.likelihood(alpha) + alpha * norm).abs() < 1e-12);
        // The divergence is the loss of likelihood against α = 0.
        assert!((path.likelihood(0.0) - path.likelihood(alpha) - path.divergence(alpha)).abs() < 1e-12);
        assert!(path.condition(alpha).powi(2) <= path.condition_bound(alpha));
    }
    let flat = Path(&[1.0, 0.0]);
    assert!(flat.divergence(0.1).is_infinite());
    assert_eq!((flat.likelihood(0.0), flat.condition(0.0)), (f64::INFINITY, f64::INFINITY));
    assert!(flat.likelihood_of(0.0, &[1.0, 0.1]) < f64::MIN);
}

/// Without penalty the likelihood of rank-deficient rows grows with training, and the condition number with it; with one it
/// stays under the bound. The study says so in a page that is whole.
#[test]
fn a_study_shows_what_the_penalty_does() {
    let all = rows(500, 3, 1, 5);
    let (x, held) = all.data().split_at(400 * 3);
    let (x, held) = (Matrix::new(400, 3, x.to_vec()), Matrix::new(100, 3, held.to_vec()));
    let preset = Preset {
        layers: Some(2),
        hidden: Some(vec![8]),
        output_affine: true,
        ..Preset::named(Name::Realnvp)
    };
    let run = |alpha| {
        let options =
            TrainOptions { alpha, epochs: 100, patience: 0, lr: 0.02, batch: 100, ..TrainOptions::default() };
        deep_run(&preset, Preprocess::Standardize, &x, &held, &options).unwrap()
    };
    let runs = [run(0.0), run(0.1)];
    let condition = |k: usize| runs[k].epochs.last().unwrap().condition;
    assert!(condition(0) > 3.0 * condition(1), "{} {}", condition(0), condition(1));
    assert!(runs[1].penalised <= runs[1].bound(3) && runs[0].bound(3).is_infinite());
    let flow = build::<f64>(&preset, Preprocess::Standardize, &x, &TrainOptions::default()).unwrap().flow;
    let units = |x: &Matrix<f64>| flow.part(0..1).unwrap().normalize(x).unwrap().0;
    let path = LinearPath::new(&units(&x), &units(&held)).unwrap();
    assert_eq!(path.spectrum.null, 1);
    let section = section("null", &path, &runs);
    assert_eq!((section.charts.len(), section.listings[0].columns.len()), (5, 9));
    assert!(section.listings[0].rows.iter().all(|row| row.len() == 9));
    let page = html::page(&eigenflow::report::Report::new(0, vec![section]));
    assert!(page.contains("rank 2 of 3") && page.contains("without penalty"));
}
