//! Laws of conditional flows: at each row's own context they are the flow at that context.

use crate::zoo;

use eigenflow::components::{
    Bootstrap, Walk, compare, components, leading_components, leading_reconstruct, path_components,
    reconstruct, significance, traverse,
};
use eigenflow::dimension::effective_dimension;
use eigenflow::flow::bijections::Coupling;
use eigenflow::flow::conditioner::Activation;
use eigenflow::flow::presets::{Mask, Name, Nonlinearity, Preset};
use eigenflow::flow::{AnyModel, Base, Error, Flow, Layer, Model, Variable};
use eigenflow::jacobian::{Direction, Route, jacobians, leading_covariance, local_covariance};
use eigenflow::random::generator;
use eigenflow::theory::stability::denoised;
use eigenflow::theory::{Context, Verdict, registry};
use eigenflow::train::{Design, Gauge, Preprocess, TrainOptions, build, build_given, fit, mean_contrast};
use eigenflow_autodiff::Program;
use eigenflow_linalg::{Matrix, Real};
use rand::RngExt;
use rand_distr::StandardNormal;
use std::ops::ControlFlow;
use zoo::{Anatomy, distance, row, rows};

/// Columns of context.
const CONTEXT: usize = 2;

fn randomised(layers: Vec<Layer>) -> Flow<f64> {
    let mut flow = Flow::new(layers, 0, 3).unwrap();
    zoo::randomise(&mut flow, 5);
    flow
}

/// Every layer that takes a context, and presets of them.
fn all(dim: usize) -> Vec<(String, Flow<f64>)> {
    let single = Layer::conditional_examples(dim, CONTEXT).into_iter().enumerate();
    let mut all: Vec<_> =
        single.map(|(k, l)| (format!("example {k}, D = {dim}"), randomised(vec![l]))).collect();
    for (name, mask) in [
        (Name::Realnvp, Mask::Halves),
        (Name::Realnvp, Mask::Random),
        (Name::Glow, Mask::Random),
        (Name::Maf, Mask::Random),
        (Name::Nsf, Mask::Alternating),
    ] {
        let preset = Preset {
            layers: Some(3),
            hidden: Some(vec![6, 5]),
            activation: Some(Nonlinearity::Silu),
            bins: Some(4),
            mask: Some(mask),
            output_affine: true,
            ..Preset::named(name)
        };
        let layers = preset.layers(dim, 11).unwrap().into_iter().map(|l| l.given(CONTEXT)).collect();
        all.push((format!("{} D = {dim}", name.as_str()), randomised(layers)));
    }
    all
}

fn beside<T: Real>(flow: &Flow<T>, x: &Matrix<T>, seed: u64) -> (Matrix<T>, Matrix<T>) {
    let context = rows(x.rows(), CONTEXT, seed);
    (flow.beside(x, &context).unwrap(), context)
}

