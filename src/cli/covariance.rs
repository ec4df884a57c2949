//! `covariance MODEL DATA`.

use super::failure::Failure;
use super::output::Out;
use super::session::Session;
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Model};
use crate::jacobian::local_covariance;
use std::path::PathBuf;

/// Options of `covariance`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model
    model: PathBuf,
    /// The rows
    data: String,
    /// How many of the largest eigenvalues [default: all D]
    #[arg(long, value_name = "K")]
    top: Option<usize>,
    #[command(flatten)]
    out: Out,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    match s.model(&a.model)? {
        AnyModel::F32(model) => covariance(s, a, &model),
        AnyModel::F64(model) => covariance(s, a, &model),
    }
}

/// K, from `--top`.
pub(crate) fn top(given: Option<usize>, dim: usize) -> Result<usize, Failure> {
    match given {
        Some(k) if k == 0 || k > dim => {
            Err(Failure::Input(format!("--top {k}: must be between 1 and {dim}, the model's columns")))
        }
        k => Ok(k.unwrap_or(dim)),
    }
}

fn covariance<T: Element>(s: &Session, a: &Arguments, model: &Model<T>) -> Result<(), Failure> {
    let rows = s.data_for(&a.data, model)?;
    let (n, d) = (rows.x.rows(), model.flow.dim());
    let k = top(a.top, d)?;
    a.out.check(&[&[n, k], &[n, d, k], &[n]])?;
    let local = local_covariance(&model.flow, &rows.x, k).map_err(|e| rows.at(e))?;
    let eigenvalues = local.eigenvalues();
    a.out.emit(
        s,
        &[
            Array::matrix("eigenvalues", &eigenvalues),
            Array::batch("eigenvectors", &local.axes),
            Array::new("condition", &[n], &local.condition),
        ],
    )
}
