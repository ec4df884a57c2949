//! Noise taken out by a flow that was trained on rows with it, given its level.
//!
//! A row with noise of standard deviation `σ` is first whitened by what is known of it, `y_k = v_kᵀ(x - μ)/√(λ_k + σ²)`; one conditional
//! flow learns the densities of `y` at all levels, given which. Where its couplings are the identity, Tweedie's estimate
//! `x + σ²∇ log p_σ(x)` (H. Robbins 1956) is the Wiener filter: the flow learns what is better than linear.

use super::geometry::{couplings, options, whitening};
use super::wiener::{psnr, wiener};
use super::{Images, Observer, Settings};
use crate::dimension::projected;
use crate::flow::bijections::{Affine, Form};
use crate::flow::{Error, Flow, Layer, Variable};
use crate::random::{ROWS_PER_GENERATOR, generator, hash_words};
use crate::report::studies::Mean;
use crate::theory::linear::Spectrum;
use crate::train::{self, TrainingRecord, fit_from};
use eigenflow_linalg::Matrix;
use rand::RngExt;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use std::ops::ControlFlow;

/// Rows at one level of noise, and what became of them.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Standard deviation of the noise.
    pub noise: f64,
    /// Rows with noise, those restored by the linear filter, and by the flow.
    pub rows: [Matrix<f64>; 3],
    /// Mean PSNR of each, decibels.
    pub psnr: [Mean; 3],
    /// Mean gain of the flow over the linear filter on the same rows, decibels.
    pub gain: Mean,
}

impl Restored {
    /// Which is better, by more than three standard errors.
    ///
    /// ```
    /// # use eigenflow::report::studies::{Mean, images::denoiser::Restored};
    /// # use eigenflow_linalg::Matrix;
    /// let one = Mean { value: 20.0, error: 0.1 };
    /// let rows = || Matrix::zeros(0, 4);
    /// let r = |value| Restored { noise: 0.1, rows: [rows(), rows(), rows()], psnr: [one; 3], gain: Mean { value, error: 0.1 } };
    /// assert_eq!([r(0.5), r(-0.5), r(0.2)].map(|r| r.winner()), ["the flow", "the linear filter", "undecided"]);
    /// ```
    pub fn winner(&self) -> &'static str {
        match self.gain {
            Mean { value, error } if value > 3.0 * error => "the flow",
            Mean { value, error } if value < -3.0 * error => "the linear filter",
            _ => "undecided",
        }
    }
}

/// The conditional flow of whitened rows, not yet trained.
///
/// # Errors
/// If an option is out of its range.
pub fn fresh(dim: usize, settings: &Settings) -> Result<Flow<f32>, Error> {
    let levels = settings.noise.map(|s| s.to_string());
    let layers = couplings(dim, &settings.denoiser, settings.seed)?
        .into_iter()
        .map(|layer| layer.given(levels.len()))
        .collect();
    Flow::new(layers, 0, hash_words(settings.seed, [1]))?
        .with_context(vec![Variable::one_hot("noise", &levels)])
}

/// Trains it, in single precision: every epoch draws new noise, and a row meets the levels in turn.
///
/// # Errors
/// As [`train::fit`].
pub fn trained(
    images: &Images,
    spectrum: &Spectrum,
    settings: &Settings,
    observer: &mut Observer<'_>,
) -> Result<(Flow<f64>, TrainingRecord), train::Error> {
    let mut flow = fresh(spectrum.mean.len(), settings)?;
    let options = options(&settings.denoiser, settings.seed);
    let noisy = Noisy { spectrum, settings, seed: hash_words(settings.seed, [2]) };
    let (training, valid) = (noisy.along(&images.training), noisy.along(&images.valid));
    let valid = noisy.drawn(&valid, 0);
    let mut state = None;
    for epoch in 1..=options.epochs {
        let rows = noisy.drawn(&training, epoch);
        let mut go_on = ControlFlow::Continue(());
        let mut one = |e: &train::Epoch<'_, f32>| {
            go_on = observer(e.row);
            ControlFlow::Break(())
        };
        state = Some(fit_from(&mut flow, &rows, Some(&valid), &options, state, &mut one)?);
        if go_on.is_break() {
            break;
        }
    }
    let mut record = state.map(|s| s.record).unwrap_or_default();
    if record.epochs.len() == options.epochs {
        record.stop = train::Stop::default();
    }
    Ok((flow.cast(), record))
}

/// The flow of rows with noise at level `k`, in units of grey.
///
/// # Errors
/// If the flow is not one of such rows.
pub fn at_level(
    core: &Flow<f64>,
    spectrum: &Spectrum,
    settings: &Settings,
    k: usize,
) -> Result<Flow<f64>, Error> {
    let d = spectrum.mean.len();
    let level: Vec<f64> = (0..settings.noise.len()).map(|i| f64::from(u8::from(i == k))).collect();
    let core = core.at(&level)?;
    let mut layers: Vec<Layer> = vec![Affine { dim: d, form: Form::Full, frozen: true }.into()];
    layers.extend(core.layers().iter().cloned());
    let mut flow = Flow::new(layers, 0, 0)?;
    let ridge = settings.noise[k] * settings.noise[k];
    let [weight, bias] = whitening(spectrum, &spectrum.mean, 1.0, ridge);
    flow.parameters_mut()[0].data = weight;
    flow.parameters_mut()[1].data = bias;
    flow.replace(1, &core);
    Ok(flow)
}

