//! Estimators of the intrinsic dimension: closed forms, plateaus, and what does not have one.

use eigenflow::data::{Selection, Source};
use eigenflow::dimension::{
    By, Call, Curve, Estimate, Method, Plan, Points, Rule, Rung, Survey, Trace, derivatives,
    effective_dimension, flipd, lidl, local_pca, onset, path, projected, regularised_losses, two_nn,
};
use eigenflow::flow::bijections::{Affine, Form};
use eigenflow::flow::presets::{Name, Nonlinearity, Preset};
use eigenflow::flow::{Error, Flow};
use eigenflow::theory::linear::{Path, Spectrum};
use eigenflow::train::{Preprocess, TrainOptions, build};
use eigenflow_linalg::Matrix;
use std::ops::ControlFlow;

fn data(name: &str) -> Matrix<f64> {
    name.parse::<Source>().unwrap().load(&Selection::default()).unwrap().values
}

fn linear(dim: usize) -> Flow<f64> {
    Flow::new(vec![Affine::new(dim, Form::Full).into()], 0, 0).unwrap()
}

/// A linear flow at its optimum for every scale.
fn rungs(rows: &Matrix<f64>, scales: &[f64]) -> Vec<Rung> {
    let options = TrainOptions::default();
    let mut seen = 0;
    let found = path(&linear(rows.cols()), rows, None, scales, By::Alpha, &options, &mut |_| {
        seen += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(seen, scales.len());
    found.unwrap()
}

fn smooth(dim: usize, seed: u64) -> Flow<f64> {
    let preset = Preset {
        layers: Some(4),
        hidden: Some(vec![8]),
        activation: Some(Nonlinearity::Silu),
        ..Preset::named(Name::Realnvp)
    };
    let mut flow = Flow::new(preset.layers(dim, seed).unwrap(), 0, seed).unwrap();
    // Couplings start near the identity: weights of some size.
    let mut k = 0.0;
    for p in flow.parameters_mut() {
        for v in &mut p.data {
            k += 1.0;
            *v += 0.3 * f64::sin(1.7 * k);
        }
    }
    flow
}

const SCALES: [f64; 5] = [0.035, 0.05, 0.07, 0.1, 0.14];

/// Subspaces of 1, 3 and 10 dimensions in 20 and 100 columns: every estimate is its closed form, and the integer is called.
#[test]
fn linear_subspaces_come_out_exactly() {
    for (dim, columns) in [(1, 20), (3, 20), (10, 20), (10, 100)] {
        let rows = data(&format!("builtin:subspace?n=1500&dim={dim}&columns={columns}&noise=0.001"));
        let rungs = rungs(&rows, &SCALES);
        // The mean over all training rows is exact; of the widest set a few rows have to do, in 32 blocks.
        let methods = vec![Method::EffectiveDimension, Method::Onset, Method::Lidl, Method::Flipd];
        let plan = Plan { methods, ..Plan::default() };
        let survey = Survey::of(&rungs, &rows, &rows, &plan).unwrap();
        assert_eq!(survey.call, Call::Dimension(dim), "{dim} in {columns}: {:?}", survey.plateaus);
        assert!(survey.plateaus.iter().flatten().count() == 4);
        let spectrum = Spectrum::of(&rows).unwrap();
        let closed = Path(&spectrum.values);
        let second = |v: f64| spectrum.values.iter().map(|l| (v / (l + v)).powi(2)).sum::<f64>();
        for curve in &survey.curves {
            for (k, e) in curve.estimates.iter().enumerate() {
                let alphas = [0.5 * SCALES[k].powi(2), 0.5 * SCALES.get(k + 1).unwrap_or(&1.0).powi(2)];
                let step = 0.5 * (alphas[1] / alphas[0]).ln();
                let slope = |of: &dyn Fn(f64) -> f64| (of(alphas[1]) - of(alphas[0])) / step;
                let exact = match curve.method {
                    Method::EffectiveDimension => closed.effective_dimension(alphas[0]),
                    Method::Onset => columns as f64 + slope(&|a| closed.penalised(a)),
                    Method::Lidl => columns as f64 + slope(&|a| closed.likelihood(a)),
                    _ => columns as f64 - second(2.0 * alphas[0]),
                };
                assert!((e.mean - exact).abs() < 1e-6, "{:?} {k}: {} {exact}", curve.method, e.mean);
            }
        }
    }
}

/// Over its own noisy rows the mean of FLIPD is `D`, whatever the dimension; at their projections it is the dimension.
#[test]
fn flipd_of_noisy_rows_is_the_number_of_columns() {
    let rows = data("builtin:subspace?n=4000&dim=3&columns=8&noise=0.05");
    // The density of the noisy rows themselves: no penalty.
    let mut flow = linear(8);
    eigenflow::train::polish::polish(&mut flow, &rows, 0.0).unwrap();
    let mean = |points| {
        let values = flipd(&flow, &rows, 0.0025, points, Trace::Exact, 0).unwrap();
        values.iter().sum::<f64>() / values.len() as f64
    };
    assert!((mean(Points::Data) - 8.0).abs() < 1e-9, "{}", mean(Points::Data));
    assert!((mean(Points::Projected) - 3.0).abs() < 0.05, "{}", mean(Points::Projected));
}

/// The same for any smooth density: `∫Δp = 0`. A Laplacian that is off by a hundredth is refuted.
#[test]
fn flipd_of_own_draws_is_the_number_of_columns() {
    for dim in [1, 2, 5] {
        let flow = smooth(dim, 3);
        let draws = flow.sample(6000, 1.0, 5).unwrap();
        let found = derivatives(&flow, &draws, Trace::Exact, 0).unwrap();
        let size = found.curvature().iter().map(|c| c.abs()).sum::<f64>() / 6000.0;
        let judge = |c: Vec<f64>| Estimate::of_rows(1.0, c);
        let good = judge(found.curvature());
        assert!(good.mean.abs() < 5.0 * good.error, "{dim}: {} ± {} of {size}", good.mean, good.error);
        let mut bad = found.clone();
        bad.laplacian.iter_mut().for_each(|l| *l *= 1.2);
        let bad = judge(bad.curvature());
        assert!(bad.mean.abs() > 5.0 * bad.error, "{dim}: {} ± {}", bad.mean, bad.error);
    }
}

/// Score and Laplacian against central differences of `log p` (order 2, at a step where rounding is below 1e-6); the estimate
/// of the trace has the exact one as its mean.
#[test]
fn derivatives_agree_with_differences() {
    let flow = smooth(4, 1);
    let x = flow.sample(20, 1.0, 2).unwrap();
    let found = derivatives(&flow, &x, Trace::Exact, 0).unwrap();
    let h = 1e-4;
    let moved = |j: usize, by: f64| {
        flow.log_density(&Matrix::from_fn(20, 4, |i, k| x[(i, k)] + if k == j { by } else { 0.0 })).unwrap()
    };
    let mut laplacian = [0.0; 20];
    for j in 0..4 {
        let (up, down) = (moved(j, h), moved(j, -h));
        for i in 0..20 {
            let score = (up[i] - down[i]) / (2.0 * h);
            assert!((score - found.score[(i, j)]).abs() < 1e-5 * (1.0 + score.abs()), "{score}");
            laplacian[i] += (up[i] - 2.0 * found.log_p[i] + down[i]) / (h * h);
        }
    }
    for (a, b) in laplacian.iter().zip(&found.laplacian) {
        assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{a} {b}");
    }
    let estimated = derivatives(&flow, &x, Trace::Estimated { probes: 400 }, 7).unwrap();
    let again = derivatives(&flow, &x, Trace::Estimated { probes: 400 }, 7).unwrap();
    assert_eq!(estimated.laplacian, again.laplacian);
    // Variance of vᵀHv with random signs: twice the squares off the diagonal, at most 2‖H‖², estimated by the spread itself.
    let sum = |l: &[f64]| l.iter().sum::<f64>();
    let scale = found.laplacian.iter().map(|l| l * l).sum::<f64>().sqrt();
    assert!(
        (sum(&estimated.laplacian) - sum(&found.laplacian)).abs() < 5.0 * (2.0 / 400.0_f64).sqrt() * scale
    );
    let shifted = projected(&flow, &x, 0.5).unwrap();
    assert!((shifted[(3, 1)] - x[(3, 1)] - 0.5 * found.score[(3, 1)]).abs() < 1e-12);
}

/// Chunks of Hessians: more rows than one block holds give the same numbers as one by one.
#[test]
fn rows_do_not_see_each_other() {
    let flow = smooth(3, 2);
    let x = flow.sample(50, 1.0, 2).unwrap();
    let all = derivatives(&flow, &x, Trace::Exact, 0).unwrap();
    let one = derivatives(&flow, &Matrix::new(1, 3, x.row(31).to_vec()), Trace::Exact, 0).unwrap();
    assert_eq!((all.laplacian[31], all.score.row(31)), (one.laplacian[0], one.score.row(0)));
    let norm = effective_dimension(&flow, &x, 0.01, false, 0).unwrap();
    let estimate: f64 = (0..200)
        .map(|seed| effective_dimension(&flow, &x, 0.01, true, seed).unwrap().iter().sum::<f64>())
        .sum();
    let exact: f64 = norm.iter().sum();
    // ‖Jv‖² has a relative deviation of at most √2: 50 rows and 200 draws of it.
    let most =
        5.0 * 2.0_f64.sqrt() / 200.0_f64.sqrt() * norm.iter().map(|d| (3.0 - d).powi(2)).sum::<f64>().sqrt();
    assert!((estimate / 200.0 - exact).abs() < most, "{estimate} {exact}");
}

/// The references on manifolds without noise, on which the right integer is known.
#[test]
fn neighbourhoods_have_the_dimension_of_the_set() {
    for (name, dim) in [
        ("sphere?n=6000&dim=2&noise=0", 2),
        ("sphere?n=6000&dim=5&noise=0", 5),
        ("sphere?n=4000&dim=2&columns=10&noise=0.001", 2),
        ("mobius-band?n=6000&noise=0", 2),
        ("swiss-roll?n=6000&noise=0", 2),
        ("s-curve?n=6000&noise=0", 2),
        ("subspace?n=4000&dim=1&columns=20&noise=0.0001", 1),
        ("subspace?n=4000&dim=10&columns=20&noise=0.001", 10),
        // No subspace: all of the columns.
        ("gaussian?n=4000&d=3&condition=1", 3),
    ] {
        let rows = data(&format!("builtin:{name}"));
        let pca = local_pca(&rows, 200, 0).unwrap();
        let smallest = &pca.estimates[usize::from(dim > 4)];
        assert!((smallest.mean - dim as f64).abs() < 0.25, "{name}: {} ± {}", smallest.mean, smallest.error);
        let nn = two_nn(&rows).unwrap();
        // Edges and curvature bias it in many dimensions; below six it is right.
        if dim < 6 && !name.contains("0.0001") {
            let e = &nn.estimates[0];
            assert!((e.mean - dim as f64).abs() < 0.4, "{name}: TwoNN {} ± {}", e.mean, e.error);
        }
    }
}

/// Neighbourhoods of an eighth of the rows overlap: eight of them are independent, however many centres there are.
#[test]
fn errors_count_neighbourhoods_that_do_not_overlap() {
    let rows = data("builtin:sphere?n=1600&dim=2&noise=0.05");
    let largest = local_pca(&rows, 1600, 0).unwrap().estimates.pop().unwrap();
    let (n, mean) = (largest.rows.len() as f64, largest.mean);
    let deviation = (largest.rows.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    // The largest neighbourhood of the list within an eighth of 1,600 rows has 128 of them.
    let least = deviation / (1600.0_f64 / 128.0).sqrt();
    assert!(largest.error >= 0.999 * least, "{} {least}", largest.error);
    assert!(deviation == 0.0 || least > 5.0 * deviation / n.sqrt());
}

/// Noise fills all columns below its own size, and only there: TwoNN over thinner subsets.
#[test]
fn noise_counts_at_its_own_scale() {
    let rows = data("builtin:sphere?n=20000&dim=2&noise=0.02");
    let nn = two_nn(&rows).unwrap();
    let (first, last) = (&nn.estimates[0], &nn.estimates[nn.estimates.len() - 2]);
    // Below the noise's size the three columns, above it the two of the sphere: to the nearest whole number.
    let seen = [first.mean, last.mean].map(|m| m.round() as i64);
    assert!(first.scale < last.scale && seen == [3, 2], "{} {}", first.mean, last.mean);
}

fn curve(scales: &[f64], of: impl Fn(f64) -> f64) -> Curve {
    let estimate = |&scale: &f64| Estimate { scale, mean: of(scale), error: 0.01, rows: Vec::new() };
    Curve::new(Method::EffectiveDimension, scales.iter().map(estimate).collect())
}

/// A plateau needs directions far from the scale on both sides: spectra without a gap have none, wherever their curve crosses an
/// integer.
#[test]
fn without_a_gap_there_is_no_plateau() {
    let scales: Vec<f64> = (0..30).map(|k| 0.01 * 2.0_f64.powf(f64::from(k) / 4.0)).collect();
    let sum = |values: &'static [f64]| move |s: f64| values.iter().map(|l| l / (l + s * s)).sum::<f64>();
    let rule = Rule::default();
    let of = |values: &'static [f64]| curve(&scales, sum(values)).plateau(values.len(), &rule);
    assert_eq!(of(&[1.0, 1e-6]).unwrap().dimension, 1);
    assert_eq!(of(&[2.0, 1.0, 1.0, 1e-6, 1e-6]).unwrap().dimension, 3);
    // Below all variances all columns count, and above them none; between them:
    let between = |values: &'static [f64], low: f64, high: f64| {
        let scales: Vec<f64> = (0..=12).map(|k| low * (high / low).powf(f64::from(k) / 12.0)).collect();
        curve(&scales, sum(values)).plateau(values.len(), &rule)
    };
    assert_eq!(of(&[0.1, 0.1, 0.1]).unwrap().dimension, 3);
    assert_eq!(between(&[0.1, 0.1, 0.1], 0.15, 0.6), None, "an isotropic normal distribution");
    assert_eq!(between(&[0.1, 0.02, 0.004], 0.063, 0.316), None, "a spectrum that falls evenly");
    assert_eq!(
        between(&[0.2, 0.01], 0.1, 0.447),
        None,
        "a gap of twenty, where the rule asks for four hundred"
    );
    let four_hundred = of(&[4.0, 4.0, 1e-3, 1e-3]).unwrap();
    assert_eq!(four_hundred.dimension, 2);
    // The window of the rule cuts it.
    let cut = Rule { noise: Some(0.2), ..Rule::default() };
    assert_eq!(curve(&scales, sum(&[1.0, 1e-6])).plateau(2, &cut), None);
    // Error bars, too few scales, values that are not finite.
    let mut wide = curve(&scales, |_| 2.0);
    wide.estimates.iter_mut().for_each(|e| e.error = 0.2);
    assert_eq!(wide.plateau(3, &rule), None);
    assert_eq!(curve(&[0.1, 0.2], |_| 2.0).plateau(3, &rule), None);
    assert_eq!(curve(&[0.1, 0.12, 0.14], |_| 2.0).plateau(3, &rule), None);
    assert_eq!(curve(&scales, |_| f64::NAN).plateau(3, &rule), None);
    assert_eq!(curve(&scales, |_| -1.0).plateau(3, &rule), None);
}

/// Data without a subspace: undecided, by linear flows.
#[test]
fn an_isotropic_normal_distribution_is_undecided() {
    let rows = data("builtin:gaussian?n=1000&d=3&condition=1");
    let scales = [0.35, 0.5, 0.7, 1.0, 1.4];
    let methods = vec![Method::EffectiveDimension, Method::Onset, Method::Lidl, Method::Flipd];
    let survey =
        Survey::of(&rungs(&rows, &scales), &rows, &rows, &Plan { methods, ..Plan::default() }).unwrap();
    assert!(matches!(&survey.call, Call::Undecided(why) if why.contains("no plateau")), "{:?}", survey.call);
    // Far below its variance it fills all columns.
    let survey = Survey::of(&rungs(&rows, &SCALES), &rows, &rows, &Plan::default()).unwrap();
    assert_eq!(survey.call, Call::Dimension(3));
    assert_eq!(survey.curves.len(), 6);
}

/// Losses over noise and over weights are the same law on a linear flow: their slopes agree within the error of the draws.
#[test]
fn noise_and_weight_are_one_law() {
    let rows = data("builtin:subspace?n=1000&dim=2&columns=5&noise=0.001");
    let at = rungs(&rows, &[0.05, 0.1]);
    let losses = |by| {
        let of = |r: &Rung| regularised_losses(&Rung { by, ..r.clone() }, &rows, false, 1).unwrap();
        at.iter().map(of).collect::<Vec<_>>()
    };
    let [a, b] = [By::Alpha, By::Noise].map(|by| onset(5, &[0.05, 0.1], &losses(by)).estimates[0].clone());
    assert!((a.mean - 2.0).abs() < 0.05 && (a.mean - b.mean).abs() < 5.0 * b.error, "{} {}", a.mean, b.mean);
    let log_p: Vec<Vec<f64>> = at.iter().map(|r| r.core.log_density(&rows).unwrap()).collect();
    assert!((lidl(5, &[0.05, 0.1], &log_p).estimates[0].mean - 2.0).abs() < 0.05);
}

/// A small flow trained along three noises on the S-curve: two dimensions, to a half, by each estimator of models.
#[test]
fn a_trained_flow_sees_a_sheet() {
    let rows = data("builtin:s-curve?n=3000&noise=0.01");
    let preset = Preset {
        layers: Some(4),
        hidden: Some(vec![24]),
        output_affine: true,
        ..Preset::named(Name::Realnvp)
    };
    let options = TrainOptions { epochs: 60, batch: 128, lr: 5e-3, patience: 0, ..TrainOptions::default() };
    let flow = build::<f64>(&preset, Preprocess::Isotropic, &rows, &options).unwrap().flow;
    // One scale for all columns, the root of their mean variance.
    let scale = &flow.parameters().iter().find(|p| p.name == "layers.0.scale").unwrap().data;
    assert!(scale.iter().all(|s| (s - 0.73).abs() < 0.02 && s.to_bits() == scale[0].to_bits()), "{scale:?}");
    let scales = [0.1, 0.1414, 0.2];
    let go = &mut |_| ControlFlow::Continue(());
    let rungs = path(&flow, &rows, None, &scales, By::Noise, &options, go).unwrap();
    let units = flow.part(0..1).unwrap().normalize(&rows).unwrap().0;
    let methods = vec![Method::EffectiveDimension, Method::Onset, Method::Lidl, Method::Flipd];
    let survey = Survey::of(&rungs, &units, &units, &Plan { methods, ..Plan::default() }).unwrap();
    for curve in &survey.curves {
        let e = &curve.estimates[0];
        println!("{:?}: {} ± {} at {}", curve.method, e.mean, e.error, e.scale);
        assert!((e.mean - 2.0).abs() < 0.5, "{:?}: {} ± {}", curve.method, e.mean, e.error);
    }
}

/// Rows that are no numbers, too few or all the same are errors or empty curves, never a panic.
#[test]
fn poor_rows_are_refused_or_give_nothing() {
    let bad = Matrix::new(2, 2, vec![0.0, 1.0, f64::NAN, 2.0]);
    for error in [local_pca(&bad, 10, 0).unwrap_err(), two_nn(&bad).unwrap_err()] {
        assert!(matches!(error, Error::NotFinite { row: 1, column: 0, .. }), "{error}");
    }
    for n in [0, 1, 5, 17] {
        let rows = Matrix::from_fn(n, 3, |i, j| (i + j) as f64);
        assert!(two_nn(&rows).unwrap().estimates.is_empty());
        assert!(local_pca(&rows, 10, 0).unwrap().estimates.len() <= 1);
    }
    let same = Matrix::from_fn(400, 2, |_, j| 0.1 + j as f64 / 3.0);
    assert!(two_nn(&same).unwrap().estimates.is_empty());
    assert!(local_pca(&same, 10, 0).unwrap().estimates.iter().all(|e| e.mean == 0.0));
    let flow = linear(2);
    assert!(flipd(&flow, &bad, 0.1, Points::Data, Trace::Exact, 0).is_err());
    assert!(effective_dimension(&flow, &Matrix::zeros(3, 3), 0.1, false, 0).is_err());
    assert!(derivatives(&flow, &Matrix::zeros(0, 2), Trace::Exact, 0).unwrap().laplacian.is_empty());
    let empty = Estimate::of_rows(1.0, Vec::new());
    assert!(empty.mean.is_nan() && empty.median().is_nan());
}
