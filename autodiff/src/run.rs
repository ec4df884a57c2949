//! Replaying a program on new inputs.

use crate::plan::Place;
use crate::program::Inner;
use crate::recorder::{Tape, ValueId};
use crate::shared::Store;
use crate::stage::{Lane, Sinks, Stage, Workspace};
use crate::sums::square;
use crate::{Error, Program};
use eigenflow_linalg::lines::prepare_thread;
use eigenflow_linalg::{Aligned, Real};
use smallvec::SmallVec;
use std::sync::{Arc, Mutex};

/// Memory for repeated runs of a [`Program`]; after the first run of a size the tape itself allocates nothing,
/// for up to 16 batch outputs of the program and 16 outputs of an operation.
///
/// Rows are cut into shards of [`Program::shard_rows`] rows; each thread of the current rayon pool
/// runs the whole program on one shard at a time. Sums over rows are collected shard by shard in a
/// fixed number of lanes and added in a fixed tree, so the result has the same bits for any number
/// of threads.
#[derive(Debug)]
pub struct Runner<T> {
    program: Program<T>,
    shared: Vec<Aligned<T>>,
    /// How often the shared values of each phase were computed, and one more: a workspace that has 0 has none of its own yet.
    runs: Vec<u64>,
    lanes: Vec<Lane<T>>,
    /// The lane whose sums became those of the last run.
    first: usize,
    /// One a thread.
    workspaces: Vec<Mutex<Workspace<T>>>,
    /// Whether every thread has the memory that it keeps for products.
    prepared: bool,
    /// Whether all runs stay on the calling thread.
    alone: bool,
    shared_inputs: SharedInputs,
    /// Rows of the last run, whose first part is there.
    prepared_rows: Option<usize>,
    /// `Σ x²` of the sums over rows, by phase, if the last run was one in place.
    squares: Vec<Vec<f64>>,
    /// One an output if the last run was one in place, else none; empty but for outputs that are shared inputs themselves.
    copies: Vec<Aligned<T>>,
}

/// What is known of the shared inputs of later runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SharedInputs {
    Vary,
    /// They are the same in all runs.
    Fixed,
    /// And what follows from them alone is there already.
    Done,
}

impl<T: Real> Runner<T> {
    pub(crate) fn new(program: &Program<T>) -> Self {
        let plan = &program.inner.plan;
        let mut shared: Vec<Aligned<T>> = plan.shared.iter().map(|&n| Aligned::zeros(n)).collect();
        // A sum has the memory of a lane.
        plan.phases.iter().flat_map(|p| &p.reductions).for_each(|r| shared[r.shared] = Aligned::default());
        Self {
            program: program.clone(),
            shared,
            runs: vec![1; plan.phases.len()],
            lanes: (0..plan.lanes).map(|_| Lane::new(plan)).collect(),
            first: 0,
            workspaces: Vec::new(),
            prepared: false,
            alone: false,
            shared_inputs: SharedInputs::Vary,
            prepared_rows: None,
            squares: plan.phases.iter().map(|p| vec![f64::NAN; p.reductions.len()]).collect(),
            copies: Vec::new(),
        }
    }

    /// The only run of a runner, which is not worth waking every thread for.
    pub(crate) fn once(
        mut self,
        rows: usize,
        batch: &[&[T]],
        shared: &[&[T]],
        outputs: &mut [&mut [T]],
    ) -> Result<(), Error> {
        self.prepared = true;
        self.run(rows, batch, shared, outputs)
    }

    /// The same, staying on the calling thread: for runs inside an operation of another program, whose workers must not wait
    /// for each other. It has the memory of its operations at once.
    pub fn alone(self) -> Self {
        let workspaces = vec![Mutex::new(Workspace::new(&self.program.inner.plan))];
        Self { alone: true, prepared: true, workspaces, ..self }
    }

