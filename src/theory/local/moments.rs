//! G3: what the exact Jacobians say of the covariance of the whole model.
//!
//! For `x = g(y)`, `y ~ N(0, I)`, with finite moments: Stein's `Cov(x, y) = E[J_g]`; the sandwich
//! `E[J_g]E[J_g]ᵀ ⪯ Cov(x) ⪯ E[J_g J_gᵀ]`; the two-point identity `Cov(x) = ∫_0^1 E[J_g(Y) J_g(tY + √(1-t²)Y')ᵀ] dt`.
//! They are checked along a few data directions `u` and latent directions `v`: one pull of `uᵀJ_g` for each and no
//! `D x D` matrix, whatever `D`. With at most eight columns the directions are all axes.

use super::point::random_directions;
use super::student::Blocks;
use crate::flow::{Error, Flow};
use crate::random::generator;
use crate::theory::Context;
use crate::theory::power::JacobianError;
use eigenflow_autodiff::{Program, pull_jacobian};
use eigenflow_linalg::eigen::eigh;
use eigenflow_linalg::{Batch, Matrix};
use rand::RngExt;
use rand_distr::StandardNormal;

/// Independent blocks of draws; half of them choose the directions of the sandwich, half decide it.
pub(super) const BLOCKS: usize = 128;
/// Multiply-adds that the draws may cost, and the fewest and most draws of a block.
const WORK: f64 = 1e10;
const LEAST: usize = 4;
const MOST: usize = 64;
/// Directions: all axes up to this many columns, and for wide models half as many.
const DIRECTIONS: usize = 8;
const WIDE: usize = 64;
/// Draws that give each data column its unit.
const PILOT: usize = 64;

/// Directions in which the moments are taken.
#[derive(Clone, Debug)]
pub struct Directions {
    /// Data directions, one a row, in units of each column's standard deviation.
    pub data: Matrix<f64>,
    /// Orthonormal latent directions, one a row.
    pub latent: Matrix<f64>,
}

/// Moments of one block of draws; the matrices are `[m, m]`.
#[derive(Clone, Debug)]
pub struct Block {
    /// `Cov(x)`, unbiased.
    pub covariance: Matrix<f64>,
    /// Mean of `(x - c) yᵀ`, `c` a constant, along the latent directions.
    pub stein: Matrix<f64>,
    /// Mean of `J_g` along both.
    pub slope: Matrix<f64>,
    /// Mean of `J_g J_gᵀ`.
    pub outer: Matrix<f64>,
    /// `E[J_g] E[J_g]ᵀ` from the two halves of the block: unbiased.
    pub inner: Matrix<f64>,
    /// Mean of `J_g(Y) J_g(tY + √(1-t²)Y')ᵀ`, symmetrised.
    pub two_point: Matrix<f64>,
}

impl Directions {
    /// Directions for a flow, from a seed.
    ///
    /// # Errors
    /// As [`Flow::sample`].
    pub fn of(flow: &Flow<f64>, seed: u64) -> Result<Self, Error> {
        let d = flow.dim();
        let m = d.min(if d > WIDE { DIRECTIONS / 2 } else { DIRECTIONS });
        let pilot = flow.sample(PILOT, 1.0, seed ^ 1)?;
        let unit = |j: usize| {
            let mut column = pilot.col(j);
            // Scaled first: squares of finite numbers may overflow, or vanish.
            let largest = column.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
            if largest == 0.0 {
                return 1.0;
            }
            column.iter_mut().for_each(|v| *v /= largest);
            let mean = column.iter().sum::<f64>() / PILOT as f64;
            let variance = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / PILOT as f64;
            if variance > 0.0 { variance.sqrt().recip() / largest } else { largest.recip() }
        };
        let units: Vec<f64> = (0..d).map(unit).collect();
        let q = random_directions(m, d, seed)?;
        let data = Matrix::from_fn(m, d, |i, j| q[(i, j)] * units[j]);
        Ok(Self { data, latent: random_directions(m, d, seed ^ 2)? })
    }

    /// The covariance of rows along the data directions, weights `1/(n-1)`.
    pub fn covariance(&self, x: &Matrix<f64>) -> Matrix<f64> {
        covariance(&x.mul(&self.data.transpose()))
    }
}

/// Draws of a block that the work allows.
pub(super) fn draws(cx: &Context<'_>) -> usize {
    let m = cx.flow.dim().min(DIRECTIONS) as f64;
    let numbers: usize = cx.flow.parameters().iter().map(|p| p.data.len()).sum();
    let row = 4.0 * (numbers + 8 * cx.flow.dim() * cx.flow.layers().len()) as f64 * (1.0 + 2.0 * m);
    let work = if cx.quick { 0.25 * WORK } else { WORK };
    ((work / (row * BLOCKS as f64)) as usize).clamp(LEAST, MOST)
}

/// Moments of `n` draws each of 128 blocks; `None` where a draw is out of the model's range.
///
/// # Errors
/// Those of the tape.
pub fn blocks(
    flow: &Flow<f64>,
    directions: &Directions,
    n: usize,
    seed: u64,
) -> Result<Option<Vec<Block>>, Error> {
    blocks_broken(flow, directions, n, seed, &JacobianError::NONE)
}

