//! Where a run starts: a new model, a given one, or a checkpoint.

use super::{Job, Kind, named};
use crate::cli::checkpoint;
use crate::cli::failure::Failure;
use crate::cli::parts::{Parts, whole_numbers};
use crate::cli::session::warn;
use crate::data::{Element, Table};
use crate::flow::bijections::Squash;
use crate::flow::{AnyModel, Base, Dequantize, Layer, Model};
use crate::train::{self, Design, Preprocess, Race, State, TrainOptions};
use eigenflow_linalg::Matrix;
use serde_json::{Value, json};

/// Where a run starts: a model, what to warn of, and the state of an earlier run.
pub(super) struct Start<T> {
    pub model: Model<T>,
    pub warnings: Vec<String>,
    pub state: Option<State<T>>,
}

impl Job<'_> {
    /// The preprocessing, chosen by validation unless it is given.
    pub(super) fn race<T: Element>(&self, parts: &Parts, options: &TrainOptions) -> Result<Race, Failure> {
        let (training, valid) = (&parts.training, parts.valid.as_ref());
        // Numbers that the precision does not hold are found here, by name.
        let _: Matrix<T> = training.cast()?;
        let open = self.settings.preprocess.is_none_or(|p| p == Preprocess::Auto);
        if self.a.dequantize.is_some() && open {
            // Whole numbers as such have no likelihood to compare.
            return Ok(Race { chosen: Preprocess::Standardize, losses: Vec::new() });
        }
        let (preset, base) = (self.settings.preset(), self.settings.base()?);
        let design =
            Design { preset: &preset, preprocess: Preprocess::Auto, base: &base, context: &parts.context };
        let race = self
            .settings
            .preprocess::<T>(Preprocess::Auto, &design, training, valid, options)
            .map_err(|e| named(e, training))?;
        if let [(_, standardized), (_, whitened)] = race.losses[..] {
            self.s.note(&format!(
                "preprocessing: {} (after a short run, NLL {standardized:.4} standardised, {whitened:.4} whitened)",
                if race.chosen == Preprocess::Whiten { "whiten" } else { "standardize" }
            ));
        }
        Ok(race)
    }

    /// A new model.
    pub(super) fn fresh<T: Element>(
        &self,
        parts: &Parts,
        preprocess: Preprocess,
        options: &TrainOptions,
    ) -> Result<Start<T>, Failure> {
        let training = &parts.training;
        let own = parts.own_columns();
        let (preset, base) = (self.settings.preset(), self.settings.base()?);
        let dequantize = match self.a.dequantize {
            None => Dequantize::None,
            Some(Kind::Uniform) => Dequantize::Uniform,
            Some(Kind::Variational) => Dequantize::variational(own),
        };
        let rows = whole_numbers(training, own, &dequantize, options.seed);
        let design = Design { preset: &preset, preprocess, base: &base, context: &parts.context };
        let built = train::build_given::<T>(&design, &rows, options).map_err(|e| named(e, training))?;
        let flow = train::dequantizing(&built.flow, dequantize, &training.values, options.seed)?;
        // Told here by name instead of by number.
        let mut warnings = built.warnings;
        warnings.retain(|w| !w.starts_with("constant columns"));
        if !built.constant.is_empty() {
            let names: Vec<&str> = built.constant.iter().map(|&j| training.names[j].as_str()).collect();
            warnings.insert(
                0,
                format!(
                    "{}: constant columns keep scale 1 and count as null directions: {}; drop them with --exclude",
                    training.source,
                    names.join(", ")
                ),
            );
        }
        let columns = training.names[..own].to_vec();
        let model = Model { flow, columns, record: None };
        Ok(Start { model, warnings, state: None })
    }

    /// The model given, whatever its layers.
    pub(super) fn continued<T: Element>(
        &self,
        mut model: Model<T>,
        training: &Table,
    ) -> Result<Start<T>, Failure> {
        let given = training.cols() - model.flow.context_columns();
        if model.flow.dim() != given {
            let file = self.a.from.as_deref().unwrap_or(&self.checkpoint).display();
            let has = model.flow.dim();
            let message =
                format!("--from {file}: the model has {has} columns, {} has {given}", training.source);
            return Err(Failure::Input(message));
        }
        self.check_dequantize(model.flow.dequantize())?;
        model.columns = training.names[..given].to_vec();
        Ok(Start { model, warnings: Vec::new(), state: None })
    }

    /// That `--dequantize` says what a model that is trained further does anyway.
    fn check_dequantize(&self, own: &Dequantize) -> Result<(), Failure> {
        let same = match self.a.dequantize {
            None => true,
            Some(Kind::Uniform) => *own == Dequantize::Uniform,
            Some(Kind::Variational) => matches!(own, Dequantize::Variational { .. }),
        };
        if same {
            return Ok(());
        }
        Err(Failure::Input(format!(
            "--dequantize: the model that training goes on from {}; leave the option out, or train a new model",
            own.name().map_or_else(
                || "is of numbers that are not whole".to_owned(),
                |own| format!("has --dequantize {own}")
            )
        )))
    }

    /// The model of a checkpoint, and its state.
    pub(super) fn resumed<T: Element>(
        &self,
        checkpoint: &AnyModel,
        training: &Table,
        options: &TrainOptions,
    ) -> Result<Start<T>, Failure> {
        let file = self.checkpoint.display();
        let fail = |problem: String| Failure::Input(format!("{file}: {problem}"));
        let model: Model<T> = checkpoint.cast();
        let (context, has) = (model.flow.context_columns(), model.flow.dim());
        let given = training.cols() - context;
        if has != given {
            return Err(fail(format!("the checkpoint has {has} columns, {} has {given}", training.source)));
        }
        self.check_dequantize(model.flow.dequantize())?;
        if checkpoint.record().and_then(|r| r.get("seeds")).and_then(Value::as_u64).is_some_and(|n| n > 1) {
            return Err(fail(
                "is one of several seeds; give it as --from, which goes on from its weights".into(),
            ));
        }
        let mut wanted: Vec<Layer> = self.settings.preset().layers(given, options.seed)?;
        wanted = wanted.into_iter().map(|layer| layer.given(context)).collect();
        let base = self.settings.base()?;
        if let Base::Uniform { low, high } = base {
            wanted.push(Squash { dim: given, low, high }.into());
        }
        // Soft tails come of the rows, not of the options.
        let own: Vec<&Layer> =
            model.flow.layers().iter().filter(|l| !matches!(l, Layer::SoftTail(_))).collect();
        if !own.ends_with(&wanted.iter().collect::<Vec<_>>()) || *model.flow.base() != base {
            let name = self.settings.preset().flow.as_str();
            return Err(fail(format!(
                "the checkpoint is another flow than {name} with these options; give the options it was trained with"
            )));
        }
        let preprocess = self.a.settings.preprocess.filter(|p| *p != Preprocess::Auto).map(|p| json!(p));
        let before = checkpoint.record().and_then(|r| r.get("preprocess")).filter(|p| !p.is_null());
        if let (Some(given), Some(before)) = (preprocess, before)
            && given != *before
        {
            return Err(fail(format!(
                "the checkpoint has --preprocess {}; leave the option out, or train a new model",
                before.as_str().unwrap_or("of another kind")
            )));
        }
        let support = self.settings.preset().support(given)?;
        if support.is_some() && support.as_ref() != checkpoint.support() {
            return Err(fail(
                "the checkpoint has another --support; leave the option out, or train a new model".into(),
            ));
        }
        let state = checkpoint::state(&self.checkpoint, checkpoint, options)?;
        let (rows, had) = (training.rows(), state.record.rows);
        if rows != had {
            warn(&format!("{file}: was trained on {had} rows, there are {rows} now: this is another run"));
        }
        self.s.note(&format!("going on from {file} after {} epochs", state.record.epochs.len()));
        Ok(Start { model, warnings: Vec::new(), state: Some(state) })
    }
}
