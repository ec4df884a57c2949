//! What others trip over: one column or a thousand, a single row, constant, discrete and repeated columns, huge logits, bounded data.

use crate::zoo;

use eigenflow::flow::bijections::{GeneralCoupling, Interval, Support};
use eigenflow::flow::presets::{Intervals, NAMES, Name, Preset};
use eigenflow::flow::transformer::{Scale, Spline, Transformer};
use eigenflow::flow::{Error as FlowError, Flow, Layer};
use eigenflow::random::generator;
use eigenflow::train::{Error, Preprocess, TrainOptions, build, fit};
use eigenflow_autodiff::Program;
use eigenflow_linalg::{Matrix, Real};
use rand::RngExt;
use std::ops::ControlFlow;
use zoo::rows;

/// Every named flow, small.
fn presets() -> Vec<Preset> {
    let named = |name: &&str| serde_json::from_value::<Name>((*name).into()).unwrap();
    let small =
        |flow| Preset { layers: Some(2), hidden: Some(vec![8]), bins: Some(4), ..Preset::named(flow) };
    NAMES.iter().map(|name| small(named(name))).collect()
}

#[test]
fn the_list_of_names_is_the_list_of_flows() {
    for (name, preset) in NAMES.iter().zip(presets()) {
        assert_eq!(*name, preset.flow.as_str());
        assert!(!preset.layers(2, 0).unwrap().is_empty());
    }
}

#[test]
fn one_column_and_a_thousand() {
    for preset in presets() {
        for d in [1, 1000] {
            let name = preset.flow.as_str();
            let flow = Flow::<f64>::new(preset.layers(d, 0).unwrap(), 0, 0).unwrap();
            let x = rows::<f64>(1, d, 2);
            let (z, log_det) = flow.normalize(&x).unwrap();
            assert!(log_det[0].is_finite());
            let back = flow.generate(&z).unwrap();
            assert!(zoo::distance(&back, &x) <= 1e-9 * (1.0 + x.norm()), "{name}, D = {d}");
        }
    }
}

#[test]
fn a_single_row_is_too_few_to_train_on() {
    for preset in presets() {
        let x = rows::<f64>(1, 2, 3);
        let error = build::<f64>(&preset, Preprocess::Standardize, &x, &TrainOptions::default()).unwrap_err();
        assert_eq!(error, Error::TooFewRows { given: 1, needed: 2 });
    }
}

fn options(epochs: usize, alpha: f64) -> TrainOptions {
    TrainOptions { epochs, alpha, batch: 64, valid: 0.0, ..TrainOptions::default() }
}

/// A constant column, one of three values, one that is rounded, and one that is neither.
#[test]
fn constant_and_discrete_columns_train() {
    let r = rows::<f64>(150, 4, 4);
    let x = Matrix::from_fn(150, 4, |i, j| match j {
        0 => 7.0,
        1 => f64::from(u8::try_from(i % 3).unwrap()),
        2 => r[(i, 2)].round(),
        _ => r[(i, 3)] + x_of(i),
    });
    for preset in presets() {
        let name = preset.flow.as_str();
        for alpha in [0.0, 0.01] {
            let options = options(2, alpha);
            let prepared = build::<f64>(&preset, Preprocess::Standardize, &x, &options).unwrap();
            assert_eq!(prepared.constant, [0], "{name}");
            let mut flow = prepared.flow;
            fit(&mut flow, &x, None, &options, &mut |_, _| ControlFlow::Continue(())).unwrap();
            let log_p = flow.log_density(&x).unwrap();
            assert!(log_p.iter().all(|p| p.is_finite()), "{name}, α = {alpha}");
        }
    }
}

fn x_of(i: usize) -> f64 {
    0.1 * (i as f64).sin()
}

