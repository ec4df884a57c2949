//! `normalize MODEL DATA`.

use super::failure::Failure;
use super::output::Out;
use super::session::Session;
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Model};
use std::path::PathBuf;

/// Options of `normalize`.
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
        AnyModel::F32(model) => normalize(s, a, &model),
        AnyModel::F64(model) => normalize(s, a, &model),
    }
}

fn normalize<T: Element>(s: &Session, a: &Arguments, model: &Model<T>) -> Result<(), Failure> {
    let rows = s.data_for(&a.data, model)?;
    a.out.check(&[&[rows.x.rows(), model.flow.dim()]])?;
    let (z, _) = model.flow.normalize(&rows.x).map_err(|e| rows.at(e))?;
    a.out.emit(s, &[Array::matrix("z", &z)])
}
