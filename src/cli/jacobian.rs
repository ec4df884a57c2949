//! `jacobian MODEL DATA`.

use super::failure::Failure;
use super::output::Out;
use super::session::Session;
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Model};
use crate::jacobian::{self, Route, jacobians};
use std::path::PathBuf;

/// Options of `jacobian`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model
    model: PathBuf,
    /// The rows: data for normalize, latents for generate
    data: String,
    /// Which map is differentiated
    #[arg(long, value_name = "DIRECTION", default_value = "normalize")]
    direction: Direction,
    #[command(flatten)]
    out: Out,
}

#[derive(clap::ValueEnum, Clone, Copy)]
enum Direction {
    /// Data to latents
    Normalize,
    /// Latents to data
    Generate,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    match s.model(&a.model)? {
        AnyModel::F32(model) => jacobian(s, a, &model),
        AnyModel::F64(model) => jacobian(s, a, &model),
    }
}

fn jacobian<T: Element>(s: &Session, a: &Arguments, model: &Model<T>) -> Result<(), Failure> {
    let (rows, direction) = match a.direction {
        Direction::Normalize => (s.data_for(&a.data, model)?, jacobian::Direction::Normalize),
        Direction::Generate => (s.latents_for(&a.data, model)?, jacobian::Direction::Generate),
    };
    let d = model.flow.dim();
    a.out.check(&[&[rows.x.rows(), d, d]])?;
    let j = jacobians(&model.flow, &rows.x, direction, Route::Push).map_err(|e| rows.at(e))?;
    if let Some(k) = j.data().iter().position(|v| !v.is_finite()) {
        let row = k / (d * d) + 1;
        let source = &rows.table.source;
        let message = format!(
            "{source}: row {row}: the Jacobian is not finite: the row is outside the model's \
                               support or too far out for {}; leave the row out",
            T::NAME
        );
        return Err(Failure::Input(message));
    }
    a.out.emit(s, &[Array::batch("jacobian", &j)])
}
