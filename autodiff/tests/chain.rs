//! A hundred thousand nodes in a row: no recursion, and no work that grows with the square.

use eigenflow_autodiff::{Error, Program, Recorder, Var};

const NODES: usize = 100_000;

const STEPS: usize = NODES / 3;
const H: f64 = 1e-4;

/// Steps `x -> x + h sin x`, three nodes each: Euler's method.
fn chain(x: Var<'_, f64>) -> Var<'_, f64> {
    (0..STEPS).fold(x, |x, _| x + x.sin() * H)
}

/// Value and two derivatives of the same, by the chain rule.
fn directly(x: f64) -> [f64; 3] {
    (0..STEPS).fold([x, 1.0, 0.0], |[x, d, dd], _| {
        let slope = 1.0 + H * x.cos();
        [x + H * x.sin(), slope * d, slope * dd - H * x.sin() * d * d]
    })
}

#[test]
fn a_long_chain_is_recorded_differentiated_and_run() {
    let program = Program::try_record(|r| {
        let (x, v) = (r.batch(1), r.batch(1));
        let y = chain(x);
        let forward = r.jvp(&[y], &[(x, v)])?[0];
        let reverse = r.gradient(y, &[x])?[0];
        let second = r.gradient(forward, &[x])?[0];
        Ok::<_, Error>(vec![y, forward, reverse, second])
    })
    .unwrap();
    assert!(program.len() > 4 * NODES);
    let x = [0.3, -2.0];
    let out = program.run(2, &[&x, &[1.0, 1.0]], &[]).unwrap();
    for (n, &x) in x.iter().enumerate() {
        let [value, first, second] = directly(x);
        for (k, expected) in [value, first, first, second].into_iter().enumerate() {
            let error = (out[k][n] - expected).abs();
            // Rounding of every step, at worst all in one direction.
            assert!(error <= NODES as f64 * f64::EPSILON * expected.abs().max(1.0), "{k}: {error:.1e}");
        }
    }
}

#[test]
fn a_long_chain_of_shared_values_and_of_sums() {
    let shared = Program::try_record(|r| {
        let x = r.shared(2, 2);
        let y = (0..NODES).fold(x, |y, k| if k % 2 == 0 { y + x } else { y - x });
        Ok::<_, Error>(vec![y, r.gradient(y, &[x])?[0]])
    })
    .unwrap();
    let x = [1.0, 2.0, 3.0, 4.0];
    let out = shared.run(0, &[], &[&x]).unwrap();
    assert_eq!((out[0].as_slice(), out[1].as_slice()), (&x[..], &[1.0; 4][..]));

    // Every other operation is a sum over rows, which ends a phase.
    let phases = Program::try_record(|r| {
        let x = r.batch(1);
        let y = (0..2000).fold(x, |y, _| x * y.sum_rows() * 0.125);
        Ok::<_, Error>(vec![y.sum_rows(), r.gradient(y.sum_rows(), &[x])?[0]])
    })
    .unwrap();
    // s_{k+1} = s_k Σx / 8 with Σx = 8: s stays 8; ds/dx = s (2000 + 1) / Σx.
    let out = phases.run(4, &[&[2.0; 4]], &[]).unwrap();
    assert_eq!((out[0][0], out[1].as_slice()), (8.0, &[2001.0; 4][..]));
}

#[test]
fn recording_alone_neither_runs_nor_recurses_when_dropped() {
    let r = Recorder::new();
    let y = chain(r.batch(1));
    assert_eq!((y.cols(), r.len()), (1, NODES / 3 * 3));
    drop(r);
}
