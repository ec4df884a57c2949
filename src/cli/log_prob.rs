//! `log-prob MODEL DATA`.

use super::failure::Failure;
use super::output::Out;
use super::session::Session;
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Model};
use std::path::PathBuf;

/// Options of `log-prob`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model
    model: PathBuf,
    /// The rows
    data: String,
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
    let shape = [rows.x.rows()];
    a.out.check(&[&shape])?;
    let log_prob = model.flow.log_density(&rows.x).map_err(|e| rows.at(e))?;
    a.out.emit(s, &[Array::new("log_prob", &shape, &log_prob)])
}
