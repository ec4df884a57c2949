//! Base densities: mass, draws, gradients, suprema, files and training.

use crate::zoo;

use eigenflow::flow::bijections::{Permutation, Squash};
use eigenflow::flow::presets::{Name, Preset};
use eigenflow::flow::{AnyModel, Base, Error, Flow, Model};
use eigenflow::random::generator;
use eigenflow::theory::stability::S1;
use eigenflow::theory::{Claim, Context, Verdict, registry};
use eigenflow::train::{Design, Preprocess, TrainOptions, build_given, fit};
use eigenflow_autodiff::Program;
use eigenflow_linalg::{Matrix, Real};
use rand::RngExt;
use rand_distr::StandardNormal;
use std::ops::ControlFlow;

const BASES: [Base; 7] = [
    Base::Normal,
    Base::Diagonal { learned: true },
    Base::Mixture { components: 1, learned: false },
    Base::Mixture { components: 3, learned: true },
    Base::Student { learned: true },
    Base::Student { learned: false },
    Base::Uniform { low: -1.5, high: 2.0 },
];

/// The base itself as a flow: nothing happens to rows. Its parameters are moved away from where they start.
fn bare(base: &Base, dim: usize) -> Flow<f64> {
    let same = Permutation { indices: (0..dim).collect() };
    let mut flow = Flow::new(vec![same.into()], 0, 0).unwrap().with_base(base.clone(), 1).unwrap();
    let mut random = generator(2, "bases", dim as u64);
    for k in flow.base_parameters() {
        for v in &mut flow.parameters_mut()[k].data {
            *v += 0.8 * (random.random::<f64>() - 0.5);
        }
    }
    flow
}

/// Mass of `(-∞, x]` for ascending edges, by the trapezoidal rule in `t`, `x = sinh t`, so that heavy tails are reached.
fn distribution(flow: &Flow<f64>) -> (Vec<f64>, Vec<f64>) {
    let n = 400_001;
    let (end, step) = (20.0, 40.0 / (n - 1) as f64);
    let x: Vec<f64> = (0..n).map(|i| (-end + step * i as f64).sinh()).collect();
    let log_p = flow.log_density(&Matrix::new(n, 1, x.clone())).unwrap();
    let mut below = 0.0;
    let mass = x.iter().zip(&log_p).map(|(x, p)| {
        let slice = step * p.exp() * x.hypot(1.0);
        below += slice;
        below - 0.5 * slice
    });
    let mass = mass.collect();
    (x, mass)
}

#[test]
fn densities_integrate_to_one() {
    for base in &BASES {
        let (_, mass) = distribution(&bare(base, 1));
        let total = mass.last().unwrap();
        // A uniform's edges are known to one step in t.
        let bound = if matches!(base, Base::Uniform { .. }) { 4e-4 } else { 1e-9 };
        assert!((total - 1.0).abs() < bound, "{base:?}: {total}");
    }
}

/// On a plane: the midpoint rule over a square, and what Student's tails leave outside it.
#[test]
fn densities_in_the_plane_integrate_to_one() {
    for base in &BASES {
        let flow = bare(base, 2);
        let (n, half) = (500, 25.0);
        let step = 2.0 * half / n as f64;
        let at = |i: usize| -half + step * (i as f64 + 0.5);
        let points = Matrix::from_fn(n * n, 2, |k, j| at(if j == 0 { k / n } else { k % n }));
        let total: f64 = flow.log_density(&points).unwrap().iter().map(|p| p.exp() * step * step).sum();
        // Student: P(|t| > 25) at no fewer than 6 degrees of freedom is below 1e-6; a box is known to a step.
        let bound = if matches!(base, Base::Uniform { .. }) { 0.1 } else { 2e-6 };
        assert!((total - 1.0).abs() < bound, "{base:?}: {total}");
    }
}

