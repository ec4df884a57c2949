//! Flows whose log-determinant is estimated: residual layers of more than 64 columns.

use crate::cli_support::Room;
use crate::zoo;

use eigenflow::flow::bijections::Residual;
use eigenflow::flow::conditioner::Activation;
use eigenflow::flow::presets::{Name, Preset};
use eigenflow::flow::{Dequantize, Flow, Model};
use eigenflow::jacobian::{Direction, Route, jacobians};
use eigenflow::theory::{Context, Verdict, verify};
use eigenflow::train::{Stepper, TrainOptions};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::lu::Lu;
use zoo::rows;

fn flow(dim: usize, size: f64) -> Flow<f64> {
    let layer = Residual { dim, hidden: vec![dim], activation: Activation::Silu };
    let mut flow = Flow::new(vec![layer.clone().into(), layer.into()], 0, 3).unwrap();
    zoo::randomise(&mut flow, 8);
    for p in flow.parameters_mut().iter_mut().filter(|p| p.name.contains("weight")) {
        p.data.iter_mut().for_each(|w| *w *= size);
    }
    flow
}

/// `log p` from the exact Jacobian of the whole flow.
fn exact(flow: &Flow<f64>, x: &Matrix<f64>) -> Vec<f64> {
    let (z, _) = flow.normalize(x).unwrap();
    let all = jacobians(flow, x, Direction::Normalize, Route::Push).unwrap();
    let of = |i: usize| {
        let square: f64 = z.row(i).iter().map(|v| v * v + (2.0 * std::f64::consts::PI).ln()).sum();
        Lu::new(&all.matrix(i)).unwrap().slogdet().1 - 0.5 * square
    };
    (0..x.rows()).map(of).collect()
}

#[test]
fn a_hundred_columns_against_the_exact_jacobian() {
    for size in [1.0, 30.0] {
        let flow = flow(100, size);
        assert!(flow.is_estimated());
        let x = rows::<f64>(6, 100, 6).map(|v| 0.2 * v);
        let found = flow.log_density_estimate(&x, 60, 1).unwrap();
        for (i, truth) in exact(&flow, &x).iter().enumerate() {
            let (mean, error) = (found.values[i], found.errors[i]);
            assert!(error > 0.0 && (mean - truth).abs() <= 4.0 * error, "{size}: {mean} ± {error}, {truth}");
        }
        // Other seeds are other draws; rows alone and the same seed are the same bits.
        assert_ne!(flow.log_density_estimate(&x, 60, 2).unwrap(), found);
        let one = Matrix::new(1, 100, x.row(4).to_vec());
        assert_eq!(flow.log_density_estimate(&one, 60, 1).unwrap().values, found.values[4..5]);
        // And back.
        let (z, _) = flow.normalize(&x).unwrap();
        assert!(zoo::distance(&flow.generate(&z).unwrap(), &x) <= 1e-11 * (1.0 + z.max_abs()));
    }
    assert!(flow(65, 1.0).log_density_estimate(&rows::<f64>(2, 65, 1), 1, 0).is_err());
    assert!(!flow(64, 1.0).is_estimated());
}

/// Steps on the exact side of the border, and the same steps beyond it, learn the scale of wide rows.
#[test]
fn training_with_the_unbiased_gradient_fits() {
    let dim = 66;
    let layers = Preset { layers: Some(1), hidden: Some(vec![16]), ..Preset::named(Name::Residual) };
    let mut flow = Flow::<f64>::new(layers.layers(dim, 0).unwrap(), 0, 0).unwrap();
    let x = rows::<f64>(64, dim, 4).map(|v| 3.0 * v);
    let nll = |flow: &Flow<f64>| -exact(flow, &x).iter().sum::<f64>() / 64.0;
    let before = nll(&flow);
    let options = TrainOptions::default();
    let run = |flow: &mut Flow<f64>| {
        let mut stepper = Stepper::new(flow, 64, &options).unwrap();
        for _ in 0..60 {
            stepper.step(flow, x.data(), &[], 0.02).unwrap();
        }
    };
    let mut again = flow.clone();
    run(&mut flow);
    run(&mut again);
    assert_eq!(flow, again);
    // The rows' own scale is worth D (9 - 1) / 2 - D ln 3 nats less the noise.
    assert!(nll(&flow) < 0.75 * before, "{before} to {}", nll(&flow));
}

#[test]
fn what_needs_exact_densities_says_so() {
    let flow = flow(65, 1.0);
    let x = rows::<f64>(40, 65, 2);
    let cx = Context {
        flow: &flow,
        training: Some(&x),
        held_out: None,
        alpha: 0.0,
        other_regularisers: false,
        seed: 0,
        quick: true,
    };
    let outcomes = verify(&cx, &["S6".into(), "C4".into(), "L6".into()]);
    assert_eq!(outcomes.len(), 3);
    for outcome in outcomes {
        assert!(matches!(&outcome.verdict, Verdict::Undecided(why) if why.contains("64 columns")));
    }
    let refused = flow.with_dequantizer(Dequantize::Uniform, 0).unwrap_err();
    assert!(refused.to_string().contains("64 columns"));
}

/// Scripts read one number a row whatever the flow is; errors stand beside them where there is room.
#[test]
fn log_prob_gives_one_number_a_row() {
    let room = Room::new();
    let names: Vec<String> = (0..65).map(|j| format!("c{j}")).collect();
    let model = Model { flow: flow(65, 1.0), columns: names.clone(), record: None };
    model.save(&room.path("m.safetensors")).unwrap();
    let line = |i: usize| (0..65).map(|j| format!("{}", (i * j) as f64 * 0.01)).collect::<Vec<_>>().join(",");
    room.write("x.csv", format!("{}\n{}\n{}\n", names.join(","), line(1), line(2)));
    assert_eq!(room.ok("log-prob m.safetensors x.csv").lines().count(), 2);
    room.ok("log-prob m.safetensors x.csv --out p.npy");
    assert_eq!(room.array("p.npy").shape, [2]);
    room.ok("log-prob m.safetensors x.csv --out p.npz");
    assert_eq!(room.array("p.npz:log_prob").data, room.array("p.npy").data);
    assert!(room.array("p.npz:standard_error").data.iter().all(|e| *e > 0.0));
    let json = room.json("log-prob m.safetensors x.csv");
    assert_eq!(json["log_prob"].as_array().unwrap().len(), 2);
    assert_eq!(json["standard_error"].as_array().unwrap().len(), 2);
}
