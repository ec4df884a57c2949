//! `denoise MODEL DATA`.

use super::failure::Failure;
use super::output::Out;
use super::session::Session;
use crate::components::recorded_noise;
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Model};
use crate::theory::stability::denoised;
use eigenflow_linalg::Matrix;
use std::path::PathBuf;

/// Options of `denoise`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model
    model: PathBuf,
    /// The rows
    data: String,
    /// Tikhonov weight: noise of variance 2α, training units, is taken out [default: from the model's record]
    #[arg(long, value_name = "A", conflicts_with = "noise", allow_negative_numbers = true)]
    alpha: Option<f64>,
    /// Standard deviation of the noise that is taken out, training units [default: from the model's record]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    noise: Option<f64>,
    #[command(flatten)]
    out: Out,
}

pub(crate) fn run(s: &Session, a: &Arguments) -> Result<(), Failure> {
    match s.model(&a.model)? {
        AnyModel::F32(model) => denoise(s, a, &model),
        AnyModel::F64(model) => denoise(s, a, &model),
    }
}

fn denoise<T: Element>(s: &Session, a: &Arguments, model: &Model<T>) -> Result<(), Failure> {
    let variance = variance(a, model)?;
    let rows = s.data_for(&a.data, model)?;
    let d = model.flow.dim();
    a.out.check(&[&[rows.x.rows(), d]])?;
    // In double precision: x + σ² ∇ log p cancels.
    let x = rows.x.cast::<f64>();
    let found = denoised(&model.flow.cast(), &x, 0.5 * variance).map_err(|e| rows.at(e))?;
    if let Some(at) = found.data().iter().position(|v| !v.is_finite()) {
        let (what, row, column) = ("denoised data", at / d, at % d);
        return Err(rows.at(crate::flow::Error::NotFinite { what, row, column }));
    }
    let moved = |i: usize| (0..d).map(|j| (found[(i, j)] - x[(i, j)]).powi(2)).sum::<f64>();
    let square: f64 = (0..x.rows()).map(moved).sum();
    s.note(&format!(
        "noise of standard deviation {:.4} (training units) taken out; rows moved by {:.4e} (root mean square, data units)",
        variance.sqrt(),
        (square / x.rows() as f64).sqrt()
    ));
    let found: Matrix<T> = found.cast();
    a.out.emit(s, &[Array::matrix("x", &found).with_columns(&model.columns)])
}

/// The variance of the noise, training units.
fn variance<T>(a: &Arguments, model: &Model<T>) -> Result<f64, Failure> {
    for (option, value) in [("--alpha", a.alpha), ("--noise", a.noise)] {
        if let Some(v) = value.filter(|v| !(*v >= 0.0 && v.is_finite())) {
            return Err(Failure::Input(format!("{option} {v}: must be finite and at least 0")));
        }
    }
    let given = a.alpha.map(|v| 2.0 * v).or(a.noise.map(|v| v * v));
    given.or_else(|| recorded_noise(model.record.as_ref()?)).ok_or_else(|| {
        Failure::Input(format!(
            "{}: was trained without penalty and without noise, so it does not say how much noise there is; give --noise \
             (standard deviation, training units) or --alpha",
            a.model.display()
        ))
    })
}
