//! `components MODEL DATA`.

use super::covariance::top;
use super::failure::Failure;
use super::output::Out;
use super::session::Session;
use crate::components;
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Model};
use std::path::PathBuf;

/// Options of `components`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model
    model: PathBuf,
    /// The rows
    data: String,
    /// How many components, largest local standard deviation first [default: all D]
    #[arg(long, value_name = "K")]
    top: Option<usize>,
    #[command(flatten)]
    out: Out,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    match s.model(&a.model)? {
        AnyModel::F32(model) => project(s, a, &model),
        AnyModel::F64(model) => project(s, a, &model),
    }
}

fn project<T: Element>(s: &Session, a: &Arguments, model: &Model<T>) -> Result<(), Failure> {
    let rows = s.data_for(&a.data, model)?;
    let (n, d) = rows.x.shape();
    let k = top(a.top, d)?;
    a.out.check(&[&[n, k], &[n, k], &[n, d, k], &[k]])?;
    let found = components::components(&model.flow, &rows.x, k).map_err(|e| rows.at(e))?;
    a.out.emit(
        s,
        &[
            Array::matrix("components", &found.values),
            Array::matrix("scales", &found.scales),
            Array::batch("axes", &found.axes),
            Array::new("significance", &[k], &found.significance),
        ],
    )
}
