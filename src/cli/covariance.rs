//! `covariance MODEL DATA`.

use super::failure::Failure;
use super::output::Out;
use super::session::{Rows, Session};
use crate::data::{Array, Element};
use crate::flow::{AnyModel, Model};
use crate::jacobian::{leading_condition_numbers, leading_covariance, local_covariance};
use eigenflow_linalg::Matrix;
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
    /// `dense`: the SVD of each row's Jacobian; `matrix-free`: leading pairs from products with it, with a bound of each
    /// eigenvalue's error in `residuals`; `auto`: the latter from 512 columns on, for up to an eighth of them
    #[arg(long, value_enum, default_value_t = Method::Auto)]
    method: Method,
    /// Residual of each pair, relative to its eigenvalue, at which the matrix-free iteration stops
    #[arg(long, value_name = "R", default_value_t = 1e-6, allow_negative_numbers = true)]
    tolerance: f64,
    #[command(flatten)]
    out: Out,
}

/// How axes are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Method {
    Auto,
    Dense,
    MatrixFree,
}

impl Method {
    /// Whether no Jacobian is formed.
    pub(crate) fn is_matrix_free(self, dim: usize, top: usize) -> bool {
        self == Self::MatrixFree || (self == Self::Auto && dim >= 512 && 8 * top <= dim)
    }
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
    if !(a.tolerance > 0.0 && a.tolerance < 1.0) {
        return Err(Failure::Input(format!("--tolerance {}: must be between 0 and 1", a.tolerance)));
    }
    if a.method.is_matrix_free(d, k) {
        a.out.check(&[&[n, k], &[n, d, k], &[n], &[n, k]])?;
        return matrix_free(s, a, model, &rows, k);
    }
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

/// Says how many pairs did not get as near as they should.
pub(crate) fn tell_late<T: Element>(s: &Session, scales: &Matrix<T>, residuals: &Matrix<T>, tolerance: f64) {
    let wide = |(r, s): (&T, &T)| r.f64() > 2.0 * tolerance * s.f64() * s.f64();
    let late = residuals.data().iter().zip(scales.data()).filter(|p| wide(*p)).count();
    if late > 0 {
        s.note(&format!(
            "{late} of {} pairs did not reach the tolerance {tolerance:e}; how near they are stands in `residuals`",
            scales.data().len()
        ));
    }
}

/// The leading pairs, by products alone.
fn matrix_free<T: Element>(
    s: &Session,
    a: &Arguments,
    model: &Model<T>,
    rows: &Rows<T>,
    top: usize,
) -> Result<(), Failure> {
    let (flow, seed) = (&model.flow, s.seed());
    let found = leading_covariance(flow, &rows.x, top, a.tolerance, seed).map_err(|e| rows.at(e))?;
    let condition = leading_condition_numbers(flow, &rows.x, a.tolerance, seed).map_err(|e| rows.at(e))?;
    let eigenvalues = found.scales.map(|s| s * s);
    tell_late(s, &found.scales, &found.residuals, a.tolerance);
    a.out.emit(
        s,
        &[
            Array::matrix("eigenvalues", &eigenvalues),
            Array::batch("eigenvectors", &found.axes),
            Array::new("condition", &[rows.x.rows()], &condition),
            Array::matrix("residuals", &found.residuals),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_axes_of_many_columns_take_no_jacobian() {
        let auto = |dim, top| Method::Auto.is_matrix_free(dim, top);
        assert!(auto(512, 64) && auto(784, 16) && auto(3072, 1));
        assert!(!auto(511, 1) && !auto(784, 99) && !auto(784, 784));
        assert!(Method::MatrixFree.is_matrix_free(2, 2) && !Method::Dense.is_matrix_free(3072, 1));
    }
}
