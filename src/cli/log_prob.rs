//! `log-prob MODEL DATA`.

use super::failure::Failure;
use super::output::Out;
use super::session::{Rows, Session};
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Estimate, Model};
use std::path::PathBuf;

/// Draws of an estimated log-determinant.
pub(super) const DRAWS: u64 = 16;

/// Options of `log-prob`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model
    model: PathBuf,
    /// The rows
    data: String,
    /// Draws of an estimated log-determinant (residual layers of more than 64 columns)
    #[arg(long, value_name = "K", default_value_t = DRAWS, value_parser = clap::value_parser!(u64).range(2..=100_000))]
    draws: u64,
    #[command(flatten)]
    out: Out,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    match s.model(&a.model)? {
        AnyModel::F32(model) => log_prob(s, a, &model),
        AnyModel::F64(model) => log_prob(s, a, &model),
    }
}

fn log_prob<T: Element>(s: &Session, a: &Arguments, model: &Model<T>) -> Result<(), Failure> {
    let rows = s.data_for(&a.data, model)?;
    if model.flow.is_estimated() {
        return estimated(s, a, model, &rows);
    }
    let shape = [rows.x.rows()];
    a.out.check(&[&shape])?;
    let log_prob = model.flow.log_density(&rows.x).map_err(|e| rows.at(e))?;
    a.out.emit(s, &[Array::new("log_prob", &shape, &log_prob)])
}

/// Each mean over draws, with the standard errors beside them where several arrays can stand.
fn estimated<T: Element>(
    s: &Session,
    a: &Arguments,
    model: &Model<T>,
    rows: &Rows<T>,
) -> Result<(), Failure> {
    let (shape, both) = ([rows.x.rows()], a.out.holds_several(s));
    let shapes: [&[usize]; 2] = [&shape, &shape];
    a.out.check(&shapes[..=usize::from(both)])?;
    let estimate = model.flow.log_density_estimate(&rows.x, a.draws as usize, s.seed());
    let Estimate { values, errors } = estimate.map_err(|e| rows.at(e))?;
    s.note(&format!(
        "log-determinants are estimates: means over {} draws, with standard errors of at most {:.1e} (each of them: --json, or --out FILE.npz)",
        a.draws,
        errors.iter().copied().fold(0.0, f64::max)
    ));
    let mut arrays = vec![Array::new("log_prob", &shape, &values)];
    if both {
        arrays.push(Array::new("standard_error", &shape, &errors));
    }
    a.out.emit(s, &arrays)
}
