//! Programs that an operation runs inside: the iterations of a solver.

use crate::{Error, Pool, Program, Recorder, Runner, Var};
use eigenflow_linalg::Real;

/// A program for use inside the `eval` of an operation. It stays on the calling thread, and keeps its memory from run to run.
#[derive(Debug)]
pub struct Nested<T> {
    program: Program<T>,
    runners: Pool<Runner<T>>,
}

impl<T: Real> Nested<T> {
    /// Records a closure.
    pub fn new<F>(f: F) -> Self
    where
        F: for<'t> FnOnce(&'t Recorder<T>) -> Vec<Var<'t, T>>,
    {
        Self { program: Program::record(f), runners: Pool::default() }
    }

    /// Runs on `rows` rows, as [`Runner::run`].
    ///
    /// # Errors
    /// If the number or length of inputs or outputs does not fit.
    pub fn run(
        &self,
        rows: usize,
        batch: &[&[T]],
        shared: &[&[T]],
        outputs: &mut [&mut [T]],
    ) -> Result<(), Error> {
        let make = || self.program.runner().alone();
        self.runners.with(make, |runner| runner.run(rows, batch, shared, outputs))
    }
}
