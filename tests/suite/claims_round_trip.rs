//! S6: round trips hold in both precisions, in any units, and broken ones fail.

use crate::claims_stability::{context, fails, flow, holds, normal};
use eigenflow::flow::bijections::{Affine, Form};
use eigenflow::flow::{Bijection, Flow, Layer};
use eigenflow::theory::stability::{RoundTrip, S6};
use eigenflow::theory::{Claim, Verdict};
use eigenflow_linalg::Matrix;

/// Each registered bijection by itself, in both precisions.
#[test]
fn every_bijection_round_trips() {
    for d in [1, 2, 3, 5] {
        for layer in Layer::examples(d) {
            let kind = layer.kind();
            let flow = Flow::<f64>::new(vec![layer], 0, 1).unwrap();
            let o = S6.check(&context(&flow, Some(&normal(40, flow.dim(), 3)), 0.0));
            assert_eq!(o.verdict, Verdict::Holds, "{kind} {o:#?}");
        }
    }
}

#[test]
fn broken_round_trips_fail() {
    let flow = flow(5, 4, 0.3, 7);
    let x = normal(20, 4, 1);
    let good = RoundTrip::measure(&flow, &x).unwrap();
    let single = RoundTrip::measure(&flow.cast::<f32>(), &x).unwrap();
    let both = |m: &RoundTrip, single: &RoundTrip| {
        S6::judge(&[("data, f64".to_owned(), m.clone()), ("data, f32".to_owned(), single.clone())])
    };
    let judge = |m: &RoundTrip| both(m, &single);
    holds(&judge(&good));
    // One precision is half of the claim; and each half can fail.
    for m in [&good, &single] {
        let o = S6::judge(&[("data".to_owned(), m.clone())]);
        assert!(matches!(&o.verdict, Verdict::Undecided(r) if r.contains("of no row")), "{o:#?}");
    }
    let mut bad = single.clone();
    bad.error[3] += 1e-2;
    fails(&both(&good, &bad));
    let bound = good.passages[3].round_trip * good.eps;
    assert!(bound < 1e-9, "{bound:e}");
    let mut bad = good.clone();
    bad.error[3] += 1e-9;
    fails(&judge(&bad));
    for route in 0..3 {
        let mut bad = good.clone();
        bad.log_det[5][route] += 1e-9;
        fails(&judge(&bad));
        bad.log_det[5][route] = f64::NAN;
        fails(&judge(&bad));
    }
    // An inverse that belongs to slightly different parameters.
    let mut other = flow.clone();
    let last = other.parameters().len() - 2;
    other.parameters_mut()[last].data[0] += 1e-8;
    let back = other.generate(&flow.normalize(&x).unwrap().0).unwrap();
    let mut bad = good;
    for i in 0..x.rows() {
        bad.error[i] = x.row(i).iter().zip(back.row(i)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    }
    fails(&judge(&bad));
}

/// Far out of range is undecided, and an ill-conditioned map has an honest bound.
#[test]
fn what_overflows_is_out_of_range() {
    let flow = flow(3, 2, 0.0, 7);
    let far = Matrix::new(1, 2, vec![1e6, -1e6]);
    let m = RoundTrip::measure(&flow, &far).unwrap();
    assert_eq!((m.out_of_range, m.error.len()), (1, 0));
    let o = S6::judge(&[("far".to_owned(), m)]);
    assert!(matches!(&o.verdict, Verdict::Undecided(r) if r.starts_with("out of range")));

    // W = R diag(1e6, 1) Rᵀ at a row where 1e6 cancels: x, z and |∂x/∂z| are all of order 1, so the layers' values
    // alone would promise eps; the products that cancelled leave 1e6 eps.
    let (c, s) = (0.6_f64, 0.8_f64);
    let mut flow = Flow::<f64>::new(vec![Affine::new(2, Form::Full).into()], 0, 0).unwrap();
    flow.parameters_mut()[0].data =
        vec![1e6 * c * c + s * s, 1e6 * c * s - c * s, 1e6 * c * s - c * s, 1e6 * s * s + c * c];
    let x = Matrix::from_fn(50, 2, |i, j| [-s, c][j] * (1.0 + 0.1 * i as f64) / 3.0);
    let m = RoundTrip::measure(&flow, &x).unwrap();
    let z = flow.normalize(&x).unwrap().0;
    let values: f64 = (0..50)
        .map(|i| m.error[i] / (m.eps * (m.norm[i] + z.row(i)[0].hypot(z.row(i)[1]))))
        .fold(0.0, f64::max);
    assert!(values > 1e3, "{values}");
    // Single precision resolves nothing of it.
    let single = RoundTrip::measure(&flow.cast::<f32>(), &x).unwrap();
    assert_eq!((single.ratios().2, single.out_of_range), (0, 0));
    let both = |m: &RoundTrip, single: &RoundTrip| {
        S6::judge(&[("ill".to_owned(), m.clone()), ("single".to_owned(), single.clone())])
    };
    let o = both(&m, &single);
    assert!(matches!(&o.verdict, Verdict::Undecided(r) if r.contains("f32")), "{o:#?}");
    let plain = Flow::<f32>::new(vec![Affine::new(2, Form::Full).into()], 0, 0).unwrap();
    let plain = RoundTrip::measure(&plain, &x).unwrap();
    holds(&both(&m, &plain));
    // Half of the claim is not the claim.
    for half in 0..2 {
        let mut blind = m.clone();
        for p in &mut blind.passages {
            *[&mut p.round_trip, &mut p.log_det][half] = 1e18;
        }
        let o = both(&blind, &plain);
        let hidden = ["round trip", "log-determinant"][half];
        assert!(matches!(&o.verdict, Verdict::Undecided(r) if r.contains(hidden)), "{o:#?}");
    }
}

/// What counts as resolved does not depend on the units of the data.
#[test]
fn round_trips_are_seen_in_the_units_of_the_rows() {
    let x = normal(40, 3, 2);
    let core = flow(5, 3, 0.3, 7);
    let behind = |unit: f64| {
        let mut flow = core.clone();
        flow.parameters_mut()[0].data.iter_mut().for_each(|v| *v *= unit);
        flow.parameters_mut()[1].data.iter_mut().for_each(|v| *v *= unit);
        RoundTrip::measure(&flow, &x.map(|v| unit * v)).unwrap().ratios()
    };
    // Powers of two: nothing else rounds. The squares of the smallest vanish.
    let (plain, small, large) = (behind(1.0), behind(2.0_f64.powi(-600)), behind(2.0_f64.powi(600)));
    assert!(plain.2 == 40 && plain.0 > 0.0);
    for (ratio, _, rows, _) in [small, large] {
        assert_eq!(rows, plain.2);
        assert!((ratio / plain.0 - 1.0).abs() < 1e-9, "{ratio} {}", plain.0);
    }
    // Rows of 1e-9 whose way back may be off by more than they are: a generate that returns zeros is not let through.
    let mut lost = RoundTrip::measure(&core.cast::<f32>(), &x).unwrap();
    for i in 0..40 {
        (lost.norm[i], lost.error[i], lost.passages[i].round_trip) = (1e-9, 1e-9, 0.1);
    }
    assert_eq!(lost.ratios().2, 0);
    // One row at the origin is seen in the units of the others.
    let mut origin = RoundTrip::measure(&core, &x).unwrap();
    origin.norm[3] = 0.0;
    assert_eq!(origin.ratios().2, 40);
}
