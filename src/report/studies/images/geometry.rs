//! The flow whose local axes are looked at, and their figures.

use super::{Images, Observer, Recipe, Settings};
use crate::dimension::effective_dimension;
use crate::flow::bijections::{ActNorm, Affine, Form, Standardize};
use crate::flow::{Flow, Layer};
use crate::jacobian::{LeadingCovariance, leading_condition_numbers, leading_covariance, local_covariance};
use crate::report::studies::Mean;
use crate::theory::linear::Spectrum;
use crate::train::{self, TrainOptions, TrainingRecord, to_training_units};
use eigenflow_linalg::Matrix;
use std::f64::consts::TAU;

/// Columns from which one random tangent stands for `‖J‖²`.
const EXACT_COLUMNS: usize = 64;
/// Residual of leading axes, relative to their eigenvalues; of condition numbers.
const RESIDUAL: f64 = 1e-6;
const CONDITION: f64 = 1e-3;

/// Figures of the flow's local covariance at held-out rows.
#[derive(Clone, Debug)]
pub struct Geometry {
    /// Log-density of held-out rows less that of the normal distribution with the covariance `Σ + scale² I`, nats a row.
    pub gain: Mean,
    /// Held-out rows that are the examples, the first of each class; their leading axes.
    pub examples: Vec<usize>,
    /// Leading pairs at the examples, matrix-free, in units of grey.
    pub leading: LeadingCovariance<f64>,
    /// All local standard deviations at a few rows of every class, units of grey, `[rows, D]`.
    pub scales: Matrix<f64>,
    /// Local variance `Σ_k s_k²` of those rows. For draws of the flow its mean is at least their variance (Poincaré's inequality for normal
    /// latents, `Var g(z) <= E ‖∇g‖²`), and equal to it where the flow is linear.
    pub variance: Mean,
    /// Variance of the linear optimum, `Σ (λ + scale²)`.
    pub linear_variance: f64,
    /// Condition numbers of `J`.
    pub condition: Vec<f64>,
    /// Effective dimension of each class at the scale of the penalty.
    pub dimension: Vec<Mean>,
    /// That of the linear optimum: `Σ λ/(λ + scale²)`.
    pub linear_dimension: f64,
}

/// The couplings of a flow, with scales at the end.
pub(super) fn couplings(dim: usize, recipe: &Recipe, seed: u64) -> Result<Vec<Layer>, crate::flow::Error> {
    let mut layers = recipe.preset.layers(dim, seed)?;
    layers.push(ActNorm { dim }.into());
    Ok(layers)
}

/// Options of a training; no epoch is the last before its time.
pub(super) fn options(recipe: &Recipe, seed: u64) -> TrainOptions {
    let Recipe { epochs, batch, lr, .. } = *recipe;
    TrainOptions { epochs, batch, lr, seed, valid: 0.0, patience: 0, ..TrainOptions::default() }
}

/// One scale for all pixels: the root of their mean variance.
pub fn unit(spectrum: &Spectrum) -> f64 {
    (spectrum.values.iter().sum::<f64>() / spectrum.values.len() as f64).sqrt()
}

/// Weight and bias of the frozen affine layer `z_k = v_kᵀ (x - m) / √(λ_k + r)`, for rows in units of `scale` about `mean`.
pub(super) fn whitening(spectrum: &Spectrum, mean: &[f64], scale: f64, ridge: f64) -> [Vec<f64>; 2] {
    let d = mean.len();
    let root = |k: usize| (spectrum.values[k] / (scale * scale) + ridge).sqrt().recip();
    let weight = Matrix::from_fn(d, d, |k, j| spectrum.axes[(j, k)] * root(k));
    let bias = (0..d).map(|k| -(0..d).map(|j| weight[(k, j)] * mean[j] / scale).sum::<f64>()).collect();
    [weight.into_data(), bias]
}

/// A flow that is the linear optimum of the penalty where its couplings are the identity: one scale for all pixels, principal axes at
/// unit variance (noise of the penalty included), couplings.
///
/// # Errors
/// If an option is out of its range.
pub fn fresh(spectrum: &Spectrum, settings: &Settings) -> Result<Flow<f32>, crate::flow::Error> {
    let d = spectrum.mean.len();
    let mut layers: Vec<Layer> =
        vec![Standardize { dim: d }.into(), Affine { dim: d, form: Form::Full, frozen: true }.into()];
    layers.extend(couplings(d, &settings.geometry, settings.seed)?);
    let mut flow = Flow::new(layers, 1, settings.seed)?;
    let scale = unit(spectrum);
    let [weight, bias] = whitening(spectrum, &vec![0.0; d], scale, (settings.scale / scale).powi(2));
    let values = [&spectrum.mean, &vec![scale; d], &weight, &bias];
    for (p, values) in flow.parameters_mut().iter_mut().zip(values) {
        p.data = values.iter().map(|&v| v as f32).collect();
    }
    Ok(flow)
}

/// Trains it with the penalty, estimated along one random tangent a row and step, in single precision; keeps the epoch that validates best.
///
/// # Errors
/// As [`train::fit`].
pub fn trained(
    images: &Images,
    spectrum: &Spectrum,
    settings: &Settings,
    observer: &mut Observer<'_>,
) -> Result<(Flow<f64>, TrainingRecord), train::Error> {
    let mut flow = fresh(spectrum, settings)?;
    let alpha = 0.5 * (settings.scale / unit(spectrum)).powi(2);
    let options =
        TrainOptions { alpha, stochastic_penalty: Some(true), ..options(&settings.geometry, settings.seed) };
    let (rows, valid) = (images.training.cast(), images.valid.cast());
    let record = train::fit(&mut flow, &rows, Some(&valid), &options, &mut |row, _| observer(row))?;
    Ok((flow.cast(), record))
}

