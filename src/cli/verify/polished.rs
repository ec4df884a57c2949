//! The output layer at its optimum.

use crate::cli::session::Session;
use crate::data::Table;
use crate::flow::Flow;
use crate::train::TrainOptions;
use crate::train::polish::{output_affine, polish};

/// Rows times columns (squared, with a penalty) up to which the output layer is polished.
const POLISH_WORK: usize = 4_000_000;

/// Whether [`polished`] brings the output affine layer of a flow to its optimum on so many rows: it has one, no regulariser but `α` is
/// asked for, and it is affordable.
pub(super) fn is_polished(flow: &Flow<f64>, rows: usize, options: &TrainOptions) -> bool {
    let d = flow.dim();
    // The Jacobian of one affine layer is the same at all rows, and is taken at one.
    let penalty = options.alpha > 0.0 && flow.core().len() > 1;
    let work = rows.saturating_mul(if penalty { d * d } else { d });
    output_affine(flow).is_some()
        && flow.context().is_empty()
        && work <= POLISH_WORK
        && !options.has_other_regularisers()
}

/// Brings the output affine layer to its optimum on the training rows, where that is affordable.
pub(super) fn polished(
    s: &Session,
    flow: &mut Flow<f64>,
    training: &Table,
    options: &TrainOptions,
    notes: &mut Vec<String>,
) {
    if !is_polished(flow, training.rows(), options) {
        return;
    }
    s.note(&format!("{}: polishing the output layer", training.source));
    let result = flow.part(flow.core()).and_then(|mut core| {
        let rows = if flow.preprocessing() == 0 {
            training.values.clone()
        } else {
            flow.part(0..flow.preprocessing())?.normalize(&training.values)?.0
        };
        let certificate = polish(&mut core, &rows, options.alpha)?;
        Ok((core, certificate))
    });
    match result {
        Ok((core, certificate)) => {
            flow.replace(flow.preprocessing(), &core);
            notes.push(format!(
                "output layer polished on the training rows: relative gradient {:.1e} after {} steps",
                certificate.residual, certificate.iterations
            ));
        }
        Err(error) => notes.push(format!("output layer not polished: {error}")),
    }
}
