//! The course of training.

use crate::report::text::number;
use crate::theory::{Axis, Chart, Shape};
use crate::train::TrainingRecord;

/// Negative log-likelihood, condition of the Jacobian and virial residual over the epochs; empty without epochs. Without validation rows they are
/// those of the training rows, and called so.
pub fn training(record: &TrainingRecord) -> Vec<Chart> {
    let (Some(first), Some(last), Some(best)) = (record.epochs.first(), record.epochs.last(), record.best())
    else {
        return Vec::new();
    };
    let epoch: Vec<f64> = record.epochs.iter().map(|e| e.epoch as f64).collect();
    let of = |f: fn(&crate::train::EpochRow) -> f64| record.epochs.iter().map(f).collect::<Vec<f64>>();
    let (text, axis) = (|v: f64| number(v, 4), || Axis::linear("epoch"));
    let [rows, validated] =
        if record.valid_rows > 0 { ["held-out", "held out"] } else { ["training", "after the epoch"] };
    let likelihood = Chart::new("Likelihood over training", axis(), Axis::linear("negative log-likelihood (nats a row)"))
        .described(format!(
            "Negative log-likelihood of the {rows} rows, from {} to {} nats a row (training units; data units with a \
             variational dequantiser); the weights of epoch {} were kept, with {}.",
            text(first.valid_nll),
            text(last.valid_nll),
            best.epoch,
            text(best.valid_nll)
        ))
        .mark("training", Shape::Line, epoch.clone(), of(|e| e.nll))
        .mark(validated, Shape::Line, epoch.clone(), of(|e| e.valid_nll))
        .mark("kept", Shape::Points, vec![best.epoch as f64], vec![best.valid_nll]);
    let condition = Chart::new("Condition over training", axis(), Axis::log("κ(J), 99th percentile"))
        .described(format!(
            "Condition number of the Jacobian, 99th percentile over {rows} rows: {} after the first epoch, {} after the \
             last. Without a regulariser it grows without bound where the data have null directions.",
            text(first.condition),
            text(last.condition)
        ))
        .mark("κ(J)", Shape::Line, epoch.clone(), of(|e| e.condition));
    let virial = Chart::new("Virial residual over training", axis(), Axis::linear("1 − (E‖f‖² + 2αE‖J‖²)/D"))
        .described(format!(
            "The virial residual is zero at a stationary point of the output layer's scale; after the last epoch it is {}.",
            text(last.virial)
        ))
        .mark("residual", Shape::Line, epoch.clone(), of(|e| e.virial))
        .mark("stationary", Shape::Dashed, vec![epoch[0], epoch[epoch.len() - 1]], vec![0.0; 2]);
    vec![likelihood, condition, virial]
}
