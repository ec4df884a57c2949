//! Options of a training run, with defaults that a user need not touch.

use super::{Error, Gauge};
use serde::{Deserialize, Serialize};

/// How the learning rate changes over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Always the same.
    Constant,
    /// `lr (1 + cos(π t)) / 2`, `t` from 0 to 1 after the warm-up.
    #[default]
    Cosine,
    /// Halved whenever validation has not improved for a third of the patience (of its default, where that is 0).
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
    /// Epochs (not only whole ones) in which the rate first rises to `lr` along a line. Unset: 2 % of all steps with the
    /// cosine schedule, none with the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<f64>,
    /// Decay `β` of the moving average of weights, a step: the average is what is validated and kept. 0 keeps the weights
    /// themselves. Unset: a window `1/(1 - β)` of a tenth of all steps, at most 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
    /// Decoupled weight decay `λ` (`AdamW`) of weight matrices: each step takes `lr λ w` from them.
    pub weight_decay: f64,
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
            lr: 5e-3,
            schedule: Schedule::default(),
            warm_up: None,
            average: None,
            weight_decay: 0.0,
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
    /// Epochs that make about a million rows, between 10 and 200: what a model takes, whatever the size of the data.
    ///
    /// ```
    /// use eigenflow::train::TrainOptions;
    /// assert_eq!([100, 15_000, 80_000, 9_000_000].map(TrainOptions::epochs_for), [200, 67, 13, 10]);
    /// ```
    pub fn epochs_for(rows: usize) -> usize {
        1_000_000_usize.div_ceil(rows.max(1)).clamp(10, 200)
    }

    /// Whether the objective has a regulariser beside `α‖J‖²`: noise, weights, or a gauge.
    ///
    /// ```
    /// use eigenflow::train::{Gauge, TrainOptions};
    /// let plain = TrainOptions { alpha: 0.01, ..TrainOptions::default() };
    /// assert!(!plain.has_other_regularisers());
    /// for options in [
    ///     TrainOptions { noise: 0.1, ..plain.clone() },
    ///     TrainOptions { weight_decay: 0.1, ..plain.clone() },
    ///     TrainOptions { alpha_weights: 0.1, ..plain.clone() },
    ///     TrainOptions { gauge: Gauge::Principal, ..plain.clone() },
    /// ] {
    ///     assert!(options.has_other_regularisers());
    /// }
    /// ```
    pub fn has_other_regularisers(&self) -> bool {
        let gauge = self.gauge != Gauge::None && self.gauge_weight > 0.0;
        self.noise > 0.0 || self.alpha_weights > 0.0 || self.weight_decay > 0.0 || gauge
    }

    /// That every number lies in its range.
    pub fn check(&self) -> Result<(), Error> {
        let checks: [(&'static str, f64, bool, &'static str); 11] = [
            ("--lr", self.lr, self.lr > 0.0 && self.lr.is_finite(), "positive"),
            (
                "--warm-up",
                self.warm_up.unwrap_or(0.0),
                self.warm_up.is_none_or(|e| e >= 0.0 && e.is_finite()),
                "at least 0",
            ),
            (
                "--average",
                self.average.unwrap_or(0.0),
                self.average.is_none_or(|b| (0.0..1.0).contains(&b)),
                "in [0, 1)",
            ),
            (
                "--weight-decay",
                self.weight_decay,
                self.weight_decay >= 0.0 && self.weight_decay.is_finite(),
                "at least 0",
            ),
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

    /// The decay of the average in a run of so many steps.
    pub(super) fn decay(&self, steps: usize) -> f64 {
        const LONGEST: f64 = 500.0;
        self.average.unwrap_or_else(|| 1.0 - (0.1 * steps as f64).clamp(1.0, LONGEST).recip())
    }

    /// The learning rate at step `step` (from 0) of `steps`, before any plateau factor: `lr (step + 1) / W` in the `W` steps
    /// of the warm-up, the schedule from there.
    ///
    /// ```
    /// use eigenflow::train::TrainOptions;
    /// let options = TrainOptions { lr: 1.0, epochs: 2, warm_up: Some(0.5), ..TrainOptions::default() };
    /// let rates: Vec<f64> = (0..8).map(|k| options.rate(k, 8)).collect();
    /// // Half an epoch is two steps; six steps of half a cosine wave: 1, (1 + cos 30°)/2, …
    /// let by_hand = [0.5, 1.0, 1.0, 0.9330, 0.75, 0.5, 0.25, 0.0670];
    /// assert!(rates.iter().zip(by_hand).all(|(a, b)| (a - b).abs() < 1e-4), "{rates:?}");
    /// ```
    pub fn rate(&self, step: usize, steps: usize) -> f64 {
        let all = steps.max(1) as f64;
        let warm_up = match (self.warm_up, self.schedule) {
            (Some(epochs), _) => epochs * all / self.epochs.max(1) as f64,
            (None, Schedule::Cosine) => 0.02 * all,
            (None, _) => 0.0,
        };
        let done = step as f64;
        if done < warm_up.floor() {
            return self.lr * (done + 1.0) / warm_up.floor();
        }
        match self.schedule {
            Schedule::Constant | Schedule::Plateau => self.lr,
            Schedule::Cosine => {
                let t = (done - warm_up.floor()) / (all - warm_up.floor()).max(1.0);
                self.lr * 0.5 * (1.0 + (std::f64::consts::PI * t).cos())
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact results are asserted")]
mod tests {
    use super::*;

    /// Warm-up rises along a line to the rate, whatever the schedule; without it the schedule starts at once.
    #[test]
    fn rates_by_hand() {
        let of = |schedule, warm_up| {
            let options = TrainOptions { lr: 8.0, epochs: 5, schedule, warm_up, ..TrainOptions::default() };
            (0..10).map(|k| options.rate(k, 10)).collect::<Vec<_>>()
        };
        for schedule in [Schedule::Constant, Schedule::Plateau] {
            assert_eq!(of(schedule, Some(2.0)), [2.0, 4.0, 6.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0]);
            assert_eq!(of(schedule, None), [8.0; 10]);
        }
        let cosine = of(Schedule::Cosine, Some(1.0));
        assert_eq!((cosine[0], cosine[1], cosine[2]), (4.0, 8.0, 8.0));
        assert!((cosine[6] - 4.0).abs() < 1e-14 && cosine[9] < 0.4, "{cosine:?}");
        assert!(cosine[2..].is_sorted_by(|a, b| a > b));
        // 2 % of ten steps is none.
        assert_eq!(of(Schedule::Cosine, None)[0], 8.0);
    }

    #[test]
    fn the_average_follows_the_length_of_the_run() {
        let of = |average| move |steps| TrainOptions { average, ..TrainOptions::default() }.decay(steps);
        assert_eq!([5, 200, 5000, 1_000_000].map(of(None)), [0.0, 0.95, 0.998, 0.998]);
        assert_eq!([5, 1_000_000].map(of(Some(0.9))), [0.9, 0.9]);
    }

    #[test]
    fn options_out_of_range_are_named() {
        let bad = [
            (TrainOptions { average: Some(1.0), ..TrainOptions::default() }, "--average"),
            (TrainOptions { weight_decay: -1.0, ..TrainOptions::default() }, "--weight-decay"),
            (TrainOptions { warm_up: Some(f64::NAN), ..TrainOptions::default() }, "--warm-up"),
        ];
        for (options, name) in bad {
            assert!(options.check().unwrap_err().to_string().starts_with(name));
        }
    }
}
