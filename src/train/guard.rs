//! The guard: condition numbers along training.

use super::Error;
use crate::flow::Flow;
use crate::jacobian::{Direction, Recorded};
use eigenflow_linalg::svd::{SvdKind, svd_batch};
use eigenflow_linalg::{Matrix, Real};

/// Rows at which the Jacobian is looked at each epoch.
const ROWS: usize = 256;
/// Columns above which fewer rows are looked at: the cost of a row grows as `D³`.
const FULL_COLUMNS: usize = 64;
/// Condition above which a warning is due: half the digits of an inverse are gone.
pub(crate) const WARN: f64 = 1e8;

/// What the guard saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// 99th percentile of `κ(J)`.
    pub condition: f64,
    /// Mean of `‖J‖²_F`.
    pub norm: f64,
}

/// How many rows are looked at for `dim` columns.
///
/// Where no limit is set, the look is for the record alone and may cost a fifth of an epoch: a row takes `dim` tangents,
/// so it is at most one row in `5 dim` of the training rows, but 16.
pub(crate) fn rows(dim: usize, training: usize, limited: bool) -> usize {
    let most = if dim <= FULL_COLUMNS {
        ROWS
    } else {
        let ratio = FULL_COLUMNS as f64 / dim as f64;
        ((ROWS as f64 * ratio * ratio) as usize).max(4)
    };
    if limited { most } else { most.min((training / (5 * dim)).max(16)) }
}

/// The rows that are looked at, in training units, and the core's Jacobian, recorded once for all epochs.
pub(crate) struct Guard<T> {
    rows: Matrix<T>,
    jacobian: Recorded<T>,
}

impl<T: Real> Guard<T> {
    pub(crate) fn new(flow: &Flow<T>, rows: Matrix<T>) -> Result<Self, Error> {
        Ok(Self { rows, jacobian: Recorded::push(&flow.part(flow.core())?, Direction::Normalize)? })
    }

    pub(crate) fn rows(&self) -> &Matrix<T> {
        &self.rows
    }

    /// Looks at the Jacobians of the core.
    pub(crate) fn look(&self, flow: &Flow<T>) -> Result<Look, Error> {
        // Transposed, which changes neither the singular values nor the norm.
        let j = self.jacobian.at(&flow.part(flow.core())?, &self.rows)?;
        let s = svd_batch(&j, SvdKind::Values)?.s;
        let d = flow.dim();
        let mut condition: Vec<f64> = (0..s.rows()).map(|n| (s[(n, 0)] / s[(n, d - 1)]).f64()).collect();
        condition.sort_by(f64::total_cmp);
        let at = (condition.len() * 99).div_ceil(100).saturating_sub(1);
        let norm: f64 = j.data().iter().map(|x| x.f64() * x.f64()).sum();
        Ok(Look {
            condition: condition.get(at).copied().unwrap_or(f64::NAN),
            norm: norm / self.rows.rows().max(1) as f64,
        })
    }
}
