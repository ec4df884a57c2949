//! Programs that an operation runs inside: the iterations of a solver.

use crate::{Error, Program, Recorder, Runner, Var};
use eigenflow_linalg::Real;
use std::sync::{Mutex, PoisonError};

/// A program for use inside the `eval` of an operation. It stays on the calling thread, and keeps its memory from run to run.
#[derive(Debug)]
pub struct Nested<T> {
    program: Program<T>,
    /// Runners that nobody uses at the moment: at most one a thread.
    idle: Mutex<Vec<Runner<T>>>,
}

impl<T: Real> Nested<T> {
    /// Records a closure.
    pub fn new<F>(f: F) -> Self
    where
        F: for<'t> FnOnce(&'t Recorder<T>) -> Vec<Var<'t, T>>,
    {
        Self { program: Program::record(f), idle: Mutex::default() }
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
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let mut runner = taken.unwrap_or_else(|| self.program.runner().alone());
        let result = runner.run(rows, batch, shared, outputs);
        idle().push(runner);
        result
    }
}
