//! The gauge: what a likelihood leaves open, decided by a penalty.

use super::TrainOptions;
use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, jacobians};
use eigenflow_autodiff::{Recorder, Var, push_jacobian};
use eigenflow_linalg::{Matrix, Real};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Which of the flows of equal likelihood is wanted.
///
/// A likelihood does not fix the local covariance (claim G5): whatever follows a flow and keeps `N(0, I)` changes `J` and no
/// density. A gauge chooses among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gauge {
    /// Whichever training comes to.
    #[default]
    None,
    /// The one whose latent axes are local principal axes: the mean contrast `Σ log|g_i| - log|det J_g|` of claim C3, data units, is
    /// added to the objective. Zero exactly where the columns `g_i` of `J_g` are orthogonal (Cunningham and others 2022,
    /// Gresele and others 2021).
    Principal,
}

impl Gauge {
    /// Whether it is [`Gauge::None`]; records do not name it then.
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
    pub(super) fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// How the contrast of a step is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contrast {
    /// Not at all.
    None,
    /// All columns of `J_g`, pushed as one block.
    Exact,
    /// `D log|g_i| - log|det J_g|` with one random column `i` a step, whose mean is the contrast.
    Stochastic,
}

impl Contrast {
    /// The computation that options ask for.
    pub fn of(options: &TrainOptions, many: bool) -> Self {
        match (options.gauge == Gauge::Principal && options.gauge_weight > 0.0, many) {
            (false, _) => Self::None,
            (true, false) => Self::Exact,
            (true, true) => Self::Stochastic,
        }
    }
}

/// Records the contrast of each row, one column: of the whole map at the latents `z` of the rows `x` (training units), where `log_det` is
/// the log-determinant of the layers `core`. With `column`, a shared row that is one in one place and zero elsewhere, that
/// column of `J_g` stands for all.
pub(super) fn record<'t, T: Real>(
    flow: &Flow<T>,
    params: &[Var<'t, T>],
    core: Range<usize>,
    [x, z, log_det]: [Var<'t, T>; 3],
    column: Option<Var<'t, T>>,
) -> Result<Var<'t, T>, eigenflow_autodiff::Error> {
    let r: &Recorder<T> = x.recorder();
    let before = 0..core.start;
    let mut log_det = log_det;
    if !before.is_empty() {
        let data = flow.record_generate(params, x, before.clone()).out;
        log_det = log_det + flow.record_normalize(params, data, before, false).log_det;
    }
    // A value of its own: the tape sees through bookkeeping, so `generate` would read the parts of which `z` is put together.
    let z = z * T::ONE;
    let generated = flow.record_generate(params, z, 0..core.end).out;
    let half = T::of(0.5);
    let logs = match column {
        None => push_jacobian(r, generated, z)?.square().sum_cols().ln().sum_tangents() * half,
        Some(column) => {
            let along = r.jvp(&[generated], &[(z, column.broadcast_to(z.shape()))])?[0];
            along.square().sum_cols().ln() * (half * T::of(flow.dim() as f64))
        }
    };
    Ok(logs + log_det)
}

/// Mean contrast `Σ log|g_i| - log|det J_g|` of a flow over the latents of the rows `x`, data units: what the gauge makes
/// small; nats, not negative.
///
/// # Errors
/// As [`Flow::normalize`] and [`Flow::generate`].
///
/// ```
/// use eigenflow::flow::{Flow, bijections::{Affine, Form}};
/// use eigenflow::train::mean_contrast;
/// use eigenflow_linalg::Matrix;
/// let mut flow = Flow::<f64>::new(vec![Affine::new(2, Form::Full).into()], 0, 0).unwrap();
/// // J = ((1, -1), (0, 1)), J_g = ((1, 1), (0, 1)): columns of lengths 1 and √2, determinant 1.
/// flow.parameters_mut()[0].data.copy_from_slice(&[1.0, -1.0, 0.0, 1.0]);
/// let c = mean_contrast(&flow, &Matrix::new(1, 2, vec![3.0, 4.0])).unwrap();
/// assert!((c - 0.5 * 2.0_f64.ln()).abs() < 1e-14);
/// ```
pub fn mean_contrast<T: Real>(flow: &Flow<T>, x: &Matrix<T>) -> Result<f64, Error> {
    let (z, log_det) = flow.normalize(x)?;
    let z = flow.with_contexts_of(z, x)?;
    let g = jacobians(flow, &z, Direction::Generate, Route::Push)?;
    let d = flow.dim();
    let of = |row: usize| {
        let g = g.get(row);
        let column = |j: usize| (0..d).map(|i| g[i * d + j].f64().powi(2)).sum::<f64>().ln() * 0.5;
        (0..d).map(column).sum::<f64>() + log_det[row].f64()
    };
    Ok((0..x.rows()).map(of).sum::<f64>() / x.rows().max(1) as f64)
}
