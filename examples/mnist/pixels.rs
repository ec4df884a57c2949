//! Digits as bytes, and as rows of logits.

use eigenflow::data::{Selection, Source};
use eigenflow::random::generator;
use rand::RngExt;
use rayon::prelude::*;
use std::error::Error;

/// Pixels along a side.
pub const SIDE: usize = 28;
/// Columns of a row.
pub const COLUMNS: usize = SIDE * SIDE;
/// Values of a pixel.
pub const LEVELS: f64 = 256.0;
/// The paper's `λ`: `x = logit(λ + (1 - 2λ) (pixel + u) / 256)`.
pub const LAMBDA: f64 = 1e-6;

/// Digits, one a row; a byte a pixel, so that all of them take less memory than one batch's gradients.
pub struct Pixels {
    data: Vec<u8>,
}

impl Pixels {
    /// Reads an IDX file.
    pub fn read(path: &str) -> Result<Self, Box<dyn Error>> {
        let table = path.parse::<Source>()?.load(&Selection::default())?;
        if table.cols() != COLUMNS {
            return Err(format!(
                "{path}: {} columns where {SIDE} x {SIDE} pixels are expected",
                table.cols()
            )
            .into());
        }
        Ok(Self { data: table.values.data().iter().map(|&v| v as u8).collect() })
    }

    /// Number of digits.
    pub fn rows(&self) -> usize {
        self.data.len() / COLUMNS
    }

    /// The first rows, `most` at most, and the `last` rows.
    pub fn split(mut self, last: usize, most: usize) -> (Self, Self) {
        let first = self.rows().saturating_sub(last);
        let rest = self.data.split_off(first * COLUMNS);
        self.data.truncate(most * COLUMNS);
        (self, Self { data: rest })
    }

    /// `logit(λ + (1 - 2λ) (pixel + u) / 256)` of the chosen rows, `u` uniform in `[0, 1)` and another one for each `draw`. It is computed in
    /// double precision, since single precision has no digits left near the ends of the box, and written as `to(column, logit)`.
    pub fn logits(
        &self,
        chosen: &[usize],
        seed: u64,
        draw: u64,
        to: impl Fn(usize, f64) -> f32 + Sync,
        out: &mut [f32],
    ) {
        out.par_chunks_mut(COLUMNS).zip(chosen).for_each(|(out, &row)| {
            let mut random = generator(seed, "mnist-dequantisation", draw * self.rows() as u64 + row as u64);
            let pixels = &self.data[row * COLUMNS..(row + 1) * COLUMNS];
            for (j, (out, &pixel)) in out.iter_mut().zip(pixels).enumerate() {
                let x = (f64::from(pixel) + random.random::<f64>()) / LEVELS;
                let u = LAMBDA + (1.0 - 2.0 * LAMBDA) * x;
                *out = to(j, (u / (1.0 - u)).ln());
            }
        });
    }
}