/// Values, log-determinants, densities, both directions and all routes of Jacobians, row by row.
fn at_its_context<T: Real>(name: &str, exact: &Flow<f64>) {
    let flow: Flow<T> = exact.cast();
    let d = flow.dim();
    let x: Matrix<T> = rows(4, d, 1);
    let (joint, context) = beside(&flow, &x, 2);
    let (z, log_det) = flow.normalize(&joint).unwrap();
    let log_p = flow.log_density(&joint).unwrap();
    let latents = flow.beside(&z, &context).unwrap();
    let back = flow.generate(&latents).unwrap();
    let routes = [Route::Push, Route::Pull, Route::Layers]
        .map(|route| jacobians(&flow, &joint, Direction::Normalize, route).unwrap());
    let generated = jacobians(&flow, &latents, Direction::Generate, Route::Push).unwrap();
    for i in 0..x.rows() {
        let name = format!("{name} {} row {i}", T::NAME);
        let c: Vec<f64> = context.row(i).iter().map(|c| c.f64()).collect();
        let fixed = exact.at(&c).unwrap();
        let own: Matrix<f64> = row(&x, i).cast();
        let (there, log) = fixed.normalize(&own).unwrap();
        // Rounding of the conditioner's sums, which fixing the context rearranges, magnified by the layers behind.
        let anatomy = Anatomy::of(&fixed, &own);
        let ulps = 64.0 * (d + CONTEXT + 24) as f64 * T::EPS.f64();
        let latent = ulps * anatomy.magnification(false);
        let close = |what: &str, error: f64, bound: f64| {
            assert!(error <= bound, "{name}, {what}: {error:e} above {bound:e}");
        };
        close("latents", distance(&row(&z, i).cast(), &there), latent);
        close("data", distance(&row(&back, i).cast(), &own), ulps * anatomy.magnification(true));
        let scale = (1.0 + there.norm()) * (latent + ulps * (1.0 + log[0].abs()));
        let condition = anatomy.norms() * anatomy.inverse_norms();
        close("log-determinant", (log_det[i].f64() - log[0]).abs(), scale * condition);
        let density = fixed.log_density(&own).unwrap()[0];
        close("density", (log_p[i].f64() - density).abs(), scale * condition * (1.0 + there.norm()));
        let j = jacobians(&fixed, &own, Direction::Normalize, Route::Pull).unwrap().matrix(0);
        for (route, found) in routes.iter().enumerate() {
            let bound = ulps * condition * (1.0 + own.norm() + there.norm()) * anatomy.norms();
            close(&format!("route {route}"), distance(&found.matrix(i).cast(), &j), bound);
        }
        let g = jacobians(&fixed, &there, Direction::Generate, Route::Pull).unwrap().matrix(0);
        let bound = ulps * condition * (1.0 + own.norm() + there.norm()) * anatomy.inverse_norms();
        close("generate's Jacobian", distance(&generated.matrix(i).cast(), &g), bound * condition);
    }
}

#[test]
fn a_row_is_mapped_by_the_flow_at_its_context() {
    for (name, flow) in [1, 2, 3, 8].into_iter().flat_map(all) {
        at_its_context::<f64>(&name, &flow);
        at_its_context::<f32>(&name, &flow);
    }
}

/// Walks, leading axes, rebuilt and denoised rows, comparisons and the gauge's contrast: each row's are those of the flow at its context.
#[test]
fn local_geometry_is_that_of_the_flow_at_the_context() {
    for (name, flow) in
        all(3).into_iter().filter(|(name, _)| name.starts_with("realnvp") || name.starts_with("nsf"))
    {
        let d = flow.dim();
        let x: Matrix<f64> = rows(4, d, 1);
        let (joint, context) = beside(&flow, &x, 2);
        let walk = Walk { component: 0, reach: 0.3, points: 1, tolerance: 1e-8 };
        let walks = traverse(&flow, &joint, &walk).unwrap();
        let leading = leading_covariance(&flow, &joint, 2, 1e-10, 0).unwrap();
        let top = leading_components(&flow, &joint, 2, 1e-10, 0).unwrap();
        let rebuilt = [
            reconstruct(&flow, &joint, 1).unwrap(),
            leading_reconstruct(&flow, &joint, 1, 1e-10, 0).unwrap(),
        ];
        let clean = denoised(&flow, &joint, 0.01).unwrap();
        assert_eq!(clean.cols(), d);
        let contrast = mean_contrast(&flow, &joint).unwrap();
        let mut contrasts = 0.0;
        for i in 0..x.rows() {
            let fixed = flow.at(context.row(i)).unwrap();
            let own = row(&x, i);
            let close = |what: &str, a: &[f64], b: &[f64]| {
                let size = b.iter().fold(1.0_f64, |m, v| m.max(v.abs()));
                assert!(
                    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-6 * size),
                    "{name} {i}, {what}: {a:?} {b:?}"
                );
            };
            let alone = traverse(&fixed, &own, &walk).unwrap();
            close("walk", walks.points.get(i), alone.points.get(0));
            let local = local_covariance(&fixed, &own, d).unwrap();
            close("scales", leading.scales.row(i), &local.scales.row(0)[..2]);
            let c = leading_components(&fixed, &own, 2, 1e-10, 0).unwrap();
            close("components", top.components.values.row(i), c.components.values.row(0));
            let r = reconstruct(&fixed, &own, 1).unwrap();
            for found in &rebuilt {
                close("rebuilt", found.rows.row(i), r.rows.row(0));
                close("errors", &[found.predicted[i], found.measured[i]], &[r.predicted[0], r.measured[0]]);
            }
            close("denoised", clean.row(i), denoised(&fixed, &own, 0.01).unwrap().row(0));
            contrasts += mean_contrast(&fixed, &own).unwrap() / x.rows() as f64;
        }
        assert!((contrast - contrasts).abs() < 1e-9, "{name}: {contrast} {contrasts}");
        let (figures, others) =
            (significance(&flow, &joint, &Bootstrap::default()).unwrap(), compare(&flow, &joint, 2).unwrap());
        assert!(figures.scale.len() == d && others.pca.len() == d);
        // What needs one map for all rows, or is not built for contexts, says so.
        assert!(matches!(path_components(&flow, &joint, 1, 1e-3), Err(Error::Context { .. })), "{name}");
        assert!(
            matches!(effective_dimension(&flow, &joint, 0.01, false, 0), Err(Error::Conditional)),
            "{name}"
        );
    }
}

