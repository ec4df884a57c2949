//! `MODEL.checkpoint`: the best model so far, and beside it what training needs to go on to the same bits.

use super::failure::Failure;
use crate::data::Element;
use crate::flow::{AnyModel, Model, beside};
use crate::train::{State, TrainOptions, TrainingRecord};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// `MODEL.checkpoint`.
pub(super) fn place(model: &Path) -> PathBuf {
    let mut name = OsString::from(model);
    name.push(".checkpoint");
    name.into()
}

/// Key of the state in the record.
const STATE: &str = "state";

/// Writes the model, which has the best weights, with the state beside it.
pub(super) fn save<T: Element>(
    path: &Path,
    mut model: Model<T>,
    state: &State<T>,
    provenance: &Value,
) -> Result<(), Failure> {
    for (p, best) in model.flow.parameters_mut().iter_mut().zip(&state.best) {
        p.data.clone_from(best);
    }
    let mut record = with_record(provenance, &state.record);
    if let Some(fields) = record.as_object_mut() {
        fields.insert(STATE.into(), state.header());
    }
    model.record = Some(record);
    Ok(model.save_with(path, &state.tensors())?)
}

/// The state that stands beside a model, with the epochs that it has behind it and to come.
pub(super) fn state<T: Element>(
    path: &Path,
    model: &AnyModel,
    options: &TrainOptions,
) -> Result<State<T>, Failure> {
    let file = path.display();
    let fail = |problem: String| Failure::Input(format!("{file}: {problem}"));
    let model: Model<T> = model.cast();
    let record = model.record.clone().unwrap_or_default();
    let mut tensors = beside::<T>(path)?;
    let header = record.get(STATE).cloned().unwrap_or_default();
    let state = serde_json::from_value::<TrainingRecord>(record)
        .ok()
        .and_then(|record| State::from_parts(header, |name| tensors.remove(name), record, &model.flow))
        .ok_or_else(|| {
            fail("holds no state to resume, for training had failed or it is no checkpoint; give it as --from, which keeps \
                  the weights and starts the optimiser anew"
                .into())
        })?;
    let done = state.record.epochs.len();
    if done >= options.epochs {
        return Err(fail(format!("has {done} epochs behind it; give --epochs above that")));
    }
    if options.patience > 0 && state.progress.idle >= options.patience {
        let idle = state.progress.idle;
        return Err(fail(format!(
            "stopped early at epoch {done}, {idle} epochs after the best; give --patience above that, or 0"
        )));
    }
    Ok(state)
}

/// A training record with its provenance, as it stands in a model file. Nothing in it depends on the
/// clock, so the same run gives the same file.
pub(super) fn with_record(provenance: &Value, record: &TrainingRecord) -> Value {
    let mut value = serde_json::to_value(record).unwrap_or_default();
    if let (Some(to), Some(from)) = (value.as_object_mut(), provenance.as_object()) {
        to.extend(from.clone());
    }
    value
}
