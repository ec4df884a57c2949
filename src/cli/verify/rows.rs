//! The rows that are verified on: whole numbers spread, and draws beyond them where their density is known.

use crate::cli::session::Session;
use crate::data::{Source, Table};
use crate::flow::Flow;
use crate::random::generator;
use rand::RngExt;

/// Fresh draws for the gap to a known density.
const FRESH: usize = 200_000;
/// Integers with at most this many values are counts or grey levels, not measurements.
const LEVELS: usize = 257;

/// Uniform noise on the first `own` columns, if they are whole numbers: without it a density could grow without bound on the atoms.
pub(super) fn dequantise(s: &Session, mut table: Table, own: usize, notes: &mut Vec<String>) -> Table {
    let levels = table.distinct();
    if !table.integer[..own].iter().all(|&i| i) || levels[..own].iter().any(|&n| n > LEVELS) {
        return table;
    }
    let varied: Vec<bool> = levels[..own].iter().map(|&n| n > 1).collect();
    let mut random = generator(s.seed(), "dequantise", 0);
    for i in 0..table.rows() {
        for (v, &varied) in table.values.row_mut(i).iter_mut().zip(&varied) {
            let noise: f64 = random.random();
            if varied {
                *v += noise;
            }
        }
    }
    table.integer.iter_mut().zip(&varied).for_each(|(integer, &varied)| *integer = !varied);
    notes.push(
        "whole numbers: dequantised with uniform noise in [0, 1), constant columns excepted".to_owned(),
    );
    table
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

    #[test]
    fn errors_of_means() {
        assert_eq!(mean_and_error(&[1.0, 3.0]), (2.0, 1.0));
    }
}
