//! Laws of every bijection and every preset: inverses, log-determinants, independence of rows.

use crate::zoo;

use eigenflow::flow::bijection::Bijection;
use eigenflow::flow::bijections::{Affine, Coupling, Form};
use eigenflow::flow::conditioner::Activation;
use eigenflow::flow::{Flow, Layer, Way};
use eigenflow::jacobian::{Direction, Route, jacobians};
use eigenflow::random::generator;
use eigenflow_autodiff::Program;
use eigenflow_linalg::svd::singular_values;
use eigenflow_linalg::{Matrix, Real, lu};
use zoo::{Anatomy, Case, DIMS, Worst, distance, row, rows};

/// Units in the last place that one layer may lose, for `dim` columns: its sums have up to `dim`
/// terms, its conditioner's up to seven and three of them follow on each other.
fn ulps(dim: usize) -> f64 {
    dim as f64 + 24.0
}

fn round_trip<T: Real>(case: &Case, worst: &mut Worst) {
    let d = case.flow.dim();
    let flow: Flow<T> = case.flow.cast();
    let exact: Flow<f64> = flow.cast();
    let x: Matrix<T> = rows(5, d, 1);
    let (z, _) = flow.normalize(&x).unwrap();
    let back = flow.generate(&z).unwrap();
    let again = flow.normalize(&back).unwrap().0;
    for i in 0..x.rows() {
        let anatomy = Anatomy::of(&exact, &row(&x, i).cast());
        let unit = ulps(d) * T::EPS.f64();
        let name = format!("{} {} row {i}", case.name, T::NAME);
        worst.check(
            format_args!("{name}, data"),
            distance(&row(&x, i), &row(&back, i)),
            unit * anatomy.magnification(true),
        );
        worst.check(
            format_args!("{name}, latents"),
            distance(&row(&z, i), &row(&again, i)),
            unit * anatomy.magnification(false),
        );
    }
}

#[test]
fn generate_inverts_normalize() {
    let mut worst = Worst::default();
    for case in DIMS.iter().flat_map(|&d| zoo::everything(d)) {
        round_trip::<f64>(&case, &mut worst);
        round_trip::<f32>(&case, &mut worst);
    }
    worst.report("round trip");
}

/// What a file must hold for a layer to be made of it: no more than the layer's parameters, and of their order.
#[test]
fn least_entries_are_of_the_order_of_all() {
    for d in DIMS {
        for layer in Layer::examples(d).into_iter().chain(Layer::conditional_examples(d, 3)) {
            let declared = layer.declare(&mut generator(0, "least-entries", 0));
            let all: u128 = declared.iter().map(|p| p.initial.len() as u128).sum();
            let least = layer.least_entries();
            assert!(least <= all && all <= 4 * least + 4, "{} of {d}: {least} of {all}", layer.kind());
        }
    }
}

/// `log|det J|` of the flow, by LU of the exact Jacobian, and by its singular values.
fn three_log_determinants<T: Real>(case: &Case, worst: &mut Worst) {
    let d = case.flow.dim();
    let flow: Flow<T> = case.flow.cast();
    let exact: Flow<f64> = flow.cast();
    let x: Matrix<T> = rows(4, d, 2);
    let (_, own) = flow.normalize(&x).unwrap();
    let j = jacobians(&flow, &x, Direction::Normalize, Route::Push).unwrap();
    for (i, own) in own.iter().enumerate() {
        let anatomy = Anatomy::of(&exact, &row(&x, i).cast());
        // δ log|det J| = tr(J⁻¹ δJ), |δJ| <= ulps eps ∏‖J_l‖ with ‖J⁻¹‖ <= ∏‖J_l⁻¹‖; the layers' own
        // terms are sums of d logarithms each.
        let terms: f64 = anatomy.layers.iter().map(|j| d as f64 + lu::slogdet(j).unwrap().1.abs()).sum();
        let bound = ulps(d) * T::EPS.f64() * (d as f64 * anatomy.norms() * anatomy.inverse_norms() + terms);
        let by_lu = lu::slogdet(&j.matrix(i)).unwrap().1;
        let by_svd: f64 = singular_values(&j.matrix(i)).unwrap().iter().map(|s| s.f64().ln()).sum();
        let name = format!("{} {} row {i}", case.name, T::NAME);
        worst.check(format_args!("{name}, LU"), (own.f64() - by_lu.f64()).abs(), bound);
        worst.check(format_args!("{name}, SVD"), (own.f64() - by_svd).abs(), bound);
    }
}

