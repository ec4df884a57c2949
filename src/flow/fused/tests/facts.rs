//! Single facts of what is recorded.

use super::trial::fixed;
use crate::flow::conditioner::Activation;
use crate::flow::fused::coupling;
use eigenflow_autodiff::{Recorder, Shape, Tangent};

/// An input that is two inputs of one operation: the cotangent of `y` and that of `log|det|`, of `y` and `a`.
#[test]
fn one_value_as_two_inputs_counts_once() {
    for generate in [false, true] {
        let trial = fixed(1, 1, &[3], Activation::Tanh, generate);
        trial.agrees::<f64, _>("one value twice", 3, |r, x, [y, log_det]| {
            let all = x.all();
            let mut out = Vec::new();
            // The same weight for both outputs.
            let w = x.cotangents[1];
            let g = r.vjp(&[(y, w), (log_det, w)], &all)?;
            out.extend(r.gradient(g[0].square(), &[w, x.a, x.b])?);
            out.extend(r.jvp(&g, &[(w, x.rates[0])])?);
            // A cotangent that is an input too.
            for v in [x.a, x.b] {
                let g = r.vjp(&[(y, v), (log_det, v)], &all)?;
                out.extend(r.gradient(g[0].square(), &all)?);
                out.extend(r.gradient(g[2], &all)?);
                out.extend(r.jvp(&g, &[(v, x.rates[0])])?);
            }
            // Rates that are an input too.
            for v in [x.a, x.b] {
                let seeds =
                    [(x.a, Tangent::diagonal([0].into(), v)), (x.b, Tangent::diagonal([1].into(), v))];
                let block = r.push(&[y], &seeds)?.swap_remove(0).into_block(r, y.shape(), 2).expect("moves");
                out.extend(r.gradient(block.square(), &all)?);
            }
            Ok(out)
        });
    }
}

/// Layers on each other: what a gradient of a gradient records does not double with each layer.
#[test]
fn records_grow_with_a_small_power_of_the_number_of_layers() {
    let count = |layers: usize| {
        let trial = fixed(2, 2, &[3], Activation::Tanh, false);
        let r = Recorder::<f64>::new();
        let params: Vec<_> = trial.weights().iter().map(|&s| r.input(s)).collect();
        let (mut a, mut b) = (r.batch(2), r.batch(2));
        let inputs = [a, b];
        let mut total = r.full(Shape::batch(1), 0.0);
        for _ in 0..layers {
            let [y, log_det] = coupling(trial.spec.clone(), a, b, &params);
            (a, b, total) = (y, a, total + log_det);
        }
        total = total - a.square().sum_cols() - b.square().sum_cols();
        let g = r.gradient(total, &inputs).unwrap();
        let seeds = inputs.map(|x| (x, x));
        r.jvp(&g, &seeds).unwrap();
        r.gradient(g[0].square(), &inputs).unwrap();
        let wide = inputs.map(|x| (x, Tangent::identity(2)));
        r.push(&g, &wide).unwrap();
        let block = r.push(&[a], &wide).unwrap().swap_remove(0).into_block(&r, a.shape(), 2).unwrap();
        r.gradient(block.square(), &inputs).unwrap();
        r.len()
    };
    let (few, many) = (count(4), count(8));
    assert!(many < 5 * few, "{few} operations for 4 layers, {many} for 8");
}
