//! The objective of a training step, recorded with its gradient.

use super::gauge::{self, Contrast};
use super::{Error, TrainOptions};
use crate::flow::{Dequantize, Flow, Role};
use eigenflow_autodiff::{Program, Recorder, Var, push_jacobian};
use eigenflow_linalg::Real;
use std::ops::Range;

/// How `α‖J‖²_F` is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Penalty {
    /// Not at all (`α = 0`).
    None,
    /// From the whole Jacobian, pushed as one block.
    Exact,
    /// `‖J v‖²` with one random sign vector `v` a row and step, whose mean is `‖J‖²_F`.
    Stochastic,
}

/// Most columns for which the exact penalty is the default.
const EXACT_COLUMNS: usize = 64;
/// Most bytes of workspace for which the exact penalty is not refused.
const EXACT_BYTES: usize = 1 << 30;

impl Penalty {
    /// The penalty that options ask for, on a flow of `dim` columns.
    pub fn of(options: &TrainOptions, dim: usize) -> Self {
        match (options.alpha > 0.0, Self::is_stochastic(options, dim)) {
            (false, _) => Self::None,
            (true, false) => Self::Exact,
            (true, true) => Self::Stochastic,
        }
    }

    /// Whether quantities of whole Jacobians are estimated.
    fn is_stochastic(options: &TrainOptions, dim: usize) -> bool {
        options.stochastic_penalty.unwrap_or(dim > EXACT_COLUMNS)
    }
}

/// `Σ_ij J_ij²` of each row, one column.
pub(crate) fn jacobian_norm<'t, T: Real>(
    r: &'t Recorder<T>,
    z: Var<'t, T>,
    x: Var<'t, T>,
) -> Result<Var<'t, T>, eigenflow_autodiff::Error> {
    Ok(push_jacobian(r, z, x)?.square().sum_cols().sum_tangents())
}

/// A recorded training step.
///
/// Inputs: the rows in training units, sign vectors (stochastic penalty only), contexts (conditional flows only), noise
/// (variational dequantisation only: the rows are whole numbers then); then all parameters, `1 / rows` and a column's
/// indicator (stochastic gauge only). Outputs: the objective, the mean negative log-likelihood, the gradients of
/// `trained`, the new values of `updated`.
pub(crate) struct Step<T> {
    pub program: Program<T>,
    /// Parameters whose gradients are outputs, in ascending order.
    pub trained: Vec<usize>,
    /// Frozen parameters with new values (batch statistics).
    pub updated: Vec<usize>,
    pub penalty: Penalty,
    pub contrast: Contrast,
}

/// Records the step of minimising
/// `mean[-log p(x) + α‖J(x)‖²_F + w c(x)] + α_W Σ ‖W‖²_F`, `c` the contrast of the gauge, over the layers `core`.
pub(crate) fn step<T: Real>(
    flow: &Flow<T>,
    core: Range<usize>,
    options: &TrainOptions,
) -> Result<Step<T>, Error> {
    let penalty = Penalty::of(options, flow.dim());
    let contrast = Contrast::of(options, Penalty::is_stochastic(options, flow.dim()));
    let of_layers = core.clone().flat_map(|k| flow.parameters_of(k));
    let of_core: Vec<usize> =
        of_layers.chain(flow.base_parameters()).chain(flow.dequantizer_parameters()).collect();
    let trained: Vec<usize> =
        of_core.into_iter().filter(|&k| flow.parameters()[k].role.is_trained()).collect();
    let mut updated = Vec::new();
    let program = Program::try_record(|r| {
        let x = r.batch(flow.dim());
        let signs = (penalty == Penalty::Stochastic).then(|| r.batch(flow.dim()));
        let params = flow.declare(r);
        let per_row = r.shared(1, 1);
        let column = (contrast == Contrast::Stochastic).then(|| r.shared(1, flow.dim()));
        let (x, before) = entering(flow, r, &params, x, core.start)?;
        let recorded = flow.record_normalize(&params, x, core.clone(), true);
        let log_p = flow.record_base(&params, recorded.out) + recorded.log_det + before;
        let nll = -(log_p.sum_rows() * per_row);
        let mut objective = nll;
        if penalty != Penalty::None || contrast != Contrast::None {
            // Batch statistics are constants for penalties.
            let (z, log_det) = if recorded.updates.is_empty() {
                (recorded.out, recorded.log_det)
            } else {
                let fixed = flow.record_normalize(&params, x, core.clone(), false);
                (fixed.out, fixed.log_det)
            };
            if penalty != Penalty::None {
                let norm = match signs {
                    None => jacobian_norm(r, z, x).map_err(crate::flow::Error::from)?,
                    Some(v) => r.jvp(&[z], &[(x, v)])?[0].square().sum_cols(),
                };
                objective = objective + norm.sum_rows() * per_row * T::of(options.alpha);
            }
            if contrast != Contrast::None {
                let c = gauge::record(flow, &params, core.clone(), [x, z, log_det], column)?;
                objective = objective + c.sum_rows() * per_row * T::of(options.gauge_weight);
            }
        }
        if options.alpha_weights > 0.0 {
            for &k in trained.iter().filter(|&&k| flow.parameters()[k].role == Role::Weight) {
                objective = objective + params[k].square().sum_all() * T::of(options.alpha_weights);
            }
        }
        let wanted: Vec<Var<'_, T>> = trained.iter().map(|&k| params[k]).collect();
        let mut outputs = vec![objective, nll];
        outputs.extend(r.gradient(objective, &wanted)?);
        for (k, value) in recorded.updates {
            updated.push(k);
            outputs.push(value);
        }
        Ok::<_, crate::flow::Error>(outputs)
    })?;
    if (penalty == Penalty::Exact || contrast == Contrast::Exact) && program.workspace_bytes() > EXACT_BYTES {
        return Err(Error::PenaltyMemory { dim: flow.dim(), bytes: program.workspace_bytes() });
    }
    Ok(Step { program, trained, updated, penalty, contrast })
}

/// Records sums over validation rows (and their contexts): `Σ -log p`, `Σ |f|²`.
pub(crate) fn validation<T: Real>(flow: &Flow<T>, core: Range<usize>) -> Result<Program<T>, Error> {
    Ok(Program::try_record(|r| {
        let x = r.batch(flow.dim());
        let params = flow.declare(r);
        let (x, before) = entering(flow, r, &params, x, core.start)?;
        let recorded = flow.record_normalize(&params, x, core, false);
        let log_p = flow.record_base(&params, recorded.out) + recorded.log_det + before;
        Ok::<_, crate::flow::Error>(vec![-log_p.sum_rows(), recorded.out.square().sum_all()])
    })?)
}

/// What enters the core, and the log-density that this adds. Rows are in training units already, except where a
/// variational dequantiser, which is trained too, makes them of whole numbers and normal noise (declared last).
fn entering<'t, T: Real>(
    flow: &Flow<T>,
    r: &'t Recorder<T>,
    params: &[Var<'t, T>],
    x: Var<'t, T>,
    preprocessing: usize,
) -> Result<(Var<'t, T>, Var<'t, T>), crate::flow::Error> {
    if !matches!(flow.dequantize(), Dequantize::Variational { .. }) {
        return Ok((x, r.scalar(T::ZERO)));
    }
    let noise = r.batch(flow.dim());
    let (x, log_q) = flow.record_dequantized(params, x, noise)?;
    let before = flow.record_normalize(params, x, 0..preprocessing, false);
    Ok((before.out, before.log_det - log_q))
}
