//! The S-curve, whose arc length, width and normal are known at every point.

use super::{quantile, rank_correlation};
use crate::components::{components, path_components};
use crate::data::builtin::s_curve_log_densities;
use crate::flow::bijections::SCurveTube;
use crate::flow::{Error, Flow};
use crate::random::generator;
use crate::train::mean_contrast;
use eigenflow_linalg::{Matrix, elementary};
use libm::erf;
use rand::RngExt;
use rand_distr::StandardNormal;
use std::f64::consts::{PI, SQRT_2, TAU};

/// Standard deviation of the arc length.
pub const ARC: f64 = 0.45 * PI;

/// Rows of the S-curve of which everything is known.
#[derive(Clone, Debug)]
pub struct Truth {
    /// Rows with isotropic noise, as the built-in set has them.
    pub noisy: Matrix<f64>,
    /// The same without noise.
    pub clean: Matrix<f64>,
    /// Arc length `t` of each.
    pub arc: Vec<f64>,
    /// Width, in `[0, 2]`.
    pub width: Vec<f64>,
    /// Standard deviation of the noise.
    pub noise: f64,
    /// Whether there is noise in all directions, rather than along the normal alone.
    pub isotropic: bool,
}

/// `n` rows drawn as the built-in set draws them, with their coordinates.
pub fn truth(n: usize, noise: f64, seed: u64) -> Truth {
    let mut random = generator(seed, "study of the S-curve", 0);
    let (mut noisy, mut clean) = (Matrix::zeros(n, 3), Matrix::zeros(n, 3));
    let (mut arc, mut width) = (Vec::with_capacity(n), Vec::with_capacity(n));
    for i in 0..n {
        let t: f64 = ARC * random.sample::<f64, _>(StandardNormal);
        let u: f64 = random.random();
        let at = [t.sin(), 2.0 * u, t.signum() * (t.cos() - 1.0)];
        clean.row_mut(i).copy_from_slice(&at);
        for j in 0..3 {
            noisy[(i, j)] = at[j] + noise * random.sample::<f64, _>(StandardNormal);
        }
        arc.push(t);
        width.push(2.0 * u);
    }
    Truth { noisy, clean, arc, width, noise, isotropic: true }
}

/// What a model makes of the S-curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Findings {
    /// `E[log p - log q]` over noisy rows: the Kullback-Leibler divergence from the true density, nats, and its standard error; NaN
    /// where noise is along the normal alone.
    pub divergence: [f64; 2],
    /// Mean contrast of the latent axes, nats.
    pub contrast: f64,
    /// Median angle between the span of the leading two axes and the true tangent plane, degrees.
    pub tangent: f64,
    /// Median relative error of the local standard deviations along arc, width and normal, at noise-free rows with `|t| < π` and the width
    /// between its 5 and 95 % quantiles.
    pub scales: [f64; 3],
    /// Rank correlation (absolute) of path components with arc length and width at noisy rows.
    pub path: [f64; 2],
    /// The same of the components `ŷ`, signs aligned.
    pub displacement: [f64; 2],
    /// Rows whose path was not followed, as a share.
    pub lost: f64,
}

/// Path components and truth of the rows that are drawn.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// Path components, `[n, 3]`.
    pub path: Matrix<f64>,
    /// Arc lengths and widths.
    pub arc: Vec<f64>,
    /// Widths.
    pub width: Vec<f64>,
}

/// Neighbours for aligned signs; tolerance of paths.
const NEIGHBOURS: usize = 10;
const TOLERANCE: f64 = 1e-5;

/// The figures of a flow.
///
/// # Errors
/// As [`Flow::normalize`].
pub fn findings(flow: &Flow<f64>, truth: &Truth) -> Result<(Findings, Drawn), Error> {
    let log_q = flow.log_density(&truth.noisy)?;
    let log_p = match s_curve_log_densities(&truth.noisy, truth.noise) {
        Ok(log_p) if truth.isotropic => log_p,
        _ => vec![f64::NAN; log_q.len()],
    };
    let gaps: Vec<f64> = log_p.iter().zip(&log_q).map(|(p, q)| p - q).collect();
    let local = components(flow, &truth.clean, 3)?;
    let mut angles = Vec::new();
    let mut off: [Vec<f64>; 3] = Default::default();
    for i in 0..truth.clean.rows() {
        let (t, v) = (truth.arc[i], truth.width[i]);
        let normal = [t.signum() * t.sin(), 0.0, t.cos()];
        let axes = local.axes.get(i);
        let cosine: f64 = (0..3).map(|r| axes[3 * r + 2] * normal[r]).sum();
        angles.push(cosine.abs().min(1.0).acos().to_degrees());
        if t.abs() < PI && (0.1..1.9).contains(&v) {
            let oracle = [ARC, 2.0 * normal_density(elementary::scalar::quantile(0.5 * v)), truth.noise];
            for k in 0..3 {
                off[k].push((local.scales[(i, k)] / oracle[k] - 1.0).abs());
            }
        }
    }
    let paths = path_components(flow, &truth.noisy, 3, TOLERANCE)?;
    let mut shown = components(flow, &truth.noisy, 3)?;
    shown.align(&truth.noisy, NEIGHBOURS)?;
    let with = |values: &Matrix<f64>| {
        [
            rank_correlation(&values.col(0), &truth.arc).abs(),
            rank_correlation(&values.col(1), &truth.width).abs(),
        ]
    };
    let lost = paths.overlap.iter().filter(|o| **o < crate::components::FOLLOWED).count();
    let n = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / n;
    let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let found = Findings {
        divergence: [mean, (variance / n).sqrt()],
        contrast: mean_contrast(flow, &truth.noisy)?,
        tangent: quantile(&angles, 0.5),
        scales: [0, 1, 2].map(|k| quantile(&off[k], 0.5)),
        path: with(&paths.values),
        displacement: with(&shown.values),
        lost: lost as f64 / n,
    };
    Ok((found, Drawn { path: paths.values, arc: truth.arc.clone(), width: truth.width.clone() }))
}

/// The analytic flow, whose columns are orthogonal: the S-curve with noise along its normal only.
///
/// # Errors
/// If the arc or the noise is not positive.
pub fn tube(noise: f64) -> Result<Flow<f64>, Error> {
    Flow::new(vec![SCurveTube::new(ARC, noise).into()], 0, 0)
}

/// `n` rows of the analytic flow, inside its support.
///
/// # Errors
/// As [`Flow::generate`].
pub fn tube_truth(n: usize, noise: f64, seed: u64) -> Result<Truth, Error> {
    let flow = tube(noise)?;
    let drawn = flow.draw_latents(2 * n, 1.0, seed);
    let inside = |z: &&[f64]| (ARC * z[0]).abs() < 1.45 * PI && (noise * z[2]).abs() < 0.9;
    let rows: Vec<&[f64]> = (0..2 * n).map(|i| drawn.row(i)).filter(inside).take(n).collect();
    let z = Matrix::from_fn(rows.len(), 3, |i, j| rows[i][j]);
    let flat = Matrix::from_fn(rows.len(), 3, |i, j| if j == 2 { 0.0 } else { z[(i, j)] });
    Ok(Truth {
        noisy: flow.generate(&z)?,
        clean: flow.generate(&flat)?,
        arc: z.col(0).iter().map(|v| ARC * v).collect(),
        width: z.col(1).iter().map(|v| 1.0 + erf(v / SQRT_2)).collect(),
        noise,
        isotropic: false,
    })
}

fn normal_density(y: f64) -> f64 {
    (-0.5 * y * y).exp() / TAU.sqrt()
}
