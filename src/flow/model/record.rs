//! What a flow records on a tape.

use super::Flow;
use crate::flow::bijection::{Bijection, Scope};
use eigenflow_autodiff::{Recorder, Var};
use eigenflow_linalg::Real;
use std::ops::Range;

/// A recorded direction of a flow.
pub struct Recorded<'t, T> {
    /// The result: latents or data.
    pub out: Var<'t, T>,
    /// Sum of the layers' log-determinants (of `normalize`; zero for `generate`).
    pub log_det: Var<'t, T>,
    /// Log-determinant of each layer passed, in order.
    pub log_dets: Vec<Var<'t, T>>,
    /// The value after each layer, in the order in which layers were passed.
    pub values: Vec<Var<'t, T>>,
    /// New values of frozen parameters after a training step: index and value.
    pub updates: Vec<(usize, Var<'t, T>)>,
}

impl<T: Real> Flow<T> {
    /// Declares all parameters as shared inputs of a tape, in order; a conditional flow's contexts follow as a batch input, so that
    /// recording finds them.
    pub fn declare<'t>(&self, r: &'t Recorder<T>) -> Vec<Var<'t, T>> {
        let mut declared: Vec<_> = self.parameters.iter().map(|p| r.shared(p.rows, p.cols)).collect();
        if !self.variables.is_empty() {
            declared.push(r.batch(self.context_columns()));
        }
        declared
    }

    /// The standardised context, of what [`Flow::declare`] gave.
    fn standardised<'t>(&self, params: &[Var<'t, T>]) -> Option<Var<'t, T>> {
        match params {
            [.., mean, scale, context] if !self.variables.is_empty() => Some((*context - *mean) / *scale),
            _ => None,
        }
    }

    /// Records `normalize` through the layers `range`.
    pub fn record_normalize<'t>(
        &self,
        params: &[Var<'t, T>],
        x: Var<'t, T>,
        range: Range<usize>,
        training: bool,
    ) -> Recorded<'t, T> {
        let r = x.recorder();
        let mut recorded = Recorded {
            out: x,
            log_det: r.scalar(T::ZERO),
            log_dets: Vec::new(),
            values: Vec::new(),
            updates: Vec::new(),
        };
        let context = self.standardised(params);
        for k in range {
            let own = self.of_layer[k].clone();
            let params = &params[own.clone()];
            let mut scope = Scope { recorder: r, params, context, training, updates: Vec::new() };
            let (out, log_det) = self.layers[k].normalize(&mut scope, recorded.out);
            recorded.updates.extend(scope.updates.into_iter().map(|(i, v)| (own.start + i, v)));
            recorded.out = out;
            recorded.values.push(out);
            recorded.log_dets.push(log_det);
        }
        if let Some(total) = recorded.log_dets.iter().copied().reduce(|a, b| a + b) {
            recorded.log_det = total;
        }
        // One number a row, also where it is the same for all rows.
        recorded.log_det = recorded.log_det.broadcast_to(x.shape().with_cols(1));
        recorded
    }

    /// Records `generate` through the layers `range`, latent side first.
    pub fn record_generate<'t>(
        &self,
        params: &[Var<'t, T>],
        z: Var<'t, T>,
        range: Range<usize>,
    ) -> Recorded<'t, T> {
        let r = z.recorder();
        let mut out = z;
        let mut values = Vec::new();
        let context = self.standardised(params);
        for k in range.rev() {
            let params = &params[self.of_layer[k].clone()];
            let mut scope = Scope { recorder: r, params, context, training: false, updates: Vec::new() };
            out = self.layers[k].generate(&mut scope, out);
            values.push(out);
        }
        let log_det = r.full(z.shape().with_cols(1), T::ZERO);
        Recorded { out, log_det, log_dets: Vec::new(), values, updates: Vec::new() }
    }

    /// Records the base's log-density of latents: one column.
    pub fn record_base<'t>(&self, params: &[Var<'t, T>], z: Var<'t, T>) -> Var<'t, T> {
        self.base.record(&params[self.base_parameters()], z)
    }

    /// Records `log p(x)` through the layers `range`: one column.
    pub fn record_log_density<'t>(
        &self,
        params: &[Var<'t, T>],
        x: Var<'t, T>,
        range: Range<usize>,
    ) -> Var<'t, T> {
        let recorded = self.record_normalize(params, x, range, false);
        self.record_base(params, recorded.out) + recorded.log_det
    }
}
