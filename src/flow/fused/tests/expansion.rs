//! Values and derivatives of all orders are those of the expansion.

use super::trial::{Inputs, Recorded, SEEDS, Trial};
use crate::flow::conditioner::{Activation, Mlp};
use crate::flow::fused::Spec;
use eigenflow_autodiff::{Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn trial() -> impl Strategy<Value = Trial> {
    let widths = (1..=20_usize, prop_oneof![1..=15_usize, 16..=20_usize]);
    // Widths of whole vectors take kernels of their own.
    let width = prop_oneof![1..=12_usize, Just(16), Just(24)];
    let hidden = prop::collection::vec(width, 0..=3);
    let activation = prop_oneof![Just(Activation::Tanh), Just(Activation::Relu), Just(Activation::Silu)];
    let bound = prop_oneof![Just(1.0), Just(0.5), Just(1.5)];
    let rows = prop_oneof![1..=4_usize, 60..=70_usize, 1..=200_usize];
    let tangents = [1..=30_usize, 1..=30_usize];
    (widths, hidden, activation, bound, any::<bool>(), rows, tangents, any::<u64>()).prop_map(
        |((passed, moved), hidden, activation, bound, generate, rows, tangents, seed)| Trial {
            spec: Spec {
                network: Mlp { inputs: passed, hidden, outputs: 2 * moved, activation, residual: false },
                bound,
                generate,
            },
            rows,
            tangents,
            seed,
        },
    )
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        max_shrink_iters: 40,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(7),
        ..ProptestConfig::default()
    }
}

/// The second derivatives of larger ones are all arithmetic and no news.
fn small(mut trial: Trial) -> Trial {
    trial.rows = 1 + trial.rows % 67;
    trial
}

fn values<T: Real>(trial: &Trial) {
    trial.agrees::<T, _>("values", 0, |_, _, out| Ok(out.to_vec()));
}

/// Cotangents of both outputs and of either alone; everything wanted, and each thing by itself.
fn gradients<T: Real>(trial: &Trial) {
    trial.agrees::<T, _>("gradients", 1, |r, x, [y, log_det]| {
        let of_y = (y, x.cotangents[0]);
        let of_log_det = (log_det, x.cotangents[1]);
        let mut out = Vec::new();
        for given in [&[of_y, of_log_det][..], &[of_y], &[of_log_det]] {
            let all = x.all();
            let last = all.len() - 1;
            out.extend(r.vjp(given, &all)?);
            let some = [vec![0], vec![1], vec![0, 1], vec![2], vec![last], vec![1, last - 1], vec![0, last]];
            for some in some {
                out.extend(r.vjp(given, &some.iter().map(|&k| all[k]).collect::<Vec<_>>())?);
            }
        }
        Ok(out)
    });
}

/// Blocks of cotangents of `y` for `a`, for `b` and for both, and the derivatives of such a pull.
fn cotangents<T: Real>(trial: &Trial) {
    trial.agrees::<T, _>("blocks of cotangents", 1, |r, x, [y, _]| {
        let given = [(y, x.blocks[1])];
        let mut out = r.vjp(&given, &[x.a, x.b])?;
        out.extend(r.vjp(&given, &[x.a])?);
        out.extend(r.vjp(&given, &[x.b])?);
        Ok(out)
    });
}

/// The derivatives of a pulled block.
fn cotangents_again<T: Real>(trial: &Trial) {
    trial.agrees::<T, _>("derivatives of a pulled block", 3, |r, x, [y, _]| {
        let pulled = r.vjp(&[(y, x.blocks[1])], &[x.a, x.b])?;
        let mut inputs = x.all();
        inputs.push(x.blocks[1]);
        let mut out = r.gradient(pulled[0].square(), &inputs)?;
        out.extend(r.gradient(pulled[1].square(), &inputs)?);
        Ok(out)
    });
}

/// Tangents of `cols` columns with every structure there is; the first one is zero.
fn structures<'t, T: Real>(
    r: &'t Recorder<T>,
    cols: usize,
    rates: Var<'t, T>,
    block: Var<'t, T>,
) -> Vec<Tangent<'t, T>> {
    let scattered = |start: usize| (0..cols).map(|j| start + (7 * j + 3) % 11 + 2 * (j / 5)).collect();
    let reversed: Vec<usize> = (0..cols).rev().collect();
    let mut all = vec![
        Tangent::zero(cols),
        Tangent::identity(cols),
        Tangent::identity(cols).gather(r, Shape::batch(cols), &reversed),
        Tangent::diagonal(reversed.into(), rates),
        Tangent::diagonal(scattered(0), rates),
        Tangent::diagonal(scattered(9), rates),
        Tangent::dense(block),
        Tangent::dense_from(5, block),
        Tangent::dense(rates),
    ];
    if cols > 1 {
        // Pieces of several kinds.
        let first = Tangent::identity(1).scale_by(r, T::of(0.75));
        all.push(Tangent::concat(&[first, Tangent::dense_from(3, block.slice(1..cols))]));
        all.push(Tangent::concat(&[Tangent::zero(1), Tangent::identity(cols - 1)]));
    }
    all
}

