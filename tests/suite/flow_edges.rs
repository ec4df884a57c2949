//! Extreme and degenerate inputs, malformed flows, parts, casts and samples.

use crate::zoo;

use eigenflow::flow::bijection::Bijection;
use eigenflow::flow::bijections::{
    Affine, BatchNorm, Coupling, Form, Householder, Logit, Permutation, Planar, PolarShear, Prelu, Residual,
    SCurveTube, Sinh, SoftTail, Standardize, SwissRoll, Sylvester,
};
use eigenflow::flow::conditioner::Activation;
use eigenflow::flow::presets::{Name, Nonlinearity, Preset};
use eigenflow::flow::{Error, Flow, Layer};
use eigenflow::jacobian::{Direction, Route, condition_numbers, jacobians, local_covariance};
use eigenflow_linalg::{Batch, Matrix, Real};
use zoo::{DIMS, row, rows};

/// Finite numbers or a typed error that names a place inside the flow and the batch. Says which.
fn sound<T: Real>(what: &str, flow: &Flow<T>, rows: usize, result: Result<&[T], &Error>) -> bool {
    match result {
        Ok(numbers) => {
            assert!(numbers.iter().all(|v| v.is_finite()), "{what}: not finite, and no error");
            true
        }
        Err(Error::OutOfRange { row, layer, kind, column, .. }) => {
            assert!(*row < rows && *layer < flow.layers().len() && *column < flow.dim(), "{what}");
            assert_eq!(*kind, flow.layers()[*layer].kind(), "{what}");
            false
        }
        Err(other) => panic!("{what}: {other}"),
    }
}

/// Runs everything on `x`; says how many of the results were numbers.
fn survives<T: Real>(name: &str, flow: &Flow<T>, x: &Matrix<T>) -> usize {
    let n = x.rows();
    let mut numbers = 0;
    let mut count = |what: &str, result: Result<&[T], &Error>| {
        numbers += usize::from(sound(&format!("{name} {}: {what}", T::NAME), flow, n, result));
    };
    let normalized = flow.normalize(x);
    count("normalize", normalized.as_ref().map(|r| r.0.data()));
    count("log-determinant", normalized.as_ref().map(|r| r.1.as_slice()));
    count("generate", flow.generate(x).as_ref().map(Matrix::data));
    count("log-density", flow.log_density(x).as_ref().map(Vec::as_slice));
    for direction in [Direction::Normalize, Direction::Generate] {
        for route in [Route::Push, Route::Pull, Route::Layers] {
            let j = jacobians(flow, x, direction, route);
            count(&format!("{direction:?} {route:?}"), j.as_ref().map(Batch::data));
        }
    }
    // Spectra of a Jacobian that is finite: infinite where it is singular, never NaN.
    match (condition_numbers(flow, x), local_covariance(flow, x, flow.dim())) {
        (Ok(kappa), Ok(local)) => {
            let all = kappa.iter().chain(local.scales.data()).chain(local.axes.data());
            assert!(all.copied().all(|v| !v.is_nan()), "{name} {}: spectrum", T::NAME);
        }
        (Err(Error::OutOfRange { .. } | Error::Linalg(_)), _)
        | (_, Err(Error::OutOfRange { .. } | Error::Linalg(_))) => {}
        (Err(e), _) | (_, Err(e)) => panic!("{name}: {e}"),
    }
    numbers
}

/// Rows at which things break.
fn extremes(dim: usize) -> Vec<Matrix<f64>> {
    let constant = |v: f64| Matrix::from_fn(1, dim, |_, _| v);
    let alternating = |v: f64| Matrix::from_fn(1, dim, |_, j| if j % 2 == 0 { v } else { -v });
    let mut all = vec![constant(0.0), constant(-0.0), constant(1e-30), alternating(50.0)];
    for size in [1e6, 1e30] {
        all.extend([constant(size), constant(-size), alternating(size)]);
    }
    // Duplicate columns, also a batch in which one row is hopeless.
    let r = rows::<f64>(5, dim, 16);
    all.push(Matrix::from_fn(5, dim, |i, _| r[(i, 0)]));
    all.push(Matrix::from_fn(5, dim, |i, j| if i == 3 { 1e30 } else { r[(i, j)] }));
    all
}

