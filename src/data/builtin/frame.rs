//! Random orthonormal directions in which a set lies among more columns.

use super::draw::normal;
use super::{Builtin, Parameters};
use crate::data::Error;
use crate::random::generator;
use eigenflow_linalg::Matrix;
use eigenflow_linalg::qr::qr;

/// `dim` orthonormal directions in `columns` columns, `[columns, dim]`: they depend on the two numbers alone, so that every seed
/// draws from one distribution.
///
/// # Errors
/// [`Error::BadParameter`] where there are more directions than columns.
pub(super) fn frame(
    set: &'static Builtin,
    parameters: &Parameters,
    columns: usize,
    dim: usize,
) -> Result<Matrix<f64>, Error> {
    let refuse = || Error::BadParameter {
        name: set.name,
        key: "columns".into(),
        value: parameters.count("columns").to_string(),
        wanted: format!("the number of columns: at least {dim} where dim is {}", parameters.count("dim")),
    };
    if dim > columns {
        return Err(refuse());
    }
    let mut random = generator(columns as u64, "frame", dim as u64);
    let drawn = Matrix::from_fn(columns, dim, |_, _| normal(&mut random));
    // Columns of normal numbers are independent but for a chance of zero.
    Ok(qr(&drawn).map_err(|_| refuse())?.q)
}

/// Sets a row to `frame · coordinates + noise`.
pub(super) fn place(
    frame: &Matrix<f64>,
    coordinates: &[f64],
    noise: f64,
    random: &mut rand_pcg::Pcg64,
    row: &mut [f64],
) {
    for (i, x) in row.iter_mut().enumerate() {
        let on: f64 = frame.row(i).iter().zip(coordinates).map(|(a, b)| a * b).sum();
        *x = on + noise * normal(random);
    }
}
