//! Couplings behind permutations, whose weights are permuted in place of values, against layers one by one.

use crate::zoo;

use eigenflow::flow::bijections::{Coupling, Permutation};
use eigenflow::flow::conditioner::Activation;
use eigenflow::flow::{Flow, Layer};
use eigenflow_autodiff::{Error, Program, Tangent};
use eigenflow_linalg::Matrix;
use zoo::{randomise, rows};

fn coupling(dim: usize, moved: Vec<usize>, hidden: &[usize]) -> Layer {
    Coupling { dim, moved, hidden: hidden.to_vec(), activation: Activation::Tanh, bound: 1.5 }.into()
}

/// Two couplings with a permutation before each.
fn flows() -> Vec<(String, Flow<f64>)> {
    let mut all = Vec::new();
    for dim in [2, 3, 5, 7, 8] {
        let halves: Vec<usize> = (dim / 2..dim).collect();
        let alternating: Vec<usize> = (0..dim).step_by(2).collect();
        let reversal: Vec<usize> = (0..dim).rev().collect();
        let shuffled: Vec<usize> = (0..dim).map(|j| (3 * j + 1) % dim).collect();
        // Multiples of 3 are no permutation of 3 columns; a cycle is.
        let shuffled = if dim == 3 { vec![1, 2, 0] } else { shuffled };
        for (name, moved) in [("halves", halves), ("alternating", alternating)] {
            for (order, indices) in [("reversed", &reversal), ("shuffled", &shuffled)] {
                for hidden in [&[][..], &[6], &[5, 4]] {
                    let permutation = || Layer::from(Permutation { indices: indices.clone() });
                    let layer = || coupling(dim, moved.clone(), hidden);
                    let layers = vec![permutation(), layer(), permutation(), layer(), permutation()];
                    let mut flow = Flow::new(layers, 0, 1).unwrap();
                    randomise(&mut flow, 3);
                    all.push((format!("{name} {order} {hidden:?}, D = {dim}"), flow));
                }
            }
        }
    }
    all
}

/// `z`, `log|det|`, the cotangent of `x` and those of all parameters, for cotangents `u` of `z` and 1 of
/// `log|det|`; and the tangents of `z` along `v`.
fn record(flow: &Flow<f64>, x: &Matrix<f64>, u: &[f64], v: &[f64]) -> Vec<Vec<f64>> {
    let d = flow.dim();
    let program = Program::try_record(|r| {
        let params = flow.declare(r);
        let (x, u, v) = (r.batch(d), r.batch(d), r.batch_block(2, d));
        let recorded = flow.record_normalize(&params, x, 0..flow.layers().len(), false);
        let (z, log_det) = (recorded.out, recorded.log_det);
        let pushed = r.push(&[z], &[(x, Tangent::dense(v))])?.swap_remove(0);
        let pushed = pushed.into_block(r, z.shape(), 2).expect("it moves");
        let back = flow.record_generate(&params, u, 0..flow.layers().len()).out;
        let mut out = vec![z, log_det, pushed, back];
        let wanted: Vec<_> = [x].into_iter().chain(params).collect();
        out.extend(r.vjp(&[(z, u), (log_det, r.full(log_det.shape(), 1.0))], &wanted)?);
        Ok::<_, Error>(out)
    });
    program.unwrap().run(x.rows(), &[x.data(), u, v], &flow.slices()).unwrap()
}

/// The same, one layer at a time, with values in between as plain numbers.
fn one_by_one(flow: &Flow<f64>, x: &Matrix<f64>, u: &[f64], v: &[f64]) -> Vec<Vec<f64>> {
    let count = flow.layers().len();
    let parts: Vec<Flow<f64>> = (0..count).map(|k| flow.part(k..k + 1).unwrap()).collect();
    let mut values = vec![x.clone()];
    let mut log_det = vec![0.0; x.rows()];
    let (mut v, mut back) = (v.to_vec(), u.to_vec());
    let zero = vec![0.0; u.len()];
    for part in &parts {
        let out = record(part, values.last().unwrap(), &zero, &v);
        values.push(Matrix::new(x.rows(), x.cols(), out[0].clone()));
        log_det.iter_mut().zip(&out[1]).for_each(|(sum, l)| *sum += l);
        v.clone_from(&out[2]);
    }
    let mut params = Vec::new();
    let mut u = u.to_vec();
    for (k, part) in parts.iter().enumerate().rev() {
        let out = record(part, &values[k], &u, &v);
        u.clone_from(&out[4]);
        params.splice(0..0, out[5..].iter().cloned());
        let moved = record(part, &values[k], &back, &v);
        back.clone_from(&moved[3]);
    }
    let z = values.pop().unwrap().data().to_vec();
    [z, log_det, v, back, u].into_iter().chain(params).collect()
}

#[test]
fn permuted_weights_are_permuted_values() {
    for (name, flow) in flows() {
        let n = 70;
        let x = rows::<f64>(n, flow.dim(), 1);
        let u = rows::<f64>(n, flow.dim(), 2);
        let v = rows::<f64>(2 * n, flow.dim(), 3);
        let together = record(&flow, &x, u.data(), v.data());
        let apart = one_by_one(&flow, &x, u.data(), v.data());
        assert_eq!(together.len(), apart.len());
        for (k, (a, b)) in together.iter().zip(&apart).enumerate() {
            assert_eq!(a.len(), b.len(), "{name}, output {k}");
            let size = b.iter().fold(1.0_f64, |m, x| m.max(x.abs()));
            // Only the order of sums differs: of up to 8 columns, 6 units and 70 rows, two couplings deep,
            // each of which magnifies by less than e^1.5 times 2.
            let allowed = 2.0 * f64::EPSILON * (8 + 6 + n) as f64 * 81.0 * size;
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= allowed, "{name}, output {k}: {a} {b}");
            }
        }
    }
}