#[test]
fn extreme_rows_give_numbers_or_typed_errors() {
    let (mut numbers, mut runs) = (0, 0);
    for case in DIMS.iter().flat_map(|&d| zoo::selection(d)) {
        for x in extremes(case.flow.dim()) {
            numbers += survives::<f64>(&case.name, &case.flow, &x);
            numbers += survives::<f32>(&case.name, &case.flow.cast(), &x.cast());
            runs += 20;
        }
    }
    println!("{numbers} of {runs} results were numbers");
    assert!(numbers * 2 > runs, "most of these rows are well within range");
}

#[test]
fn huge_weights_give_numbers_or_typed_errors() {
    for mut case in DIMS.iter().flat_map(|&d| zoo::selection(d)) {
        for p in case.flow.parameters_mut() {
            if p.role.is_trained() {
                p.data.iter_mut().for_each(|w| *w *= 1e6);
            }
        }
        for x in extremes(case.flow.dim()).iter().step_by(3).chain([&rows(4, case.flow.dim(), 17)]) {
            survives::<f64>(&case.name, &case.flow, x);
            survives::<f32>(&case.name, &case.flow.cast(), &x.cast());
        }
    }
}

/// Rows off a sheet, and latents that leave it, are out of range by name; never NaN.
#[test]
fn sheets_end_somewhere() {
    let refuse = |flow: &Flow<f64>, direction: &'static str, at: [f64; 3]| {
        let x = Matrix::new(1, 3, at.to_vec());
        let error = match direction {
            "normalize" => flow.normalize(&x).unwrap_err(),
            _ => flow.generate(&x).unwrap_err(),
        };
        assert!(matches!(error, Error::OutOfRange { direction: d, row: 0, .. } if d == direction), "{error}");
        if direction == "normalize" {
            assert!(flow.log_density(&x).is_err() && local_covariance(flow, &x, 3).is_err());
        }
    };
    let tube = Flow::new(vec![SCurveTube::new(0.7, 0.1).into()], 0, 0).unwrap();
    for x in [[0.0, 1.0, 3.1], [3.0, 1.0, 0.0], [0.1, 2.0, 0.0], [0.1, -0.1, 0.0], [-1.5, 1.0, -0.5]] {
        refuse(&tube, "normalize", x);
    }
    for z in [[7.0, 0.0, 0.0], [0.1, 0.0, 10.5], [0.1, 0.0, -10.5]] {
        refuse(&tube, "generate", z);
    }
    let roll = Flow::new(vec![SwissRoll::new(0.1).into()], 0, 0).unwrap();
    for x in [[0.0, 1.0, 0.0], [20.0, 1.0, 0.0], [-9.0, 21.0, 0.0]] {
        refuse(&roll, "normalize", x);
    }
    refuse(&roll, "generate", [0.0, 0.0, 31.0]);
    // Both halves and both sides of the S, and the turns of the roll, come back.
    for flow in [&tube, &roll] {
        let z = flow.draw_latents(2000, 1.0, 3);
        let back = flow.normalize(&flow.generate(&z).unwrap()).unwrap().0;
        assert!(zoo::distance(&z, &back) < 1e-9);
    }
}

/// With the bound on the log-scale, couplings with tanh conditioners take any logits.
#[test]
fn saturated_couplings_stay_invertible() {
    for bound in [1.0, 2.0] {
        let layer =
            Coupling { dim: 4, moved: vec![2, 3], hidden: vec![5], activation: Activation::Tanh, bound };
        let mut flow = Flow::<f64>::new(vec![layer.into()], 0, 1).unwrap();
        flow.parameters_mut().iter_mut().flat_map(|p| &mut p.data).for_each(|w| *w *= 1e6);
        let x = rows::<f64>(20, 4, 18);
        let (z, log_det) = flow.normalize(&x).unwrap();
        assert!(log_det.iter().all(|l| l.abs() <= 2.0 * bound));
        let shift = z.max_abs();
        assert!(zoo::distance(&flow.generate(&z).unwrap(), &x) <= 1e-13 * shift * bound.exp());
    }
}