/// Kolmogorov-Smirnov: by the Dvoretzky-Kiefer-Wolfowitz inequality (Massart's constant) the largest distance of `n` draws is above
/// `sqrt(ln(2 / δ) / 2n)` with a chance of at most `δ`.
#[test]
fn draws_follow_the_density() {
    for base in &BASES {
        let flow = bare(base, 1);
        let (x, mass) = distribution(&flow);
        let n = 20_000;
        let mut draws = flow.sample(n, 1.0, 7).unwrap().into_data();
        draws.sort_by(f64::total_cmp);
        let distance = draws.iter().enumerate().fold(0.0_f64, |worst, (i, v)| {
            let k = x.partition_point(|x| x < v).min(x.len() - 1);
            worst.max((mass[k] - (i as f64 + 0.5) / n as f64).abs())
        });
        let bound = ((2.0_f64 / 1e-7).ln() / (2.0 * n as f64)).sqrt() + 1e-3;
        assert!(distance < bound, "{base:?}: {distance} above {bound}");
        // A draw of a row does not depend on how many there are.
        let few = flow.sample(5, 1.0, 7).unwrap();
        let many = flow.sample(3000, 1.0, 7).unwrap();
        assert_eq!(few.data(), &many.data()[..5]);
    }
}

/// In every parameter and in the latents, against central differences; and no density exceeds its supremum.
#[test]
fn gradients_are_those_of_differences_and_suprema_hold() {
    for base in &BASES {
        let mut flow = bare(base, 3);
        let x = zoo::rows::<f64>(40, 3, 4).map(|v| 0.4 * v);
        let program = Program::try_record(|r| {
            let input = r.batch(3);
            let params = flow.declare(r);
            let log_p = flow.record_log_density(&params, input, 0..1);
            let mut out = vec![log_p.sum_rows()];
            out.extend(r.gradient(log_p.sum_rows(), &params)?);
            out.extend(r.gradient(log_p, &[input])?);
            Ok::<_, eigenflow_autodiff::Error>(out)
        })
        .unwrap();
        let run = |flow: &Flow<f64>, x: &Matrix<f64>| program.run(40, &[x.data()], &flow.slices()).unwrap();
        let own = run(&flow, &x);
        let h = 1e-5;
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-7 * (40.0 + a.abs());
        for k in 0..flow.parameters().len() {
            for (e, &exact) in own[1 + k].iter().enumerate() {
                let at = flow.parameters()[k].data[e];
                let mut there = |v: f64| {
                    flow.parameters_mut()[k].data[e] = v;
                    run(&flow, &x)[0][0]
                };
                let difference = (there(at + h) - there(at - h)) / (2.0 * h);
                there(at);
                assert!(close(exact, difference), "{base:?} {k}[{e}]: {exact} {difference}");
            }
        }
        for e in [0, 1, 2] {
            let there = |v: f64| {
                let mut moved = x.clone();
                moved.data_mut()[e] += v;
                run(&flow, &moved)[0][0]
            };
            let difference = (there(h) - there(-h)) / (2.0 * h);
            assert!(close(own.last().unwrap()[e], difference), "{base:?} latent {e}");
        }
        let sup = flow.sup_base().unwrap();
        let largest = flow.log_density(&x).unwrap().into_iter().fold(f64::NEG_INFINITY, f64::max);
        assert!(largest <= sup + 1e-12 && largest > sup - 6.0, "{base:?}: {largest} of {sup}");
    }
}

