//! Splines and autoregressive layers where they are delicate: knots, ends, far outside, huge logits, orders, depth.

use crate::zoo;

use eigenflow::flow::bijections::{Autoregressive, Coupling, GeneralCoupling};
use eigenflow::flow::conditioner::Activation;
use eigenflow::flow::transformer::{Logits, Scale, Spline, Transformer};
use eigenflow::flow::{Bijection, Flow, Layer};
use eigenflow::jacobian::{Direction, Route, jacobians};
use eigenflow::random::generator;
use eigenflow::theory::stability::RoundTrip;
use eigenflow_autodiff::Program;
use eigenflow_linalg::{Matrix, Real};
use rand::RngExt;
use zoo::rows;

/// A spline of one column with constant parameters: they are the bias of a network without inputs.
fn alone(spline: Spline, raw: &[f64]) -> Flow<f64> {
    let layer = GeneralCoupling {
        dim: 1,
        moved: vec![0],
        hidden: vec![],
        activation: Activation::Tanh,
        residual: false,
        transformer: Transformer::Spline(spline),
    };
    let mut flow = Flow::new(vec![layer.into()], 0, 0).unwrap();
    let bias = &mut flow.parameters_mut()[1].data;
    assert_eq!(bias.len(), raw.len());
    bias.copy_from_slice(raw);
    flow
}

fn column(x: &[f64]) -> Matrix<f64> {
    Matrix::new(x.len(), 1, x.to_vec())
}

const CLAMPED: Logits = Logits::SoftClamp { least: 1e-3 };

/// Both parametrisations with random logits of the given size.
fn splines(size: f64) -> Vec<(Spline, Vec<f64>)> {
    let mut out = Vec::new();
    for seed in 0..6 {
        let bins = [1, 2, 3, 5, 8, 16][seed];
        let mut random = generator(seed as u64, "spline-test", 0);
        let raw: Vec<f64> = (0..3 * bins - 1).map(|_| size * (2.0 * random.random::<f64>() - 1.0)).collect();
        let own = Spline::new(bins, 3.0);
        out.push((Spline { logits: CLAMPED, ..own.clone() }, raw.clone()));
        out.push((own, raw));
    }
    out
}

/// `log p` of each row, its derivatives by the row (first and second), and the gradient of the sum by all parameters.
fn derivatives<T: Real>(flow: &Flow<T>, x: &Matrix<T>) -> Vec<Vec<T>> {
    let program = Program::try_record(|r| {
        let params = flow.declare(r);
        let x = r.batch(1);
        let log_p = flow.record_log_density(&params, x, 0..1);
        let first = r.gradient(log_p, &[x])?[0];
        let second = r.gradient(first, &[x])?[0];
        let mut out = vec![log_p, first, second];
        out.extend(r.gradient(log_p, &params[1..])?);
        out.extend(r.gradient(first, &params[1..])?);
        Ok::<_, eigenflow_autodiff::Error>(out)
    });
    program.unwrap().run(x.rows(), &[x.data()], &flow.slices()).unwrap()
}

/// Knots by hand: the least shares and the softmax, in plain arithmetic.
fn knots(spline: &Spline, raw: &[f64]) -> Vec<f64> {
    let k = spline.bins;
    let clamp = |u: f64| u / (1.0 + (2.0 * u / 1e-3_f64.ln()).abs());
    let (logits, least): (Vec<f64>, f64) = match spline.logits {
        Logits::Softplus { width, .. } => (raw[..k].to_vec(), width),
        Logits::SoftClamp { .. } => (raw[..k].iter().map(|&u| clamp(u)).collect(), 0.0),
    };
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|u| (u - most).exp()).sum();
    let mut at = -spline.bound;
    let mut out = vec![at];
    for u in &logits[..k - 1] {
        at += 2.0 * spline.bound * (least + (1.0 - least * k as f64) * (u - most).exp() / total);
        out.push(at);
    }
    out.push(spline.bound);
    out
}

/// Rows on every knot, at both ends, beside them, far outside.
fn delicate(spline: &Spline, raw: &[f64]) -> Vec<f64> {
    let mut x = knots(spline, raw);
    let b = spline.bound;
    x.extend([b.next_up(), b.next_down(), -b.next_up(), -b.next_down(), 0.0, -0.0]);
    x.extend([1e3, -1e3, 1e15, -1e15]);
    x
}

