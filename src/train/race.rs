//! The choice of preprocessing by validation.

use super::{Design, Error, Preprocess, TrainOptions, build_given, fit};
use crate::flow::presets::Name;
use eigenflow_linalg::{Matrix, Real};
use std::ops::ControlFlow;

/// Which preprocessing was chosen, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Race {
    /// The winner: never [`Preprocess::Auto`].
    pub chosen: Preprocess,
    /// Validation loss of each that ran, nats a row in training units (the same for all); infinite where a run failed.
    pub losses: Vec<(Preprocess, f64)>,
}

/// Part of the epochs that a run of the race takes.
const PART: usize = 8;
/// Most epochs of such a run.
const MOST: usize = 25;

/// Trains a flow of this design, whose own preprocessing is not looked at, for an eighth of the epochs (at most 25; a whole
/// schedule in that time) with standardised and with whitened rows, and takes what validates better; the training rows are scored where there are no validation rows. Whitening undoes linear
/// dependence between columns, which takes couplings many steps to learn; but it puts rows that are far out along thin
/// directions farther out, and then it loses.
///
/// There is nothing to choose, and no run, for a linear flow; and where the rows have null directions that neither noise nor
/// a penalty bounds, likelihoods cannot be compared and rows are standardised. Cost: a quarter of the training.
///
/// # Errors
/// As [`build_given`] and [`fit`]; a run that meets a number that is not finite has lost, and is no error.
pub fn race<T: Real>(
    design: &Design<'_>,
    x: &Matrix<f64>,
    valid: Option<&Matrix<f64>>,
    options: &TrainOptions,
) -> Result<Race, Error> {
    let without = |chosen| Race { chosen, losses: Vec::new() };
    if design.preset.flow == Name::Affine {
        return Ok(without(Preprocess::Standardize));
    }
    let short = TrainOptions {
        epochs: (options.epochs / PART).clamp(1, MOST),
        patience: 0,
        max_condition: f64::INFINITY,
        ..options.clone()
    };
    let (rows, held) = (x.cast::<T>(), valid.map(Matrix::cast::<T>));
    let mut losses = Vec::new();
    for preprocess in [Preprocess::Standardize, Preprocess::Whiten] {
        let mut prepared = build_given::<T>(&Design { preprocess, ..*design }, x, &short)?;
        if prepared.null_directions > 0 && options.alpha == 0.0 && options.noise == 0.0 {
            return Ok(without(Preprocess::Standardize));
        }
        let run =
            fit(&mut prepared.flow, &rows, held.as_ref(), &short, &mut |_, _| ControlFlow::Continue(()));
        let loss = match run {
            Ok(record) => record.best().map_or(f64::INFINITY, |e| e.valid_nll),
            Err(error) if error.is_answer() => f64::INFINITY,
            Err(error) => return Err(error),
        };
        losses.push((preprocess, loss));
    }
    // A tie is for the simpler one, which comes first.
    let chosen = losses.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(Preprocess::Standardize, |l| l.0);
    Ok(Race { chosen, losses })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Base;
    use crate::flow::presets::Preset;
    use crate::random::generator;
    use rand::RngExt;
    use rand_distr::StandardNormal;

    fn rows(n: usize, f: impl Fn(f64, f64) -> [f64; 3]) -> Matrix<f64> {
        let mut random = generator(0, "race", 0);
        let rows: Vec<[f64; 3]> = (0..n)
            .map(|_| {
                let (a, b): (f64, f64) = (random.sample(StandardNormal), random.sample(StandardNormal));
                f(a, b)
            })
            .collect();
        Matrix::from_fn(n, 3, |i, j| rows[i][j])
    }

    fn run(x: &Matrix<f64>, flow: Name, noise: f64) -> Race {
        let preset = Preset { layers: Some(4), hidden: Some(vec![8]), ..Preset::named(flow) };
        let options = TrainOptions { epochs: 24, batch: 50, noise, ..TrainOptions::default() };
        let design =
            Design { preset: &preset, preprocess: Preprocess::Auto, base: &Base::Normal, context: &[] };
        race::<f64>(&design, x, None, &options).unwrap()
    }

    /// Nearly dependent columns are whitened, by far.
    #[test]
    fn dependence_is_whitened() {
        let thin = rows(400, |a, b| [a, a + 0.01 * b, a - 0.01 * b * b]);
        let found = run(&thin, Name::Realnvp, 0.001);
        assert_eq!(found.chosen, Preprocess::Whiten, "{found:?}");
        assert!(found.losses[1].1 < found.losses[0].1 - 1.0, "{found:?}");
    }

    /// No comparison of likelihoods without a bound, nor of what is the same.
    #[test]
    fn there_is_no_race_without_a_measure() {
        let flat = rows(100, |a, b| [a, b, a + b]);
        assert_eq!(run(&flat, Name::Realnvp, 0.0).losses, []);
        assert_eq!(run(&flat, Name::Affine, 0.1).losses, []);
        assert_eq!(run(&flat, Name::Realnvp, 0.1).losses.len(), 2);
    }
}