/// Student's t in closed form at whole degrees of freedom, large ones included: the ratio of gamma functions by its recurrence.
#[test]
fn students_constant_is_exact() {
    for freedom in [1.0, 2.0, 5.0, 30.0, 201.0, 1e4] {
        let mut flow = bare(&Base::Student { learned: false }, 1);
        let first = flow.base_parameters().start;
        for (k, v) in [(0, f64::ln(freedom)), (1, 0.0), (2, 0.0)] {
            flow.parameters_mut()[first + k].data[0] = v;
        }
        // Γ((ν+1)/2) / Γ(ν/2): ratio(ν + 2) = ratio(ν) (ν + 1)/ν, from 1/√π and √π/2.
        let pi = std::f64::consts::PI;
        let odd = freedom as u64 % 2 == 1;
        let (mut ratio, mut at) = if odd { (-0.5 * pi.ln(), 1.0) } else { ((0.5 * pi.sqrt()).ln(), 2.0) };
        while at < freedom {
            ratio += (1.0_f64 / at).ln_1p();
            at += 2.0;
        }
        let expected = ratio - 0.5 * (freedom * pi).ln();
        let found = flow.log_density(&Matrix::new(1, 1, vec![0.0])).unwrap()[0];
        assert!((found - expected).abs() < 1e-11, "{freedom}: {found} {expected}");
        let single: Flow<f32> = flow.cast();
        let found = single.log_density(&Matrix::new(1, 1, vec![0.0])).unwrap()[0].f64();
        assert!((found - expected).abs() < 1e-4, "{freedom} f32: {found} {expected}");
    }
}

#[test]
fn outside_a_box_the_density_is_zero() {
    let flow = bare(&Base::Uniform { low: 0.0, high: 1.0 }, 2);
    let log_p = flow.log_density(&Matrix::new(3, 2, vec![0.5, 0.5, 0.5, 1.5, 1.0, 0.0])).unwrap();
    assert_eq!(log_p, [0.0, f64::NEG_INFINITY, 0.0]);
    // With a layer that ends in the box, rows anywhere have a density: the logistic one.
    let squash = Squash { dim: 1, low: 0.0, high: 1.0 };
    let flow = Flow::<f64>::new(vec![squash.into()], 0, 0).unwrap();
    let flow = flow.with_base(Base::Uniform { low: 0.0, high: 1.0 }, 0).unwrap();
    let log_p = flow.log_density(&Matrix::new(2, 1, vec![0.0, 800.0])).unwrap();
    assert!((log_p[0] - 0.25_f64.ln()).abs() < 1e-15 && (log_p[1] + 800.0).abs() < 1e-12);
}

#[test]
fn temperatures_belong_to_normals() {
    for base in &BASES {
        let flow = bare(base, 2);
        match flow.sample(3, 0.5, 0) {
            Ok(_) => assert!(matches!(base, Base::Normal | Base::Diagonal { .. }), "{base:?}"),
            Err(error) => assert!(
                matches!(&error, Error::Base { .. }) && error.to_string().contains("no temperature"),
                "{error}"
            ),
        }
        flow.sample(3, 1.0, 0).unwrap();
    }
    let none = Base::Mixture { components: 0, learned: true };
    assert!(matches!(bare(&Base::Normal, 1).with_base(none, 0), Err(Error::Base { .. })));
    let empty = Base::Uniform { low: 1.0, high: 1.0 };
    assert!(matches!(bare(&Base::Normal, 1).with_base(empty, 0), Err(Error::Base { .. })));
}

#[test]
fn files_casts_and_parts_keep_the_base() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    for base in &BASES {
        let flow = bare(base, 2);
        let model = Model { flow, columns: vec!["a".into(), "b".into()], record: None };
        model.save(&path).unwrap();
        let back = AnyModel::load(&path).unwrap();
        assert!(back == AnyModel::F64(model.clone()), "{base:?}");
        assert_eq!(model.flow.part(0..1).unwrap(), model.flow);
        let single = model.cast::<f32>().flow;
        let x = zoo::rows::<f64>(20, 2, 9).map(|v| 0.4 * v);
        let (exact, near) = (model.flow.log_density(&x).unwrap(), single.log_density(&x.cast()).unwrap());
        for (a, b) in exact.iter().zip(&near) {
            assert!((a - b.f64()).abs() < 1e-4 * (1.0 + a.abs()), "{base:?}: {a} {b}");
        }
    }
    // Plain models stay what older readers know.
    let bytes =
        Model { flow: bare(&Base::Normal, 1), columns: vec!["a".into()], record: None }.to_bytes().unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains(r#"format_version\":1"#) && !text.contains("base"), "{text}");
}

