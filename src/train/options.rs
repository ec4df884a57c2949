//! Options of a training run, with defaults that a user need not touch.

use super::{Error, Gauge};
use serde::{Deserialize, Serialize};

/// How the learning rate changes over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Always the same.
    Constant,
    /// `lr (1 + cos(π t)) / 2` after a linear warm-up over the first 2 % of steps.
    #[default]
    Cosine,
    /// Halved whenever validation has not improved for a third of the patience.
    Plateau,
}

/// Options of a training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainOptions {
    /// Passes over the training rows.
    pub epochs: usize,
    /// Rows a step; 0 takes all rows at once.
    pub batch: usize,
    /// Learning rate of Adam.
    pub lr: f64,
    /// How it changes.
    pub schedule: Schedule,
    /// Tikhonov weight `α` of `‖J‖²_F`, training units.
    pub alpha: f64,
    /// Weight of `Σ ‖W‖²_F` over weight matrices.
    pub alpha_weights: f64,
    /// Standard deviation of input noise, training units.
    pub noise: f64,
    /// Fraction of rows held out for validation.
    pub valid: f64,
    /// Epochs without improvement after which training stops; 0 never stops early.
    pub patience: usize,
    /// Largest allowed 99th percentile of `κ(J)`, training units.
    #[serde(with = "unbounded", skip_serializing_if = "is_infinite")]
    pub max_condition: f64,
    /// Largest norm of a gradient; longer ones are scaled down.
    pub clip: f64,
    /// Whether the penalty is estimated with one random tangent a row and step. Unset: for more than
    /// 64 columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stochastic_penalty: Option<bool>,
    /// Which of the flows of equal likelihood is wanted.
    #[serde(skip_serializing_if = "Gauge::is_none")]
    pub gauge: Gauge,
    /// Weight of the gauge's penalty.
    #[serde(skip_serializing_if = "is_one")]
    pub gauge_weight: f64,
    /// Seed of weights, order, noise and splits.
    pub seed: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
fn is_infinite(x: &f64) -> bool {
    x.is_infinite()
}

#[allow(clippy::trivially_copy_pass_by_ref, clippy::float_cmp)] // serde calls it so; the default as it was set
fn is_one(x: &f64) -> bool {
    *x == 1.0
}

/// JSON has no infinity: it is written as null, and null or an absent number is infinite.
pub(super) mod unbounded {
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
    pub fn serialize<S: Serializer>(x: &f64, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(*x)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(d)?.unwrap_or(f64::INFINITY))
    }
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch: 256,
            lr: 2e-3,
            schedule: Schedule::default(),
            alpha: 0.0,
            alpha_weights: 0.0,
            noise: 0.0,
            valid: 0.1,
            patience: 20,
            max_condition: f64::INFINITY,
            clip: 5.0,
            stochastic_penalty: None,
            gauge: Gauge::None,
            gauge_weight: 1.0,
            seed: 0,
        }
    }
}

impl TrainOptions {
    /// That every number lies in its range.
    pub fn check(&self) -> Result<(), Error> {
        let checks: [(&'static str, f64, bool, &'static str); 8] = [
            ("--lr", self.lr, self.lr > 0.0 && self.lr.is_finite(), "positive"),
            ("--alpha", self.alpha, self.alpha >= 0.0 && self.alpha.is_finite(), "at least 0"),
            (
                "--alpha-weights",
                self.alpha_weights,
                self.alpha_weights >= 0.0 && self.alpha_weights.is_finite(),
                "at least 0",
            ),
            ("--noise", self.noise, self.noise >= 0.0 && self.noise.is_finite(), "at least 0"),
            ("--valid", self.valid, (0.0..1.0).contains(&self.valid), "in [0, 1)"),
            ("--max-condition", self.max_condition, self.max_condition > 1.0, "above 1"),
            ("--clip", self.clip, self.clip > 0.0, "positive"),
            (
                "--gauge-weight",
                self.gauge_weight,
                self.gauge_weight >= 0.0 && self.gauge_weight.is_finite(),
                "at least 0",
            ),
        ];
        for (option, value, ok, range) in checks {
            if !ok {
                return Err(Error::Option { option, value: value.to_string(), range });
            }
        }
        Ok(())
    }

    /// The learning rate at step `step` of `steps`, before any plateau factor.
    pub fn rate(&self, step: usize, steps: usize) -> f64 {
        let t = step as f64 / steps.max(1) as f64;
        match self.schedule {
            Schedule::Constant | Schedule::Plateau => self.lr,
            Schedule::Cosine => {
                const WARM_UP: f64 = 0.02;
                if t < WARM_UP {
                    let first = 1.0 / (WARM_UP * steps.max(1) as f64).max(1.0);
                    self.lr * (t / WARM_UP).max(first)
                } else {
                    let t = (t - WARM_UP) / (1.0 - WARM_UP);
                    self.lr * 0.5 * (1.0 + (std::f64::consts::PI * t).cos())
                }
            }
        }
    }
}
