//! A model from a file, and conditional models: claims at contexts.

use super::Arguments;
use super::check::{Rows, checked, tell};
use crate::cli::context;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::flow::Model;
use crate::report::Section;
use crate::theory::alarm;
use eigenflow_linalg::Matrix;
use std::path::Path;

/// A model from a file: its own samples, or the rows given. A conditional one is checked at contexts.
pub(super) fn given(
    s: &Session,
    a: &Arguments,
    ids: &[String],
    model: &Model<f64>,
    path: &Path,
) -> Result<Vec<Section>, Failure> {
    let rows = match &a.data {
        None => None,
        Some(data) => {
            // Claims are about the continuous rows that a dequantiser makes of whole numbers.
            let mut rows = s.data_for(data, model)?;
            rows.x = model.flow.dequantized(&rows.x, s.seed(), 0).map_err(|e| rows.at(e))?.0;
            Some(rows)
        }
    };
    let on = rows.as_ref().map_or_else(|| "its own samples".to_owned(), |r| r.table.source.clone());
    let name = path.display().to_string();
    if model.flow.context().is_empty() {
        if rows.is_none() && s.global.context.is_some() {
            return Err(context::superfluous());
        }
        let x = rows.as_ref().map(|r| &r.x);
        let own = Rows { name: &name, on: &on, training: x, held_out: x };
        let section = checked(s, a, ids, model, &model.flow, &own, Vec::new())?;
        tell(s, &section)?;
        return Ok(vec![section]);
    }
    let (known, own) = (model.flow.context(), rows.as_ref().map(|r| (&r.x, &r.x)));
    let conditional = Conditional { model, name: &name, on: &on, notes: &[] };
    match own {
        Some(rows) => conditional.sections(s, a, ids, &model.flow.contexts(rows.0), Some(rows)),
        None => {
            conditional.sections(s, a, ids, &context::encode(&context::alone(s, known)?, known, None)?, None)
        }
    }
}

/// A conditional model, which is checked at contexts.
pub(super) struct Conditional<'a> {
    pub model: &'a Model<f64>,
    pub name: &'a str,
    /// What its rows are, in words.
    pub on: &'a str,
    /// What is to be said of it beside the claims.
    pub notes: &'a [String],
}

impl Conditional<'_> {
    /// The claims at some of these contexts, on those rows (to train on, and others) that have just that context; printed.
    pub(super) fn sections(
        &self,
        s: &Session,
        a: &Arguments,
        ids: &[String],
        contexts: &Matrix<f64>,
        rows: Option<(&Matrix<f64>, &Matrix<f64>)>,
    ) -> Result<Vec<Section>, Failure> {
        let mut sections = Vec::new();
        for context in some_contexts(contexts, s.seed()) {
            let flow = self.model.flow.at(&context)?;
            // The rows of just this context are data of the flow at it.
            let own = |x: &Matrix<f64>| with_context(x, flow.dim(), &context);
            let (training, held_out) = rows.map_or((None, None), |(t, h)| (own(t), own(h)));
            let on = match &training {
                Some(own) => format!("the {} rows of {} with this context", own.rows(), self.on),
                None => "its own samples".to_owned(),
            };
            let name = format!("{} at {}", self.name, context::describe(self.model.flow.context(), &context));
            let own = Rows { name: &name, on: &on, training: training.as_ref(), held_out: held_out.as_ref() };
            let section = checked(s, a, ids, self.model, &flow, &own, self.notes.to_vec())?;
            tell(s, &section)?;
            sections.push(section);
        }
        Ok(sections)
    }
}

/// Contexts at which a conditional model is checked: as many as a run has data sets, drawn from the different ones that there are.
fn some_contexts(all: &Matrix<f64>, seed: u64) -> Vec<Vec<f64>> {
    let order = crate::data::table::permutation(all.rows(), seed, "contexts");
    let mut chosen: Vec<Vec<f64>> = Vec::new();
    for row in order {
        if chosen.len() < alarm::SETS && !chosen.iter().any(|c| c == all.row(row)) {
            chosen.push(all.row(row).to_vec());
        }
    }
    chosen
}

/// The rows with exactly this context, without it, if they are several.
fn with_context(rows: &Matrix<f64>, dim: usize, context: &[f64]) -> Option<Matrix<f64>> {
    let found: Vec<usize> = (0..rows.rows()).filter(|&i| rows.row(i)[dim..] == *context).collect();
    (found.len() > 1).then(|| Matrix::from_fn(found.len(), dim, |i, j| rows[(found[i], j)]))
}
