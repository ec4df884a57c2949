//! What a new model is and how it is trained: options of the command line, or keys of a TOML file.

use super::failure::Failure;
use crate::flow::presets::{Mask, NAMES, Name, Nonlinearity, Preset};
use crate::train::{Gauge, Preprocess, Schedule, TrainOptions};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// The options that a file can hold too; the command line wins.
#[derive(clap::Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// Flow: affine, glow, iaf, maf, nice, nsf, nsf-ar, paper, paper-tril or realnvp [default: realnvp]
    #[arg(long, value_name = "F", value_parser = flow)]
    pub flow: Option<Name>,
    /// Number of layers: couplings of realnvp, nice, nsf, steps of glow [default: 8], autoregressive layers of maf, iaf,
    /// nsf-ar [default: 5], activations of paper [default: 4]
    #[arg(long, value_name = "L")]
    pub layers: Option<usize>,
    /// Widths of a conditioner's hidden layers [default: 128,128]
    #[arg(long, value_name = "W,W", value_delimiter = ',')]
    pub hidden: Option<Vec<usize>>,
    /// Activation: prelu, sinh or asinh of paper [default: prelu]; tanh, relu or silu of conditioners
    /// [default: silu]
    #[arg(long, value_name = "A", value_parser = named::<Nonlinearity>)]
    pub activation: Option<Nonlinearity>,
    /// Bins of the splines of nsf and nsf-ar [default: 8]
    #[arg(long, value_name = "K")]
    pub bins: Option<usize>,
    /// Bound c of a coupling's log-scale: the scale lies in [e^-c, e^c] [default: 2]
    #[arg(long, value_name = "C", allow_negative_numbers = true)]
    pub scale_bound: Option<f64>,
    /// How couplings split columns: halves, alternating or random [default: random]; random orders the columns of
    /// autoregressive layers at random, otherwise the given order and its reverse take turns
    #[arg(long, value_name = "MASK", value_parser = named::<Mask>)]
    pub mask: Option<Mask>,
    /// Batch normalization after every so many layers of paper; 0 is never [default: 0]
    #[arg(long, value_name = "K")]
    pub batch_norm: Option<usize>,
    /// An affine layer at the latent end [default: false; true in verify]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub output_affine: Option<bool>,
    /// Preprocessing, part of the model: none, standardize or whiten [default: standardize]
    #[arg(long, value_name = "P", value_parser = named::<Preprocess>)]
    pub preprocess: Option<Preprocess>,
    /// Passes over the training rows [default: 100]
    #[arg(long, value_name = "E")]
    pub epochs: Option<usize>,
    /// Rows a step; 0 takes all rows at once [default: 256]
    #[arg(long, value_name = "B")]
    pub batch: Option<usize>,
    /// Learning rate of Adam [default: 0.002]
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub lr: Option<f64>,
    /// How the learning rate changes: constant, cosine or plateau [default: cosine]
    #[arg(long, value_name = "S", value_parser = named::<Schedule>)]
    pub schedule: Option<Schedule>,
    /// Tikhonov weight of |J|² (Frobenius), training units [default: 0]
    #[arg(long, value_name = "A", allow_negative_numbers = true)]
    pub alpha: Option<f64>,
    /// Weight of the squared norms of weight matrices [default: 0]
    #[arg(long, value_name = "A", allow_negative_numbers = true)]
    pub alpha_weights: Option<f64>,
    /// Standard deviation of input noise, training units [default: 0]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub noise: Option<f64>,
    /// Rows for validation: a fraction of the data, or data of its own; 0 is none [default: 0.1]
    #[arg(long, value_name = "FRACTION|DATA", allow_negative_numbers = true)]
    pub valid: Option<Valid>,
    /// Epochs without improvement after which training stops; 0 never stops early [default: 20]
    #[arg(long, value_name = "P")]
    pub patience: Option<usize>,
    /// Largest 99th percentile of the condition number of J, training units; training stops beyond
    /// [default: none]
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub max_condition: Option<f64>,
    /// Largest norm of a gradient; longer ones are scaled down [default: 5]
    #[arg(long, value_name = "C", allow_negative_numbers = true)]
    pub clip: Option<f64>,
    /// Estimate the penalty with one random tangent a row and step [default: beyond 64 columns]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub stochastic_penalty: Option<bool>,
    /// Gauge, which of the flows of equal likelihood is wanted: none, or principal, whose latent axes are local principal axes (the
    /// contrast of claim C3 is penalised) [default: none]
    #[arg(long, value_name = "G", value_parser = named::<Gauge>)]
    pub gauge: Option<Gauge>,
    /// Weight of the gauge's penalty [default: 1]
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    pub gauge_weight: Option<f64>,
}

