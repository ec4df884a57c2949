//! One run, with one seed.

use super::start::Start;
use super::{Job, Trained, named};
use crate::cli::checkpoint::{self, with_record};
use crate::cli::failure::Failure;
use crate::cli::interrupt;
use crate::cli::output::number;
use crate::cli::parts::Parts;
use crate::cli::progress::Progress;
use crate::cli::session::warn;
use crate::data::{Element, Table};
use crate::flow::{AnyModel, Dequantize, Model};
use crate::train::{self, EpochRow, Preprocess, Race, Stop, TrainOptions, TrainingRecord};
use eigenflow_linalg::Matrix;
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Least time between two checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);

impl Job<'_> {
    /// One run, with one seed.
    pub(super) fn one<T: Element>(
        &self,
        options: TrainOptions,
        parts: &Parts,
        resumed: Option<&AnyModel>,
        race: Option<&Race>,
    ) -> Result<Trained<T>, Failure> {
        let (s, training) = (self.s, &parts.training);
        let x: Matrix<T> = training.cast()?;
        let held: Option<Matrix<T>> = parts.valid.as_ref().map(Table::cast).transpose()?;
        let Start { mut model, warnings, state } = match resumed {
            None => self.fresh(parts, race.map_or(Preprocess::Standardize, |r| r.chosen), &options)?,
            Some(given) if self.a.from.is_some() => self.continued(given.cast(), training)?,
            Some(checkpoint) => self.resumed(checkpoint, training, &options)?,
        };
        for warning in &warnings {
            warn(warning);
        }

        interrupt::wait_for_epoch();
        s.note(&format!(
            "training {} on {} rows, {} for validation{}; Ctrl-C stops after an epoch and keeps a checkpoint",
            self.what(),
            x.rows(),
            held.as_ref().map_or(0, Matrix::rows),
            if self.a.seeds.get() > 1 { format!(", seed {}", options.seed) } else { String::new() }
        ));
        let progress = Progress::new(s, options.epochs);
        let mut last = Instant::now();
        let mut lost: Option<Failure> = None;
        let before = state.as_ref().map(|s| s.record.epochs.clone());
        let mut epochs: Vec<EpochRow> = before.unwrap_or_default();
        let provenance = self.provenance(parts, race, resumed, model.flow.dequantize());
        let columns = model.columns.clone();
        let result = train::fit_from(&mut model.flow, &x, held.as_ref(), &options, state, &mut |epoch| {
            progress.show(epoch.row);
            epochs.push(epoch.row.clone());
            if interrupt::wanted() {
                return ControlFlow::Break(());
            }
            if last.elapsed() >= CHECKPOINT_EVERY {
                let now = Model { flow: epoch.flow.clone(), columns: columns.clone(), record: None };
                if let Err(failure) = checkpoint::save(&self.checkpoint, now, &epoch.state(), &provenance) {
                    lost = Some(failure);
                    return ControlFlow::Break(());
                }
                last = Instant::now();
            }
            ControlFlow::Continue(())
        });
        progress.finish();
        if let Some(failure) = lost {
            return Err(failure);
        }
        let place = self.checkpoint.display();
        let state = match result {
            Ok(state) => state,
            Err(error) if error.is_answer() => {
                let record = TrainingRecord { options, epochs, ..Default::default() };
                model.record = Some(with_record(&provenance, &record));
                model.save(&self.checkpoint)?;
                return Err(Failure::Answer(format!("{error}; the last good model is in {place}")));
            }
            Err(error) => return Err(named(error, training)),
        };
        for warning in &state.record.warnings {
            warn(warning);
        }
        // In the last epoch there is nothing left to stop.
        let unfinished = state.record.epochs.len() < state.record.options.epochs;
        if state.record.stop == Stop::Interrupted && unfinished {
            let best = state.record.best_epoch;
            checkpoint::save(&self.checkpoint, model, &state, &provenance)?;
            let go_on = if self.a.seeds.get() == 1 { "--resume" } else { "--from" };
            return Err(Failure::Interrupted(format!(
                "interrupted; the weights of epoch {best} are in {place}, go on with {go_on}"
            )));
        }
        // The model is worth keeping whatever comes of the test rows.
        let scored = parts.test.as_ref().map(|test| {
            if !model.flow.dequantize().is_none() {
                return Err(
                    "rows of whole numbers have a bound of their probability, which `score` gives".to_owned()
                );
            }
            let x: Matrix<T> = test.cast().map_err(|e| e.to_string())?;
            train::held_out(&model.flow, &x, &options)
                .map_err(|e| format!("{} (test rows): {e}", test.source))
        });
        let test = match scored.transpose() {
            Ok(test) => test,
            Err(problem) => {
                warn(&format!("no test: {problem}"));
                None
            }
        };
        Ok(Trained { seed: options.seed, model, state, provenance, warnings, test })
    }

    /// What is trained, in messages.
    fn what(&self) -> String {
        let preset = || self.settings.preset().flow.as_str().to_owned();
        self.a.from.as_ref().map_or_else(preset, |path| path.display().to_string())
    }

    /// What the record says beside the training itself.
    fn provenance(
        &self,
        parts: &Parts,
        race: Option<&Race>,
        resumed: Option<&AnyModel>,
        dequantize: &Dequantize,
    ) -> Value {
        let before = |key: &str| resumed.filter(|_| self.a.resume)?.record()?.get(key).cloned();
        json!({
            "flow": self.a.from.is_none().then(|| self.settings.preset()),
            "preprocess": race.map(|r| json!(r.chosen)).or_else(|| before("preprocess")),
            "dequantize": dequantize.name(),
            "race": race.filter(|r| !r.losses.is_empty()).map(|r| {
                let loss = |(p, loss): &(Preprocess, f64)| json!({ "preprocess": p, "nll": number(*loss) });
                r.losses.iter().map(loss).collect::<Vec<_>>()
            }),
            "from": self.a.from.as_ref().map(|path| path.display().to_string()),
            "data": parts.training.source,
            "validation-data": parts.valid.as_ref().map(|v| &v.source),
            "seeds": self.a.seeds.get(),
            "test-rows": parts.test.as_ref().map(Table::rows),
        })
    }
}