/// The principal gauge trains conditional flows too.
#[test]
fn a_conditional_flow_is_trained_with_a_gauge() {
    let (rows, variables) = (rows::<f64>(60, 3, 4), [Variable::number("c")]);
    let preset = Preset { layers: Some(2), hidden: Some(vec![4]), ..Preset::named(Name::Realnvp) };
    let options = TrainOptions { epochs: 2, batch: 20, gauge: Gauge::Principal, ..TrainOptions::default() };
    for preprocess in [Preprocess::None, Preprocess::Whiten] {
        let design = Design { preset: &preset, preprocess, base: &Base::Normal, context: &variables };
        let mut flow = build_given::<f64>(&design, &rows, &options).unwrap().flow;
        let record =
            fit(&mut flow, &rows, Some(&rows), &options, &mut |_, _| ControlFlow::Continue(())).unwrap();
        assert_eq!(record.epochs.len(), 2);
    }
}

/// Without this the law above would hold of a flow that ignores its context. Autoregressive layers reach their first column.
#[test]
fn every_moved_column_depends_on_the_context() {
    for (name, flow) in [1, 2, 3].into_iter().flat_map(all) {
        // Within the boxes of splines.
        let x = rows::<f64>(1, flow.dim(), 1).map(|v| 0.4 * v);
        let there = |c: &[f64]| flow.at(c).unwrap().normalize(&x).unwrap().0;
        let (a, b) = (there(&[0.3, -0.4]), there(&[-1.0, 0.9]));
        let moved = (0..flow.dim()).filter(|&j| (a[(0, j)] - b[(0, j)]).abs() > 1e-6).count();
        let all = flow.layers().len() > 1 || name.contains("D = 1");
        assert!(moved > 0 && (!all || moved == flow.dim()), "{name}: {moved} of {} columns", flow.dim());
    }
}

#[test]
fn a_row_does_not_depend_on_others_nor_on_threads() {
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    let pools = [pool(1), pool(3)];
    for (name, flow) in all(3) {
        let (joint, _) = beside(&flow, &rows(700, 3, 4), 5);
        let outputs = |rows: &Matrix<f64>| {
            let (z, log_det) = flow.normalize(rows).unwrap();
            let j = jacobians(&flow, rows, Direction::Normalize, Route::Push).unwrap();
            (0..rows.rows())
                .map(|i| [z.row(i), &log_det[i..=i], j.get(i)].concat().iter().map(|v| v.to_bits()).collect())
                .collect::<Vec<Vec<u64>>>()
        };
        let together = outputs(&joint);
        for i in [0, 399, 699] {
            assert_eq!(outputs(&row(&joint, i))[0], together[i], "{name}: row {i} alone");
        }
        for pool in &pools {
            assert!(pool.install(|| outputs(&joint)) == together, "{name}: threads");
        }
    }
}