#[test]
fn log_determinants_agree_by_three_routes() {
    let mut worst = Worst::default();
    for case in DIMS.iter().flat_map(|&d| zoo::everything(d)) {
        three_log_determinants::<f64>(&case, &mut worst);
        three_log_determinants::<f32>(&case, &mut worst);
    }
    worst.report("log-determinant");
}

/// `log p = -(D ln 2π + |z|²) / 2 + log|det J|`, put together by hand.
#[test]
fn density_is_base_plus_log_determinant() {
    for case in DIMS.iter().flat_map(|&d| zoo::selection(d)) {
        let d = case.flow.dim();
        let x = rows::<f64>(6, d, 3);
        let (z, log_det) = case.flow.normalize(&x).unwrap();
        let log_p = case.flow.log_density(&x).unwrap();
        for i in 0..6 {
            let square: f64 = z.row(i).iter().map(|z| z * z).sum();
            let expected = -0.5 * (d as f64 * std::f64::consts::TAU.ln() + square) + log_det[i];
            let bound = 8.0 * f64::EPSILON * (d as f64 * (square + 2.0) + log_det[i].abs());
            assert!((log_p[i] - expected).abs() <= bound, "{}: {} {expected}", case.name, log_p[i]);
        }
    }
}

/// Everything that is computed for each row, as bits.
fn outputs<T: Real>(flow: &Flow<T>, x: &Matrix<T>) -> Vec<Vec<u64>> {
    let (n, d) = (x.rows(), flow.dim());
    let (z, log_det) = flow.normalize(x).unwrap();
    let by_row = |data: &[T], unit: usize| -> Vec<Vec<u64>> {
        (0..n).map(|i| data[i * unit..][..unit].iter().map(|v| v.f64().to_bits()).collect()).collect()
    };
    let mut out = by_row(z.data(), d);
    let mut also = |more: Vec<Vec<u64>>| out.iter_mut().zip(more).for_each(|(o, m)| o.extend(m));
    also(by_row(&log_det, 1));
    also(by_row(&flow.log_density(x).unwrap(), 1));
    let again = flow.generate(&z).unwrap();
    also(by_row(again.data(), d));
    for (direction, at) in [(Direction::Normalize, x), (Direction::Generate, &z)] {
        also(by_row(jacobians(flow, at, direction, Route::Push).unwrap().data(), d * d));
        also(by_row(jacobians(flow, at, direction, Route::Pull).unwrap().data(), d * d));
    }
    out
}