#[test]
fn no_rows_and_wrong_rows() {
    for case in DIMS.iter().flat_map(|&d| zoo::selection(d)) {
        let (flow, d) = (&case.flow, case.flow.dim());
        assert_eq!(survives(&case.name, flow, &Matrix::zeros(0, d)), 10, "{}", case.name);
        assert!(flow.sample(0, 1.0, 0).unwrap().data().is_empty());
        let wrong = Error::Columns { expected: d, given: d + 1 };
        assert_eq!(flow.normalize(&Matrix::zeros(2, d + 1)).unwrap_err(), wrong);
        assert_eq!(flow.generate(&Matrix::zeros(2, d + 1)).unwrap_err(), wrong);
        assert_eq!(condition_numbers(flow, &Matrix::zeros(2, d + 1)).unwrap_err(), wrong);
        for bad in [f64::NAN, f64::INFINITY, -f64::INFINITY] {
            let mut x = Matrix::zeros(3, d);
            x[(1, d - 1)] = bad;
            let error = Error::NotFinite { what: "data", row: 1, column: d - 1 };
            assert_eq!(flow.log_density(&x).unwrap_err(), error);
            assert_eq!(jacobians(flow, &x, Direction::Normalize, Route::Push).unwrap_err(), error);
            let error = Error::NotFinite { what: "latents", row: 1, column: d - 1 };
            assert_eq!(flow.generate(&x).unwrap_err(), error);
        }
    }
}

/// The error says the layer, the row and the column at which it happened.
#[test]
fn out_of_range_names_the_place() {
    let logit = Logit { dim: 2, low: 0.0, high: 1.0, margin: 0.0 };
    let layers: Vec<Layer> = vec![Permutation::reversed(2).into(), logit.into(), Prelu { dim: 2 }.into()];
    let flow = Flow::<f64>::new(layers, 0, 0).unwrap();
    let x = Matrix::new(3, 2, vec![0.5, 0.5, 0.25, 0.75, 1.5, 0.5]);
    let place = |direction| Error::OutOfRange {
        direction,
        row: 2,
        layer: 1,
        kind: "logit",
        column: 1,
        precision: "f64",
    };
    assert_eq!(flow.normalize(&x).unwrap_err(), place("normalize"));
    assert_eq!(flow.log_density(&x).unwrap_err(), place("normalize"));
    for route in [Route::Push, Route::Pull, Route::Layers] {
        assert_eq!(jacobians(&flow, &x, Direction::Normalize, route).unwrap_err(), place("normalize"));
    }
    assert_eq!(condition_numbers(&flow, &x).unwrap_err(), place("normalize"));

    // A singular matrix: values are finite, the log-determinant is not.
    let layers: Vec<Layer> = vec![Affine::new(1, Form::Full).into(), Sinh { dim: 1 }.into()];
    let mut flow = Flow::<f32>::new(layers, 0, 0).unwrap();
    flow.parameters_mut()[0].data[0] = 0.0;
    let error = flow.normalize(&Matrix::zeros(1, 1)).unwrap_err();
    let expected = Error::OutOfRange {
        direction: "normalize",
        row: 0,
        layer: 0,
        kind: "affine",
        column: 0,
        precision: "f32",
    };
    assert_eq!(error, expected);
}

#[test]
fn malformed_flows_are_refused() {
    let new = |layers: Vec<Layer>, preprocessing| Flow::<f64>::new(layers, preprocessing, 0).unwrap_err();
    assert_eq!(new(vec![], 0), Error::NoColumns);
    assert_eq!(new(vec![Sinh { dim: 0 }.into()], 0), Error::NoColumns);
    let width = Error::LayerWidth { layer: 1, kind: "prelu", expected: 2, given: 3 };
    assert_eq!(new(vec![Sinh { dim: 2 }.into(), Prelu { dim: 3 }.into()], 0), width);
    assert_eq!(new(vec![Sinh { dim: 2 }.into()], 2), Error::Preprocessing { preprocessing: 2, layers: 1 });
    let coupling = |moved: Vec<usize>, hidden: Vec<usize>, bound| -> Layer {
        Coupling { dim: 3, moved, hidden, activation: Activation::Tanh, bound }.into()
    };
    let bad: Vec<Layer> = vec![
        coupling(vec![1, 0], vec![4], 1.0),
        coupling(vec![1, 1], vec![4], 1.0),
        coupling(vec![3], vec![4], 1.0),
        coupling(vec![1], vec![0], 1.0),
        coupling(vec![1], vec![4], 0.0),
        coupling(vec![1], vec![4], f64::NAN),
        Permutation { indices: vec![0, 0] }.into(),
        Permutation { indices: vec![0, 2] }.into(),
        Logit { dim: 1, low: 1.0, high: 1.0, margin: 0.0 }.into(),
        Logit { dim: 1, low: 0.0, high: 1.0, margin: 0.5 }.into(),
        Logit { dim: 1, low: f64::NAN, high: 1.0, margin: 0.1 }.into(),
        SoftTail { dim: 1, knee: 0.0 }.into(),
        SoftTail { dim: 1, knee: f64::INFINITY }.into(),
        BatchNorm { momentum: 1.5, ..BatchNorm::new(1) }.into(),
        BatchNorm { epsilon: 0.0, ..BatchNorm::new(1) }.into(),
        BatchNorm { epsilon: f64::INFINITY, ..BatchNorm::new(1) }.into(),
        PolarShear { dim: 2, twist: f64::NAN }.into(),
        SCurveTube::new(0.0, 0.1).into(),
        SCurveTube { high: 0.0, ..SCurveTube::new(1.0, 0.1) }.into(),
        SCurveTube { radius: f64::INFINITY, ..SCurveTube::new(1.0, 0.1) }.into(),
        SwissRoll::new(-1.0).into(),
        SwissRoll { from: 3.0, ..SwissRoll::new(0.1) }.into(),
        SwissRoll { to: 4.0, ..SwissRoll::new(0.1) }.into(),
        SwissRoll { axis: [f64::NAN, 0.0], ..SwissRoll::new(0.1) }.into(),
        Sylvester { dim: 2, axes: 0 }.into(),
        Sylvester { dim: 2, axes: 3 }.into(),
        Residual { dim: 2, hidden: vec![0], activation: Activation::Tanh }.into(),
    ];
    for layer in bad {
        let kind = layer.kind();
        assert!(layer.check().is_err());
        assert!(matches!(new(vec![layer], 0), Error::Layer { layer: 0, kind: k, .. } if k == kind), "{kind}");
    }
}

