//! `generate MODEL LATENTS`.

use super::failure::Failure;
use super::output::Out;
use super::session::Session;
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Model};
use std::path::PathBuf;

/// Options of `generate`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model
    model: PathBuf,
    /// The latents, in files like those of data
    latents: String,
    #[command(flatten)]
    out: Out,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    match s.model(&a.model)? {
        AnyModel::F32(model) => generate(s, a, &model),
        AnyModel::F64(model) => generate(s, a, &model),
    }
}

fn generate<T: Element>(s: &Session, a: &Arguments, model: &Model<T>) -> Result<(), Failure> {
    let rows = s.latents_for(&a.latents, model)?;
    a.out.check(&[&[rows.x.rows(), model.flow.dim()]])?;
    let x = model.flow.generate(&rows.x).map_err(|e| rows.at(e))?;
    a.out.emit(s, &[Array::matrix("x", &x).with_columns(&model.columns)])
}
