//! What a new model is and how it is trained.

use super::failure::Failure;
use super::session::warn;
use crate::data::Table;
use crate::flow::Base;
use crate::flow::presets::{Intervals, Mask, NAMES, Name, Nonlinearity, Preset};
use crate::train::{self, Design, Gauge, Preprocess, Race, Schedule, TrainOptions, race};
use eigenflow_linalg::Real;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;

/// Options of a new model and its training.
#[derive(clap::Args, Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    /// Flow: affine, glow, iaf, maf, nice, nsf, nsf-ar, paper, paper-tril, planar, radial, realnvp, residual or sylvester
    /// [default: nsf in train, but realnvp with --alpha, --gauge or --scale-bound and without --bins; realnvp in other commands]
    #[arg(long, value_name = "F", value_parser = flow)]
    pub flow: Option<Name>,
    /// Number of layers: couplings of realnvp, nice, nsf, steps of glow [default: 8], autoregressive layers of maf, iaf,
    /// nsf-ar [default: 5], activations of paper [default: 4], layers of planar and radial [default: 16], of sylvester [default: 8], of
    /// residual [default: 6]
    #[arg(long, value_name = "L")]
    pub layers: Option<usize>,
    /// Widths of a conditioner's hidden layers [default: 128,128; residual 64,64]
    #[arg(long, value_name = "W,W", value_delimiter = ',')]
    pub hidden: Option<Vec<usize>>,
    /// Residual networks as conditioners: pairs of hidden layers are blocks that are added [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub residual: Option<bool>,
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
    /// How couplings split columns: halves, alternating, mixed (both in turn) or random [default: random]; random orders the columns of
    /// autoregressive layers at random, otherwise the given order and its reverse take turns
    #[arg(long, value_name = "MASK", value_parser = named::<Mask>)]
    pub mask: Option<Mask>,
    /// Batch normalization after every so many layers of paper, between every so many autoregressive layers; 0 is never [default: 0]
    #[arg(long, value_name = "K")]
    pub batch_norm: Option<usize>,
    /// An affine layer at the latent end [default: false; true in verify]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub output_affine: Option<bool>,
    /// Where the columns' values lie, so that the model has no mass outside: positive, two ends as 0,1 or -inf,3, or real; one for
    /// all columns, or one for each with ; between them (in a file: a list) [default: real]
    #[arg(long, value_name = "SUPPORT", allow_hyphen_values = true)]
    pub support: Option<Intervals>,
    /// Base density: normal, diagonal, mixture (of diagonal normals), student (Student's t, degrees of freedom for each column) or
    /// uniform on (0, 1) [default: normal]
    #[arg(long, value_name = "B", value_parser = named::<Family>)]
    pub base: Option<Family>,
    /// Components of a mixture [default: 8]
    #[arg(long, value_name = "K")]
    pub base_components: Option<usize>,
    /// Keep the base's parameters as they start instead of training them [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub base_fixed: Option<bool>,
    /// Preprocessing, part of the model: none, standardize, isotropic (one scale for all columns), whiten, or auto, which tries
    /// standardize and whiten for a short time and takes what validates better [default: auto; standardize in verify]
    #[arg(long, value_name = "P", value_parser = named::<Preprocess>)]
    pub preprocess: Option<Preprocess>,
    /// Passes over the training rows [default: as many as make a million rows, between 10 and 200; in verify
    /// 3,000 steps, 400 with --quick, up to 200 and 40 epochs]
    #[arg(long, value_name = "E")]
    pub epochs: Option<usize>,
    /// Rows a step; 0 takes all rows at once [default: 256]
    #[arg(long, value_name = "B")]
    pub batch: Option<usize>,
    /// Learning rate of AdamW [default: 0.005]
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub lr: Option<f64>,
    /// How the learning rate changes: constant, cosine or plateau [default: cosine]
    #[arg(long, value_name = "S", value_parser = named::<Schedule>)]
    pub schedule: Option<Schedule>,
    /// Epochs in which the learning rate first rises from 0 along a line; 0.5 is half an epoch [default: 2 % of all with
    /// cosine, 0 with constant and plateau]
    #[arg(long, value_name = "E", allow_negative_numbers = true)]
    pub warm_up: Option<f64>,
    /// Decay of the moving average of weights, a step; the averaged model is validated and kept; 0 is no average
    /// [default: a window of a tenth of all steps, at most 500, whose decay is 0.998]
    #[arg(long, value_name = "B", allow_negative_numbers = true)]
    pub average: Option<f64>,
    /// Decoupled weight decay (AdamW): each step takes lr times this times the weight from it [default: 0]
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    pub weight_decay: Option<f64>,
    /// Tikhonov weight of |J|² (Frobenius), training units [default: 0; in verify 0.005 where the data have null directions and --noise is not
    /// given]
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
    /// Rows for a test, held out beside the validation rows and looked at once, in the end: a fraction of the data, or
    /// data of its own; 0 is none; not in verify [default: 0]
    #[arg(long, value_name = "FRACTION|DATA", allow_negative_numbers = true)]
    pub test: Option<Valid>,
    /// Epochs without improvement after which training stops; 0 never stops early [default: 20]
    #[arg(long, value_name = "P")]
    pub patience: Option<usize>,
    /// Largest 99th percentile of the condition number of J, training units; training stops beyond
    /// [default: none]
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub max_condition: Option<f64>,
    /// Columns, written like --columns, whose values are spread evenly over the width of their quantum, for no density fits
    /// few distinct values; not in verify [default: none]
    #[arg(long, value_name = "COLUMNS")]
    pub jitter_columns: Option<String>,
    /// Largest norm of a gradient; longer ones are scaled down [default: 5]
    #[arg(long, value_name = "C", allow_negative_numbers = true)]
    pub clip: Option<f64>,
    /// Estimate the penalty with one random tangent a row and step [default: beyond 64 columns; in verify beyond 12]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub stochastic_penalty: Option<bool>,
    /// Gauge, which of the flows of equal likelihood is wanted: none, or principal, whose latent axes are local principal axes (the
    /// contrast of claim C3 is penalised) [default: none]
    #[arg(long, value_name = "G", value_parser = named::<Gauge>)]
    pub gauge: Option<Gauge>,
    /// Weight of the gauge's penalty [default: 1]
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    pub gauge_weight: Option<f64>,
    /// TOML file with any options of the command as keys (flow = "realnvp", hidden = [64, 64]); options on the command line win
    #[arg(long, value_name = "FILE.toml")]
    config: Option<PathBuf>,
}

