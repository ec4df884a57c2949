//! What is told of a training in the end: figures of the model that is kept, and of all seeds.

use super::{Job, Trained};
use crate::cli::failure::Failure;
use crate::cli::output::{number, print, print_json};
use crate::data::{Element, Table};
use crate::flow::Dequantize;
use crate::train::{HeldOut, TrainingRecord};
use eigenflow_linalg::Matrix;
use serde_json::{Value, json};
use std::fmt::Write;

impl Job<'_> {
    /// Prints it, `held` being the rows that are judged by.
    pub(super) fn summary<T: Element>(
        &self,
        runs: &[Trained<T>],
        best: usize,
        record: &TrainingRecord,
        held: &Table,
    ) -> Result<(), Failure> {
        let Trained { model, test, .. } = &runs[best];
        let x: Matrix<T> = held.cast()?;
        // A validation row may be out of the support of the model; the model is saved all the same.
        let log_p = if model.flow.dequantize().is_none() {
            model.flow.log_density(&x).map(|p| p.iter().map(|p| p.f64()).collect::<Vec<f64>>())
        } else {
            model.flow.log_probability_bound(&x, 1, self.s.seed())
        };
        let nll = log_p.ok().map(|p| -p.iter().sum::<f64>() / p.len() as f64);
        let out = self.a.out.display().to_string();
        if self.s.global.json {
            return print_json(&json!({
                "out": out,
                "checkpoint": self.checkpoint.display().to_string(),
                "epochs": record.epochs.len(),
                "best_epoch": record.best_epoch,
                "stop": record.stop,
                "preprocess": runs[best].provenance["preprocess"],
                "race": runs[best].provenance["race"],
                "nll": nll.map(number),
                "validation_rows": record.valid_rows,
                "trained_parameters": model.flow.trained(),
                "best": record.best().map(|e| json!({
                    "nll": number(e.nll), "valid_nll": number(e.valid_nll), "condition": number(e.condition),
                    "virial": number(e.virial),
                })),
                "test": test.as_ref().map(test_json),
                "seeds": seeds_json(runs, best),
                "warnings": record.warnings,
            }));
        }
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "{out}: {} parameters, {}, {} epochs, best {}",
            model.flow.trained(),
            T::NAME,
            record.epochs.len(),
            record.best_epoch
        );
        let rows = if record.valid_rows > 0 { "validation" } else { "training" };
        if let Some(nll) = nll {
            let _ = writeln!(text, "NLL of the {rows} rows  {nll:.6} nats (data units)");
            if model.flow.is_estimated() {
                text.push_str("                       with estimated log-determinants: one draw; `score` gives the error\n");
            }
        }
        if let Some(test) = test {
            let ((nll, error), (units, _)) = (test.nll(), test.nll_training_units());
            // One row has no standard error.
            let error = if error.is_nan() { String::new() } else { format!(" ± {error:.6}") };
            let _ = writeln!(
                text,
                "NLL of the test rows        {nll:.6}{error} nats (data units); {units:.6} (training units)"
            );
        }
        if let Some(e) = record.best() {
            let _ = writeln!(text, "condition of J (99 %)  {:.3e} (training units)", e.condition);
            if model.flow.base().is_standard() {
                let _ = writeln!(text, "virial residual        {:+.2e}", e.virial);
            }
        }
        if runs.len() > 1 {
            text.push_str(&seeds_text(runs, best));
        }
        print(&text)
    }
}

/// Mean over seeds and its standard error.
fn over_seeds(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    (mean, (x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0) / n).sqrt())
}

/// Validation and, where there are such rows, test NLL of all runs, training units.
fn figures<T>(runs: &[Trained<T>]) -> (Vec<f64>, Option<Vec<f64>>) {
    let test = runs.iter().map(|r| r.test.as_ref().map(|t| t.nll_training_units().0)).collect();
    (runs.iter().map(Trained::valid_nll).collect(), test)
}

fn test_json(test: &HeldOut) -> Value {
    let ((nll, error), (units, units_error)) = (test.nll(), test.nll_training_units());
    let several = test.log_density.len() > 1;
    json!({
        "rows": test.log_density.len(),
        "nll": number(nll), "standard_error": several.then(|| number(error)),
        "nll_training_units": number(units), "standard_error_training_units": several.then(|| number(units_error)),
        "worst_log_density_training_units": number(test.worst()),
    })
}

fn seeds_json<T>(runs: &[Trained<T>], best: usize) -> Value {
    let (valid, test) = figures(runs);
    let spread = |x: &[f64]| {
        let (mean, error) = over_seeds(x);
        json!({ "mean": number(mean), "standard_error": (x.len() > 1).then(|| number(error)) })
    };
    let each: Vec<Value> = runs
        .iter()
        .enumerate()
        .map(|(k, run)| {
            json!({
                "seed": run.seed, "valid_nll": number(valid[k]), "test_nll": test.as_ref().map(|t| number(t[k])),
                "epochs": run.state.record.epochs.len(), "best_epoch": run.state.record.best_epoch, "kept": k == best,
            })
        })
        .collect();
    json!({ "runs": each, "valid_nll": spread(&valid), "test_nll": test.as_deref().map(spread) })
}

fn seeds_text<T: Element>(runs: &[Trained<T>], best: usize) -> String {
    let (valid, test) = figures(runs);
    let bound = |run: &Trained<T>| matches!(run.model.flow.dequantize(), Dequantize::Variational { .. });
    let units = if runs.iter().any(bound) { "data units" } else { "training units" };
    let mut text = format!("seed  validation NLL      test NLL  best epoch  ({units})\n");
    let cell = |x: Option<f64>| x.map_or_else(|| format!("{:>14}", "–"), |x| format!("{x:>14.6}"));
    // Writing into a String cannot fail.
    for (k, run) in runs.iter().enumerate() {
        let kept = if k == best { "  kept" } else { "" };
        let (v, t) = (cell(Some(valid[k])), cell(test.as_ref().map(|t| t[k])));
        let _ = writeln!(text, "{:>4}  {v}{t}  {:>10}{kept}", run.seed, run.state.record.best_epoch);
    }
    for (name, x) in [("validation", Some(valid)), ("test", test)] {
        if let Some((mean, error)) = x.as_deref().map(over_seeds) {
            let _ = writeln!(text, "mean {name} NLL {mean:.6} ± {error:.6} over {} seeds", runs.len());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_errors_over_seeds() {
        // Deviations -1, 0, 1: variance 1, standard error of the mean 1/√3.
        let (mean, error) = over_seeds(&[1.0, 2.0, 3.0]);
        assert!((mean - 2.0).abs() < 1e-15 && (error - 3.0_f64.sqrt().recip()).abs() < 1e-15);
    }
}