/// Gradients of `Σ log p` in every parameter, against central differences.
#[test]
fn gradients_are_those_of_differences() {
    for (name, mut flow) in all(3) {
        if name.contains("nsf") {
            continue; // its knots are looked at in the tests of splines
        }
        let (x, context) = (rows::<f64>(5, 3, 6), rows::<f64>(5, CONTEXT, 7));
        let (program, wanted) = {
            let program = Program::try_record(|r| {
                let x = r.batch(3);
                let params = flow.declare(r);
                let total = flow.record_log_density(&params, x, 0..flow.layers().len()).sum_rows();
                let own = &params[..flow.parameters().len()];
                let mut out = vec![total];
                out.extend(r.gradient(total, own)?);
                Ok::<_, eigenflow_autodiff::Error>(out)
            });
            (program.unwrap(), flow.parameters().len())
        };
        let run = |flow: &Flow<f64>| program.run(5, &[x.data(), context.data()], &flow.slices()).unwrap();
        let gradients = run(&flow);
        for k in 0..wanted {
            let p = &flow.parameters()[k];
            // Masks are no numbers that vary, and a kink may lie between the points of a difference.
            if p.name.contains("mask") || flow.smoothness() == eigenflow::flow::Smoothness::Piecewise {
                continue;
            }
            for e in [0, p.data.len() / 2, p.data.len().saturating_sub(1)] {
                if e >= flow.parameters()[k].data.len() {
                    continue;
                }
                let (at, h) = (flow.parameters()[k].data[e], 1e-5);
                let mut there = |v: f64| {
                    flow.parameters_mut()[k].data[e] = v;
                    run(&flow)[0][0]
                };
                let difference = (there(at + h) - there(at - h)) / (2.0 * h);
                there(at);
                let own = gradients[1 + k][e];
                // h² times a third derivative of order 1e2, and rounding over h.
                let bound = 1e-6 * (1.0 + own.abs());
                assert!((difference - own).abs() <= bound, "{name} parameter {k}[{e}]: {own} {difference}");
            }
        }
    }
}

/// `c ~ U(-2, 2)`, `x | c ~ N(sin 2c, e^{c-1})`: rows, contexts and `log p(x | c)`.
fn heteroscedastic(n: usize, seed: u64) -> (Matrix<f64>, Vec<f64>) {
    let mut random = generator(seed, "heteroscedastic", 0);
    let mut joint = Vec::new();
    let mut truth = Vec::new();
    for _ in 0..n {
        let c = 4.0 * random.random::<f64>() - 2.0;
        let e: f64 = random.sample(StandardNormal);
        let log_sigma = 0.5 * (c - 1.0);
        joint.extend([(2.0 * c).sin() + log_sigma.exp() * e, c]);
        truth.push(-0.5 * (std::f64::consts::TAU.ln() + e * e) - log_sigma);
    }
    (Matrix::new(n, 2, joint), truth)
}

fn mean_and_error(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    (mean, (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n * (n - 1.0))).sqrt())
}

