//! The effective dimension of one model.

use crate::flow::{Error, Flow};
use crate::random::generator;
use crate::train::objective::jacobian_norm;
use eigenflow_autodiff::Program;
use eigenflow_linalg::Matrix;
use rand::RngExt;

/// `d_eff(x) = Σ_i (1 - σ² s_i(x)²) = D - σ²‖J(x)‖²_F` of each row, with `σ² = 2α` the variance that stands for the scale.
///
/// A direction in which the data vary by `λ` counts `λ/(λ + σ²)` at the optimum of a linear flow: one where they vary more than
/// the scale, nothing where they vary less. Negative where `J` is sharper than the scale. `rows` are in the units of `core`;
/// cost a row: a push of `D` tangents, or of one with `estimated`, which takes `‖Jv‖²` along random signs for `‖J‖²`: its mean is right.
///
/// # Errors
/// As [`Flow::normalize`].
///
/// ```
/// use eigenflow::dimension::effective_dimension;
/// use eigenflow::flow::{Flow, bijections::{Affine, Form}};
/// use eigenflow_linalg::Matrix;
/// let mut flow = Flow::<f64>::new(vec![Affine::new(2, Form::Full).into()], 0, 0).unwrap();
/// // Optimum of variances 0.99 and 0 at the scale 0.1: s² = 1/(0.99 + 0.01) and 1/0.01.
/// flow.parameters_mut()[0].data.copy_from_slice(&[1.0, 0.0, 0.0, 10.0]);
/// let d = effective_dimension(&flow, &Matrix::new(1, 2, vec![0.3, 0.0]), 0.01, false, 0).unwrap();
/// assert!((d[0] - 0.99).abs() < 1e-14);
/// ```
pub fn effective_dimension(
    core: &Flow<f64>,
    rows: &Matrix<f64>,
    variance: f64,
    estimated: bool,
    seed: u64,
) -> Result<Vec<f64>, Error> {
    let d = core.dim() as f64;
    Ok(jacobian_norms(core, rows, estimated, seed)?.into_iter().map(|norm| d - variance * norm).collect())
}

/// `‖J‖²_F` of each row, or `‖Jv‖²` along random signs `v`, whose mean it is.
///
/// # Errors
/// As [`Flow::normalize`].
pub fn jacobian_norms(
    core: &Flow<f64>,
    rows: &Matrix<f64>,
    estimated: bool,
    seed: u64,
) -> Result<Vec<f64>, Error> {
    core.check_samples("data", rows)?;
    let (n, d) = rows.shape();
    let all = 0..core.layers().len();
    let program = Program::try_record(|r| {
        let x = r.batch(d);
        let signs = estimated.then(|| r.batch(d));
        let params = core.declare(r);
        let z = core.record_normalize(&params, x, all.clone(), false).out;
        let norm = match signs {
            None => jacobian_norm(r, z, x)?,
            Some(v) => r.jvp(&[z], &[(x, v)])?[0].square().sum_cols(),
        };
        Ok::<_, eigenflow_autodiff::Error>(vec![norm])
    })?;
    let signs = if estimated { signs(n * d, seed, "effective-dimension") } else { Vec::new() };
    let inputs: Vec<&[f64]> = if estimated { vec![rows.data(), &signs] } else { vec![rows.data()] };
    let norms = program.run(n, &inputs, &core.slices())?.pop().unwrap_or_default();
    core.check_result("normalize", rows, rows, &norms)?;
    Ok(norms)
}

/// Random signs.
pub(super) fn signs(count: usize, seed: u64, purpose: &str) -> Vec<f64> {
    let mut random = generator(seed, purpose, 0);
    (0..count).map(|_| if random.random::<bool>() { -1.0 } else { 1.0 }).collect()
}
