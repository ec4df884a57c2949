//! Rows as steps take them: in training units, with noise.

use crate::flow::{Dequantize, Flow, dequantizing_noise};
use crate::random::{ROWS_PER_GENERATOR, generator};
use crate::train::{Error, TrainOptions};
use eigenflow_linalg::{Matrix, Real};
use rand::RngExt;
use rand_distr::StandardNormal;
use rayon::prelude::*;

/// Rows after the preprocessing layers.
pub(crate) fn to_training_units<T: Real>(flow: &Flow<T>, x: &Matrix<T>) -> Result<Matrix<T>, Error> {
    flow.check_rows("data", x)?;
    if flow.preprocessing() == 0 {
        return Ok(x.clone());
    }
    Ok(flow.with_contexts_of(flow.part(0..flow.preprocessing())?.normalize(x)?.0, x)?)
}

/// Rows as a step takes them in one epoch, from what does not change: with input noise, dequantised uniformly, or with the normal
/// noise of a variational dequantiser behind them.
pub(super) fn refreshed<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    options: &TrainOptions,
    purpose: &str,
    epoch: usize,
) -> Result<Matrix<T>, Error> {
    let (n, d) = (x.rows(), flow.dim());
    let seed = crate::random::hash_words(options.seed, [epoch as u64, u64::from(purpose == "noise")]);
    let mut rows = match flow.dequantize() {
        Dequantize::None => x.clone(),
        Dequantize::Uniform => to_training_units(flow, &flow.dequantized(x, seed, 0)?.0)?,
        Dequantize::Variational { .. } => {
            let noise = dequantizing_noise::<T>(n, d, true, seed);
            let data = (0..n).flat_map(|i| x.row(i).iter().chain(noise.row(i)).copied()).collect();
            return Ok(Matrix::new(n, x.cols() + d, data));
        }
    };
    add_noise(&mut rows, d, options, purpose, epoch);
    Ok(rows)
}

/// Noise on the first `dim` columns: contexts have none.
pub(in crate::train) fn add_noise<T: Real>(
    x: &mut Matrix<T>,
    dim: usize,
    options: &TrainOptions,
    purpose: &str,
    epoch: usize,
) {
    if options.noise == 0.0 {
        return;
    }
    let width = x.cols();
    let block = ROWS_PER_GENERATOR * width;
    let blocks = x.rows().div_ceil(ROWS_PER_GENERATOR);
    x.data_mut().par_chunks_mut(block).enumerate().for_each(|(k, rows)| {
        let mut random = generator(options.seed, purpose, (epoch * blocks + k) as u64);
        for v in rows.chunks_exact_mut(width).flat_map(|row| &mut row[..dim]) {
            let normal: f64 = random.sample(StandardNormal);
            *v += T::of(options.noise * normal);
        }
    });
}

/// Up to `count` seeded rows.
pub(super) fn sample_rows<T: Real>(x: &Matrix<T>, count: usize, seed: u64) -> Matrix<T> {
    let n = x.rows();
    if n <= count {
        return x.clone();
    }
    let mut random = generator(seed, "guard", 0);
    let mut order: Vec<usize> = (0..n).collect();
    for i in 0..count {
        order.swap(i, random.random_range(i..n));
    }
    order.truncate(count);
    order.sort_unstable();
    Matrix::from_fn(count, x.cols(), |i, j| x[(order[i], j)])
}