#[test]
fn derivatives_are_finite_on_knots_and_far_outside() {
    for (spline, raw) in splines(2.0).into_iter().chain(splines(30.0)) {
        let flow = alone(spline.clone(), &raw);
        let x = delicate(&spline, &raw);
        // Latents are as far out as rows.
        for out in derivatives(&flow, &column(&x)) {
            assert!(out.iter().all(|v| v.is_finite()), "{spline:?} {raw:?}: {out:?}");
        }
        let single: Flow<f32> = flow.cast();
        for out in derivatives(&single, &column(&x).cast()) {
            assert!(out.iter().all(|v| v.is_finite()), "f32 {spline:?} {raw:?}");
        }
    }
}

#[test]
fn beyond_the_box_it_is_the_identity_to_the_bit() {
    for (spline, raw) in splines(3.0) {
        let flow = alone(spline, &raw);
        let x = [3.0_f64.next_up(), -3.0_f64.next_up(), 5.0, -1e30, 1e300];
        let (z, log_det) = flow.normalize(&column(&x)).unwrap();
        assert_eq!((z.data(), log_det), (&x[..], vec![0.0; 5]));
        assert_eq!(flow.generate(&column(&x)).unwrap().data(), x);
    }
}

/// The map and its first derivative are continuous at knots: steps of `1e-9` move them by rounding and curvature alone.
#[test]
fn values_and_slopes_meet_at_knots() {
    for (spline, raw) in splines(2.0) {
        let flow = alone(spline.clone(), &raw);
        let step = 1e-9;
        for knot in knots(&spline, &raw) {
            let (z, log) = flow.normalize(&column(&[knot - step, knot, knot + step])).unwrap();
            let slope = log[1].exp();
            for side in [0, 2] {
                assert!(
                    (z.data()[side] - z.data()[1]).abs() <= 2.0 * slope * step + 1e-14,
                    "{spline:?} {knot}"
                );
                assert!((log[side] - log[1]).abs() <= 1e-5, "{spline:?} {knot}: {log:?}");
            }
        }
    }
}

/// Increasing, and back to where it came from: `x` is off by the rounding of `z` through the inverse slope.
#[test]
fn splines_are_monotone_and_invert() {
    for (spline, raw) in splines(2.0).into_iter().chain(splines(8.0)).chain(splines(1e6)) {
        let flow = alone(spline.clone(), &raw);
        let x: Vec<f64> = (0..=2000).map(|k| -3.2 + 6.4 * f64::from(k) / 2000.0).collect();
        let (z, log_det) = flow.normalize(&column(&x)).unwrap();
        assert!(z.data().windows(2).all(|w| w[1] >= w[0]), "{spline:?}");
        let back = flow.generate(&z).unwrap();
        let again = flow.normalize(&back).unwrap().0;
        for k in 0..x.len() {
            let unit = 64.0 * f64::EPSILON * 3.0;
            // A slope that changes within the error is bounded by its neighbours.
            let gentlest =
                log_det[k.saturating_sub(1)..(k + 2).min(x.len())].iter().copied().fold(0.0, f64::min);
            let error = (back.data()[k] - x[k]).abs();
            if raw.iter().all(|u| u.abs() <= 8.0) {
                assert!(error <= unit * (1.0 + (-gentlest).exp()) * 1e2, "{spline:?} {}: {error:e}", x[k]);
            }
            // Whatever the logits, the latent is met.
            let steepest =
                log_det[k.saturating_sub(1)..(k + 2).min(x.len())].iter().copied().fold(0.0, f64::max);
            let error = (again.data()[k] - z.data()[k]).abs();
            assert!(error <= unit * (1.0 + steepest.exp()) * 1e2, "{spline:?} {}: latent {error:e}", x[k]);
        }
    }
}

/// Equal bins with slopes 1 are the identity.
#[test]
fn new_splines_start_at_the_identity() {
    for logits in [CLAMPED, Spline::new(4, 3.0).logits] {
        let spline = Spline { logits, ..Spline::new(4, 3.0) };
        let raw = Transformer::Spline(spline.clone()).identity();
        let x: Vec<f64> = (-30..30).map(|k| f64::from(k) / 9.0).collect();
        let (z, log_det) = alone(spline, &raw).normalize(&column(&x)).unwrap();
        for (k, x) in x.iter().enumerate() {
            assert!((z.data()[k] - x).abs() <= 1e-14 && log_det[k].abs() <= 1e-13);
        }
    }
}

/// `dz_j / dx_i` is exactly zero unless column `i` comes before column `j`, or is it; and so in the other direction.
#[test]
fn autoregressive_jacobians_have_the_order_of_their_layer() {
    for d in [1, 2, 5, 8] {
        for layer in Autoregressive::examples(d) {
            let order = layer.order.clone();
            let mut flow = Flow::<f64>::new(vec![layer.into()], 0, 0).unwrap();
            zoo::randomise(&mut flow, 4);
            let x = rows::<f64>(6, d, 1);
            for direction in [Direction::Normalize, Direction::Generate] {
                let all = jacobians(&flow, &x, direction, Route::Push).unwrap();
                for n in 0..6 {
                    let j = all.matrix(n);
                    for (a, b) in (0..d).flat_map(|a| (0..d).map(move |b| (a, b))) {
                        let may = a == b || order[b] < order[a];
                        assert!(may || j[(a, b)] == 0.0, "{order:?} {direction:?} [{a}, {b}]");
                    }
                }
            }
        }
    }
}

