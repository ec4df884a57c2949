//! Bits of rows: alone, among others, on any number of threads, and beside numbers that are none.

use super::expansion::blocks;
use super::trial::{Trial, every_path};

impl Trial {
    /// Values, gradients and pushed blocks of the fused coupling at these data.
    fn everything(&self, rows: usize, batch: &[Vec<f64>], shared: &[Vec<f64>], fused: bool) -> Vec<Vec<f64>> {
        let program = self.program::<f64, _>(fused, |r, x, [y, log_det]| {
            let mut out = vec![y, log_det];
            out.extend(blocks(r, x, [y, log_det], |i, j| [1, 4, 6].contains(&i) && [0, 1, 7].contains(&j))?);
            out.extend(r.vjp(&[(y, x.blocks[1])], &[x.a, x.b])?);
            out.extend(r.vjp(&[(y, x.cotangents[0]), (log_det, x.cotangents[1])], &x.all())?);
            Ok(out)
        });
        let batch: Vec<&[f64]> = batch.iter().map(Vec::as_slice).collect();
        let shared: Vec<&[f64]> = shared.iter().map(Vec::as_slice).collect();
        program.run(rows, &batch, &shared).unwrap()
    }
}

/// Bits of values, pushed blocks and cotangents of rows: alone, among others, in tiles and shards.
#[test]
fn rows_do_not_depend_on_other_rows() {
    for trial in every_path() {
        let (batch, shared) = trial.data::<f64>();
        let shapes = trial.batches();
        let all = trial.everything(trial.rows, &batch, &shared, true);
        for ids in [&[0][..], &[149], &[149, 3], &(60..130).collect::<Vec<_>>()] {
            let part = batch.iter().zip(&shapes).map(|(x, s)| {
                ids.iter().flat_map(|&n| x[n * s.unit()..(n + 1) * s.unit()].to_vec()).collect()
            });
            let some = trial.everything(ids.len(), &part.collect::<Vec<_>>(), &shared, true);
            // The last outputs are sums over rows.
            for (k, (all, some)) in all.iter().zip(&some).take(all.len() - shared.len()).enumerate() {
                let unit = all.len() / trial.rows;
                for (at, &n) in ids.iter().enumerate() {
                    let (all, some) = (&all[n * unit..(n + 1) * unit], &some[at * unit..(at + 1) * unit]);
                    assert!(all == some, "{trial:?}: output {k}, row {n} among {}", ids.len());
                }
            }
        }
    }
}

#[test]
fn threads_change_no_bit() {
    for mut trial in every_path() {
        trial.rows = 500;
        let (batch, shared) = trial.data::<f64>();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| trial.everything(trial.rows, &batch, &shared, true))
        };
        assert!(run(1) == run(2), "{trial:?}");
    }
}

/// A selection of other rows gives cotangents of exactly zero: they stay zero where the value is no number.
#[test]
fn zero_cotangents_stay_zero_at_infinity() {
    for trial in every_path() {
        let (mut batch, shared) = trial.data::<f64>();
        let (m, seeds) = (trial.spec.moved(), trial.tangents[1]);
        for (n, bad) in [(0, f64::INFINITY), (70, f64::NAN), (149, f64::NEG_INFINITY)] {
            batch[1][n * m..(n + 1) * m].fill(bad);
            batch[2][n * m..(n + 1) * m].fill(0.0);
            batch[3][n] = 0.0;
            batch[7][n * seeds * m..(n + 1) * seeds * m].fill(0.0);
        }
        let fused = trial.everything(trial.rows, &batch, &shared, true);
        // Two pulled blocks, and the gradients of both inputs and all parameters.
        let first = fused.len() - 4 - shared.len();
        assert!(fused[first..].iter().flatten().all(|x| x.is_finite()), "{trial:?}");
        let p = trial.spec.passed();
        for n in [0, 70, 149] {
            for (fused, unit) in fused[first..].iter().zip([seeds * p, seeds * m, p, m]) {
                assert!(fused[n * unit..(n + 1) * unit].iter().all(|&x| x == 0.0), "{trial:?}");
            }
        }
    }
}

/// The same where it is the passed columns, and so the slopes of the hidden layers, that are no number.
#[test]
fn zero_cotangents_stay_zero_behind_slopes_that_are_no_number() {
    for trial in every_path() {
        let (mut batch, shared) = trial.data::<f64>();
        let (p, m) = (trial.spec.passed(), trial.spec.moved());
        batch[0][70 * p..71 * p].fill(f64::NAN);
        batch[2][70 * m..71 * m].fill(0.0);
        batch[3][70] = 0.0;
        let seeds = trial.tangents[1];
        batch[7][70 * seeds * m..71 * seeds * m].fill(0.0);
        let fused = trial.everything(trial.rows, &batch, &shared, true);
        let of_a = &fused[fused.len() - 2 - shared.len()][70 * p..71 * p];
        let block = &fused[fused.len() - 4 - shared.len()][70 * seeds * p..71 * seeds * p];
        assert!(of_a.iter().chain(block).all(|&x| x == 0.0), "{trial:?}");
    }
}

/// NaN in a row is NaN in its results and in no other row's.
#[test]
fn not_a_number_stays_in_its_row() {
    for trial in every_path() {
        let (mut batch, shared) = trial.data::<f64>();
        let (p, m) = (trial.spec.passed(), trial.spec.moved());
        let clean = trial.everything(trial.rows, &batch, &shared, true);
        batch[0][65 * p..66 * p].fill(f64::NAN);
        let spoiled = trial.everything(trial.rows, &batch, &shared, true);
        for (k, (clean, spoiled)) in clean.iter().zip(&spoiled).take(2).enumerate() {
            let unit = [m, 1][k];
            for n in 0..trial.rows {
                let (a, b) = (&clean[n * unit..(n + 1) * unit], &spoiled[n * unit..(n + 1) * unit]);
                assert!(if n == 65 { b.iter().all(|x| x.is_nan()) } else { a == b }, "{trial:?}, row {n}");
            }
        }
        // A weight of NaN spoils everything, and nothing panics.
        let spoiled: Vec<Vec<f64>> = shared.iter().map(|w| vec![f64::NAN; w.len()]).collect();
        let out = trial.everything(trial.rows, &batch, &spoiled, true);
        assert!(out[..2].iter().flatten().all(|x| x.is_nan()), "{trial:?}");
    }
}
