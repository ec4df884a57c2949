//! Stochastic estimates from products with Jacobians, with their standard errors.

use super::exact::Direction;
use super::products::JacobianProducts;
use crate::flow::{Error, Estimate, Flow};
use crate::random::generator;
use eigenflow_linalg::eigen::eigh;
use eigenflow_linalg::{Batch, Matrix, Real};
use rand::Rng;
use rayon::prelude::*;
use std::ops::Range;

/// Signs for the probes of every row: row `n` has a generator of its own.
fn signs<T: Real>(rows: Range<usize>, probes: usize, dim: usize, seed: u64) -> Vec<T> {
    let mut out = vec![T::ONE; rows.len() * probes * dim];
    out.par_chunks_mut((probes * dim).max(1)).enumerate().for_each(|(row, out)| {
        let mut random = generator(seed, "probes", (rows.start + row) as u64);
        for bits in out.chunks_mut(64) {
            let word = random.next_u64();
            for (i, s) in bits.iter_mut().enumerate() {
                *s = if word >> i & 1 == 1 { T::ONE } else { -T::ONE };
            }
        }
    });
    out
}

fn check_probes(probes: usize) -> Result<(), Error> {
    if probes < 2 {
        let (flow, option, reason) = ("estimate", "probes", "must be at least 2: one has no standard error");
        return Err(Error::Option { flow, option, reason });
    }
    Ok(())
}

/// `‖J(x)‖²_F` of each row, as the mean of `|J v|²` over random signs `v` (Hutchinson 1990).
///
/// Unbiased; the variance of a probe is `2 (‖G‖²_F - Σ G_ii²)` with `G = JᵀJ`. Cost: `probes` tangents a row.
///
/// # Errors
/// As [`Flow::normalize`], and with fewer than two probes.
///
/// ```
/// use eigenflow::flow::{Flow, bijections::Sinh};
/// use eigenflow::jacobian::{Direction, frobenius_estimate};
/// use eigenflow_linalg::Matrix;
/// let flow = Flow::<f64>::new(vec![Sinh { dim: 2 }.into()], 0, 0).unwrap();
/// // A diagonal Jacobian, 0.8 and 1: every probe is exact.
/// let x = Matrix::new(1, 2, vec![0.75, 0.0]);
/// let e = frobenius_estimate(&flow, &x, Direction::Normalize, 4, 0).unwrap();
/// assert!((e.values[0] - 1.64).abs() < 1e-14 && e.errors[0] < 1e-14);
/// ```
pub fn frobenius_estimate<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    direction: Direction,
    probes: usize,
    seed: u64,
) -> Result<Estimate, Error> {
    check_probes(probes)?;
    flow.check_rows("data", x)?;
    let d = flow.dim();
    let v = signs::<T>(0..x.rows(), probes, d, seed);
    let w = JacobianProducts::new(flow, direction, probes)?.push(x, &v)?;
    finite(flow, x, direction, &w, probes * d)?;
    let square = |line: &[T]| line.iter().map(|v| v.f64() * v.f64()).sum::<f64>();
    Ok(Estimate::over(&Matrix::new(x.rows(), probes, w.chunks_exact(d).map(square).collect())))
}

/// `‖J_g P‖²_F` of each row of latents `z`, where `P` projects off the given orthonormal latent axes (`[N, D, K]`): with the leading axes,
/// what is beyond them, `Σ_{k > K} s_k⁻²`. As [`frobenius_estimate`]; row `n` has the probes of row `first + n`.
pub(crate) fn remaining_square<T: Real>(
    flow: &Flow<T>,
    z: &Matrix<T>,
    axes: &Batch<T>,
    probes: usize,
    seed: u64,
    first: usize,
) -> Result<Estimate, Error> {
    check_probes(probes)?;
    let (n, d, k) = (z.rows(), flow.dim(), axes.cols());
    let mut v = signs::<T>(first..first + n, probes, d, seed);
    v.par_chunks_mut((probes * d).max(1)).enumerate().for_each(|(row, v)| {
        let axes = axes.get(row);
        for v in v.chunks_exact_mut(d) {
            let mut along = vec![T::ZERO; k];
            for (axes, &v) in axes.chunks_exact(k.max(1)).zip(v.iter()) {
                along.iter_mut().zip(axes).for_each(|(sum, &u)| *sum += u * v);
            }
            for (axes, v) in axes.chunks_exact(k.max(1)).zip(v) {
                *v -= axes.iter().zip(&along).map(|(&u, &c)| u * c).sum::<T>();
            }
        }
    });
    let w = JacobianProducts::new(flow, Direction::Generate, probes)?.push(z, &v)?;
    finite(flow, z, Direction::Generate, &w, probes * d)?;
    let square = |line: &[T]| line.iter().map(|v| v.f64() * v.f64()).sum::<f64>();
    Ok(Estimate::over(&Matrix::new(n, probes, w.chunks_exact(d).map(square).collect())))
}