/// Held-out rows of every class with noise at every level, and what the linear filter and the flow make of them.
///
/// # Errors
/// As [`at_level`].
pub fn restored(
    core: &Flow<f64>,
    images: &Images,
    spectrum: &Spectrum,
    settings: &Settings,
) -> Result<Vec<Restored>, Error> {
    let clean = images.held_rows(&images.of_each_class(settings.rows[2]));
    let one = |k: usize| {
        let noise = settings.noise[k];
        let drawn = normal(clean.rows(), clean.cols(), hash_words(settings.seed, [3, k as u64]));
        let noisy = Matrix::from_fn(clean.rows(), clean.cols(), |i, j| clean[(i, j)] + noise * drawn[(i, j)]);
        let linear = wiener(spectrum, &noisy, noise);
        let own = projected(&at_level(core, spectrum, settings, k)?, &noisy, noise * noise)?;
        let rows = [noisy, linear, own];
        let each =
            rows.each_ref().map(|x| (0..x.rows()).map(|i| psnr(x.row(i), clean.row(i))).collect::<Vec<_>>());
        let gains: Vec<f64> = each[2].iter().zip(&each[1]).map(|(a, b)| a - b).collect();
        Ok(Restored { noise, psnr: each.map(|v| Mean::of(&v)), gain: Mean::of(&gains), rows })
    };
    (0..settings.noise.len()).map(one).collect()
}

/// Draws of rows with noise.
struct Noisy<'a> {
    spectrum: &'a Spectrum,
    settings: &'a Settings,
    seed: u64,
}

impl Noisy<'_> {
    /// Rows along the principal axes, where isotropic noise is isotropic too.
    fn along(&self, x: &Matrix<f64>) -> Matrix<f32> {
        let mean = &self.spectrum.mean;
        Matrix::from_fn(x.rows(), x.cols(), |i, j| x[(i, j)] - mean[j]).mul(&self.spectrum.axes).cast()
    }

    /// Whitened rows with noise, and their levels behind them.
    fn drawn(&self, along: &Matrix<f32>, epoch: usize) -> Matrix<f32> {
        let ((n, d), levels) = (along.shape(), self.settings.noise);
        let mut out = Matrix::zeros(n, d + levels.len());
        let root = levels.map(|s| {
            self.spectrum.values.iter().map(|l| (l + s * s).sqrt().recip() as f32).collect::<Vec<_>>()
        });
        let block = ROWS_PER_GENERATOR * (d + levels.len());
        out.data_mut().par_chunks_mut(block).enumerate().for_each(|(b, rows)| {
            let blocks = n.div_ceil(ROWS_PER_GENERATOR);
            let mut random = generator(self.seed, "denoiser", (epoch * blocks + b) as u64);
            for (i, row) in rows.chunks_exact_mut(d + levels.len()).enumerate() {
                let row_number = b * ROWS_PER_GENERATOR + i;
                let k = (row_number + epoch) % levels.len();
                for ((y, &c), &r) in row.iter_mut().zip(along.row(row_number)).zip(&root[k]) {
                    *y = (c + levels[k] as f32 * random.sample::<f32, _>(StandardNormal)) * r;
                }
                row[d + k] = 1.0;
            }
        });
        out
    }
}

/// Normal numbers.
fn normal(n: usize, d: usize, seed: u64) -> Matrix<f64> {
    let mut random = generator(seed, "noise-to-restore", 0);
    Matrix::from_fn(n, d, |_, _| random.sample(StandardNormal))
}

#[cfg(test)]
mod tests {
    use super::super::geometry::tests::{settings, spectrum};
    use super::*;

    /// With couplings that are the identity Tweedie's estimate is the Wiener filter at every level, to the rounding of the scores.
    #[test]
    fn an_untrained_denoiser_is_the_wiener_filter() {
        let (spectrum, x) = spectrum();
        let mut core: Flow<f64> = fresh(4, &settings()).unwrap().cast();
        let context = |name: &str| name.starts_with("context.");
        core.parameters_mut().iter_mut().filter(|p| !context(&p.name)).for_each(|p| p.data.fill(0.0));
        for (k, noise) in settings().noise.into_iter().enumerate() {
            let flow = at_level(&core, &spectrum, &settings(), k).unwrap();
            let (own, linear) = (projected(&flow, &x, noise * noise).unwrap(), wiener(&spectrum, &x, noise));
            assert!(own.data().iter().zip(linear.data()).all(|(a, b)| (a - b).abs() < 1e-12));
        }
    }

    /// Rows of one level, whitened, have covariance one; each row meets every level, and no two epochs have the same noise.
    #[test]
    fn rows_with_noise_are_white() {
        let (spectrum, x) = spectrum();
        let settings = settings();
        let noisy = Noisy { spectrum: &spectrum, settings: &settings, seed: 7 };
        let along = noisy.along(&x);
        let epochs = [1, 2, 3].map(|epoch| noisy.drawn(&along, epoch));
        for i in 0..x.rows() {
            let levels: Vec<usize> =
                epochs.iter().map(|e| e.row(i)[4..].iter().position(|v| *v > 0.5).unwrap()).collect();
            assert_eq!(levels.iter().sum::<usize>(), 3);
        }
        let mean = |j: usize| -> f64 {
            let all = epochs.iter().flat_map(|e| (0..x.rows()).map(|i| f64::from(e[(i, j)]).powi(2)));
            all.sum::<f64>() / 900.0
        };
        // Variances of 900 draws of variance 1 and kurtosis at most 3: five standard errors.
        assert!((0..4).all(|j| (mean(j) - 1.0).abs() < 5.0 * (2.0_f64 / 900.0).sqrt()));
        assert!((epochs[0][(0, 0)] - epochs[1][(0, 0)]).abs() > 1e-6);
    }
}
