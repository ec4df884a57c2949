//! The flow, its training, and its score.

use super::pixels::{COLUMNS, LAMBDA, LEVELS, Pixels};
use eigenflow::data::table::permutation;
use eigenflow::flow::bijections::{Logit, Standardize};
use eigenflow::flow::presets::{Name, Nonlinearity, Preset};
use eigenflow::flow::{Flow, Layer};
use eigenflow::random::hash_words;
use eigenflow::train::{Stepper, TrainOptions};
use eigenflow_linalg::Matrix;
use std::error::Error;
use std::f64::consts::LN_2;
use std::fmt;
use std::ops::ControlFlow;

/// The flow and its training; the paper's where not said otherwise.
#[derive(clap::Args, Clone, Debug)]
pub struct Settings {
    /// Passes over the training rows at most
    #[arg(long, default_value_t = 12)]
    pub epochs: usize,
    /// Rows a step
    #[arg(long, default_value_t = 256)]
    pub batch: usize,
    /// Learning rate of Adam, falling to 0 along a cosine
    #[arg(long, default_value_t = 1e-3)]
    pub lr: f64,
    /// Weight of the squared weights
    #[arg(long, default_value_t = 1e-6)]
    pub alpha_weights: f64,
    /// Largest norm of a gradient
    #[arg(long, default_value_t = 100.0)]
    pub clip: f64,
    /// Bound c of a column's log-scale in one layer
    #[arg(long, default_value_t = 3.0)]
    pub scale_bound: f64,
    /// Autoregressive layers
    #[arg(long, default_value_t = 5)]
    pub layers: usize,
    /// Units of the networks' one hidden layer
    #[arg(long, default_value_t = 1024)]
    pub hidden: usize,
    /// The networks' nonlinearity: relu, tanh or silu. What a bounded one (tanh) moves a column by is bounded; of the others' draws some run
    /// away along the 784 columns
    #[arg(long, default_value = "relu", value_parser = nonlinearity)]
    pub activation: Nonlinearity,
    /// Training rows at most
    #[arg(long, default_value_t = 50_000)]
    pub rows: usize,
    /// Epochs without improvement after which training stops
    #[arg(long, default_value_t = 5)]
    pub patience: usize,
    /// Seed of weights, orders and noise
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

fn nonlinearity(text: &str) -> Result<Nonlinearity, String> {
    serde_json::from_value(text.into()).map_err(|e| e.to_string())
}

/// A mean over rows and its standard error.
#[derive(Clone, Copy, Debug)]
pub struct Mean {
    pub mean: f64,
    pub error: f64,
}

impl Mean {
    fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
        Self { mean, error: (variance / n).sqrt() }
    }
}

/// One epoch; negative log-likelihoods in nats, in logit space.
pub struct Epoch {
    pub number: usize,
    /// Mean over the steps.
    pub training: f64,
    /// Over the validation rows.
    pub valid: Mean,
    /// Whether no epoch before was better.
    pub is_best: bool,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, training, valid, is_best } = self;
        let mark = if *is_best { " *" } else { "" };
        write!(
            f,
            "epoch {number}: {training:.2} nats, validation {:.2} +- {:.2}{mark}",
            valid.mean, valid.error
        )
    }
}

/// Layers that take data to training units: the logit, and centring and scaling.
const PREPROCESSING: usize = 2;

/// The flow with new weights: logits, standardised by the training rows, and `maf` with batch normalization between its layers.
pub fn fresh(training: &Pixels, settings: &Settings) -> Result<Flow<f32>, Box<dyn Error>> {
    let maf = Preset {
        layers: Some(settings.layers),
        hidden: Some(vec![settings.hidden]),
        activation: Some(settings.activation),
        scale_bound: Some(settings.scale_bound),
        batch_norm: Some(1),
        ..Preset::named(Name::Maf)
    };
    let mut layers: Vec<Layer> = vec![
        Logit { dim: COLUMNS, low: 0.0, high: LEVELS, margin: LAMBDA }.into(),
        Standardize { dim: COLUMNS }.into(),
    ];
    layers.extend(maf.layers(COLUMNS, settings.seed)?);
    let mut flow = Flow::new(layers, PREPROCESSING, settings.seed)?;
    let (mut sum, mut square) = (vec![0.0; COLUMNS], vec![0.0; COLUMNS]);
    for_blocks(training, settings.seed, |block| {
        for row in block.data().chunks_exact(COLUMNS) {
            for (j, &v) in row.iter().enumerate() {
                sum[j] += f64::from(v);
                square[j] += f64::from(v) * f64::from(v);
            }
        }
        Ok(())
    })?;
    let n = training.rows() as f64;
    let first = flow.parameters_of(1).start;
    for j in 0..COLUMNS {
        // Each column has the noise's own spread, so that none is constant.
        let mean = sum[j] / n;
        flow.parameters_mut()[first].data[j] = mean as f32;
        flow.parameters_mut()[first + 1].data[j] = (square[j] / n - mean * mean).sqrt() as f32;
    }
    Ok(flow)
}

