//! Path components, walks, reconstructions: closed forms, linear flows, and independent integrals.

use eigenflow::components::{
    Bootstrap, Combing, PathComponents, Walk, compare, components, path_components, reconstruct,
    recorded_noise, significance, traverse,
};
use eigenflow::flow::bijections::{Affine, Form, SCurveTube};
use eigenflow::flow::presets::{Name, Preset};
use eigenflow::flow::{Error, Flow};
use eigenflow::jacobian::{Direction, Route, jacobians};
use eigenflow::random::generator;
use eigenflow::theory::linear::Spectrum;
use eigenflow::theory::stability::denoised;
use eigenflow_linalg::{Matrix, qr};
use proptest::prelude::*;
use rand::RngExt;
use rand_distr::StandardNormal;

const ARC: f64 = 1.413_716_694_115_407;
const NOISE: f64 = 0.1;

fn tube() -> Flow<f64> {
    Flow::new(vec![SCurveTube::new(ARC, NOISE).into()], 0, 0).unwrap()
}

/// Latents of the tube's support.
fn tube_latents(n: usize, seed: u64) -> Matrix<f64> {
    let z = tube().draw_latents(2 * n, 1.0, seed);
    let inside: Vec<f64> = (0..2 * n)
        .map(|i| z.row(i))
        .filter(|z| z[0].abs() < 3.2 && z[2].abs() < 9.0)
        .flatten()
        .copied()
        .collect();
    Matrix::new(n, 3, inside[..3 * n].to_vec())
}

/// A random flow away from its initial weights.
fn moved(name: Name, d: usize, size: f64, seed: u64) -> Flow<f64> {
    let preset = Preset {
        layers: (name == Name::Realnvp).then_some(4),
        hidden: (name == Name::Realnvp).then(|| vec![8]),
        ..Preset::named(name)
    };
    let mut flow: Flow<f64> = Flow::new(preset.layers(d, seed).unwrap(), 0, seed).unwrap();
    let mut random = generator(seed, "moved", 0);
    for p in flow.parameters_mut() {
        if !p.name.contains("mask") {
            p.data.iter_mut().for_each(|x| *x += size * random.random_range(-1.0..1.0));
        }
    }
    flow
}

fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    let mut out = vec![0.0; x.len()];
    order.iter().enumerate().for_each(|(r, &i)| out[i] = r as f64);
    out
}

/// Spearman's rank correlation.
fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    let (a, b, n) = (ranks(a), ranks(b), a.len() as f64);
    let mean = 0.5 * (n - 1.0);
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

/// On the S-curve tube everything is known: `c = (σ_t y₁ (1 + s σ y₃/2), 2Φ(y₂) - 1, σ y₃)` up to signs, which are the same for
/// all rows, though `2φ(y₂)` falls below `σ` on the way of some.
#[test]
fn paths_on_the_tube_are_lengths() {
    let (flow, z) = (tube(), tube_latents(1500, 1));
    let x = flow.generate(&z).unwrap();
    let c = path_components(&flow, &x, 3, 1e-8).unwrap();
    let truth = |i: usize| {
        let [a, b, w] = [z[(i, 0)], z[(i, 1)], z[(i, 2)]];
        let width = 0.5 * (1.0 + libm::erf(b / 2.0_f64.sqrt()));
        [ARC * a * (1.0 + a.signum() * NOISE * w / 2.0), 2.0 * width - 1.0, NOISE * w]
    };
    let sign: Vec<f64> = (0..3).map(|k| (c.values[(0, k)] * truth(0)[k]).signum()).collect();
    for i in 0..z.rows() {
        let scales = [ARC * (1.0 + z[(i, 0)].signum() * NOISE * z[(i, 2)]), 0.0, NOISE];
        for k in 0..3 {
            let error = (sign[k] * c.values[(i, k)] - truth(i)[k]).abs();
            assert!(error <= 1e-7 && error <= c.error[i].max(1e-12), "{i} {k}: {error} {}", c.error[i]);
            assert!(k == 1 || (c.scales[(i, k)] - scales[k]).abs() < 1e-10);
        }
        assert!(c.overlap[i] > 0.8);
    }
    let crossed = (0..z.rows()).filter(|&i| c.scales[(i, 1)] < c.scales[(i, 2)]).count();
    assert!(crossed > 20, "scales cross on {crossed} paths");
    let column = |m: &Matrix<f64>, k: usize| m.col(k);
    let arc: Vec<f64> = z.col(0).iter().map(|v| ARC * v).collect();
    let (arcs, widths) =
        (rank_correlation(&column(&c.values, 0), &arc), rank_correlation(&column(&c.values, 1), &z.col(1)));
    println!("rank correlation with arc length {arcs:.5}, with width {widths:.5}");
    assert!(arcs.abs() > 0.99 && widths.abs() > 0.99);
    // The first-order displacement is no coordinate: that is why there are paths.
    let y = components(&flow, &x, 3).unwrap();
    assert!(rank_correlation(&y.values.col(1), &z.col(1)).abs() < 0.95);
}

