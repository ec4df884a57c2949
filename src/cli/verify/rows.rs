//! The rows that are verified on: whole numbers spread, and draws beyond them where their density is known.

use crate::cli::parts::Parts;
use crate::data::{Source, Table};
use crate::flow::Flow;
use crate::random::generator;
use rand::RngExt;

/// Fresh draws for the gap to a known density.
const FRESH: usize = 200_000;
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

/// The paired gap to a known true density on fresh draws: the fit's Kullback-Leibler divergence.
pub(super) fn gap_to_truth(
    source: &Source,
    training: &Table,
    flow: &Flow<f64>,
    seed: u64,
    quick: bool,
) -> Option<String> {
    let Source::Builtin(set, parameters) = source else { return None };
    let n = if quick { FRESH / 10 } else { FRESH };
    // Rows beyond those of the data: another seed.
    let fresh = crate::random::hash_words(seed, [parameters.seed(), 1]);
    let (n_text, noise, fresh) = (n.to_string(), parameters.real("noise").to_string(), fresh.to_string());
    let given = [("n", n_text.as_str()), ("noise", noise.as_str()), ("seed", fresh.as_str())];
    let draws = set.parameters_from(given).ok()?;
    // Only a known density is worth the draws.
    let one = set.make(&set.parameters_from([("n", "1")]).ok()?).ok()?;
    if one.names != training.names || set.log_densities(&draws, &one.values).is_none() {
        return None;
    }
    let rows = set.make(&draws).ok()?;
    let truth = set.log_densities(&draws, &rows.values)?;
    let model = flow.log_density(&rows.values).ok()?;
    let gaps: Vec<f64> = truth.iter().zip(&model).map(|(t, m)| t - m).collect();
    let (mean, error) = mean_and_error(&gaps);
    Some(format!("gap to the true density: {mean:.4} ± {error:.4} nats a row on {n} fresh draws, paired"))
}

/// Mean and its standard error.
fn mean_and_error(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dtype;
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

    #[test]
    fn errors_of_means() {
        assert_eq!(mean_and_error(&[1.0, 3.0]), (2.0, 1.0));
    }
}
