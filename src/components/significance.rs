//! How much each component matters, with error bars.

use crate::flow::base::LN_2PI;
use crate::flow::{Error, Flow};
use crate::jacobian::{LocalCovariance, local_covariance};
use crate::random::generator;
use eigenflow_linalg::{Matrix, Real};
use rand::RngExt;
use rayon::prelude::*;

/// Numbers of frames held at a time.
const HELD: usize = 1 << 22;

/// A figure with its standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Its standard error; NaN where it is not known.
    pub error: f64,
}

/// Figures of components over rows, each of `D` numbers, largest local standard deviation first.
#[derive(Clone, Debug, PartialEq)]
pub struct Significance {
    /// Mean local standard deviation, `E 1/s_k`, data units.
    pub scale: Vec<Estimate>,
    /// Mean share of the local variance, `E s_k⁻² / Σ_j s_j⁻²`.
    pub share: Vec<Estimate>,
    /// Explained variance, `E ŷ_k² / Σ_j E ŷ_j²`.
    pub variance: Vec<Estimate>,
    /// Explained entropy, `h_k + ½ log 2πe` with `h_k = E log 1/s_k`, nats: they add up to the entropy of the model (claim C4).
    pub entropy: Vec<Estimate>,
    /// The same of the latent axes, in their order: `E log|g_i| + ½ log 2πe`, manifold entropic metrics.
    pub latent_entropy: Vec<Estimate>,
    /// Mean contrast `Σ log|g_i| - log|det J_g|`, nats (claim C3): what the latent axes' entropies add up to beyond the model's; 0
    /// where they are the local principal axes.
    pub contrast: Estimate,
    /// Rows.
    pub rows: usize,
    /// Rows in a block of the bootstrap.
    pub block: usize,
}

/// How error bars come about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Resamples; at least 2.
    pub resamples: usize,
    /// Consecutive rows that are drawn together; 0 takes `⌈N^{1/3}⌉`.
    pub block: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 200, block: 0, seed: 0 }
    }
}

/// Figures of the components of a flow over the rows of `x`, with standard errors by a block bootstrap.
///
/// Rows are cut into blocks of consecutive ones, blocks are drawn with replacement, and each figure's standard deviation over the resamples is
/// its error (H. R. Künsch 1989, with blocks that do not overlap). It is the error of these rows, the model being given; that
/// of training shows between models of several seeds. On a linear flow at its optimum scales are those of PCA and explained
/// variances its own. Cost: a push of `D` tangents and an SVD a row.
///
/// # Errors
/// As [`Flow::normalize`]; a singular Jacobian.
///
/// ```
/// use eigenflow::components::{Bootstrap, significance};
/// use eigenflow::flow::{Flow, bijections::{Affine, Form}};
/// use eigenflow_linalg::Matrix;
/// let mut flow = Flow::<f64>::new(vec![Affine::new(2, Form::Full).into()], 0, 0).unwrap();
/// // Standard deviations 2 and 5.
/// flow.parameters_mut()[0].data.copy_from_slice(&[0.5, 0.0, 0.0, 0.2]);
/// let x = Matrix::new(2, 2, vec![2.0, 5.0, -2.0, 5.0]);
/// let s = significance(&flow, &x, &Bootstrap { block: 1, ..Bootstrap::default() }).unwrap();
/// assert!((s.scale[0].value - 5.0).abs() < 1e-12 && s.scale[0].error < 1e-12);
/// assert!((s.variance[1].value - 4.0 / 29.0).abs() < 1e-12 && s.contrast.value.abs() < 1e-12);
/// ```
pub fn significance<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    bootstrap: &Bootstrap,
) -> Result<Significance, Error> {
    let (n, d) = (x.rows(), flow.dim());
    let (z, _) = flow.normalize(x)?;
    // Of each row: 1/s, shares, ŷ², log 1/s, log|g|, and the contrast.
    let width = 5 * d + 1;
    let mut figures = Vec::with_capacity(n * width);
    let chunk = (HELD / (2 * d * d)).max(1);
    for start in (0..n).step_by(chunk) {
        let end = n.min(start + chunk);
        let rows = Matrix::new(end - start, x.cols(), x.data()[start * x.cols()..end * x.cols()].to_vec());
        let local = local_covariance(flow, &rows, d).map_err(|e| e.after_rows(start))?;
        let parts: Vec<Vec<f64>> =
            (0..end - start).into_par_iter().map(|at| of_row(&local, at, z.row(start + at))).collect();
        if let Some(at) = parts.iter().position(|p| p.iter().any(|v| !v.is_finite())) {
            let op = "significance: a local scale";
            return Err(Error::Linalg(eigenflow_linalg::Error::NotFinite {
                op,
                index: start + at,
                row: 0,
                col: 0,
            }));
        }
        figures.extend(parts.concat());
    }
    let block = match bootstrap.block {
        0 => ((n as f64).cbrt().ceil() as usize).max(1),
        b => b.min(n.max(1)),
    };
    Ok(of_figures(&figures, width, d, block, bootstrap))
}

