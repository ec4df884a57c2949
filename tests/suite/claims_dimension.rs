//! D1 on random instances, and on broken ones.

use crate::zoo;
use eigenflow::data::{Selection, Source};
use eigenflow::dimension::{Trace, derivatives};
use eigenflow::flow::bijections::{Affine, Form};
use eigenflow::flow::{Flow, Smoothness};
use eigenflow::theory::linear::fit_rows;
use eigenflow::theory::stability::{D1, LinearDimension};
use eigenflow::theory::{Claim, Context, Outcome, Verdict, alarm};
use eigenflow::train::polish::polish;
use eigenflow_linalg::Matrix;
use rand::RngExt;
use rand_distr::StandardNormal;

fn data(name: &str) -> Matrix<f64> {
    name.parse::<Source>().unwrap().load(&Selection::default()).unwrap().values
}

fn context<'a>(flow: &'a Flow<f64>, x: Option<&'a Matrix<f64>>, alpha: f64) -> Context<'a> {
    Context { flow, training: x, held_out: x, alpha, other_regularisers: false, seed: 4, quick: true }
}

fn says(o: &Outcome, part: &str) {
    assert!(
        matches!(&o.verdict, Verdict::Undecided(why) if why.contains(part)),
        "{:?} {}",
        o.verdict,
        o.measured
    );
}

/// Linear optima of random rows, of full rank or not, with variances over eight decades: closed forms to the certificate. Weights
/// that are off by a hundredth are refuted, and so is one that is no number.
#[test]
fn linear_optima_have_the_closed_forms() {
    for d in [1, 2, 3, 5, 8, 20] {
        let mut random = eigenflow::random::generator(7, "claims-dimension", d as u64);
        let mut normal =
            |r: usize, c: usize| Matrix::from_fn(r, c, |_, _| random.sample::<f64, _>(StandardNormal));
        let (scores, mix) = (normal(60 + 4 * d, d), normal(d, d));
        // The last direction of wide rows is missing.
        let size =
            |j: usize| if j > 2 && j + 1 == d { 0.0 } else { 10.0_f64.powf(-4.0 * j as f64 / d as f64) };
        let rows = Matrix::from_fn(scores.rows(), d, |i, j| scores[(i, j)] * size(j)).mul(&mix);
        for alpha in [1e-4, 1e-2, 1.0] {
            let optimum = |alpha| fit_rows("D1", rows.clone(), alpha, 1).unwrap();
            let (low, high) = (optimum(alpha), optimum(1.5 * alpha));
            let good = LinearDimension::measure(&low, &high).unwrap();
            let outcome = D1::judge_linear(&[good]);
            assert_eq!(
                outcome.verdict,
                Verdict::Holds,
                "{d} {alpha}: {} {}",
                outcome.measured,
                outcome.tolerance
            );
            assert!(good.tolerance < 1e-6, "{d} {alpha}: {}", good.tolerance);
            for broken in [1.01, f64::NAN] {
                let mut bad = low.clone();
                bad.flow.parameters_mut()[0].data.iter_mut().for_each(|w| *w *= broken);
                // A weight that is no number is no density either.
                let Ok(bad) = LinearDimension::measure(&bad, &high) else { continue };
                assert_eq!(D1::judge_linear(&[good, bad]).verdict, Verdict::Fails, "{d} {alpha} {broken}");
            }
            let nan = LinearDimension { measured: [f64::NAN; 4], ..good };
            assert_eq!(D1::judge_linear(&[nan]).verdict, Verdict::Fails);
        }
    }
}

/// The mean of `Δp/p` over a model's own draws is zero on every smooth flow; a Laplacian without one of its directions, or a score that
/// is off, is refuted.
#[test]
fn own_draws_have_all_dimensions() {
    let (mut refuted, mut decided, mut all) = (0, 0, 0);
    for d in [1, 2, 3, 5] {
        for case in zoo::selection(d) {
            let Ok(draws) = case.flow.sample(2048, 1.0, 3) else { continue };
            if case.flow.smoothness() != Smoothness::Smooth {
                continue;
            }
            all += 1;
            let Ok(found) = derivatives(&case.flow, &draws, Trace::Exact, 0) else { continue };
            let judge = |c: &[f64]| D1::judge_draws(c, d, alarm::rate(1)).verdict;
            let good = judge(&found.curvature());
            assert_ne!(good, Verdict::Fails, "{} {d}: {good:?}", case.name);
            if good == Verdict::Holds {
                decided += 1;
                let mut bad = found.clone();
                bad.laplacian.iter_mut().for_each(|l| *l *= 1.5);
                refuted += usize::from(judge(&bad.curvature()) == Verdict::Fails);
                bad.laplacian[7] = f64::NAN;
                assert_eq!(judge(&bad.curvature()), Verdict::Fails, "{} {d}", case.name);
            }
        }
    }
    println!("{decided} of {all} decided, {refuted} refuted when broken");
    assert!(2 * decided >= all && 2 * refuted >= decided, "{refuted} {decided} of {all}");
}

/// A plane in five columns at a scale between its noise and its extent: the claim holds, and says two.
#[test]
fn a_plane_is_called_at_its_scale() {
    let x = data("builtin:subspace?n=1500&dim=2&columns=5&noise=0.001");
    let mut flow = Flow::new(vec![Affine::new(5, Form::Full).into()], 0, 0).unwrap();
    polish(&mut flow, &x, 0.005).unwrap();
    let o = D1.check(&context(&flow, Some(&x), 0.005));
    assert_eq!(o.verdict, Verdict::Holds, "{:?} {}", o.verdict, o.measured);
    assert_eq!(o.figures["dimension"], 2.0);
    assert!(o.charts.len() == 1 && o.figures.contains_key("linear_lidl"));
    // A scale of the size of the signal: no plateau. No scale, no data.
    polish(&mut flow, &x, 0.3).unwrap();
    says(&D1.check(&context(&flow, Some(&x), 0.3)), "no plateau");
    says(&D1.check(&context(&flow, Some(&x), 0.0)), "requires a scale");
    says(&D1.check(&context(&flow, None, 0.3)), "requires data");
    let kinked =
        zoo::selection(2).into_iter().find(|c| c.flow.smoothness() == Smoothness::Piecewise).unwrap();
    says(&D1.check(&context(&kinked.flow, None, 0.01)), "requires");
}