/// The same with an error in every Jacobian along the directions.
///
/// # Errors
/// Those of the tape.
pub(super) fn blocks_broken(
    flow: &Flow<f64>,
    directions: &Directions,
    n: usize,
    seed: u64,
    error: &JacobianError,
) -> Result<Option<Vec<Block>>, Error> {
    let (d, m) = (flow.dim(), directions.data.rows());
    let program = Program::try_record(|r| {
        let params = flow.declare(r);
        let y = r.batch(d);
        let x = flow.record_generate(&params, y, 0..flow.layers().len()).out;
        let along = x.matmul_t(r.constant(m, d, directions.data.data()));
        Ok::<_, Error>(vec![along, pull_jacobian(r, along, y)?])
    })?;
    let run = |y: &Matrix<f64>| {
        let mut out = program.run(n, &[y.data()], &flow.slices())?;
        let j = error.apply(Batch::new(n, m, d, out.pop().unwrap_or_default()));
        let x = out.pop().unwrap_or_default();
        let finite = x.iter().chain(j.data()).all(|v| v.is_finite());
        Ok::<_, Error>(finite.then(|| (Matrix::new(n, m, x), Matrix::new(n * m, d, j.into_data()))))
    };
    let Some((origin, _)) = run(&Matrix::zeros(n, d))? else { return Ok(None) };
    let mut all = Vec::with_capacity(BLOCKS);
    for block in 0..BLOCKS {
        let mut random = generator(seed, "global-moments", block as u64);
        let mut normal = || Matrix::from_fn(n, d, |_, _| random.sample::<f64, _>(StandardNormal));
        let (y, other) = (normal(), normal());
        let t: Vec<f64> = (0..n).map(|_| random.random()).collect();
        let mixed =
            Matrix::from_fn(n, d, |i, j| t[i] * y[(i, j)] + (1.0 - t[i] * t[i]).sqrt() * other[(i, j)]);
        let (Some((x, here)), Some((_, there))) = (run(&y)?, run(&mixed)?) else { return Ok(None) };
        let latent = y.mul(&directions.latent.transpose());
        let scale = (n as f64).recip();
        let centred = Matrix::from_fn(n, m, |i, k| x[(i, k)] - origin[(i, k)]);
        let sum = |a: &Matrix<f64>, b: &Matrix<f64>| {
            // Σ_rows a_row b_rowᵀ over the m x D blocks.
            let mut total = Matrix::zeros(m, m);
            for i in 0..n {
                let part =
                    |of: &Matrix<f64>| Matrix::new(m, d, of.data()[i * m * d..(i + 1) * m * d].to_vec());
                let product = part(a).mul(&part(b).transpose());
                total.data_mut().iter_mut().zip(product.data()).for_each(|(t, p)| *t += scale * p);
            }
            total
        };
        let mean = |rows: std::ops::Range<usize>| {
            let count = rows.len() as f64;
            Matrix::from_fn(m, d, |k, j| rows.clone().map(|i| here[(i * m + k, j)]).sum::<f64>() / count)
        };
        let (first, second) = (mean(0..n / 2), mean(n / 2..n));
        let slope = mean(0..n).mul(&directions.latent.transpose());
        all.push(Block {
            covariance: covariance(&x),
            stein: centred.transpose().mul(&latent).map(|v| scale * v),
            slope,
            outer: sum(&here, &here),
            inner: symmetric(&first.mul(&second.transpose())),
            two_point: symmetric(&sum(&here, &there)),
        });
    }
    Ok(Some(all))
}

/// `(A + Aᵀ)/2`.
fn symmetric(a: &Matrix<f64>) -> Matrix<f64> {
    Matrix::from_fn(a.rows(), a.cols(), |i, j| 0.5 * (a[(i, j)] + a[(j, i)]))
}

/// Covariance of rows, weights `1/(n-1)`.
fn covariance(x: &Matrix<f64>) -> Matrix<f64> {
    let (n, m) = x.shape();
    let mean: Vec<f64> = (0..m).map(|k| x.col(k).iter().sum::<f64>() / n as f64).collect();
    let centred = Matrix::from_fn(n, m, |i, k| x[(i, k)] - mean[k]);
    centred.transpose().mul(&centred).map(|v| v / (n as f64 - 1.0))
}

/// The mean over blocks of one of their matrices.
pub(super) fn average(blocks: &[Block], of: impl Fn(&Block) -> Matrix<f64>) -> Matrix<f64> {
    let mut total = Matrix::zeros(blocks[0].outer.rows(), blocks[0].outer.cols());
    for block in blocks {
        let own = of(block);
        total.data_mut().iter_mut().zip(own.data()).for_each(|(t, o)| *t += o / blocks.len() as f64);
    }
    total
}

/// Entry by entry, the studentised difference of two matrices of the blocks.
pub(super) fn entries(
    blocks: &[Block],
    difference: impl Fn(&Block) -> Matrix<f64>,
    triangle: bool,
) -> Vec<Blocks> {
    let all: Vec<Matrix<f64>> = blocks.iter().map(difference).collect();
    let (m, k) = all[0].shape();
    let pairs = (0..m).flat_map(|i| (0..k).map(move |j| (i, j))).filter(|(i, j)| !triangle || i <= j);
    pairs.map(|at| Blocks::of(&all.iter().map(|a| a[at]).collect::<Vec<_>>())).collect()
}

/// The smallest value of `wᵀ(upper - lower)w`: the direction from one half of the blocks, the value from the other.
///
/// # Errors
/// Those of the symmetric eigensolver.
pub(super) fn least(blocks: &[Block], gap: impl Fn(&Block) -> Matrix<f64>) -> Result<Blocks, Error> {
    let (choose, decide) = blocks.split_at(blocks.len() / 2);
    let e = eigh(&average(choose, &gap))?;
    let w = Matrix::new(e.values.len(), 1, e.vectors.col(0));
    let value = |block: &Block| w.transpose().mul(&gap(block).mul(&w)).data()[0];
    Ok(Blocks::of(&decide.iter().map(value).collect::<Vec<_>>()))
}