/// Figures of a row.
fn of_row<T: Real>(local: &LocalCovariance<T>, at: usize, z: &[T]) -> Vec<f64> {
    let d = z.len();
    let scales: Vec<f64> = local.scales.row(at).iter().map(|s| s.f64()).collect();
    let latent: Vec<f64> = local.latent_axes.get(at).iter().map(|v| v.f64()).collect();
    let relative: Vec<f64> = scales.iter().map(|s| (s / scales[0]).powi(2)).collect();
    let total: f64 = relative.iter().sum();
    let square = |k: usize| {
        let along: f64 = (0..d).map(|i| latent[i * d + k] * z[i].f64()).sum();
        (scales[k] * along).powi(2)
    };
    // |g_i|² = Σ_k (U_ik / s_k)², since J_g = V S⁻¹ Uᵀ.
    let column = |i: usize| (0..d).map(|k| (scales[k] * latent[i * d + k]).powi(2)).sum::<f64>().ln() * 0.5;
    let logs: Vec<f64> = scales.iter().map(|s| s.ln()).collect();
    let columns: Vec<f64> = (0..d).map(column).collect();
    let contrast = columns.iter().sum::<f64>() - logs.iter().sum::<f64>();
    let mut out = scales.clone();
    out.extend(relative.iter().map(|r| r / total));
    out.extend((0..d).map(square));
    out.extend(logs);
    out.extend(columns);
    out.push(contrast);
    out
}

/// Means and their errors from the figures of all rows.
fn of_figures(figures: &[f64], width: usize, d: usize, block: usize, bootstrap: &Bootstrap) -> Significance {
    let rows = figures.len() / width;
    let blocks: Vec<(f64, Vec<f64>)> = figures
        .chunks(block * width)
        .map(|part| {
            let mut sum = vec![0.0; width];
            part.chunks(width).for_each(|row| sum.iter_mut().zip(row).for_each(|(s, v)| *s += v));
            ((part.len() / width) as f64, sum)
        })
        .collect();
    let means = |chosen: &mut dyn Iterator<Item = usize>| {
        let (mut count, mut sum) = (0.0, vec![0.0; width]);
        for b in chosen {
            count += blocks[b].0;
            sum.iter_mut().zip(&blocks[b].1).for_each(|(s, v)| *s += v);
        }
        sum.iter_mut().for_each(|s| *s /= f64::max(count, 1.0));
        // Explained variances are shares of their sum.
        let total: f64 = sum[2 * d..3 * d].iter().sum();
        sum[2 * d..3 * d].iter_mut().for_each(|v| *v /= if total > 0.0 { total } else { 1.0 });
        sum
    };
    let value = means(&mut (0..blocks.len()));
    let drawn: Vec<Vec<f64>> = (0..bootstrap.resamples.max(2))
        .into_par_iter()
        .map(|k| {
            let mut random = generator(bootstrap.seed, "bootstrap", k as u64);
            let count = blocks.len() as u64;
            means(&mut (0..blocks.len()).map(|_| random.random_range(0..count) as usize))
        })
        .collect();
    let estimate = |at: usize| {
        let count = drawn.len() as f64;
        let mean = drawn.iter().map(|v| v[at]).sum::<f64>() / count;
        let square = drawn.iter().map(|v| (v[at] - mean).powi(2)).sum::<f64>();
        // One block says nothing of its spread.
        let error = if blocks.len() > 1 { (square / (count - 1.0)).sqrt() } else { f64::NAN };
        Estimate { value: value[at], error }
    };
    let constant = 0.5 * (LN_2PI + 1.0);
    let run = |first: usize| (first * d..(first + 1) * d).map(estimate).collect::<Vec<_>>();
    let entropies = |first: usize| {
        run(first).into_iter().map(|e| Estimate { value: e.value + constant, ..e }).collect::<Vec<_>>()
    };
    Significance {
        scale: run(0),
        share: run(1),
        variance: run(2),
        entropy: entropies(3),
        latent_entropy: entropies(4),
        contrast: estimate(5 * d),
        rows,
        block,
    }
}