/// The pushed blocks of `y` and of `log|det|`, for pairs of structures of which `keep` says yes.
pub(super) fn blocks<'t, T: Real>(
    r: &'t Recorder<T>,
    x: &Inputs<'t, T>,
    [y, log_det]: [Var<'t, T>; 2],
    keep: impl Fn(usize, usize) -> bool,
) -> Recorded<'t, T> {
    let mut out = Vec::new();
    for (i, da) in structures(r, x.a.cols(), x.rates[0], x.blocks[0]).iter().enumerate() {
        for (j, db) in structures(r, x.b.cols(), x.rates[1], x.blocks[1]).iter().enumerate() {
            if !keep(i, j) {
                continue;
            }
            let pushed = r.push(&[y, log_det], &[(x.a, da.clone()), (x.b, db.clone())])?;
            for (tangent, value) in pushed.into_iter().zip([y, log_det]) {
                out.extend(tangent.into_block(r, value.shape(), SEEDS));
            }
        }
    }
    Ok(out)
}

fn pushes<T: Real>(trial: &Trial) {
    trial.agrees::<T, _>("pushed blocks", 1, |r, x, out| blocks(r, x, out, |_, _| true));
}

/// The gradient of `‖J‖²`: pulls through the push and through the sum of its parts.
fn penalties<T: Real>(trial: &Trial) {
    for j in [0, 1, 4, 6, 7] {
        trial.agrees::<T, _>("gradient of a pushed block", 3, |r, x, out| {
            let mut found = Vec::new();
            let mut inputs = x.all();
            inputs.extend(x.rates);
            inputs.extend(x.blocks);
            for block in blocks(r, x, out, |i, k| k == j && [1, 4, 6, 7].contains(&i))?.into_iter().step_by(2)
            {
                found.extend(r.gradient(block.square(), &inputs)?);
            }
            Ok(found)
        });
    }
}

/// Derivatives of the gradient of a log-density: by single tangents, by blocks, and by pulls.
fn second_order<T: Real>(trial: &Trial) {
    trial.agrees::<T, _>("derivatives of a gradient", 3, |r, x, [y, log_det]| {
        let total = y.square() * T::of(-0.5) + log_det;
        let all = x.all();
        let gradient = r.gradient(total, &all)?;
        let mut out = r.jvp(&gradient, &[(x.a, x.rates[0]), (x.b, x.rates[1])])?;
        // Along parameters as well.
        let moving: Vec<_> = all.iter().map(|&v| (v, v * T::of(0.5))).collect();
        out.extend(r.jvp(&gradient, &moving)?);
        out.extend(r.gradient(gradient[0].square(), &all)?);
        out.extend(r.gradient(gradient[1].square(), &all)?);
        out.extend(r.gradient(gradient[2].square(), &all)?);
        // A push of a push, a pull of a push.
        let along = [(x.a, x.rates[0]), (x.b, x.rates[1])];
        let once = r.jvp(&[y, log_det], &along)?;
        out.extend(r.jvp(&once, &along)?);
        out.extend(r.gradient(once[0].square(), &all)?);
        Ok(out)
    });
    trial.agrees::<T, _>("Hessians", 3, |r, x, [y, log_det]| {
        let total = y.square() * T::of(-0.5) + log_det;
        let gradient = r.gradient(total, &[x.a, x.b])?;
        let mut out = Vec::new();
        let seeds = [
            (x.a, Tangent::identity(x.a.cols())),
            (x.b, Tangent::diagonal((20..20 + x.b.cols()).collect(), x.rates[1])),
        ];
        for (tangent, value) in r.push(&gradient, &seeds)?.into_iter().zip(&gradient) {
            out.extend(tangent.into_block(r, value.shape(), SEEDS));
        }
        // Cotangents that carry blocks of seeds.
        let m = y.cols();
        let unit = r.push(&[x.b], &[(x.b, Tangent::identity(m))])?.swap_remove(0);
        let unit = unit.into_block(r, y.shape(), m).expect("not zero");
        out.extend(r.vjp(&[(y, unit)], &[x.a, x.b])?);
        Ok(out)
    });
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn values_and_gradients_are_those_of_the_expansion(trial in trial()) {
        values::<f64>(&trial);
        values::<f32>(&trial);
        gradients::<f64>(&trial);
        gradients::<f32>(&trial);
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn pushed_blocks_are_those_of_the_expansion(trial in trial()) {
        pushes::<f64>(&trial);
        pushes::<f32>(&trial);
        cotangents::<f64>(&trial);
        cotangents::<f32>(&trial);
    }
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn second_derivatives_are_those_of_the_expansion(trial in trial().prop_map(small)) {
        penalties::<f64>(&trial);
        penalties::<f32>(&trial);
        cotangents_again::<f64>(&trial);
        cotangents_again::<f32>(&trial);
        second_order::<f64>(&trial);
        second_order::<f32>(&trial);
    }
}