fn rows_are_independent<T: Real>(case: &Case, n: usize, alone: &[usize]) {
    let flow: Flow<T> = case.flow.cast();
    let x: Matrix<T> = rows(n, flow.dim(), 4);
    let together = outputs(&flow, &x);
    let sub = |ids: &[usize]| {
        Matrix::new(ids.len(), x.cols(), ids.iter().flat_map(|&i| x.row(i).to_vec()).collect())
    };
    for &i in alone {
        assert_eq!(outputs(&flow, &sub(&[i]))[0], together[i], "{} {}: row {i} alone", case.name, T::NAME);
    }
    for size in [2, 3, 5, n / 2] {
        let ids: Vec<usize> = (0..size).map(|k| n - 1 - k).collect();
        for (k, out) in outputs(&flow, &sub(&ids)).iter().enumerate() {
            assert_eq!(*out, together[ids[k]], "{} {}: row {k} of {size}", case.name, T::NAME);
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    for case in DIMS.iter().flat_map(|&d| zoo::selection(d)) {
        rows_are_independent::<f64>(&case, 21, &[0, 7, 20]);
        rows_are_independent::<f32>(&case, 21, &[0, 7, 20]);
    }
    // Wide enough for several shards, and for products of every shape.
    for case in zoo::selection(24) {
        rows_are_independent::<f64>(&case, 150, &[0, 149]);
        rows_are_independent::<f32>(&case, 150, &[0, 149]);
    }
}

#[test]
fn wide_products_do_not_depend_on_the_batch() {
    let layer = Coupling {
        dim: 900,
        moved: (300..900).collect(),
        hidden: vec![70],
        activation: Activation::Tanh,
        bound: 1.0,
    };
    let flow = Flow::<f64>::new(vec![layer.into(), Affine::new(900, Form::Full).into()], 0, 1).unwrap();
    let single: Flow<f32> = flow.cast();
    let x: Matrix<f64> = rows(100, 900, 6);
    let bits = |ids: &[usize]| -> Vec<Vec<u64>> {
        let x = Matrix::new(ids.len(), 900, ids.iter().flat_map(|&i| x.row(i).to_vec()).collect());
        let (z, s) = (flow.normalize(&x).unwrap().0, single.normalize(&x.cast()).unwrap().0);
        let (zz, ss) = (flow.generate(&x).unwrap(), single.generate(&x.cast()).unwrap());
        let row = |k: usize| {
            let double = z.row(k).iter().chain(zz.row(k)).map(|v| v.to_bits());
            double.chain(s.row(k).iter().chain(ss.row(k)).map(|v| u64::from(v.to_bits()))).collect()
        };
        (0..ids.len()).map(row).collect()
    };
    let together = bits(&(0..100).collect::<Vec<_>>());
    for ids in [&[99][..], &[3, 99], &[98, 5, 0], &[1, 2, 3, 4, 5, 6, 7], &(60..100).collect::<Vec<_>>()] {
        for (k, out) in bits(ids).iter().enumerate() {
            assert!(*out == together[ids[k]], "row {} among {}", ids[k], ids.len());
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    let pools = [pool(1), pool(2), pool(3)];
    for case in [2, 8].iter().flat_map(|&d| zoo::selection(d)) {
        let x = rows::<f64>(2500, case.flow.dim(), 5);
        let [one, two, three] = [0, 1, 2].map(|k: usize| pools[k].install(|| outputs(&case.flow, &x)));
        assert!(one == two && one == three, "{}", case.name);
    }
}

/// Layers with a way of their own to the values of `generate` give what they record.
#[test]
fn values_are_those_that_are_recorded() {
    let mut replayed = 0;
    for case in DIMS.iter().flat_map(|&d| zoo::everything(d)) {
        let flow = &case.flow;
        let slices = flow.slices();
        let own = |k: usize| flow.layers()[k].values(&slices[flow.parameters_of(k)]).is_some();
        if !(0..flow.layers().len()).any(own) {
            continue;
        }
        replayed += 1;
        let z = rows::<f64>(70, flow.dim(), 4);
        let all = 0..flow.layers().len();
        let recorded = flow.run(&z, |p, z| vec![flow.record_generate(p, z, all.clone()).out]).unwrap();
        let values = flow.generate(&z).unwrap();
        for (a, b) in values.data().iter().zip(&recorded[0]) {
            // The same operations; sums may run in another order.
            assert!((a - b).abs() <= 1e-11 * (1.0 + b.abs()), "{}: {a} {b}", case.name);
        }
    }
    assert!(replayed > 10);
}

/// What a layer says of its ways is what it records: an equation is solved where there is no formula, and nowhere else.
#[test]
fn a_layer_says_how_it_is_computed() {
    let context = Layer::conditional_examples(3, 2);
    let all = DIMS.iter().flat_map(|&d| Layer::examples(d)).chain(context);
    for layer in all.filter(|l| l.kind() != "swiss-roll") {
        let flow = Flow::<f64>::new(vec![layer.clone()], 0, 0).unwrap();
        let solves = |generate: bool| {
            let program = Program::record(|r| {
                let v = r.batch(flow.dim());
                let params = flow.declare(r);
                let recorded = if generate {
                    flow.record_generate(&params, v, 0..1)
                } else {
                    flow.record_normalize(&params, v, 0..1, false)
                };
                vec![recorded.out]
            });
            format!("{program:?}").contains("Implicit(")
        };
        let solved = layer.ways().map(|way| way != Way::ClosedForm);
        assert_eq!(solved, [solves(false), solves(true)], "{layer:?}");
    }
    let roll = Layer::examples(3).into_iter().find(|l| l.kind() == "swiss-roll").unwrap();
    assert_eq!(roll.ways(), [Way::Numeric, Way::ClosedForm]);
}
