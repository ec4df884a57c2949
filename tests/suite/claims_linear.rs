//! The linear claims: random instances hold, broken ones fail.

use eigenflow::data::builtin::{s_curve_entropy, s_curve_log_densities};
use eigenflow::data::{Selection, Source};
use eigenflow::flow::bijections::{Affine, Coupling, Form, Permutation, Sinh};
use eigenflow::flow::conditioner::Activation;
use eigenflow::flow::{Flow, Layer};
use eigenflow::random::generator;
use eigenflow::theory::linear::{
    L1, L2, L3, L4, L5, L6, L7, L8, Optimum, Path, Stack, fit_rows, noise_law, scaled,
};
use eigenflow::theory::{Claim, Context, Outcome, Verdict};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::qr::qr;
use proptest::prelude::*;
use rand::RngExt;
use rand_distr::StandardNormal;
use std::f64::consts::{E, PI, TAU};

/// Rows `μ + Q Λ^{1/2} ε` with variances spread geometrically from 1 down to `1 / condition`; the last `null`
/// directions are left out.
fn rows(n: usize, d: usize, condition: f64, null: usize, seed: u64) -> Matrix<f64> {
    let mut random = generator(seed, "test-rows", 0);
    let mut normal = |r, c| Matrix::from_fn(r, c, |_, _| random.sample::<f64, _>(StandardNormal));
    let q = qr(&normal(d, d)).unwrap().q;
    let (e, mean) = (normal(n, d), normal(1, d));
    let root = |k: usize| {
        let t = if d > 1 { k as f64 / (d - 1) as f64 } else { 0.0 };
        if k + null >= d { 0.0 } else { condition.powf(-0.5 * t) }
    };
    Matrix::from_fn(n, d, |i, j| mean[(0, j)] + (0..d).map(|k| q[(j, k)] * root(k) * e[(i, k)]).sum::<f64>())
}

fn context<'a>(flow: &'a Flow<f64>, training: Option<&'a Matrix<f64>>) -> Context<'a> {
    Context { flow, training, held_out: None, alpha: 0.0, other_regularisers: false, seed: 5, quick: true }
}

fn affine(d: usize) -> Flow<f64> {
    Flow::new(vec![Affine::new(d, Form::Full).into()], 0, 3).unwrap()
}

fn holds(o: &Outcome) {
    assert_eq!(o.verdict, Verdict::Holds, "{o:#?}");
}

fn fails(o: &Outcome) {
    assert_eq!(o.verdict, Verdict::Fails, "{o:#?}");
}

/// The optimum with its weight broken: rows mixed by `1 + by`.
fn broken(optimum: &Optimum, by: f64) -> Optimum {
    let mut bad = optimum.clone();
    bad.flow.parameters_mut()[0].data.iter_mut().for_each(|w| *w *= 1.0 + by);
    bad
}

fn error(o: &Outcome) -> f64 {
    o.figures["error"].as_f64().unwrap()
}