fn context(flow: &Flow<f64>) -> Context<'_> {
    Context {
        flow,
        training: None,
        held_out: None,
        alpha: 0.0,
        other_regularisers: false,
        seed: 0,
        quick: true,
    }
}

/// S1 is decided for any base, by the supremum of it, and fails where that is said too small.
#[test]
fn the_bound_holds_for_every_base_and_normal_claims_are_undecided() {
    for base in &BASES {
        let layers = Preset { layers: Some(2), hidden: Some(vec![5]), ..Preset::named(Name::Realnvp) };
        let mut layers = layers.layers(2, 0).unwrap();
        if let Base::Uniform { low, high } = *base {
            layers.push(Squash { dim: 2, low, high }.into());
        }
        let mut flow = Flow::new(layers, 0, 0).unwrap().with_base(base.clone(), 0).unwrap();
        zoo::randomise(&mut flow, 3);
        let outcome = S1.check(&context(&flow));
        assert_eq!(outcome.verdict, Verdict::Holds, "{base:?}: {}", outcome.measured);
        for outcome in registry::verify(&context(&flow), &registry::NORMAL.map(str::to_owned)) {
            let required = Verdict::Undecided("requires a standard normal base".to_owned());
            assert_eq!(outcome.verdict == required, !base.is_standard(), "{base:?} {}", outcome.id);
        }
    }
    // The same map with a density that is narrower than the bound believes.
    let mut flow = bare(&Base::Diagonal { learned: true }, 2);
    let scale = flow.base_parameters().end - 1;
    flow.parameters_mut()[scale].data.fill(0.0);
    let mut measured =
        eigenflow::theory::stability::Density::measure(&flow, &Matrix::new(1, 2, vec![0.0, 0.0])).unwrap();
    assert_eq!(S1::judge(std::slice::from_ref(&measured), 0.0).verdict, Verdict::Holds);
    measured.log_p[0] += 3.0;
    assert_eq!(S1::judge(&[measured], 0.0).verdict, Verdict::Fails);
}

/// Two clusters ten deviations apart, and a map too stiff to part them: the mixture learns both, the normal cannot.
#[test]
fn a_trained_mixture_fits_two_clusters() {
    let mut random = generator(5, "clusters", 0);
    let x = Matrix::from_fn(1500, 2, |i, _| {
        let e: f64 = random.sample(StandardNormal);
        e + if i % 2 == 0 { 5.0 } else { -5.0 }
    });
    let options = TrainOptions { epochs: 40, batch: 128, lr: 2e-2, patience: 0, ..TrainOptions::default() };
    let preset = Preset::named(Name::Affine);
    let train = |base: &Base| {
        let design = Design { preset: &preset, preprocess: Preprocess::Standardize, base, context: &[] };
        let mut flow = build_given::<f64>(&design, &x, &options).unwrap().flow;
        let before = flow.clone();
        fit(&mut flow, &x, None, &options, &mut |_, _| ControlFlow::Continue(())).unwrap();
        let fixed = flow.base_parameters().all(|k| flow.parameters()[k] == before.parameters()[k]);
        (flow.log_density(&x).unwrap().iter().sum::<f64>() / 1500.0, fixed)
    };
    let (normal, _) = train(&Base::Normal);
    let (mixture, fixed) = train(&Base::Mixture { components: 2, learned: true });
    // The truth: two standard normals in the plane, one bit to tell which; a normal has variances 2 + 50.
    let truth = -(std::f64::consts::TAU.ln() + 1.0) - 2.0_f64.ln();
    assert!(!fixed && mixture > truth - 0.1, "{mixture} of {truth}");
    assert!(normal < mixture - 0.5, "{normal} {mixture}");
    assert!(train(&Base::Student { learned: false }).1, "a fixed base is not trained");
    // Heavy tails: the student learns few degrees of freedom.
    let (student, fixed) = train(&Base::Student { learned: true });
    assert!(!fixed && student.is_finite());
    let (uniform, _) = train(&Base::Uniform { low: 0.0, high: 1.0 });
    assert!(uniform.is_finite());
}