/// Axes without a direction, from a file.
#[test]
fn axes_of_zeros_are_refused() {
    let layers: Vec<Layer> = vec![
        Planar { dim: 2 }.into(),
        Sylvester { dim: 2, axes: 2 }.into(),
        Householder { dim: 2, reflections: 2 }.into(),
    ];
    for layer in layers {
        let kind = layer.kind();
        let mut flow = Flow::<f64>::new(vec![layer], 0, 0).unwrap();
        flow.check_parameters().unwrap();
        flow.parameters_mut()[0].data[..2].fill(0.0);
        let error = flow.check_parameters().unwrap_err();
        assert!(matches!(error, Error::Layer { layer: 0, kind: k, .. } if k == kind), "{error}");
    }
}

#[test]
fn a_coupling_that_moves_nothing_or_everything() {
    for moved in [vec![], vec![0, 1]] {
        let layer = Coupling { dim: 2, moved, hidden: vec![3], activation: Activation::Silu, bound: 1.0 };
        let mut flow = Flow::new(vec![layer.into()], 0, 0).unwrap();
        zoo::randomise(&mut flow, 0);
        let x = rows::<f64>(3, 2, 19);
        assert_eq!(survives("coupling", &flow, &x), 10);
        let back = flow.generate(&flow.normalize(&x).unwrap().0).unwrap();
        assert!(zoo::distance(&back, &x) < 1e-14);
    }
}

#[test]
fn presets_refuse_what_is_not_theirs() {
    let named = |flow| Preset::named(flow);
    let wrong = [
        Preset { activation: Some(Nonlinearity::Tanh), ..named(Name::Paper) },
        Preset { activation: Some(Nonlinearity::Sinh), ..named(Name::Realnvp) },
        Preset { bins: Some(1), ..named(Name::Nsf) },
        Preset { bins: Some(1000), ..named(Name::NsfAr) },
        Preset { scale_bound: Some(-1.0), ..named(Name::Iaf) },
        Preset { hidden: Some(vec![0]), ..named(Name::Maf) },
        Preset { activation: Some(Nonlinearity::Prelu), ..named(Name::Glow) },
        Preset { layers: Some(0), ..named(Name::Realnvp) },
        Preset { layers: Some(1001), ..named(Name::PaperTril) },
        Preset { hidden: Some(vec![3, 0]), ..named(Name::Realnvp) },
        Preset { scale_bound: Some(0.0), ..named(Name::Realnvp) },
        Preset { scale_bound: Some(f64::NAN), ..named(Name::Realnvp) },
        Preset { residual: true, hidden: Some(vec![4, 4]), ..named(Name::Nsf) },
        Preset { residual: true, hidden: Some(vec![4, 4, 5]), ..named(Name::Maf) },
        Preset { hidden: Some(vec![0]), ..named(Name::Residual) },
    ];
    for preset in wrong {
        assert!(matches!(preset.layers(2, 0), Err(Error::Option { .. })), "{preset:?}");
    }
    assert_eq!(named(Name::Affine).layers(0, 0).unwrap_err(), Error::NoColumns);
}