/// The promise: `‖W Σ Wᵀ - I‖ <= 1e-6` for D up to 64 and condition numbers to 1e8, α > 0 included.
#[test]
fn optimum_is_reached_at_every_condition() {
    for d in [1, 2, 3, 8, 17, 64] {
        for condition in [1.0, 1e4, 1e8] {
            let x = rows(4 * d + 200, d, condition, 0, d as u64);
            for alpha in [0.0, 1e-6, 0.1] {
                let optimum = fit_rows("L1", x.clone(), alpha, 1).unwrap();
                let o = L1::judge(&optimum);
                holds(&o);
                assert!(error(&o) <= 1e-6);
                println!("{d} {condition:.0e} {alpha:.0e}: {:?} {}", optimum.certificate, o.measured);
                if alpha == 0.0 {
                    holds(&L2::judge(&optimum));
                } else {
                    holds(&L4::judge(&optimum));
                    holds(&L5::judge(&optimum));
                }
                let (scores, axes) = L8::components(&optimum).unwrap();
                let o = L8::judge(&optimum, &scores, &axes);
                assert_ne!(o.verdict, Verdict::Fails, "{o:#?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every linear claim on random data, through the context, with a model that is not linear.
    #[test]
    fn linear_claims_hold(d in 1_usize..9, extra in 5_usize..300, decades in 0.0..7.0_f64, seed: u64) {
        let x = rows(2 * d + extra, d, 10_f64.powf(decades), 0, seed);
        let flow = affine(d);
        let cx = context(&flow, Some(&x));
        let claims: [&dyn Claim; 8] = [&L1, &L2, &L3, &L4, &L5, &L6, &L7, &L8];
        for claim in claims {
            let o = claim.check(&cx);
            prop_assert!(matches!(o.verdict, Verdict::Holds) || (claim.id() == "L8" && o.verdict != Verdict::Fails), "{o:#?}");
        }
    }

    /// Rank-deficient data: no optimum at α = 0, and the penalty makes one.
    #[test]
    fn null_directions_are_counted(d in 2_usize..9, null in 1_usize..4, seed: u64) {
        let null = null.min(d - 1);
        let x = rows(200, d, 10.0, null, seed);
        let flow = affine(d);
        let cx = context(&flow, Some(&x));
        for o in [L1.check(&cx), L2.check(&cx)] {
            prop_assert_eq!(o.verdict, Verdict::Undecided(format!("no optimum exists: {null} null directions")));
        }
        for o in [L3.check(&cx), L4.check(&cx), L5.check(&cx), L6.check(&cx), L7.check(&cx)] {
            prop_assert_eq!(&o.verdict, &Verdict::Holds, "{:#?}", o);
        }
    }
}

#[test]
fn without_data_linear_claims_are_undecided() {
    let flow = affine(3);
    let cx = context(&flow, None);
    let claims: [&dyn Claim; 7] = [&L1, &L2, &L3, &L4, &L5, &L7, &L8];
    for claim in claims {
        assert_eq!(claim.check(&cx).verdict, Verdict::Undecided("requires data".into()));
    }
    holds(&L6.check(&cx));
}

#[test]
fn a_broken_optimum_fails() {
    let x = rows(300, 4, 100.0, 0, 9);
    let plain = fit_rows("L1", x.clone(), 0.0, 1).unwrap();
    fails(&L1::judge(&broken(&plain, 1e-8)));
    // The likelihood is flat at the optimum: an error e of W costs D e² nats.
    fails(&L2::judge(&broken(&plain, 1e-4)));
    let shrunk = fit_rows("L4", x, 1e-2, 1).unwrap();
    fails(&L4::judge(&broken(&shrunk, 1e-8)));
    let mut bent = shrunk.clone();
    bent.flow.parameters_mut()[0].data[1] *= 1.0 + 1e-6;
    fails(&L5::judge(&bent));
    // A weight forgotten by a factor of two.
    let mut forgotten = shrunk.clone();
    forgotten.alpha *= 2.0;
    fails(&L4::judge(&forgotten));
    fails(&L5::judge(&forgotten));
    let (scores, axes) = L8::components(&plain).unwrap();
    holds(&L8::judge(&plain, &scores, &axes));
    fails(&L8::judge(&plain, &scores.map(|v| -v), &axes));
    fails(&L8::judge(&plain, &scores.map(|v| v * (1.0 + 1e-6)), &axes));
    // NaN is a failure, not a pass.
    fails(&L8::judge(&plain, &scores.map(|_| f64::NAN), &axes));
}

/// A deep flow with every kind of nonlinearity that data may meet.
fn deep(d: usize) -> Flow<f64> {
    let coupling = Coupling {
        dim: d,
        moved: (d / 2..d).collect(),
        hidden: vec![16],
        activation: Activation::Silu,
        bound: 2.0,
    };
    let layers: Vec<Layer> = vec![
        Affine::new(d, Form::Full).into(),
        coupling.into(),
        Permutation::reversed(d).into(),
        Sinh { dim: d }.into(),
        Affine::new(d, Form::Full).into(),
    ];
    Flow::new(layers, 0, 11).unwrap()
}

#[test]
fn scaling_null_directions_gains_their_number() {
    for d in [2, 5] {
        let flow = deep(d);
        let x = rows(100, d, 10.0, 0, 2);
        for factor in [0.5, 3.0, 1e3] {
            let scaling = scaled(&flow, &x, d / 2, factor).unwrap();
            holds(&scaling.judge());
            let mut wrong = scaling.clone();
            wrong.null += 1;
            fails(&wrong.judge());
            // The data leave the plane by a millionth.
            let mut off = scaling.clone();
            off.rows = off.rows.map(|v| v + 1e-6 * (1e3 * v).sin());
            fails(&off.judge());
        }
    }
    holds(&noise_law(5, 2, 1, 0.0));
    holds(&noise_law(6, 0, 1, 0.0));
    fails(&noise_law(5, 2, 1, 0.1));
    fails(&noise_law(5, 2, 1, -2.0 * 3.0));
}

fn s_curve(noise: f64, n: usize) -> Matrix<f64> {
    let source = format!("builtin:s-curve?n={n}&noise={noise}&seed=3").parse::<Source>().unwrap();
    source.load(&Selection::default()).unwrap().values
}

/// The best linear flow on the S-curve: the oracle figures from its covariance, and fits on draws within four standard errors of them.
#[test]
fn linear_oracle_figures_of_the_s_curve() {
    let without_noise = [1.091_149, 1.0 / 3.0, 0.172_575];
    for (noise, figure) in [(0.2, 3.0516), (0.1, 2.9202), (0.05, 2.8847), (0.02, 2.8746)] {
        // Noise adds its variance to each eigenvalue, as 2α does.
        let exact = -Path(&without_noise).penalised(0.5 * noise * noise);
        assert!((exact - figure).abs() <= 0.6e-4, "{noise}: {exact}");
        let optimum = fit_rows("L2", s_curve(noise, 50_000), 0.0, 1).unwrap();
        let losses = optimum.flow.log_density(&optimum.rows).unwrap();
        let n = losses.len() as f64;
        let mean = -losses.iter().sum::<f64>() / n;
        // The loss is ½ (log det Σ_n + …): to first order its error is that of the mean of ½ |f|², row by row.
        let error = (losses.iter().map(|l| (l + mean).powi(2)).sum::<f64>() / n / n).sqrt();
        assert!((mean - exact).abs() <= 4.0 * error, "{noise}: {mean} ± {error}, {exact}");
        // Another noise is refuted.
        let other = -Path(&without_noise).penalised(0.5 * (noise + 0.1).powi(2));
        assert!((mean - other).abs() > 4.0 * error, "{noise}: {mean} ± {error}, {other}");
    }
}

/// L6 on a curved sheet: the loss of the true density, mean `-log p` over fresh draws with the noise `σ`, falls by `D - d = 1` for each unit
/// of `log σ`, and by `A (σ_a - σ_b)` more between two noises (`A = -∫Φ log Φ`, both ends of the width). The same draws at each noise, paired.
#[test]
fn noise_on_the_s_curve_has_the_slope_of_its_null_directions() {
    let a = 0.903_197;
    let noises = [0.1, 0.03, 0.01, 0.003, 0.001];
    let losses = noises.map(|noise| s_curve_log_densities(&s_curve(noise, 20_000), noise).unwrap());
    // What the law leaves out is of second order in the noise: known by quadrature at the largest.
    let tau_e = (TAU * E).ln();
    let law = tau_e + (0.45 * PI).ln() + 2.0_f64.ln() + 0.1_f64.ln() + 0.1 * a;
    let second = 100.0 * (s_curve_entropy(0.1).unwrap() - law).abs();
    for k in 0..noises.len() - 1 {
        let (high, low) = (noises[k], noises[k + 1]);
        let step: f64 = (high / low).ln();
        let pairs = losses[k].iter().zip(&losses[k + 1]);
        let slopes: Vec<f64> = pairs.map(|(high, low)| (low - high) / step).collect();
        let n = slopes.len() as f64;
        let mean = slopes.iter().sum::<f64>() / n;
        let error = (slopes.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n / n).sqrt();
        let (predicted, allowed) = (1.0 + a * (high - low) / step, 4.0 * error + second * high * high / step);
        println!("{high} to {low}: {mean:.5} ± {error:.5}, predicted {predicted:.5}");
        assert!((mean - predicted).abs() <= allowed, "{high} to {low}: {mean} {predicted} {allowed}");
        // The slope of another dimension is refuted, and so is a loss that is off by a tenth of log σ.
        for wrong in [predicted - 1.0, predicted + 1.0, predicted + 0.1] {
            assert!((mean - wrong).abs() > allowed, "{high} to {low}: {mean} {wrong} {allowed}");
        }
    }
}

#[test]
fn a_broken_curvature_fails() {
    let x = rows(300, 4, 100.0, 0, 9);
    for alpha in [0.0, 0.1] {
        let optimum = fit_rows("L3", x.clone(), alpha, 1).unwrap();
        let hessian = L3::hessian(&optimum).unwrap();
        holds(&L3::judge(&optimum, &hessian));
        fails(&L3::judge(&optimum, &hessian.map(|v| v * (1.0 + 1e-7))));
        // Not at the optimum.
        let off = broken(&optimum, 1e-6);
        fails(&L3::judge(&optimum, &L3::hessian(&off).unwrap()));
        let mut asymmetric = hessian.clone();
        asymmetric[(0, 5)] += 1e-7;
        fails(&L3::judge(&optimum, &asymmetric));
        asymmetric[(0, 5)] = f64::NAN;
        assert_ne!(L3::judge(&optimum, &asymmetric).verdict, Verdict::Holds);
        // A weight forgotten by a factor of two.
        if alpha > 0.0 {
            let forgotten = Optimum { alpha: 0.05, ..optimum };
            fails(&L3::judge(&forgotten, &hessian));
        }
    }
    let wide = affine(9);
    let data = rows(50, 9, 10.0, 0, 1);
    assert_eq!(L3.check(&context(&wide, Some(&data))).verdict, Verdict::Undecided("requires D <= 8".into()));
}

#[test]
fn a_broken_stack_fails() {
    for layers in 1..=4 {
        let stack = Stack::train(&[2.0, 0.7, 0.1, 0.0], layers, 0.05, 3).unwrap();
        println!("{layers}: gradient {:.1e}, tolerance {:.1e}", stack.gradient, stack.tolerance);
        holds(&L7::judge(&stack));
        assert!(stack.tolerance < 1e-8, "{stack:?}");
        let mut bent = stack.clone();
        bent.singular[1] *= 1.0 + 1e-7;
        fails(&L7::judge(&bent));
        fails(&L7::judge(&Stack { alpha: 0.1, ..stack.clone() }));
        // The law of another depth.
        fails(&L7::judge(&Stack { layers: layers % 4 + 1, ..stack.clone() }));
        let saddle = Stack { curvature: [stack.curvature[0], -1.0], ..stack };
        assert!(matches!(L7::judge(&saddle).verdict, Verdict::Undecided(_)));
    }
}
