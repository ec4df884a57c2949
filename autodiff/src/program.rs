//! A recorded closure, planned for replay.

use crate::plan::{Phase, Plan};
use crate::recorder::{Tape, ValueId};
use crate::{Error, Recorder, Runner, Shape, Var};
use eigenflow_linalg::Real;
use std::sync::Arc;

/// A recorded and planned program: closures in, numbers out.
///
/// Cloning is cheap. For repeated runs without allocation use a [`Runner`].
#[derive(Clone, Debug)]
pub struct Program<T> {
    pub(crate) inner: Arc<Inner<T>>,
}

#[derive(Debug)]
pub(crate) struct Inner<T> {
    pub(crate) tape: Arc<Tape<T>>,
    pub(crate) plan: Plan,
}

impl<T: Real> Program<T> {
    /// Records a closure and plans its workspace.
    pub fn record<F>(f: F) -> Self
    where
        F: for<'t> FnOnce(&'t Recorder<T>) -> Vec<Var<'t, T>>,
    {
        let recorder = Recorder::new();
        let outputs = crate::plan::ids(&f(&recorder));
        Self::finish(recorder, &outputs)
    }

    /// As [`Program::record`], for closures that can fail (those that differentiate).
    pub fn try_record<F, E>(f: F) -> Result<Self, E>
    where
        F: for<'t> FnOnce(&'t Recorder<T>) -> Result<Vec<Var<'t, T>>, E>,
    {
        let recorder = Recorder::new();
        let outputs = crate::plan::ids(&f(&recorder)?);
        Ok(Self::finish(recorder, &outputs))
    }

    fn finish(recorder: Recorder<T>, outputs: &[ValueId]) -> Self {
        let tape = recorder.into_tape();
        let plan = Plan::new(&tape, outputs, &[]);
        Self { inner: Arc::new(Inner { tape: Arc::new(tape), plan }) }
    }

    /// The same program in two parts: what the batch inputs at `positions` have no part in comes first, as far as the first sum over
    /// rows, and [`Runner::run_again`] leaves it out. What the second part reads of the first is kept for all rows,
    /// [`Program::kept_row_bytes`] a row. Shards may be of another size, so sums over rows may be rounded otherwise.
    ///
    /// A linear map that many vectors pass at the same point is such a program: the point comes first, the vectors are late.
    ///
    /// # Panics
    /// If there is no batch input at one of the positions.
    ///
    /// ```
    /// use eigenflow_autodiff::Program;
    /// // tanh(x) v: the tanh is taken once
    /// let program = Program::<f64>::record(|r| {
    ///     let (x, v) = (r.batch(1), r.batch(1));
    ///     vec![x.tanh() * v]
    /// });
    /// let mut runner = program.with_late_inputs(&[1]).runner();
    /// let mut y = [0.0];
    /// runner.run(1, &[&[0.5], &[1.0]], &[], &mut [&mut y]).unwrap();
    /// runner.run_again(1, &[&[0.5], &[10.0]], &[], &mut [&mut y]).unwrap();
    /// assert!((y[0] - 10.0 * 0.5_f64.tanh()).abs() < 1e-14);
    /// ```
    #[must_use]
    pub fn with_late_inputs(&self, positions: &[usize]) -> Self {
        let Inner { tape, plan } = &*self.inner;
        let late: Vec<ValueId> = positions.iter().map(|&k| tape.batch_inputs[k]).collect();
        let plan = Plan::new(tape, &plan.outputs, &late);
        Self { inner: Arc::new(Inner { tape: tape.clone(), plan }) }
    }

    /// Shapes of the outputs.
    pub fn output_shapes(&self) -> Vec<Shape> {
        let Inner { tape, plan } = &*self.inner;
        plan.outputs.iter().map(|&id| tape.values[id as usize].shape).collect()
    }

    /// Rows of a shard: a pure function of the program.
    pub fn shard_rows(&self) -> usize {
        self.inner.plan.shard_rows
    }

    /// Bytes of workspace that one shard in flight takes.
    pub fn workspace_bytes(&self) -> usize {
        let plan = &self.inner.plan;
        let rows = plan.slots.iter().sum::<usize>() * plan.shard_rows;
        (rows + plan.own.iter().sum::<usize>() + plan.scratch) * size_of::<T>()
    }

    /// Bytes that a runner keeps of each row from one part of a run to the next: what lies on both sides of a sum over rows, or is
    /// computed before late inputs ([`Program::with_late_inputs`]) and read after.
    pub fn kept_row_bytes(&self) -> usize {
        self.inner.plan.carried.iter().sum::<usize>() * size_of::<T>()
    }

    /// Number of operations that a run executes, those that every thread computes for itself counted once.
    pub fn len(&self) -> usize {
        let shared = |p: &Phase| p.shared.iter().map(|group| group.nodes.len()).sum::<usize>();
        self.inner.plan.phases.iter().map(|p| shared(p) + p.own.len() + p.batch.len()).sum()
    }

    /// Whether a run executes no operation.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A runner, which holds the memory of repeated runs.
    pub fn runner(&self) -> Runner<T> {
        Runner::new(self)
    }

    /// Runs once on `rows` rows and gives freshly allocated outputs.
    ///
    /// # Errors
    /// If the number or length of inputs does not fit.
    pub fn run(&self, rows: usize, batch: &[&[T]], shared: &[&[T]]) -> Result<Vec<Vec<T>>, Error> {
        let mut outputs: Vec<Vec<T>> =
            self.output_shapes().iter().map(|s| vec![T::ZERO; s.len(rows)]).collect();
        let mut views: Vec<&mut [T]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        self.runner().once(rows, batch, shared, &mut views)?;
        Ok(outputs)
    }
}