/// `log|det J(x)|` of each row, as `½ tr log(JᵀJ)` by stochastic Lanczos quadrature (Ubaru, Chen and Saad 2017).
///
/// Each probe runs `steps` Lanczos steps on `JᵀJ` and integrates the logarithm by the Gauss rule that they define. The
/// standard error is that of the probes; the rule's own error falls geometrically with `steps`, at a rate set by `κ(J)`, and
/// is 0 from `D` steps on. Cost: `2 · probes · steps` products a row.
///
/// # Errors
/// As [`frobenius_estimate`].
///
/// ```
/// use eigenflow::flow::{Flow, bijections::Sinh};
/// use eigenflow::jacobian::{Direction, log_det_estimate};
/// use eigenflow_linalg::Matrix;
/// let flow = Flow::<f64>::new(vec![Sinh { dim: 2 }.into()], 0, 0).unwrap();
/// let x = Matrix::new(1, 2, vec![0.75, 0.0]);
/// let e = log_det_estimate(&flow, &x, Direction::Normalize, 4, 2, 0).unwrap();
/// assert!((e.values[0] - 0.8_f64.ln()).abs() < 1e-12); // a diagonal J: signs are exact
/// ```
pub fn log_det_estimate<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    direction: Direction,
    probes: usize,
    steps: usize,
    seed: u64,
) -> Result<Estimate, Error> {
    check_probes(probes)?;
    flow.check_rows("data", x)?;
    let (n, d) = (x.rows(), flow.dim());
    let mut products = JacobianProducts::new(flow, direction, probes)?;
    let scale = T::ONE / T::of(d as f64).sqrt();
    let start = signs::<T>(0..n, probes, d, seed).into_iter().map(|s| s * scale).collect();
    let mut run = Quadrature { d, bases: vec![start], diagonal: Vec::new(), beside: Vec::new() };
    for _ in 0..steps.clamp(1, d) {
        let w = products.push(x, run.last())?;
        finite(flow, x, direction, &w, probes * d)?;
        let w = products.pull(x, &w)?;
        finite(flow, x, direction, &w, probes * d)?;
        run.advance(w);
    }
    let halves = (0..n * probes).into_par_iter().map(|line| Ok(0.5 * d as f64 * run.mean_log(line)?));
    let halves = halves.collect::<Result<Vec<f64>, Error>>()?;
    Ok(Estimate::over(&Matrix::new(n, probes, halves)))
}

/// Lanczos runs side by side, one for each line, with full orthogonalisation.
struct Quadrature<T> {
    d: usize,
    bases: Vec<Vec<T>>,
    diagonal: Vec<Vec<f64>>,
    beside: Vec<Vec<f64>>,
}

impl<T: Real> Quadrature<T> {
    fn last(&self) -> &[T] {
        &self.bases[self.bases.len() - 1]
    }

    /// Takes the products with the last basis vectors.
    fn advance(&mut self, mut w: Vec<T>) {
        let d = self.d;
        let dot = |a: &[T], b: &[T]| a.iter().zip(b).map(|(&a, &b)| a * b).sum::<T>();
        let bases = &self.bases;
        let coefficients: Vec<(f64, f64)> = w
            .par_chunks_exact_mut(d)
            .enumerate()
            .map(|(line, w)| {
                let of = |k: usize| &bases[k][line * d..(line + 1) * d];
                let before = dot(w, w).sqrt();
                let diagonal = dot(w, of(bases.len() - 1));
                for _ in 0..2 {
                    for k in 0..bases.len() {
                        let c = dot(w, of(k));
                        w.iter_mut().zip(of(k)).for_each(|(w, &q)| *w -= c * q);
                    }
                }
                let rest = dot(w, w).sqrt();
                // Nothing but rounding is left: an invariant subspace.
                if rest > T::of(64.0) * T::EPS * before {
                    w.iter_mut().for_each(|w| *w /= rest);
                    (diagonal.f64(), rest.f64())
                } else {
                    w.fill(T::ZERO);
                    (diagonal.f64(), 0.0)
                }
            })
            .collect();
        let (diagonal, beside) = coefficients.into_iter().unzip();
        self.diagonal.push(diagonal);
        self.beside.push(beside);
        self.bases.push(w);
    }

    /// `Σ τ² ln θ` of a line's Gauss rule.
    fn mean_log(&self, line: usize) -> Result<f64, Error> {
        let ended = self.beside.iter().position(|b| b[line] == 0.0);
        let k = ended.map_or(self.diagonal.len(), |at| at + 1);
        let rule = eigh(&Matrix::from_fn(k, k, |i, j| match i.abs_diff(j) {
            0 => self.diagonal[i][line],
            1 => self.beside[i.min(j)][line],
            _ => 0.0,
        }))?;
        // Rounding can take the least node of an ill-conditioned Jacobian below zero: it stands for nothing above eps times the largest.
        let floor = rule.values[k - 1] * T::EPS.f64();
        let term = |(j, &node): (usize, &f64)| rule.vectors[(0, j)].powi(2) * node.max(floor).ln();
        Ok(rule.values.iter().enumerate().map(term).sum())
    }
}

/// That products are finite; else an error that names the row and the layer.
fn finite<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    direction: Direction,
    products: &[T],
    per_row: usize,
) -> Result<(), Error> {
    match products.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => Err(super::products::not_finite(flow, x, direction, at / per_row, at % flow.dim())),
    }
}