#[test]
fn parts_compose_to_the_whole() {
    for case in DIMS.iter().flat_map(|&d| zoo::presets(d, true)) {
        let count = case.flow.layers().len();
        let mut flow = Flow::<f64>::new(case.flow.layers().to_vec(), count / 2, 9).unwrap();
        zoo::randomise(&mut flow, 5);
        let x = rows::<f64>(3, flow.dim(), 20);
        let whole = flow.normalize(&x).unwrap().0;
        if count < 2 {
            continue;
        }
        let (first, core) = (flow.part(0..count / 2).unwrap(), flow.part(flow.core()).unwrap());
        assert_eq!((first.preprocessing(), core.preprocessing()), (count / 2, 0));
        let inside = first.normalize(&x).unwrap().0;
        // A coupling behind a permutation permutes its weights instead of its rows, which adds up the same
        // products in another order; without one the bits are the same.
        let permutes = flow.layers().iter().any(|l| matches!(l, Layer::Permutation(_)));
        let agree = |a: &Matrix<f64>, b: &Matrix<f64>| {
            let bound = if permutes { 1e-14 * flow.dim() as f64 * a.max_abs().max(b.max_abs()) } else { 0.0 };
            assert!(zoo::distance(a, b) <= bound, "{}: {a:?} {b:?}", case.name);
        };
        agree(&core.normalize(&inside).unwrap().0, &whole);
        agree(&flow.layer_values(&x).unwrap()[count / 2 - 1], &inside);
        assert_eq!(flow.trained(), first.trained() + core.trained());
        assert_eq!(flow.part(2..2).unwrap_err(), Error::NoColumns);

        let mut other = Flow::<f64>::new(flow.layers().to_vec(), count / 2, 10).unwrap();
        other.replace(0, &first);
        other.replace(count / 2, &core);
        assert_eq!(other.parameters(), flow.parameters());
        assert_eq!(flow.cast::<f64>(), flow);
        let there: Flow<f32> = flow.cast();
        assert_eq!(there.cast::<f64>().cast::<f32>(), there, "f32 passes through f64 unchanged");
    }
}

/// Initial weights of the core do not depend on what is put before it.
#[test]
fn preprocessing_does_not_move_initial_weights() {
    let core = Preset::named(Name::Realnvp).layers(3, 0).unwrap();
    let mut with: Vec<Layer> = vec![Standardize { dim: 3 }.into(), Affine::new(3, Form::Full).into()];
    with.extend(core.clone());
    let (plain, with) = (Flow::<f64>::new(core, 0, 4).unwrap(), Flow::<f64>::new(with, 2, 4).unwrap());
    let tail = with.part(with.core()).unwrap();
    assert_eq!(tail.parameters(), plain.parameters());
}

#[test]
fn samples_are_reproducible() {
    for case in [1, 2, 8].iter().flat_map(|&d| zoo::presets(d, true)).step_by(9) {
        let flow = &case.flow;
        let d = flow.dim();
        // Across the border of two generators, at a temperature at which nothing overflows.
        let many = flow.sample(1500, 0.5, 7).unwrap();
        for n in [1, 2, 1024, 1025] {
            assert_eq!(flow.sample(n, 0.5, 7).unwrap().data(), &many.data()[..n * d], "{} {n}", case.name);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| flow.sample(1500, 0.5, 7).unwrap()), many, "{}", case.name);
        assert_ne!(flow.sample(3, 0.5, 8).unwrap().data(), &many.data()[..3 * d], "another seed");

        let cold = flow.sample(4, 0.0, 7).unwrap();
        let mode = flow.generate(&Matrix::zeros(1, d)).unwrap();
        for i in 0..4 {
            assert_eq!(row(&cold, i), mode, "{}: temperature 0", case.name);
        }
        assert!(flow.sample(1, f64::NAN, 7).is_err());
        assert!(flow.sample(1, f64::INFINITY, 7).is_err());
    }
}

/// Mean and variance of 40,000 latents, to five standard errors.
#[test]
fn latents_are_standard_normal() {
    let flow = Flow::<f64>::new(vec![Sinh { dim: 4 }.into()], 0, 0).unwrap();
    let z = flow.draw_latents(10_000, 1.0, 3);
    let n = z.data().len() as f64;
    let mean = z.data().iter().sum::<f64>() / n;
    let variance = z.data().iter().map(|v| v * v).sum::<f64>() / n;
    assert!(mean.abs() < 5.0 / n.sqrt(), "{mean}");
    assert!((variance - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{variance}");
}