/// Sees an epoch and the flow after it, and says whether to go on.
pub type Observer<'a> = dyn FnMut(&Epoch, &Flow<f32>) -> Result<ControlFlow<()>, Box<dyn Error>> + 'a;

/// Trains the flow; `observer` sees each epoch, and may stop.
pub fn train(
    flow: &mut Flow<f32>,
    training: &Pixels,
    valid: &Pixels,
    settings: &Settings,
    observer: &mut Observer<'_>,
) -> Result<(), Box<dyn Error>> {
    let Settings { epochs, lr, alpha_weights, clip, seed, .. } = *settings;
    let batch = settings.batch.clamp(1, training.rows());
    let options = TrainOptions { epochs, batch, lr, alpha_weights, clip, seed, ..TrainOptions::default() };
    options.check()?;
    let first = flow.parameters_of(1).start;
    let [mean, scale] = [0, 1].map(|k| flow.parameters()[first + k].data.clone());
    // What standardisation adds to a log-likelihood.
    let log_scale: f64 = scale.iter().map(|&s| f64::from(s).ln()).sum();
    let mut stepper = Stepper::new(flow, batch, &options)?;
    let mut rows = vec![0.0; batch * COLUMNS];
    let per_epoch = training.rows() / batch;
    let (mut best, mut idle) = (f64::INFINITY, 0);
    for epoch in 1..=epochs {
        let order = permutation(training.rows(), hash_words(seed, [epoch as u64]), "mnist-order");
        let mut sum = 0.0;
        for (k, chosen) in order.chunks_exact(batch).enumerate() {
            // Draw 0 is that of scores.
            training.logits(chosen, seed, epoch as u64, |j, v| (v as f32 - mean[j]) / scale[j], &mut rows);
            let rate = options.rate((epoch - 1) * per_epoch + k, epochs * per_epoch);
            sum += f64::from(stepper.step(flow, &rows, &[], rate)?);
        }
        let valid = score(flow, valid, seed)?.0;
        let is_best = valid.mean < best;
        (best, idle) = if is_best { (valid.mean, 0) } else { (best, idle + 1) };
        let training = sum / per_epoch as f64 + log_scale;
        let stop = observer(&Epoch { number: epoch, training, valid, is_best }, flow)?;
        if stop.is_break() || idle >= settings.patience.max(1) {
            break;
        }
    }
    Ok(())
}

/// Negative log-likelihood of rows in logit space, in nats, and bits per dimension by the paper's conversion,
/// `-log p(x) / (D ln 2) - log2(1 - 2λ) + 8 + Σ_i [log2 σ(x_i) + log2(1 - σ(x_i))] / D`.
pub fn score(flow: &Flow<f32>, pixels: &Pixels, seed: u64) -> Result<(Mean, Mean), Box<dyn Error>> {
    let (mut nats, mut bits) = (Vec::new(), Vec::new());
    let layers = 1..flow.layers().len();
    for_blocks(pixels, seed, |block| {
        let log_p = flow.run(block, |params, x| vec![flow.record_log_density(params, x, layers.clone())])?;
        for (log_p, row) in log_p[0].iter().zip(block.data().chunks_exact(COLUMNS)) {
            nats.push(-f64::from(*log_p));
            bits.push(bits_per_dimension(f64::from(*log_p), row));
        }
        Ok(())
    })?;
    match nats.iter().position(|v| !v.is_finite()) {
        Some(row) => Err(format!("the likelihood of row {row} is not finite").into()),
        None => Ok((Mean::of(&nats), Mean::of(&bits))),
    }
}

/// Bits per dimension of a row of logits with this log-density.
pub fn bits_per_dimension(log_p: f64, logits: &[f32]) -> f64 {
    let d = logits.len() as f64;
    // log σ(x) + log(1 - σ(x)) = -|x| - 2 log(1 + e^-|x|)
    let edges = |x: &f32| -f64::from(x.abs()) - 2.0 * (-f64::from(x.abs())).exp().ln_1p();
    let logistic: f64 = logits.iter().map(edges).sum();
    -log_p / (d * LN_2) - (1.0 - 2.0 * LAMBDA).log2() + LEVELS.log2() + logistic / (d * LN_2)
}

/// Rows at a time.
const BLOCK: usize = 1000;

/// All rows as logits, block by block, with the noise of draw 0.
fn for_blocks(
    pixels: &Pixels,
    seed: u64,
    mut f: impl FnMut(&Matrix<f32>) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let all: Vec<usize> = (0..pixels.rows()).collect();
    for chosen in all.chunks(BLOCK) {
        let mut block = Matrix::new(chosen.len(), COLUMNS, vec![0.0; chosen.len() * COLUMNS]);
        pixels.logits(chosen, seed, 0, |_, v| v as f32, block.data_mut());
        f(&block)?;
    }
    Ok(())
}