    /// The same for shared inputs that do not change from run to run: what follows from them alone (a factorisation, folded or
    /// permuted weights) is computed in the first run and kept, or by a thread in its first run where every thread computes it for itself.
    ///
    /// ```
    /// use eigenflow_autodiff::Program;
    /// // W⁻¹ x: W is factored once for both runs.
    /// let solve = Program::<f64>::record(|r| {
    ///     let (w, x) = (r.shared(2, 2), r.batch(2));
    ///     vec![w.solve_lines(x)]
    /// });
    /// let (mut solve, w) = (solve.runner().with_fixed_shared(), [2.0, 0.0, 0.0, 4.0]);
    /// let mut y = [0.0; 2];
    /// for x in [[2.0, 4.0], [4.0, 8.0]] {
    ///     solve.run(1, &[&x], &[&w], &mut [&mut y]).unwrap();
    /// }
    /// assert_eq!(y, [2.0, 2.0]);
    /// ```
    #[must_use]
    pub fn with_fixed_shared(self) -> Self {
        Self { shared_inputs: SharedInputs::Fixed, ..self }
    }

    /// Another runner of the same program for the calling thread alone. It has what follows from fixed shared inputs
    /// ([`Runner::with_fixed_shared`]) if this one has it, but for what every thread computes for itself: for threads that each run the program on rows of
    /// their own.
    ///
    /// ```
    /// use eigenflow_autodiff::Program;
    /// let solve = Program::<f64>::record(|r| {
    ///     let (w, x) = (r.shared(1, 1), r.batch(1));
    ///     vec![w.solve_lines(x)]
    /// });
    /// let mut first = solve.runner().with_fixed_shared();
    /// let mut y = [0.0];
    /// first.run(1, &[&[6.0]], &[&[2.0]], &mut [&mut y]).unwrap();
    /// // W = 2 is factored already.
    /// first.fork().run(1, &[&[10.0]], &[&[2.0]], &mut [&mut y]).unwrap();
    /// assert_eq!(y, [5.0]);
    /// ```
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            shared_inputs: self.shared_inputs,
            ..self.program.runner().alone()
        }
    }

    /// The program that this runs.
    pub fn program(&self) -> &Program<T> {
        &self.program
    }

    /// Runs on `rows` rows. `batch` and `shared` are the inputs in the order of declaration,
    /// `outputs` receive the program's outputs.
    ///
    /// # Errors
    /// If the number or length of inputs or outputs does not fit.
    pub fn run(
        &mut self,
        rows: usize,
        batch: &[&[T]],
        shared: &[&[T]],
        outputs: &mut [&mut [T]],
    ) -> Result<(), Error> {
        self.run_from(0, rows, batch, shared, outputs)
    }

    /// Runs on `rows` rows a program whose outputs are all shared values, and leaves them where they are: [`Runner::output`]. Gradients
    /// by many parameters need not be copied.
    ///
    /// # Errors
    /// As [`Runner::run`].
    ///
    /// # Panics
    /// If an output is a value for each row.
    ///
    /// ```
    /// use eigenflow_autodiff::Program;
    /// let sum = Program::<f64>::record(|r| vec![r.batch(1).sum_rows()]);
    /// let mut runner = sum.runner();
    /// runner.run_in_place(3, &[&[1.0, 2.0, 3.5]], &[]).unwrap();
    /// assert_eq!(runner.output(0), [6.5]);
    /// ```
    pub fn run_in_place(&mut self, rows: usize, batch: &[&[T]], shared: &[&[T]]) -> Result<(), Error> {
        let program = Arc::clone(&self.program.inner);
        let Inner { tape, plan } = &*program;
        let each_row = plan.outputs.iter().any(|&id| tape.values[id as usize].shape.is_batch());
        assert!(!each_row, "outputs of a run in place are shared values");
        check_inputs(tape, rows, batch, shared)?;
        self.execute(0, rows, batch, shared, &mut [], true);
        self.copies.resize_with(plan.outputs.len(), Aligned::default);
        for (copy, &id) in self.copies.iter_mut().zip(&plan.outputs) {
            if let Place::SharedInput(k) = plan.places[id as usize] {
                copy.resize(shared[k].len());
                copy.copy_from_slice(shared[k]);
            }
        }
        Ok(())
    }

    /// Output `k` of the last run, row by row, if that was one in place ([`Runner::run_in_place`]).
    ///
    /// # Panics
    /// If it was not, or there is no such output.
    pub fn output(&self, k: usize) -> &[T] {
        let Inner { tape, plan } = &*self.program.inner;
        let copy = self.copies.get(k).expect("an output, and a run in place before");
        match plan.places[plan.outputs[k] as usize] {
            Place::Shared(k) => &self.shared[k],
            Place::Constant(id) => tape.constant(id),
            _ => copy,
        }
    }

    /// `Σ x²` of output `k` of the last run, in double precision, if that was one in place. Sums over rows of several lanes were squared where they were
    /// added up, many of them by all threads.
    ///
    /// # Panics
    /// As [`Runner::output`].
    ///
    /// ```
    /// use eigenflow_autodiff::Program;
    /// let sums = Program::<f32>::record(|r| vec![r.batch(2).sum_rows()]);
    /// let mut runner = sums.runner();
    /// runner.run_in_place(2, &[&[1.0, 2.0, 2.0, 2.0]], &[]).unwrap();
    /// assert_eq!(runner.square(0), 25.0);
    /// ```
    pub fn square(&self, k: usize) -> f64 {
        let plan = &self.program.inner.plan;
        let of_sum = |at: usize| {
            let squares = plan.phases.iter().zip(&self.squares);
            squares.into_iter().find_map(|(phase, squares)| {
                phase.reductions.binary_search_by_key(&at, |r| r.shared).ok().map(|k| squares[k])
            })
        };
        let numbers = self.output(k);
        match plan.places[plan.outputs[k] as usize] {
            Place::Shared(at) => of_sum(at).unwrap_or_else(|| square(numbers)),
            _ => square(numbers),
        }
    }

    /// Runs again what depends on the late inputs ([`Program::with_late_inputs`]); all other inputs are those of the last
    /// run, and outputs of the first part are left as they are. In full after a run of another number of rows, or after none.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub fn run_again(
        &mut self,
        rows: usize,
        batch: &[&[T]],
        shared: &[&[T]],
        outputs: &mut [&mut [T]],
    ) -> Result<(), Error> {
        let first = usize::from(self.prepared_rows == Some(rows) && self.program.inner.plan.late);
        self.run_from(first, rows, batch, shared, outputs)
    }

    /// Runs the phases from number `first` on.
    fn run_from(
        &mut self,
        first: usize,
        rows: usize,
        batch: &[&[T]],
        shared: &[&[T]],
        outputs: &mut [&mut [T]],
    ) -> Result<(), Error> {
        let program = Arc::clone(&self.program.inner);
        let Inner { tape, plan } = &*program;
        check_inputs(tape, rows, batch, shared)?;
        check(tape, rows, "output", &plan.outputs, &mut outputs.iter().map(|x| x.len()))?;
        self.copies.clear();
        self.execute(first, rows, batch, shared, outputs, false);
        for (&id, out) in plan.outputs.iter().zip(outputs) {
            match plan.places[id as usize] {
                Place::Shared(k) => out.copy_from_slice(&self.shared[k]),
                Place::SharedInput(k) => out.copy_from_slice(shared[k]),
                Place::Constant(id) => out.copy_from_slice(tape.constant(id)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Runs the phases from number `first` on, into the outputs that are of the batch; with the squares of sums over rows, or without.
    fn execute(
        &mut self,
        first: usize,
        rows: usize,
        batch: &[&[T]],
        shared: &[&[T]],
        outputs: &mut [&mut [T]],
        squared: bool,
    ) {
        let program = Arc::clone(&self.program.inner);
        let Inner { tape, plan } = &*program;
        let threads = if self.alone { 1 } else { rayon::current_num_threads() };
        let workspace = || Mutex::new(Workspace::new(plan));
        if !self.prepared {
            // Each thread takes its own memory: allocators with an arena a thread then keep it apart from that of the others.
            self.workspaces = rayon::broadcast(|_| {
                prepare_thread::<T>();
                workspace()
            });
            self.prepared = true;
        }
        if self.workspaces.len() < threads {
            // All at once: which of them a run touches depends on how threads share the work.
            self.workspaces.resize_with(threads, workspace);
        }
        for r in plan.phases[first..].iter().flat_map(|phase| &phase.reductions) {
            let sums = &mut self.lanes[self.first].sums[r.lane];
            if sums.is_empty() {
                // The sum of the last run goes back to the lane.
                std::mem::swap(sums, &mut self.shared[r.shared]);
            }
        }
        let shards = rows.div_ceil(plan.shard_rows);
        self.prepared_rows = None;
        for (index, phase) in plan.phases.iter().enumerate().skip(first) {
            // What the shared inputs alone determine belongs to the first phase.
            let kept = index == 0 && self.shared_inputs == SharedInputs::Done;
            if !kept {
                self.runs[index] += 1;
                let store = Store { tape, plan, inputs: shared, workspaces: &self.workspaces };
                store.run(phase, &mut self.shared, threads > 1);
            }
            let stage = Stage {
                tape,
                plan,
                phase: index,
                rows,
                shards,
                batch,
                inputs: shared,
                shared: &self.shared,
                runs: &self.runs,
                workspaces: &self.workspaces,
            };
            let squares = if squared { &mut self.squares[index][..] } else { &mut [] };
            squares.fill(f64::NAN);
            if !phase.batch.is_empty() || !phase.outputs.is_empty() {
                let sinks = sinks(outputs, phase.outputs.iter().map(|c| c.to));
                self.first = stage.lanes(&mut self.lanes, 0, sinks, squares, threads > 1);
            }
            if index == 0 && (phase.batch.is_empty() || rows == 0) {
                self.lanes.iter_mut().enumerate().for_each(|(k, lane)| stage.prepare(lane, k));
            }
            for (k, r) in phase.reductions.iter().enumerate() {
                if rows == 0 {
                    self.lanes[self.first].sums[r.lane].fill(T::ZERO);
                }
                if let Some(found) = squares.get_mut(k).filter(|found| found.is_nan()) {
                    // No other lane had rows.
                    *found = square(&self.lanes[self.first].sums[r.lane]);
                }
                std::mem::swap(&mut self.shared[r.shared], &mut self.lanes[self.first].sums[r.lane]);
            }
        }
        self.prepared_rows = Some(rows);
        if self.shared_inputs == SharedInputs::Fixed {
            self.shared_inputs = SharedInputs::Done;
        }
    }
}

/// Those of the outputs that a phase writes, in order of position.
fn sinks<'a, T>(outputs: &'a mut [&mut [T]], wanted: impl Iterator<Item = usize>) -> Sinks<'a, T> {
    let mut wanted: SmallVec<[usize; 16]> = wanted.collect();
    wanted.sort_unstable();
    let each = outputs.iter_mut().enumerate();
    each.filter(|(k, _)| wanted.binary_search(k).is_ok()).map(|(_, out)| &mut **out).collect()
}

/// That all inputs are there, in the shapes that were declared.
fn check_inputs<T: Real>(tape: &Tape<T>, rows: usize, batch: &[&[T]], shared: &[&[T]]) -> Result<(), Error> {
    check(tape, rows, "batch input", &tape.batch_inputs, &mut batch.iter().map(|x| x.len()))?;
    check(tape, rows, "shared input", &tape.shared_inputs, &mut shared.iter().map(|x| x.len()))
}

fn check<T: Real>(
    tape: &Tape<T>,
    rows: usize,
    what: &'static str,
    ids: &[ValueId],
    lens: &mut dyn ExactSizeIterator<Item = usize>,
) -> Result<(), Error> {
    if ids.len() != lens.len() {
        return Err(Error::Count { what, expected: ids.len(), given: lens.len() });
    }
    for (index, (&id, given)) in ids.iter().zip(lens).enumerate() {
        let shape = tape.values[id as usize].shape;
        if shape.len(rows) != given {
            return Err(Error::Length { what, index, shape, expected: shape.len(rows), given });
        }
    }
    Ok(())
}
