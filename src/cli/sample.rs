//! `sample MODEL -n N`.

use super::context;
use super::failure::Failure;
use super::output::{Out, fits_memory};
use super::session::Session;
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Error, Model};
use std::path::PathBuf;

/// Options of `sample`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model
    model: PathBuf,
    /// Number of rows; for a conditional model, of each row of its --context, which come one after the other
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    n: u64,
    /// Standard deviation T of the latents, z ~ N(0, T² I); at least 0. Bases that are no single normal have 1 alone
    #[arg(long, value_name = "T", default_value_t = 1.0, allow_negative_numbers = true)]
    temperature: f64,
    #[command(flatten)]
    out: Out,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    if !(a.temperature >= 0.0 && a.temperature.is_finite()) {
        return Err(Failure::Input(format!(
            "--temperature {}: must be finite and at least 0",
            a.temperature
        )));
    }
    match s.model(&a.model)? {
        AnyModel::F32(model) => sample(s, a, &model),
        AnyModel::F64(model) => sample(s, a, &model),
    }
}

fn sample<T: Element>(s: &Session, a: &Arguments, model: &Model<T>) -> Result<(), Failure> {
    let known = model.flow.context();
    let context = match (known.is_empty(), &s.global.context) {
        (true, Some(_)) => return Err(context::superfluous()),
        (true, None) => None,
        (false, _) => Some(context::encode(&context::alone(s, known)?, known, None)?.cast()),
    };
    let each = a.n as usize;
    let n = each.saturating_mul(context.as_ref().map_or(1, eigenflow_linalg::Matrix::rows));
    let numbers = n.saturating_mul(model.flow.dim());
    if a.out.named() && !fits_memory(numbers) {
        return Err(Failure::Input(format!("-n {n}: {numbers} numbers do not fit into memory; draw fewer")));
    }
    a.out.check(&[&[n, model.flow.dim()]])?;
    let x = match &context {
        None => model.flow.sample(n, a.temperature, s.seed()),
        Some(context) => model.flow.sample_given(context, each, a.temperature, s.seed()),
    };
    // The latents are nobody's rows: what is out of range is the draw.
    let x = x.map_err(|error| match error {
        Error::OutOfRange { row, .. } | Error::NotFinite { row, .. } => {
            let wider = if T::NAME == "f32" { ", or use --dtype f64" } else { "" };
            let (model, draw) = (a.model.display(), row + 1);
            Failure::Input(format!(
                "{model}: draw {draw} is out of the range of {}; lower --temperature{wider}",
                T::NAME
            ))
        }
        other => other.into(),
    })?;
    // Draws of a model of whole numbers are such: the rest is the dequantiser's.
    let x = if model.flow.dequantize().is_none() { x } else { x.map(|v| T::of(v.f64().floor())) };
    a.out.emit(s, &[Array::matrix("x", &x).with_columns(&model.columns)])
}