/// Settings, and the file that holds those that are not given.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct WithFile {
    #[command(flatten)]
    settings: Settings,
    /// TOML file with any of these options as keys (flow = "realnvp", hidden = [64, 64]); options on the command line win
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
}

/// Where validation rows come from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Valid {
    /// A fraction of the data.
    Fraction(f64),
    /// Data of its own.
    Data(String),
}

impl std::str::FromStr for Valid {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Data(text.to_owned()), Self::Fraction))
    }
}

/// A name by its spelling in files.
fn named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|e| e.to_string().replace("unknown variant", "there is no"))
}

fn flow(text: &str) -> Result<Name, String> {
    named(text).map_err(|_| format!("this flow is not built; there are: {}", NAMES.join(", ")))
}

macro_rules! prefer {
    ($first:expr, $second:expr, $($field:ident),* $(,)?) => {
        Settings { $($field: $first.$field.or($second.$field)),* }
    };
}

impl WithFile {
    /// The settings of the command line, and of the file where those are silent.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let given = self.settings.clone();
        let Some(path) = &self.config else { return Ok(given) };
        let file = read(path)?;
        Ok(prefer!(
            given,
            file,
            flow,
            layers,
            hidden,
            activation,
            bins,
            scale_bound,
            mask,
            batch_norm,
            output_affine,
            preprocess,
            epochs,
            batch,
            lr,
            schedule,
            alpha,
            alpha_weights,
            noise,
            valid,
            patience,
            max_condition,
            clip,
            stochastic_penalty,
            gauge,
            gauge_weight,
        ))
    }
}

fn read(path: &Path) -> Result<Settings, Failure> {
    let file = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failure::Input(format!("--config {file}: cannot be read: {e}")))?;
    toml::from_str(&text)
        .map_err(|e| Failure::Input(format!("--config {file}: {}", e.to_string().trim_end())))
}

impl Settings {
    /// The flow.
    pub(crate) fn preset(&self) -> Preset {
        Preset {
            flow: self.flow.unwrap_or_default(),
            layers: self.layers,
            hidden: self.hidden.clone(),
            activation: self.activation,
            bins: self.bins,
            scale_bound: self.scale_bound,
            mask: self.mask,
            batch_norm: self.batch_norm,
            output_affine: self.output_affine.unwrap_or(false),
        }
    }

    /// The preprocessing.
    pub(crate) fn preprocess(&self) -> Preprocess {
        self.preprocess.unwrap_or_default()
    }

    /// How it is trained.
    pub(crate) fn options(&self, seed: u64) -> TrainOptions {
        let default = TrainOptions::default();
        TrainOptions {
            epochs: self.epochs.unwrap_or(default.epochs),
            batch: self.batch.unwrap_or(default.batch),
            lr: self.lr.unwrap_or(default.lr),
            schedule: self.schedule.unwrap_or(default.schedule),
            alpha: self.alpha.unwrap_or(default.alpha),
            alpha_weights: self.alpha_weights.unwrap_or(default.alpha_weights),
            noise: self.noise.unwrap_or(default.noise),
            valid: match self.valid {
                Some(Valid::Fraction(f)) => f,
                Some(Valid::Data(_)) => 0.0,
                None => default.valid,
            },
            patience: self.patience.unwrap_or(default.patience),
            max_condition: self.max_condition.unwrap_or(default.max_condition),
            clip: self.clip.unwrap_or(default.clip),
            stochastic_penalty: self.stochastic_penalty,
            gauge: self.gauge.unwrap_or(default.gauge),
            gauge_weight: self.gauge_weight.unwrap_or(default.gauge_weight),
            seed,
        }
    }
}
