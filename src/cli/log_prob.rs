//! `log-prob MODEL DATA`.

use super::failure::Failure;
use super::output::Out;
use super::session::{Rows, Session};
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Estimate, Model};
use eigenflow_linalg::Matrix;
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

/// Each mean over draws with its standard error beside it.
fn estimated<T: Element>(
    s: &Session,
    a: &Arguments,
    model: &Model<T>,
    rows: &Rows<T>,
) -> Result<(), Failure> {
    let n = rows.x.rows();
    a.out.check(&[&[n, 2]])?;
    let estimate = model.flow.log_density_estimate(&rows.x, a.draws as usize, s.seed());
    let Estimate { values, errors } = estimate.map_err(|e| rows.at(e))?;
    s.note(&format!(
        "log-determinants are estimates: each mean over {} draws with its standard error",
        a.draws
    ));
    let both = Matrix::from_fn(n, 2, |i, j| if j == 0 { values[i] } else { errors[i] });
    let names = ["log_prob", "standard_error"].map(str::to_owned);
    a.out.emit(s, &[Array::matrix("log_prob", &both).with_columns(&names)])
}