/// One column twelve times: the likelihood has no bound, the guard says so, and with `α > 0` the condition stays below
/// `√(1 + 12 / 2α)`, claim L5.
#[test]
fn columns_duplicated_twelve_times() {
    let r = rows::<f64>(200, 1, 5);
    let x = Matrix::from_fn(200, 12, |i, _| r[(i, 0)]);
    let preset = Preset::named(Name::Affine);
    let run = |alpha: f64| {
        let options = TrainOptions { max_condition: 60.0, batch: 0, ..options(20, alpha) };
        let prepared = build::<f64>(&preset, Preprocess::Whiten, &x, &options).unwrap();
        assert_eq!(prepared.null_directions, 11);
        assert_eq!(prepared.warnings.len(), usize::from(alpha == 0.0));
        let says = |w: &String| w.contains("11 null directions") && w.contains("no upper bound");
        assert!(prepared.warnings.iter().all(says), "{:?}", prepared.warnings);
        let mut flow = prepared.flow;
        let result = fit(&mut flow, &x, None, &options, &mut |_, _| ControlFlow::Continue(()));
        assert!(flow.log_density(&x).unwrap().iter().all(|p| p.is_finite()));
        result
    };
    let error = run(0.0).unwrap_err();
    assert!(matches!(error, Error::Condition { condition, .. } if condition > 60.0), "{error}");
    assert!(error.to_string().contains("null direction"), "{error}");
    run(0.005).unwrap(); // √(1 + 12 / 0.01) = 34.7

    // Deep flows, with the penalty: finite all the way.
    for preset in presets().into_iter().filter(|p| p.flow != Name::Affine) {
        let options = options(2, 0.01);
        let mut flow = build::<f64>(&preset, Preprocess::Whiten, &x, &options).unwrap().flow;
        let record = fit(&mut flow, &x, None, &options, &mut |_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!(record.epochs.len(), 2, "{}", preset.flow.as_str());
    }
}

/// `log p` and its derivatives by row and parameters, as numbers.
fn everything(flow: &Flow<f64>, x: &Matrix<f64>) -> Vec<f64> {
    let program = Program::try_record(|r| {
        let params = flow.declare(r);
        let x = r.batch(flow.dim());
        let log_p = flow.record_log_density(&params, x, 0..flow.layers().len());
        let first = r.gradient(log_p, &[x])?[0];
        let mut out = vec![log_p, first, r.gradient(first, &[x])?[0]];
        out.extend(r.gradient(log_p, &params)?);
        Ok::<_, eigenflow_autodiff::Error>(out)
    });
    program.unwrap().run(x.rows(), &[x.data()], &flow.slices()).unwrap().concat()
}

#[test]
fn scales_of_a_million_logits() {
    let all = [
        Scale::Tanh { bound: 2.0 },
        Scale::SoftClamp { least: 1e-3 },
        Scale::Sigmoid { offset: 2.0, least: 1e-3 },
        Scale::Softplus { least: 1e-3 },
    ];
    for scale in all {
        for logit in [-1e6, 1e6] {
            let layer = GeneralCoupling::elementwise(1, Transformer::Affine { scale });
            let mut flow = Flow::<f64>::new(vec![layer.into()], 0, 0).unwrap();
            flow.parameters_mut()[1].data = vec![logit, 0.3];
            let x = Matrix::new(4, 1, vec![-2.0, 0.0, 0.7, 1e3]);
            let (z, log_det) = flow.normalize(&x).unwrap();
            // Scales lie between 1e-3 and the largest logit.
            assert!(log_det.iter().all(|l| (-7.0..=14.0).contains(l)), "{scale:?} {logit}: {log_det:?}");
            let back = flow.generate(&z).unwrap();
            assert!(zoo::distance(&back, &x) <= 1e-9, "{scale:?} {logit}");
            assert!(everything(&flow, &x).iter().all(|v| v.is_finite()), "{scale:?} {logit}");
        }
    }
}

/// Next to the upper knot of a steep bin the discriminant of the inverse is `(h d)²` as the difference of terms `(2 h s)²`: rounding
/// makes it negative. The inverse gives numbers there nevertheless, and the right ones.
#[test]
fn negative_discriminants_from_rounding() {
    let mut negative = 0;
    for seed in 0..1000 {
        let mut random = generator(seed, "discriminant", 0);
        let mut draw = |low: f64, high: f64| low + (high - low) * random.random::<f64>();
        // Two bins, the first narrow and high; the slope between them is the least.
        let (narrow, high) = (draw(-9.0, -3.0), draw(0.0, 3.0));
        let layer = GeneralCoupling::elementwise(1, Transformer::Spline(Spline::new(2, 3.0)));
        let mut flow = Flow::<f32>::new(vec![layer.into()], 0, 0).unwrap();
        flow.parameters_mut()[1].data = [narrow, 0.0, high, 0.0, -40.0].map(|v| v as f32).to_vec();
        let share = |a: f64| 1e-3 + (1.0 - 2e-3) * a.exp() / (a.exp() + 1.0);
        let (w, h, d) = ((6.0 * share(narrow)) as f32, (6.0 * share(high)) as f32, 1e-3_f32);
        let s = h / w;
        // The numbers next below the knot.
        let below: Vec<f32> = (0..200).map(|k| f32::from_bits(h.to_bits() - k)).collect();
        let excess = 1.0 + d - 2.0 * s;
        let is_negative = |y: &&f32| {
            let (a, b, c) = (h * (s - 1.0) + **y * excess, h - **y * excess, -s * **y);
            b * b - 4.0 * a * c < 0.0
        };
        negative += below.iter().filter(is_negative).count();
        let z = Matrix::new(200, 1, below.iter().map(|y| y - 3.0).collect());
        let x = flow.generate(&z).unwrap();
        let again = flow.normalize(&x).unwrap().0;
        for k in 0..200 {
            let (x, z, again) = (x[(k, 0)], z[(k, 0)], again[(k, 0)]);
            // Within the bin to rounding; the slope at its end is the least one, so the row is loose there.
            assert!((-3.0..=-3.0 + w + 0.05).contains(&x), "{x} {w}");
            assert!((again - z).abs() <= 1e-5 * h, "{again} {z}");
        }
    }
    assert!(negative > 100, "{negative} of 200000: the test says too little");
}

fn interval(text: &str) -> Interval {
    text.parse().unwrap()
}

fn stays_within<T: Real>(flow: &Flow<T>, bounds: &[(f64, f64)]) {
    for size in [0.1, 1.0, 10.0, 80.0] {
        let x = flow.generate(&rows::<T>(400, 5, 6).map(|v| v * T::of(size)));
        let Ok(x) = x else {
            assert!(size > 20.0 && matches!(x, Err(FlowError::OutOfRange { .. })), "{x:?}");
            continue;
        };
        for (j, (low, high)) in bounds.iter().enumerate() {
            assert!(x.col(j).iter().all(|v| *low <= v.f64() && v.f64() <= *high), "{size}, column {j}");
        }
    }
}

/// Latents however far out stay inside, ends included, or are out of range by name.
#[test]
fn no_mass_outside_the_support() {
    let columns: Vec<Interval> = ["0,1", "positive", "-inf,2.5", "-7,1e9", "real"].map(interval).to_vec();
    let bounds = [(0.0, 1.0), (0.0, f64::INFINITY), (f64::NEG_INFINITY, 2.5), (-7.0, 1e9), (-1e300, 1e300)];
    let flow = Flow::<f64>::new(vec![Support { columns }.into()], 0, 0).unwrap();
    stays_within(&flow, &bounds);
    stays_within(&flow.cast::<f32>(), &bounds);
    let refused = flow.normalize(&Matrix::new(2, 5, vec![0.5, 1.0, 1.0, 0.0, 0.0, 0.5, -1.0, 1.0, 0.0, 0.0]));
    assert!(
        matches!(refused, Err(FlowError::OutOfRange { row: 1, column: 1, kind: "support", .. })),
        "{refused:?}"
    );
}

/// Densities are those of the data's own units: what a trained flow puts on the interval is 1, by the trapezoid rule.
#[test]
fn densities_on_a_support_integrate_to_one() {
    for (support, low, high) in [("2,5", 2.0, 5.0), ("positive", 0.0, 40.0), ("-inf,3", -40.0, 3.0)] {
        let mut random = generator(1, "support-test", 0);
        let x = Matrix::from_fn(300, 1, |_, _| {
            let u = random.random::<f64>();
            match support {
                "2,5" => 2.0 + 3.0 * u,
                "positive" => 0.2 - u.ln(),
                _ => 3.0 + (0.9 * u + 0.05).ln(),
            }
        });
        let support_of = Some(Intervals(vec![interval(support)]));
        let preset = Preset {
            layers: Some(2),
            hidden: Some(vec![8]),
            support: support_of,
            ..Preset::named(Name::Nsf)
        };
        let options = options(5, 0.0);
        let mut flow = build::<f64>(&preset, Preprocess::Standardize, &x, &options).unwrap().flow;
        assert_eq!((flow.preprocessing(), flow.layers()[0].kind()), (2, "support"));
        fit(&mut flow, &x, None, &options, &mut |_, _| ControlFlow::Continue(())).unwrap();
        let n = 400_000;
        let step = (high - low) / f64::from(n);
        let grid = Matrix::from_fn(n as usize - 1, 1, |i, _| low + (i as f64 + 1.0) * step);
        let mass: f64 = flow.log_density(&grid).unwrap().iter().map(|p| p.exp() * step).sum();
        assert!((mass - 1.0).abs() < 2e-3, "{support}: {mass}");
        let inside = flow.sample(2000, 1.5, 0).unwrap();
        let (least, most) = (inside.data().iter().copied().fold(9.0, f64::min), inside.max_abs());
        match support {
            "2,5" => assert!(least >= 2.0 && most <= 5.0),
            "positive" => assert!(least >= 0.0),
            _ => assert!(inside.data().iter().all(|&v| v <= 3.0)),
        }
    }
}

#[test]
fn rows_outside_the_support_are_named() {
    let mut x = rows::<f64>(10, 2, 7).map(|v| 1.0 + v.abs());
    x[(6, 1)] = -0.25;
    let preset =
        |support: &str| Preset { support: Some(support.parse().unwrap()), ..Preset::named(Name::Affine) };
    let of =
        |support: &str| build::<f64>(&preset(support), Preprocess::Standardize, &x, &TrainOptions::default());
    let error = of("positive").unwrap_err();
    let expected = Error::OutsideSupport { row: 6, column: 1, value: -0.25, support: "positive".into() };
    assert_eq!(error, expected);
    assert!(of("positive;-1,9").is_ok());
    assert!(matches!(
        of("positive;real;real").unwrap_err(),
        Error::Flow(FlowError::Option { option: "--support", .. })
    ));
    assert!("0,1;2".parse::<Intervals>().is_err() && "nan,1".parse::<Interval>().is_err());
    // One as a word, several as a list, exactly.
    for support in ["positive", "0,0.1", "real;-inf,3;1e-300,inf"] {
        let preset = preset(support);
        let json = serde_json::to_string(&preset).unwrap();
        assert_eq!(serde_json::from_str::<Preset>(&json).unwrap(), preset, "{json}");
    }
    let layer: Layer = Support { columns: vec![interval("0,0.1"), interval("real")] }.into();
    let json = serde_json::to_string(&layer).unwrap();
    assert_eq!(serde_json::from_str::<Layer>(&json).unwrap(), layer, "{json}");
}