/// The figures of a flow.
///
/// # Errors
/// As [`leading_covariance`].
pub fn geometry(
    flow: &Flow<f64>,
    images: &Images,
    spectrum: &Spectrum,
    settings: &Settings,
) -> Result<Geometry, train::Error> {
    let (scale, seed) = (settings.scale, settings.seed);
    let log_q = flow.log_density(&images.held)?;
    let gains: Vec<f64> =
        log_q.iter().zip(normal_log_densities(spectrum, &images.held, scale)).map(|(q, p)| q - p).collect();
    let examples = images.of_each_class(1);
    let leading = leading_covariance(
        flow,
        &images.held_rows(&examples),
        settings.axes.min(flow.dim()),
        RESIDUAL,
        seed,
    )?;
    let [whole, conditions, _] = settings.rows;
    let scales = local_covariance(flow, &images.held_rows(&images.of_each_class(whole)), flow.dim())?.scales;
    let rows = images.held_rows(&images.of_each_class(conditions));
    let condition = leading_condition_numbers(flow, &rows, CONDITION, seed)?;
    let core = flow.part(flow.core())?;
    let variance = (scale / unit(spectrum)).powi(2);
    let units = to_training_units(flow, &images.held)?;
    let each = effective_dimension(&core, &units, variance, flow.dim() > EXACT_COLUMNS, seed)?;
    let of = |class: usize| -> Vec<f64> {
        each.iter().zip(&images.codes).filter(|(_, c)| **c == class).map(|(v, _)| *v).collect()
    };
    let variances: Vec<f64> = (0..scales.rows()).map(|i| scales.row(i).iter().map(|s| s * s).sum()).collect();
    Ok(Geometry {
        variance: Mean::of(&variances),
        linear_variance: spectrum.values.iter().map(|l| l + scale * scale).sum(),
        gain: Mean::of(&gains),
        examples,
        leading,
        scales,
        condition,
        dimension: (0..images.classes.len()).map(|class| Mean::of(&of(class))).collect(),
        linear_dimension: spectrum.values.iter().map(|l| l / (l + scale * scale)).sum(),
    })
}

/// Log-densities of `N(μ, Σ + σ²I)`.
fn normal_log_densities(spectrum: &Spectrum, x: &Matrix<f64>, noise: f64) -> Vec<f64> {
    let centred = Matrix::from_fn(x.rows(), x.cols(), |i, j| x[(i, j)] - spectrum.mean[j]);
    let along = centred.mul(&spectrum.axes);
    let one = |i: usize| {
        let term = |(c, l): (&f64, &f64)| c * c / (l + noise * noise) + (TAU * (l + noise * noise)).ln();
        -0.5 * along.row(i).iter().zip(&spectrum.values).map(term).sum::<f64>()
    };
    (0..x.rows()).map(one).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::flow::presets::{Name, Preset};
    use crate::random::generator;
    use rand::RngExt;

    pub(crate) fn settings() -> Settings {
        let preset = Preset { layers: Some(2), hidden: Some(vec![4]), ..Preset::named(Name::Realnvp) };
        let recipe = Recipe { preset, epochs: 1, batch: 64, lr: 1e-3 };
        let (geometry, denoiser) = (recipe.clone(), recipe);
        Settings { scale: 0.1, noise: [0.1, 0.2, 0.4], geometry, denoiser, axes: 2, rows: [2, 2, 2], seed: 1 }
    }

    /// Uniform 2 x 2 images, correlated.
    pub(crate) fn spectrum() -> (Spectrum, Matrix<f64>) {
        let mut random = generator(5, "images", 0);
        let raw = Matrix::from_fn(300, 4, |_, _| random.random::<f64>());
        let x = Matrix::from_fn(300, 4, |i, j| 0.6 * raw[(i, 0)] + 0.4 * raw[(i, j)]);
        (Spectrum::of(&x).unwrap(), x)
    }

    /// With couplings that are the identity the flow is the normal distribution with covariance `Σ + scale² I`, and its local covariance
    /// that matrix: densities and standard deviations agree to the rounding of single precision weights.
    #[test]
    fn a_fresh_flow_is_the_linear_optimum() {
        let (spectrum, x) = spectrum();
        let mut flow: Flow<f64> = fresh(&spectrum, &settings()).unwrap().cast();
        let couplings = flow.parameters_of(2).start;
        flow.parameters_mut()[couplings..].iter_mut().for_each(|p| p.data.fill(0.0));
        let (p, q) = (normal_log_densities(&spectrum, &x, 0.1), flow.log_density(&x).unwrap());
        assert!(p.iter().zip(&q).all(|(p, q)| (p - q).abs() < 1e-4), "{:?} {:?}", &p[..3], &q[..3]);
        let local = local_covariance(&flow, &Matrix::new(1, 4, x.row(0).to_vec()), 4).unwrap();
        for (k, l) in spectrum.values.iter().enumerate() {
            assert!((local.scales[(0, k)] / (l + 0.01).sqrt() - 1.0).abs() < 1e-5);
        }
    }
}
