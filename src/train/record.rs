//! What a training run leaves behind.

use super::TrainOptions;
use serde::{Deserialize, Serialize};

/// One epoch, as the progress bar shows it. Likelihoods are in nats per row of training units; with a variational dequantiser they are
/// bounds for whole numbers, of the data's own units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct EpochRow {
    /// Epoch, counted from 1.
    pub epoch: usize,
    /// Mean negative log-likelihood over the training steps.
    pub nll: f64,
    /// Mean negative log-likelihood of the validation rows (of the training rows without any).
    pub valid_nll: f64,
    /// 99th percentile of `κ(J)` over some validation rows, training units; infinite where `J` is singular.
    #[serde(with = "super::options::unbounded")]
    pub condition: f64,
    /// `1 - (E|f|² + 2α E‖J‖²_F) / D` over validation rows: 0 at a stationary point (virial identity).
    pub virial: f64,
    /// Learning rate at the end of the epoch.
    pub lr: f64,
}

/// Why training stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// All epochs were done.
    #[default]
    Finished,
    /// Validation did not improve for as long as the patience.
    EarlyStopping,
    /// The observer asked for it.
    Interrupted,
}

/// A training run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrainingRecord {
    /// Options it ran with.
    pub options: TrainOptions,
    /// Rows trained on.
    pub rows: usize,
    /// Rows validated on.
    pub valid_rows: usize,
    /// All epochs.
    pub epochs: Vec<EpochRow>,
    /// Epoch whose weights were kept.
    pub best_epoch: usize,
    /// Why it stopped.
    pub stop: Stop,
    /// What a user should know.
    pub warnings: Vec<String>,
}

impl TrainingRecord {
    /// The epoch whose weights were kept.
    pub fn best(&self) -> Option<&EpochRow> {
        self.epochs.iter().find(|e| e.epoch == self.best_epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A singular Jacobian must not make a record that cannot be read back.
    #[test]
    fn an_infinite_condition_survives_json() {
        let row =
            EpochRow { epoch: 1, nll: 0.5, valid_nll: 0.25, condition: f64::INFINITY, virial: 0.0, lr: 1e-3 };
        let record = TrainingRecord { epochs: vec![row], ..TrainingRecord::default() };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<TrainingRecord>(&text).unwrap(), record);
    }
}
