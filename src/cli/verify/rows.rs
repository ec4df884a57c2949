//! The rows that are verified on: whole numbers spread.

use crate::cli::parts::Parts;
use crate::random::generator;
use rand::RngExt;

/// Integers with at most this many values are counts or grey levels, not measurements.
const LEVELS: usize = 257;

/// Uniform noise on the columns, if they are whole numbers: without it a density could grow without bound on the atoms. Rows have found their
/// parts by then, and those trained on say which columns vary.
pub(super) fn dequantise(seed: u64, parts: &mut Parts, notes: &mut Vec<String>) {
    let own = parts.own_columns();
    let levels = parts.training.distinct();
    if !parts.training.integer[..own].iter().all(|&i| i) || levels[..own].iter().any(|&n| n > LEVELS) {
        return;
    }
    let varied: Vec<bool> = levels[..own].iter().map(|&n| n > 1).collect();
    for (table, part) in parts.each() {
        let mut random = generator(seed, &format!("dequantise-{part}"), 0);
        for i in 0..table.rows() {
            for (v, &varied) in table.values.row_mut(i).iter_mut().zip(&varied) {
                let noise: f64 = random.random();
                if varied {
                    *v += noise;
                }
            }
        }
        table.integer.iter_mut().zip(&varied).for_each(|(integer, &varied)| *integer &= !varied);
    }
    notes.push(
        "whole numbers: dequantised with uniform noise in [0, 1), constant columns excepted".to_owned(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Dtype, Table};
    use crate::flow::Variable;
    use eigenflow_linalg::Matrix;

    /// Held-out rows are spread like those trained on, constant columns and contexts are not.
    #[test]
    fn whole_numbers_are_spread_in_every_part() {
        let table = |first: usize| {
            let values = Matrix::from_fn(50, 3, |i, j| if j == 1 { 7.0 } else { ((first + i) % 5) as f64 });
            Table::new(values, Vec::new(), "t", Dtype::F64).unwrap()
        };
        let whole = [table(0), table(3)];
        let context = vec![Variable::number("c2")];
        let mut parts =
            Parts { training: whole[0].clone(), valid: Some(whole[1].clone()), test: None, context };
        let mut notes = Vec::new();
        dequantise(3, &mut parts, &mut notes);
        assert_eq!(notes.len(), 1);
        for (before, after) in whole.iter().zip([&parts.training, parts.valid.as_ref().unwrap()]) {
            let rest = |i: usize, j: usize| after.values[(i, j)] - before.values[(i, j)];
            assert!(
                (0..50).all(|i| (0.0..1.0).contains(&rest(i, 0)) && rest(i, 1) == 0.0 && rest(i, 2) == 0.0)
            );
            let mean = (0..50).map(|i| rest(i, 0)).sum::<f64>() / 50.0;
            // Five standard errors of a uniform number.
            assert!((mean - 0.5).abs() < 5.0 / 600.0_f64.sqrt(), "{mean}");
            assert_eq!(after.integer, [false, true, true]);
        }
        // Each part has draws of its own.
        let [a, b] = [&parts.training, parts.valid.as_ref().unwrap()].map(|t| t.values[(0, 0)].fract());
        assert!((a - b).abs() > 1e-9);
        // Measurements stay as they are.
        let mut parts = Parts { training: table(0), valid: None, test: None, context: Vec::new() };
        parts.training.values.row_mut(0)[0] = 0.5;
        parts.training.integer[0] = false;
        dequantise(3, &mut parts, &mut notes);
        assert!(notes.len() == 1 && parts.training.values[(1, 0)].to_bits() == 1.0_f64.to_bits());
    }
}
