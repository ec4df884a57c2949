//! Rows of random numbers, drawn in parallel, each independent of how many there are.

use crate::data::formats::numbers::grow;
use crate::data::{Dtype, Error, Table};
use crate::random::{ROWS_PER_GENERATOR, generator};
use eigenflow_linalg::Matrix;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use rayon::prelude::*;

/// A table of `n` rows under these column names, row by row filled by `draw` from the generators of
/// `(seed, purpose)`.
pub(super) fn rows(
    purpose: &'static str,
    n: usize,
    seed: u64,
    names: &[String],
    draw: impl Fn(&mut Pcg64, &mut [f64]) + Sync,
) -> Result<Table, Error> {
    let source = format!("builtin:{purpose}");
    let cols = names.len();
    let too_large = || Error::TooLarge { file: source.clone(), entries: n as u64 };
    let count = n.checked_mul(cols).ok_or_else(too_large)?;
    let mut data = Vec::new();
    grow(&mut data, count, count, &source)?;
    data.resize(count, 0.0);
    data.par_chunks_mut(ROWS_PER_GENERATOR * cols).enumerate().for_each(|(index, rows)| {
        let mut generator = generator(seed, purpose, index as u64);
        rows.chunks_mut(cols).for_each(|row| draw(&mut generator, row));
    });
    Table::new(Matrix::new(n, cols, data), names.to_vec(), &source, Dtype::F64)
}

/// A standard normal number.
pub(super) fn normal(generator: &mut Pcg64) -> f64 {
    StandardNormal.sample(generator)
}

/// Column names from literals.
pub(super) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
