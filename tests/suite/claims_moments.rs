//! G3 and C4: the moments and entropies of whole models hold, and broken ones fail.

use crate::claims_local::{check, preset};
use eigenflow::flow::Flow;
use eigenflow::flow::bijections::{Banana, PolarShear, SCurveTube, Standardize, SwissRoll};
use eigenflow::flow::presets::{Name, Nonlinearity};
use eigenflow::theory::Verdict;
use eigenflow::theory::local::{Block, Directions, Entropies, Sandwich, Shares, blocks};

/// The sandwich, Stein's identity and the two-point identity hold on every flow, sheets included.
#[test]
fn global_moments_hold() {
    let sheets: [Vec<eigenflow::flow::Layer>; 3] = [
        vec![SCurveTube::new(0.7, 0.1).into()],
        vec![SwissRoll::new(0.3).into()],
        vec![Banana { dim: 3 }.into(), PolarShear { dim: 3, twist: 0.2 }.into()],
    ];
    let mut flows: Vec<Flow<f64>> =
        sheets.into_iter().map(|layers| Flow::new(layers, 0, 0).unwrap()).collect();
    for seed in 0..4 {
        for d in [1, 2, 4, 12] {
            flows.push(preset(Name::Affine, None, d, seed));
            flows.push(preset(Name::Paper, Some(Nonlinearity::Asinh), d, seed));
            flows.push(preset(Name::Paper, Some(Nonlinearity::Prelu), d, seed));
            if d > 1 {
                flows.push(preset(Name::Realnvp, Some(Nonlinearity::Silu), d, seed));
            }
        }
    }
    for (k, flow) in flows.iter().enumerate() {
        for id in ["G3", "C4"] {
            let outcome = check(flow, id, k as u64);
            assert_eq!(outcome.verdict, Verdict::Holds, "{k}: {outcome:#?}");
        }
    }
    // A linear map: everything agrees.
    let linear = check(&flows[3], "G3", 1);
    assert!((linear.figures["linearity_ratio"].as_f64().unwrap() - 1.0).abs() < 0.2, "{linear:?}");
    // Columns whose squares overflow, or vanish, in their own units: nothing changes.
    let core = preset(Name::Realnvp, Some(Nonlinearity::Silu), 2, 1);
    let ratio = |units: [f64; 2]| {
        let mut layers = vec![Standardize { dim: 2 }.into()];
        layers.extend(core.layers().iter().cloned());
        let mut flow = Flow::<f64>::new(layers, 1, 0).unwrap();
        flow.replace(1, &core);
        flow.parameters_mut()[1].data = units.to_vec();
        let o = check(&flow, "G3", 1);
        assert_eq!(o.verdict, Verdict::Holds, "{units:?}: {o:#?}");
        o.figures["linearity_ratio"].as_f64().unwrap()
    };
    let plain = ratio([1.0, 1.0]);
    for units in [[1e-170, 1e-170], [1e170, 1.0], [1e160, 1e-160]] {
        assert!((ratio(units) / plain - 1.0).abs() < 1e-9, "{units:?}");
    }
    // Two stacked exponentials have no moments.
    let heavy = preset(Name::Paper, Some(Nonlinearity::Sinh), 2, 0);
    assert_eq!(check(&heavy, "G3", 0).verdict, Verdict::Undecided("requires finite moments".to_owned()));
}

#[test]
fn broken_global_moments_fail() {
    let flow = preset(Name::Realnvp, Some(Nonlinearity::Silu), 4, 1);
    let directions = Directions::of(&flow, 3).unwrap();
    let good = blocks(&flow, &directions, 32, 3).unwrap().unwrap();
    assert_eq!(Sandwich::judge(&good).unwrap().verdict, Verdict::Holds);
    let broken = |change: &dyn Fn(&mut Block)| {
        let mut bad = good.clone();
        bad.iter_mut().for_each(change);
        Sandwich::judge(&bad).unwrap().verdict
    };
    // Jacobians that are too small, or of another map; a sampler that is too wide; a number that is none.
    assert_eq!(broken(&|b| b.slope = b.slope.map(|v| 0.5 * v)), Verdict::Fails);
    assert_eq!(broken(&|b| b.two_point = b.two_point.map(|v| 0.6 * v)), Verdict::Fails);
    assert_eq!(broken(&|b| b.outer = b.outer.map(|v| 0.5 * v)), Verdict::Fails);
    assert_eq!(broken(&|b| b.inner = b.inner.map(|v| 2.5 * v)), Verdict::Fails);
    assert_eq!(broken(&|b| b.covariance = b.covariance.map(|v| 1.5 * v)), Verdict::Fails);
    assert_eq!(broken(&|b| b.stein[(0, 1)] = f64::NAN), Verdict::Fails);
}

#[test]
fn broken_entropies_fail() {
    let flow = preset(Name::Realnvp, Some(Nonlinearity::Silu), 4, 1);
    let good = Shares::measure(&flow, &flow.sample(2048, 1.0, 3).unwrap(), 2048).unwrap();
    assert_eq!(Entropies::judge(&good).verdict, Verdict::Holds);
    // Draws that are not of the model; one scale that is off; a log-determinant that is off.
    let cold = Shares::measure(&flow, &flow.sample(2048, 0.9, 3).unwrap(), 2048).unwrap();
    assert_eq!(Entropies::judge(&cold).verdict, Verdict::Fails);
    let mut scaled = good.clone();
    scaled.log_scales[(5, 2)] += 1e-9;
    assert_eq!(Entropies::judge(&scaled).verdict, Verdict::Fails);
    let mut volume = good.clone();
    volume.volume[7] += 1e-9;
    assert_eq!(Entropies::judge(&volume).verdict, Verdict::Fails);
    volume.volume[7] = f64::NAN;
    assert_eq!(Entropies::judge(&volume).verdict, Verdict::Fails);
}