/// Families of base densities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Family {
    /// Standard normal.
    #[default]
    Normal,
    /// Diagonal normal.
    Diagonal,
    /// Mixture of diagonal normals.
    Mixture,
    /// Student's t.
    Student,
    /// Uniform.
    Uniform,
}

/// Where validation or test rows come from.
#[derive(Clone, Debug, PartialEq)]
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

impl Settings {
    /// The same with the flow that `train` takes where none is given: `nsf`, whose likelihood is the best for its time on most data;
    /// `realnvp`, smooth and quick to differentiate, where the objective has Jacobians in it. Bins are of splines alone, and choose them.
    pub(crate) fn or_default_flow(mut self) -> Self {
        let jacobians = self.alpha.is_some_and(|a| a != 0.0) || self.gauge.is_some_and(|g| g != Gauge::None);
        let smooth = self.bins.is_none() && (jacobians || self.scale_bound.is_some());
        let own = if smooth { Name::Realnvp } else { Name::Nsf };
        self.flow.get_or_insert(own);
        self
    }

    /// Whether anything is set that a given model does not take: all but its α.
    pub(crate) fn sets_a_new_model(&self) -> bool {
        *self != Self { alpha: self.alpha, config: self.config.clone(), ..Self::default() }
    }

    /// Whether anything is set of what a model is, and not of how it is trained.
    pub(crate) fn describes_a_model(&self) -> bool {
        let training = Self {
            flow: None,
            layers: None,
            hidden: None,
            residual: None,
            activation: None,
            bins: None,
            scale_bound: None,
            mask: None,
            batch_norm: None,
            output_affine: None,
            support: None,
            base: None,
            base_components: None,
            base_fixed: None,
            preprocess: None,
            ..self.clone()
        };
        *self != training
    }