/// Trained with its context a flow finds the conditional density, which the marginal one cannot reach.
#[test]
fn training_learns_the_conditional_density() {
    let (joint, _) = heteroscedastic(3000, 1);
    let (fresh, truth) = heteroscedastic(3000, 2);
    let preset = Preset { layers: Some(3), hidden: Some(vec![24, 24]), ..Preset::named(Name::Realnvp) };
    let options = TrainOptions { epochs: 30, patience: 0, lr: 5e-3, ..TrainOptions::default() };
    let context = [Variable::number("c")];
    let design = Design {
        preset: &preset,
        preprocess: Preprocess::Standardize,
        base: &eigenflow::flow::Base::Normal,
        context: &context,
    };
    let mut flow = build_given::<f64>(&design, &joint, &options).unwrap().flow;
    assert_eq!(flow.context(), context);
    fit(&mut flow, &joint, None, &options, &mut |_, _| ControlFlow::Continue(())).unwrap();
    let own = |m: &Matrix<f64>| Matrix::from_fn(m.rows(), 1, |i, _| m[(i, 0)]);
    let spline = Preset { layers: Some(2), hidden: Some(vec![8]), ..Preset::named(Name::Nsf) };
    let mut marginal = build::<f64>(&spline, Preprocess::Standardize, &own(&joint), &options).unwrap().flow;
    fit(&mut marginal, &own(&joint), None, &options, &mut |_, _| ControlFlow::Continue(())).unwrap();

    let (given, not) = (flow.log_density(&fresh).unwrap(), marginal.log_density(&own(&fresh)).unwrap());
    let gap: Vec<f64> = truth.iter().zip(&given).map(|(t, g)| t - g).collect();
    let (gap, error) = mean_and_error(&gap);
    assert!(gap < 0.05 + 4.0 * error && gap > -4.0 * error, "gap to the truth {gap} ± {error}");
    let gain: Vec<f64> = given.iter().zip(&not).map(|(g, n)| g - n).collect();
    let (gain, error) = mean_and_error(&gain);
    assert!(gain > 10.0 * error && gain > 0.2, "gain {gain} ± {error}");

    // At one context the density integrates to 1, and draws have its moments.
    let c = 1.0;
    let grid = 4000;
    let (low, step) = (-15.0, 30.0 / f64::from(grid));
    let points = Matrix::from_fn(grid as usize, 2, |i, j| if j == 0 { low + step * i as f64 } else { c });
    let density: Vec<f64> = flow.log_density(&points).unwrap().iter().map(|p| p.exp() * step).collect();
    let total: f64 = density.iter().sum();
    // The trapezoidal rule on a smooth function that vanishes at both ends; tails beyond 15 are below e^-30.
    assert!((total - 1.0).abs() < 1e-6, "mass {total}");
    let moment = |k: i32| density.iter().enumerate().map(|(i, p)| p * points[(i, 0)].powi(k)).sum::<f64>();
    let draws = flow.sample_given(&Matrix::new(1, 1, vec![c]), 20_000, 1.0, 3).unwrap();
    for k in [1, 2] {
        let powers: Vec<f64> = draws.data().iter().map(|x| x.powi(k)).collect();
        let (mean, error) = mean_and_error(&powers);
        assert!((mean - moment(k)).abs() < 5.0 * error, "moment {k}: {mean} ± {error}, {}", moment(k));
    }
    // Draws are those of the flow at the context.
    let fixed = flow.at(&[c]).unwrap().sample(20_000, 1.0, 3).unwrap();
    assert!(draws.data().iter().zip(fixed.data()).all(|(a, b)| (a - b).abs() < 1e-9));
}

#[test]
fn training_with_a_penalty_and_every_activation_normalization_runs() {
    let (joint, _) = heteroscedastic(200, 4);
    let wide = Matrix::from_fn(200, 3, |i, j| if j < 2 { joint[(i, 0)] + j as f64 } else { joint[(i, 1)] });
    let wide = wide.map(|v| v + 0.1 * (v * 7.0).sin());
    let context = [Variable::number("c")];
    for (name, stochastic) in [(Name::Glow, false), (Name::Maf, true), (Name::Realnvp, true)] {
        let preset = Preset { layers: Some(2), hidden: Some(vec![5]), ..Preset::named(name) };
        let options = TrainOptions {
            epochs: 2,
            alpha: 0.01,
            noise: 0.1,
            stochastic_penalty: Some(stochastic),
            ..TrainOptions::default()
        };
        let base = eigenflow::flow::Base::Normal;
        let design =
            Design { preset: &preset, preprocess: Preprocess::Whiten, base: &base, context: &context };
        let train = || {
            let mut flow = build_given::<f64>(&design, &wide, &options).unwrap().flow;
            fit(&mut flow, &wide, Some(&wide), &options, &mut |_, _| ControlFlow::Continue(())).unwrap();
            flow
        };
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        let (one, two) = (pool(1).install(train), pool(2).install(train));
        assert!(one == two, "{name:?}: threads");
        let n = components(&one, &wide, 2).unwrap();
        let c = local_covariance(&one, &wide, 2).unwrap();
        assert_eq!((n.values.shape(), c.scales.shape()), ((200, 2), (200, 2)));
    }
}