/// Weights that a mask puts out do not matter, and training leaves them alone: their gradient is zero.
#[test]
fn masked_weights_do_not_matter() {
    let layer = Autoregressive::examples(4).remove(0);
    let mut flow = Flow::<f64>::new(vec![layer.into()], 0, 0).unwrap();
    zoo::randomise(&mut flow, 4);
    let x = rows::<f64>(5, 4, 2);
    let before = flow.normalize(&x).unwrap();
    let count = flow.parameters().len() / 3;
    let mut moved = 0;
    for k in 0..count {
        let mask = flow.parameters()[2 * count + k].data.clone();
        for (w, m) in flow.parameters_mut()[2 * k].data.iter_mut().zip(mask) {
            if m == 0.0 {
                *w += 1e3;
                moved += 1;
            }
        }
    }
    assert!(moved > 0);
    assert_eq!(flow.normalize(&x).unwrap(), before);
}

#[test]
fn malformed_layers_are_refused() {
    let spline = |spline| Transformer::Spline(spline);
    let bad: Vec<Transformer> = vec![
        spline(Spline { bins: 0, ..Spline::new(4, 3.0) }),
        spline(Spline { bins: usize::MAX, ..Spline::new(4, 3.0) }),
        spline(Spline::new(4, 0.0)),
        spline(Spline::new(4, f64::NAN)),
        spline(Spline::new(1000, 3.0)),
        spline(Spline { logits: Logits::SoftClamp { least: 1.0 }, ..Spline::new(4, 3.0) }),
        Transformer::Affine { scale: Scale::Tanh { bound: 0.0 } },
        Transformer::Affine { scale: Scale::SoftClamp { least: 0.0 } },
        Transformer::Affine { scale: Scale::Sigmoid { offset: f64::NAN, least: 1e-3 } },
        Transformer::Affine { scale: Scale::Softplus { least: -1.0 } },
    ];
    for transformer in bad {
        let general =
            GeneralCoupling { transformer: transformer.clone(), ..GeneralCoupling::examples(3).remove(0) };
        let masked = Autoregressive { transformer, ..Autoregressive::examples(3).remove(0) };
        assert!(general.check().is_err() && masked.check().is_err(), "{general:?}");
    }
    let masked = Autoregressive { order: vec![0, 3, 1], ..Autoregressive::examples(3).remove(0) };
    assert!(masked.check().is_err());
    let residual =
        Autoregressive { hidden: vec![4, 4], residual: true, ..Autoregressive::examples(3).remove(0) };
    assert!(residual.check().is_err());
}

/// Thirty couplings of a hundred columns, affine and spline: round trips and log-determinants within what rounding may do.
#[test]
fn thirty_layers_of_a_hundred_columns() {
    let d = 100;
    let halves = |k: usize| (0..d).filter(|j| j % 2 == k % 2).collect::<Vec<usize>>();
    let affine = |k: usize| -> Layer {
        Coupling { dim: d, moved: halves(k), hidden: vec![16], activation: Activation::Tanh, bound: 1.0 }
            .into()
    };
    let spline = |k: usize| -> Layer {
        GeneralCoupling {
            dim: d,
            moved: halves(k),
            hidden: vec![16],
            activation: Activation::Tanh,
            residual: false,
            transformer: Transformer::Spline(Spline::new(4, 3.0)),
        }
        .into()
    };
    let layers = [
        (0..30).map(affine).collect::<Vec<_>>(),
        (0..30).map(|k| if k < 26 { affine(k) } else { spline(k) }).collect(),
    ];
    for layers in layers {
        let mut flow = Flow::<f64>::new(layers, 0, 0).unwrap();
        zoo::randomise(&mut flow, 6);
        let x = rows::<f64>(2, d, 3);
        for measured in
            [RoundTrip::measure(&flow, &x).unwrap(), RoundTrip::measure(&flow.cast::<f32>(), &x).unwrap()]
        {
            let (trip, det, _, _) = measured.ratios();
            assert!(trip <= 1.0 && det <= 1.0, "{trip} {det}");
        }
        let (trip, _, trips, dets) = RoundTrip::measure(&flow, &x).unwrap().ratios();
        assert!(trips == 2 && dets == 2, "{trip} {trips} {dets}");
    }
}