    /// Warns of options that the flow does not take.
    pub(crate) fn warn_of_unused(&self) {
        let preset = self.preset();
        for option in preset.unused() {
            warn(&format!("{option}: is no option of {}, and not used", preset.flow.as_str()));
        }
        let no_gauge = self.gauge.unwrap_or_default() == Gauge::None;
        let plain = matches!(self.base.unwrap_or_default(), Family::Normal | Family::Uniform);
        let without = [
            ("--gauge-weight", self.gauge_weight.is_some() && no_gauge, "--gauge principal"),
            ("--base-fixed", self.base_fixed == Some(true) && plain, "a --base that is trained"),
        ];
        for (option, _, needs) in without.into_iter().filter(|(_, unused, _)| *unused) {
            warn(&format!("{option}: is not used without {needs}"));
        }
    }

    /// The flow.
    pub(crate) fn preset(&self) -> Preset {
        Preset {
            flow: self.flow.unwrap_or_default(),
            layers: self.layers,
            hidden: self.hidden.clone(),
            residual: self.residual.unwrap_or(false),
            activation: self.activation,
            bins: self.bins,
            scale_bound: self.scale_bound,
            mask: self.mask,
            batch_norm: self.batch_norm,
            output_affine: self.output_affine.unwrap_or(false),
            support: self.support.clone(),
        }
    }

    /// The base density.
    pub(crate) fn base(&self) -> Result<Base, Failure> {
        let learned = !self.base_fixed.unwrap_or(false);
        let family = self.base.unwrap_or_default();
        if self.base_components.is_some() && family != Family::Mixture {
            return Err(Failure::Input("--base-components: is for --base mixture alone".to_owned()));
        }
        let base = match family {
            Family::Normal => Base::Normal,
            Family::Diagonal => Base::Diagonal { learned },
            Family::Mixture => Base::Mixture { components: self.base_components.unwrap_or(8), learned },
            Family::Student => Base::Student { learned },
            Family::Uniform => Base::Uniform { low: 0.0, high: 1.0 },
        };
        base.check().map_err(|reason| Failure::Input(format!("--base {}: {reason}", base.as_str())))?;
        Ok(base)
    }

    /// The preprocessing of a design that leaves it open, `default` where no option says: `auto` is chosen by validation on
    /// these rows.
    pub(crate) fn preprocess<T: Real>(
        &self,
        default: Preprocess,
        design: &Design<'_>,
        training: &Table,
        valid: Option<&Table>,
        options: &TrainOptions,
    ) -> Result<Race, train::Error> {
        match self.preprocess.unwrap_or(default) {
            Preprocess::Auto => race::<T>(design, &training.values, valid.map(|v| &v.values), options),
            chosen => Ok(Race { chosen, losses: Vec::new() }),
        }
    }

    /// How it is trained.
    pub(crate) fn options(&self, seed: u64) -> TrainOptions {
        let default = TrainOptions::default();
        TrainOptions {
            epochs: self.epochs.unwrap_or(default.epochs),
            batch: self.batch.unwrap_or(default.batch),
            lr: self.lr.unwrap_or(default.lr),
            schedule: self.schedule.unwrap_or(default.schedule),
            warm_up: self.warm_up.or(default.warm_up),
            average: self.average.or(default.average),
            weight_decay: self.weight_decay.unwrap_or(default.weight_decay),
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