#[test]
fn what_does_not_fit_is_a_typed_error() {
    let coupling =
        Coupling { dim: 2, moved: vec![1], hidden: vec![4], activation: Activation::Tanh, bound: 1.0 };
    let flow = randomised(vec![Layer::from(coupling.clone()).given(2)]);
    let x = rows::<f64>(3, 2, 1);
    let says = |error: Error, part: &str| {
        let text = error.to_string();
        assert!(text.contains(part) && text.contains("--context"), "{text}");
    };
    says(
        flow.log_density(&x).unwrap_err(),
        "needs its 2 columns and behind them 2 columns of context, 2 are given",
    );
    says(flow.sample(3, 1.0, 0).unwrap_err(), "2 columns of context");
    says(flow.beside(&x, &rows(3, 1, 0)).unwrap_err(), "takes 2 columns of context, 1 are given");
    says(flow.beside(&x, &rows(4, 2, 0)).unwrap_err(), "has 4 rows where there are 3");
    says(flow.at(&[1.0]).unwrap_err(), "takes 2 columns of context, 1 are given");
    let mut bad = flow.beside(&x, &rows(3, 2, 0)).unwrap();
    bad[(1, 3)] = f64::NAN;
    assert!(matches!(flow.normalize(&bad), Err(Error::NotFinite { row: 1, column: 3, .. })));
    assert!(matches!(flow.at(&[0.0, f64::INFINITY]), Err(Error::NotFinite { .. })));
    let layers = vec![Layer::from(coupling.clone()).given(2), Layer::from(coupling).given(1)];
    assert!(matches!(Flow::<f64>::new(layers, 0, 0), Err(Error::Layer { layer: 1, .. })));
    let joint = Matrix::from_fn(5, 3, |i, j| (i * j) as f64 + 0.1);
    let context = [Variable::number("c")];
    let preset = Preset::named(Name::Affine);
    let base = eigenflow::flow::Base::Normal;
    let design = Design { preset: &preset, preprocess: Preprocess::None, base: &base, context: &context };
    let error = build_given::<f64>(&design, &joint, &TrainOptions::default()).unwrap_err().to_string();
    assert!(error.contains("affine: --context goes with flows that have conditioners"), "{error}");
    // Claims ask for one context, and none of them panics.
    let cx = Context {
        flow: &flow,
        training: Some(&x),
        held_out: None,
        alpha: 0.0,
        other_regularisers: false,
        seed: 0,
        quick: true,
    };
    for outcome in registry::verify(&cx, &[]) {
        let Verdict::Undecided(why) = outcome.verdict else { panic!("{}", outcome.id) };
        assert!(why.contains("requires one context"), "{why}");
    }
}

#[test]
fn a_model_file_keeps_the_context() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    for (name, flow) in all(2) {
        let levels = ["x".to_owned(), "y".to_owned()];
        let flow = flow.with_context(vec![Variable::one_hot("class", &levels)]).unwrap();
        let model = Model { flow, columns: vec!["a".into(), "b".into()], record: None };
        model.save(&path).unwrap();
        assert!(AnyModel::load(&path).unwrap() == AnyModel::F64(model), "{name}");
    }
}