/// `VᵀJ_g y` summed by the midpoint rule in many small steps, axes matched by overlap alone.
fn by_small_steps(flow: &Flow<f64>, y: &[f64], steps: usize) -> Vec<f64> {
    let d = y.len();
    let all = Matrix::from_fn(steps, d, |k, i| (k as f64 + 0.5) / steps as f64 * y[i]);
    let g = jacobians(flow, &all, Direction::Generate, Route::Pull).unwrap();
    let origin = flow.generate(&Matrix::zeros(1, d)).unwrap();
    let start = components(flow, &origin, d).unwrap();
    let mut before = start.axes.matrix(0);
    let mut sum = vec![0.0; d];
    for k in 0..steps {
        let g = g.matrix(k);
        let u = eigenflow_linalg::svd::svd(&g).unwrap().u;
        let velocity = g.mul(&Matrix::new(d, 1, y.to_vec()));
        let mut now = before.clone();
        for c in 0..d {
            let cosine = |j: usize| (0..d).map(|i| u[(i, j)] * before[(i, c)]).sum::<f64>();
            let best = (0..d).max_by(|&a, &b| cosine(a).abs().total_cmp(&cosine(b).abs())).unwrap();
            (0..d).for_each(|i| now[(i, c)] = cosine(best).signum() * u[(i, best)]);
            sum[c] += (0..d).map(|i| now[(i, c)] * velocity[(i, 0)]).sum::<f64>() / steps as f64;
        }
        before = now;
    }
    sum
}

#[test]
fn paths_agree_with_small_steps_and_add_up() {
    for (name, d) in [(Name::Realnvp, 2), (Name::Realnvp, 4), (Name::Paper, 3)] {
        let flow = moved(name, d, 0.25, 7);
        let x = flow.sample(12, 1.0, 3).unwrap();
        let c = path_components(&flow, &x, d, 1e-9).unwrap();
        let (y, _) = flow.normalize(&x).unwrap();
        let mut compared = 0;
        for i in 0..x.rows() {
            let way = x.row(i).iter().zip(&c.origin).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            // The error contains how far the summed displacements miss x - g(0).
            assert!(c.error[i] < 1e-3 * way, "{name:?} {d} {i}: {}", c.error[i]);
            if c.overlap[i] < 0.8 {
                continue;
            }
            let fine = by_small_steps(&flow, y.row(i), 4000);
            let off = (0..d).map(|k| (fine[k] - c.values[(i, k)]).abs()).fold(0.0, f64::max);
            assert!(off < 1e-4 * way + c.error[i], "{name:?} {d} {i}: {off} of {way}");
            compared += 1;
        }
        assert!(compared >= 10, "{name:?} {d}: {compared} paths were followed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Linear flows: path components are the components, PCA scores of the model; unchanged by a rotation of the latents.
    #[test]
    fn paths_of_linear_flows_are_scores(d in 1_usize..6, seed: u64) {
        let flow = moved(Name::Affine, d, 1.0, seed);
        let x = flow.sample(5, 1.0, seed).unwrap();
        let Ok(c) = path_components(&flow, &x, d, 1e-8) else { return Ok(()) };
        let y = components(&flow, &x, d).unwrap();
        let kappa = y.scales[(0, 0)] / y.scales[(0, d - 1)];
        prop_assume!(kappa < 1e6);
        let gaps = (1..d).all(|k| y.scales[(0, k)] < 0.99 * y.scales[(0, k - 1)]);
        prop_assume!(gaps);
        let origin = flow.generate(&Matrix::zeros(1, d)).unwrap();
        for i in 0..5 {
            let way: f64 = (0..d).map(|j| (x[(i, j)] - origin[(0, j)]).powi(2)).sum::<f64>().sqrt();
            let bound = 1e-12 * kappa * way;
            for k in 0..d {
                prop_assert!((c.values[(i, k)] - y.values[(i, k)]).abs() <= bound);
                let score: f64 =
                    (0..d).map(|j| c.origin_axes[(j, k)] * (x[(i, j)] - origin[(0, j)])).sum();
                prop_assert!((c.values[(i, k)] - score).abs() <= bound);
            }
            prop_assert!(c.error[i] <= bound && c.overlap[i] > 1.0 - 1e-9);
        }
    }

    /// Walks of linear flows are straight, `x + τ s v`.
    #[test]
    fn walks_of_linear_flows_are_straight(d in 1_usize..6, component in 0_usize..6, seed: u64) {
        let flow = moved(Name::Affine, d, 1.0, seed);
        let x = flow.sample(3, 1.0, seed).unwrap();
        let y = components(&flow, &x, d).unwrap();
        let k = component % d;
        let kappa = y.scales[(0, 0)] / y.scales[(0, d - 1)];
        let gaps = (1..d).all(|k| y.scales[(0, k)] < 0.99 * y.scales[(0, k - 1)]);
        prop_assume!(kappa < 1e4 && gaps);
        let walk = Walk { component: k, reach: 3.0, points: 3, tolerance: 1e-9 };
        let t = traverse(&flow, &x, &walk).unwrap();
        for i in 0..3 {
            for (p, tau) in t.positions.iter().enumerate() {
                for j in 0..d {
                    let expected = x[(i, j)] + tau * y.scales[(i, k)] * y.axes.get(i)[j * d + k];
                    let found = t.points.get(i)[p * d + j];
                    prop_assert!((found - expected).abs() < 1e-10 * kappa * (1.0 + y.scales[(i, 0)]));
                }
                prop_assert!((t.scales[(i, p)] - y.scales[(i, k)]).abs() < 1e-10 * kappa * y.scales[(i, k)]);
            }
        }
    }
}

/// A flow without any preferred axis: the frame of the origin is carried along, whatever basis an SVD gives.
#[test]
fn isotropic_flows_keep_their_frame() {
    for d in [2, 5] {
        let mut flow = Flow::<f64>::new(vec![Affine::new(d, Form::Full).into()], 0, 0).unwrap();
        let mut random = generator(2, "rotation", 0);
        let q = qr::qr(&Matrix::from_fn(d, d, |_, _| random.sample(StandardNormal))).unwrap().q;
        flow.parameters_mut()[0].data.copy_from_slice(q.map(|v| 0.5 * v).data());
        let x = flow.sample(20, 1.0, 1).unwrap();
        let c = path_components(&flow, &x, d, 1e-8).unwrap();
        let scores = x.mul(&c.origin_axes);
        assert!(scores.data().iter().zip(c.values.data()).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}

/// The same components after a rotation of the latents, and on any number of threads.
#[test]
fn paths_do_not_see_the_latent_gauge() {
    let d = 3;
    let flow = moved(Name::Realnvp, d, 0.2, 11);
    let mut random = generator(5, "rotation", 0);
    let q = qr::qr(&Matrix::from_fn(d, d, |_, _| random.sample(StandardNormal))).unwrap().q;
    let mut rotated = flow.followed_by(Affine::new(d, Form::Full).into()).unwrap();
    let count = flow.parameters().len();
    rotated.parameters_mut()[count].data.copy_from_slice(q.data());
    let x = flow.sample(30, 1.0, 3).unwrap();
    let run = |flow: &Flow<f64>| path_components(flow, &x, d, 1e-9).unwrap();
    let (a, b) = (run(&flow), run(&rotated));
    for i in 0..30 {
        let off = (0..d).map(|k| (a.values[(i, k)] - b.values[(i, k)]).abs()).fold(0.0, f64::max);
        assert!(off < 1e-8, "{i}: {off}");
    }
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    let of = |n: usize| -> PathComponents<f64> { pool(n).install(|| run(&flow)) };
    let (one, three) = (of(1), of(3));
    assert_eq!((one.values, one.error), (three.values, three.error));
}

/// On the tube the latent axes are the local axes: walks change one latent and keep the others, also where the
/// rank of the axis changes on the way.
#[test]
fn walks_on_the_tube_change_one_latent() {
    let flow = tube();
    let z = Matrix::new(2, 3, vec![0.8, 0.4, -1.0, -1.1, 1.5, 0.5]);
    let x = flow.generate(&z).unwrap();
    for component in 0..3 {
        // The second row walks up to y₂ = 2.4, where 2φ(y₂) = 0.045 is less than the noise.
        let walk = Walk { component, reach: 0.7, points: 4, tolerance: 1e-9 };
        let walk = if component == 1 { Walk { reach: 0.9, ..walk } } else { walk };
        let t = traverse(&flow, &x, &walk).unwrap();
        for i in 0..2 {
            let points = Matrix::new(9, 3, t.points.get(i).to_vec());
            let latents = flow.normalize(&points).unwrap().0;
            let sign = (latents[(8, component)] - latents[(0, component)]).signum();
            for p in 0..9 {
                for k in 0..3 {
                    let moved = if k == component { sign * t.positions[p] } else { 0.0 };
                    let off = (latents[(p, k)] - z[(i, k)] - moved).abs();
                    assert!(off < 1e-6, "{component} {i} {p} {k}: {off}");
                }
                assert!(t.error[(i, p)] < 1e-8);
            }
        }
    }
}

/// A walk off the edge of the support stops there and says so; a row outside is an error.
#[test]
fn walks_end_where_the_map_ends() {
    let flow = tube();
    let x = flow.generate(&Matrix::new(1, 3, vec![3.0, 0.0, 0.0])).unwrap();
    let walk = Walk { component: 0, reach: 1.0, points: 5, tolerance: 1e-8 };
    let t = traverse(&flow, &x, &walk).unwrap();
    // |t| < 3π/2 is a third of a deviation away on one side.
    let edge = 1.5 * std::f64::consts::PI / ARC - 3.0;
    let (short, long) = (t.reached[(0, 0)].min(t.reached[(0, 1)]), t.reached[(0, 0)].max(t.reached[(0, 1)]));
    assert!((short - edge).abs() < 0.01 && (long - 1.0).abs() < 1e-9, "{short} {edge} {long}");
    assert_eq!(t.points.data().iter().filter(|v| v.is_nan()).count(), 3 * 4);
    let outside = Matrix::new(1, 3, vec![100.0, 0.5, 0.0]);
    assert!(matches!(traverse(&flow, &outside, &walk), Err(Error::OutOfRange { row: 0, .. })));
    assert!(path_components(&flow, &outside, 3, 1e-6).is_err());
}

/// Linear: predicted and measured error are that of PCA. Any flow: nothing is lost with all components, and for small latents the
/// prediction is right to second order.
#[test]
fn reconstructions_cost_what_is_predicted() {
    let flow = moved(Name::Affine, 4, 1.0, 3);
    let x = flow.sample(400, 1.0, 1).unwrap();
    let cov = components(&flow, &x, 4).unwrap();
    for keep in 0..=4 {
        let r = reconstruct(&flow, &x, keep).unwrap();
        for i in 0..400 {
            let left: f64 = (keep..4).map(|k| cov.values[(i, k)].powi(2)).sum();
            assert!((r.predicted[i] - left).abs() < 1e-10 * (1.0 + left));
            assert!((r.measured[i] - left).abs() < 1e-9 * (1.0 + left), "{keep}: {} {left}", r.measured[i]);
        }
    }
    let flow = moved(Name::Realnvp, 3, 0.3, 5);
    let relative = |size: f64| {
        let z = flow.draw_latents(200, size, 2);
        let r = reconstruct(&flow, &flow.generate(&z).unwrap(), 2).unwrap();
        let sum = |v: &[f64]| v.iter().sum::<f64>();
        (sum(&r.predicted) - sum(&r.measured)).abs() / sum(&r.measured)
    };
    let (coarse, fine) = (relative(0.2), relative(0.02));
    assert!(fine < 0.3 * coarse && fine < 0.05, "{coarse} {fine}");
    let all = reconstruct(&flow, &flow.sample(50, 1.0, 1).unwrap(), 3).unwrap();
    assert!(all.measured.iter().all(|m| *m < 1e-20));
}

/// At a linear optimum denoising is the Wiener filter, and what it leaves of the noise is what theory says.
#[test]
fn denoising_of_linear_models_is_wiener() {
    let (d, alpha) = (3, 0.02);
    let mut random = generator(6, "rows", 0);
    let clean = Matrix::from_fn(4000, d, |_, j| [2.0, 0.5, 0.1][j] * random.sample::<f64, _>(StandardNormal));
    let deviation = (2.0_f64 * alpha).sqrt();
    let noisy = clean.map(|v| v + deviation * random.sample::<f64, _>(StandardNormal));
    let spectrum = Spectrum::of(&noisy).unwrap();
    let mut flow = Flow::<f64>::new(vec![Affine::new(d, Form::Full).into()], 0, 0).unwrap();
    let w = Matrix::from_fn(d, d, |k, i| spectrum.axes[(i, k)] / spectrum.values[k].sqrt());
    let shift = w.mul(&Matrix::new(d, 1, spectrum.mean.clone())).map(|v| -v);
    flow.parameters_mut()[0].data.copy_from_slice(w.data());
    flow.parameters_mut()[1].data.copy_from_slice(shift.data());
    let found = denoised(&flow, &noisy, alpha).unwrap();
    let mut error = 0.0;
    for i in 0..noisy.rows() {
        let score = |m: &Matrix<f64>, k: usize| -> f64 {
            (0..d).map(|j| spectrum.axes[(j, k)] * (m[(i, j)] - spectrum.mean[j])).sum()
        };
        for k in 0..d {
            let shrunk = score(&noisy, k) * (1.0 - 2.0 * alpha / spectrum.values[k]);
            assert!((score(&found, k) - shrunk).abs() < 1e-10);
        }
        error += (0..d).map(|j| (found[(i, j)] - clean[(i, j)]).powi(2)).sum::<f64>() / 4000.0;
    }
    // Bayes risk Σ λ 2α / (λ + 2α); its standard error is about 2 %.
    let risk: f64 = [4.0_f64, 0.25, 0.01].iter().map(|l| l * 2.0 * alpha / (l + 2.0 * alpha)).sum();
    assert!((error / risk - 1.0).abs() < 0.08, "{error} {risk}");
    assert!(recorded_noise(&serde_json::json!({})).is_none());
}

/// Frames carried from neighbour to neighbour: where scales cross, axes keep their identity; values keep their length.
#[test]
fn transported_axes_do_not_swap() {
    let (flow, z) = (tube(), tube_latents(1500, 4));
    let x = flow.generate(&z).unwrap();
    let mut c = components(&flow, &x, 3).unwrap();
    let before = c.clone();
    let t = c.transport(&x, 10, 1e-3).unwrap();
    println!("{t:?}");
    assert!(t.reordered > 20 && t.disagreeing[1] < 0.02 && t.disagreeing[1] < t.disagreeing[0], "{t:?}");
    let mut wrong = 0;
    for i in 0..x.rows() {
        // The third axis is the normal, whatever its rank.
        let s = z[(i, 0)].signum();
        let angle = ARC * z[(i, 0)];
        let normal = [s * angle.sin(), 0.0, angle.cos()];
        let cosine: f64 = (0..3).map(|r| c.axes.get(i)[3 * r + 2] * normal[r]).sum();
        wrong += usize::from(cosine.abs() < 0.99);
        let square = |m: &Matrix<f64>| m.row(i).iter().map(|v| v * v).sum::<f64>();
        assert!((square(&c.values) - square(&before.values)).abs() < 1e-10);
    }
    assert!(wrong < 15, "{wrong}");
}

/// The random field's signs never beat the bound, and ours are at least as good on the S-curve.
#[test]
fn the_random_field_is_no_better() {
    let (flow, z) = (tube(), tube_latents(600, 5));
    let x = flow.generate(&z).unwrap();
    let run = |method| {
        let mut c = components(&flow, &x, 3).unwrap();
        c.comb(&x, 8, method).unwrap()
    };
    let (ours, theirs) = (run(Combing::Synchronised), run(Combing::Mrf(1)));
    for (k, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        println!("component {k}: {} against {} of at most {}", a.objective, b.objective, a.bound);
        assert!(a.objective >= b.objective && b.objective <= b.bound * (1.0 + 1e-12));
        // It does something: random signs would leave about half of the edges frustrated.
        assert!(b.frustration() < 0.4);
    }
}

/// Figures of a linear flow at its optimum are PCA's; bootstrap errors are those of means of independent rows.
#[test]
fn significance_of_linear_models_is_pca() {
    let d = 3;
    let mut random = generator(8, "rows", 0);
    let x = Matrix::from_fn(2000, d, |_, j| [3.0, 1.0, 0.2][j] * random.sample::<f64, _>(StandardNormal));
    let spectrum = Spectrum::of(&x).unwrap();
    let mut flow = Flow::<f64>::new(vec![Affine::new(d, Form::Full).into()], 0, 0).unwrap();
    let w = Matrix::from_fn(d, d, |k, i| spectrum.axes[(i, k)] / spectrum.values[k].sqrt());
    let shift = w.mul(&Matrix::new(d, 1, spectrum.mean.clone())).map(|v| -v);
    flow.parameters_mut()[0].data.copy_from_slice(w.data());
    flow.parameters_mut()[1].data.copy_from_slice(shift.data());
    let s = significance(&flow, &x, &Bootstrap { resamples: 400, block: 1, seed: 3 }).unwrap();
    let total: f64 = spectrum.values.iter().sum();
    for k in 0..d {
        assert!((s.scale[k].value - spectrum.values[k].sqrt()).abs() < 1e-12 && s.scale[k].error < 1e-12);
        assert!((s.variance[k].value - spectrum.values[k] / total).abs() < 1e-12);
        assert!(
            (s.entropy[k].value
                - 0.5 * (std::f64::consts::TAU * std::f64::consts::E * spectrum.values[k]).ln())
            .abs()
                < 1e-10
        );
    }
    // Of the share r = a/(a+b+c) by the delta method: var = Σ (∂r)² var(mean of squares), squares of normals having variance 2λ².
    let l = &spectrum.values;
    let derivative = |k: usize| if k == 0 { (total - l[0]) / total.powi(2) } else { -l[0] / total.powi(2) };
    let expected = (0..d).map(|k| (derivative(k) * l[k]).powi(2) * 2.0 / 2000.0).sum::<f64>().sqrt();
    // 400 resamples know it to 4 %, squares of 2000 rows to a few more.
    assert!((s.variance[0].error / expected - 1.0).abs() < 0.25, "{} {expected}", s.variance[0].error);
    assert!(s.contrast.value.abs() < 1e-10);
    let c = compare(&flow, &x, 50).unwrap();
    assert!(c.to_pca.iter().all(|a| *a < 1e-5) && (c.pca[0] - l[0].sqrt()).abs() < 1e-12);
}

/// Steps of the gauge's penalty make the contrast fall that is measured apart from the tape.
#[test]
fn gauges_straighten_axes() {
    use eigenflow::train::{Gauge, Preprocess, Stepper, TrainOptions, build, mean_contrast};
    let x = tube().generate(&tube_latents(64, 9)).unwrap();
    let preset = Preset { layers: Some(2), hidden: Some(vec![5]), ..Preset::named(Name::Realnvp) };
    let options =
        TrainOptions { gauge: Gauge::Principal, gauge_weight: 50.0, clip: 1e9, ..TrainOptions::default() };
    let mut flow = build::<f64>(&preset, Preprocess::Standardize, &x, &options).unwrap().flow;
    let mut random = generator(1, "moved", 0);
    for k in flow.core().flat_map(|k| flow.parameters_of(k)).collect::<Vec<_>>() {
        let p = &mut flow.parameters_mut()[k];
        if !p.name.contains("mask") {
            p.data.iter_mut().for_each(|v| *v += 0.3 * random.random_range(-1.0..1.0));
        }
    }
    let rows = flow.part(0..flow.preprocessing()).unwrap().normalize(&x).unwrap().0;
    let before = mean_contrast(&flow, &x).unwrap();
    // Fifty of its weight against one of the likelihood: steps make the contrast fall.
    let mut stepper = Stepper::new(&flow, x.rows(), &options).unwrap();
    for _ in 0..60 {
        stepper.step(&mut flow, rows.data(), &[], 2e-3).unwrap();
    }
    let after = mean_contrast(&flow, &x).unwrap();
    println!("contrast {before:.4} to {after:.4}");
    assert!(before > 0.01 && after < 0.7 * before && after >= -1e-12);
}

/// One block of rows has no spread: its error is not known.
#[test]
fn the_error_of_one_block_is_not_known() {
    let mut flow = Flow::<f64>::new(vec![Affine::new(2, Form::Full).into()], 0, 0).unwrap();
    flow.parameters_mut()[0].data = vec![0.5, 0.0, 0.0, 0.2];
    let x = Matrix::from_fn(6, 2, |i, j| (i + j) as f64);
    for (block, known) in [(6, false), (3, true)] {
        let s = significance(&flow, &x, &Bootstrap { block, ..Bootstrap::default() }).unwrap();
        assert!(s.variance.iter().chain([&s.contrast]).all(|e| e.error.is_nan() != known), "{s:?}");
    }
}

/// A column whose scale overflows is an error that names its row, not a share that is no number.
#[test]
fn scales_that_are_not_finite_are_errors() {
    let mut flow = Flow::<f64>::new(vec![Affine::new(2, Form::Full).into()], 0, 0).unwrap();
    flow.parameters_mut()[0].data = vec![1.0, 0.0, 0.0, 1e-310];
    let error = components(&flow, &Matrix::new(1, 2, vec![1.0, 1.0]), 2).unwrap_err();
    assert!(error.to_string().contains("components: a local scale"), "{error}");
}
