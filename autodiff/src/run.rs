//! Replaying a program on new inputs.

use crate::plan::{Place, Plan};
use crate::primitive::Eval;
use crate::recorder::{Source, Tape, ValueId};
use crate::{Error, Recorder, Shape, Var};
use eigenflow_linalg::Real;
use smallvec::SmallVec;
use std::sync::{Arc, Mutex, PoisonError};

/// A recorded and planned program: closures in, numbers out.
///
/// Cloning is cheap. For repeated runs without allocation use a [`Runner`].
#[derive(Clone, Debug)]
pub struct Program<T> {
    inner: Arc<Inner<T>>,
}

#[derive(Debug)]
struct Inner<T> {
    tape: Tape<T>,
    plan: Plan,
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
        let plan = Plan::new(&tape, outputs);
        Self { inner: Arc::new(Inner { tape, plan }) }
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
        (plan.slots.iter().sum::<usize>() * plan.shard_rows + plan.scratch) * size_of::<T>()
    }

    /// Number of operations that a run executes.
    pub fn len(&self) -> usize {
        self.inner.plan.phases.iter().map(|p| p.shared.len() + p.batch.len()).sum()
    }

    /// Whether a run executes no operation.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A runner, which holds the memory of repeated runs.
    pub fn runner(&self) -> Runner<T> {
        let plan = &self.inner.plan;
        let zeros = |sizes: &[usize]| sizes.iter().map(|&n| vec![T::ZERO; n]).collect::<Vec<_>>();
        Runner {
            program: self.clone(),
            shared: zeros(&plan.shared),
            lanes: (0..plan.lanes).map(|_| Lane { sums: zeros(&plan.accumulators) }).collect(),
            carried: plan.carried.iter().map(|_| Vec::new()).collect(),
            scratch: vec![T::ZERO; plan.scratch],
            workspaces: Vec::new(),
        }
    }

    /// Runs once on `rows` rows and gives freshly allocated outputs.
    ///
    /// # Errors
    /// If the number or length of inputs does not fit.
    pub fn run(&self, rows: usize, batch: &[&[T]], shared: &[&[T]]) -> Result<Vec<Vec<T>>, Error> {
        let mut outputs: Vec<Vec<T>> =
            self.output_shapes().iter().map(|s| vec![T::ZERO; s.len(rows)]).collect();
        let mut views: Vec<&mut [T]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        self.runner().run(rows, batch, shared, &mut views)?;
        Ok(outputs)
    }
}

/// Memory for repeated runs of a [`Program`]; after the first run of a size, a run allocates nothing.
///
/// Rows are cut into shards of [`Program::shard_rows`] rows; each thread of the current rayon pool
/// runs the whole program on one shard at a time. Sums over rows are collected shard by shard in a
/// fixed number of lanes and added in a fixed tree, so the result has the same bits for any number
/// of threads.
#[derive(Debug)]
pub struct Runner<T> {
    program: Program<T>,
    shared: Vec<Vec<T>>,
    lanes: Vec<Lane<T>>,
    carried: Vec<Vec<T>>,
    scratch: Vec<T>,
    workspaces: Vec<Mutex<Workspace<T>>>,
}

#[derive(Debug)]
struct Lane<T> {
    sums: Vec<Vec<T>>,
}

#[derive(Debug, Default)]
struct Workspace<T> {
    slots: Vec<Vec<T>>,
    scratch: Vec<T>,
}

/// Destinations over all rows of a range of lanes: program outputs and carried buffers.
type Sinks<'a, T> = SmallVec<[&'a mut [T]; 16]>;

/// What all shards of a phase read.
struct Stage<'a, T> {
    tape: &'a Tape<T>,
    plan: &'a Plan,
    phase: usize,
    rows: usize,
    shards: usize,
    batch: &'a [&'a [T]],
    inputs: &'a [&'a [T]],
    shared: &'a [Vec<T>],
    carried: &'a [Vec<T>],
    workspaces: &'a [Mutex<Workspace<T>>],
}

impl<T: Real> Runner<T> {
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
        let program = Arc::clone(&self.program.inner);
        let Inner { tape, plan } = &*program;
        check(tape, plan, rows, batch, shared, outputs)?;
        let threads = rayon::current_num_threads();
        if self.workspaces.len() < threads {
            self.workspaces.resize_with(threads, Mutex::default);
        }
        let shards = rows.div_ceil(plan.shard_rows);
        for (buffer, &unit) in self.carried.iter_mut().zip(&plan.carried) {
            buffer.resize(unit * rows, T::ZERO);
        }
        for lane in &mut self.lanes {
            lane.sums.iter_mut().for_each(|s| s.fill(T::ZERO));
        }
        for (index, phase) in plan.phases.iter().enumerate() {
            for &node in &phase.shared {
                run_shared(tape, plan, node, shared, &mut self.shared, &mut self.scratch);
            }
            if phase.batch.is_empty() && phase.outputs.is_empty() {
                continue;
            }
            // Carried buffers of this phase are written, those of earlier ones are read.
            let mut written: SmallVec<[Vec<T>; 4]> =
                phase.carried.iter().map(|&(_, k, _)| std::mem::take(&mut self.carried[k])).collect();
            {
                let mut sinks: Sinks<'_, T> = SmallVec::new();
                let mut rest = &mut *outputs;
                let mut taken = 0;
                let mut wanted: SmallVec<[usize; 16]> = phase.outputs.iter().map(|&(_, k)| k).collect();
                wanted.sort_unstable();
                let mut of_position: SmallVec<[(usize, usize); 16]> = SmallVec::new();
                for k in wanted {
                    let (_, tail) = std::mem::take(&mut rest).split_at_mut(k - taken);
                    let (one, tail) = tail.split_first_mut().expect("checked above");
                    of_position.push((k, sinks.len()));
                    sinks.push(one);
                    (rest, taken) = (tail, k + 1);
                }
                sinks.extend(written.iter_mut().map(Vec::as_mut_slice));
                let stage = Stage {
                    tape,
                    plan,
                    phase: index,
                    rows,
                    shards,
                    batch,
                    inputs: shared,
                    shared: &self.shared,
                    carried: &self.carried,
                    workspaces: &self.workspaces,
                };
                stage.lanes(&mut self.lanes, 0, sinks, threads > 1);
            }
            for (&(_, k, _), buffer) in phase.carried.iter().zip(written) {
                self.carried[k] = buffer;
            }
            if !phase.reductions.is_empty() {
                add_lanes(&mut self.lanes, phase.reductions.iter().map(|r| r.lane));
                for r in &phase.reductions {
                    self.shared[r.shared].copy_from_slice(&self.lanes[0].sums[r.lane]);
                }
            }
        }
        for (&id, out) in plan.outputs.iter().zip(outputs) {
            match plan.places[id as usize] {
                Place::Shared(k) => out.copy_from_slice(&self.shared[k]),
                Place::SharedInput(k) => out.copy_from_slice(shared[k]),
                Place::Constant => {
                    if let Source::Constant(data) = &tape.values[id as usize].source {
                        out.copy_from_slice(data);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn check<T: Real>(
    tape: &Tape<T>,
    plan: &Plan,
    rows: usize,
    batch: &[&[T]],
    shared: &[&[T]],
    outputs: &[&mut [T]],
) -> Result<(), Error> {
    let each = |what: &'static str, ids: &[ValueId], lens: &mut dyn ExactSizeIterator<Item = usize>| {
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
    };
    each("batch input", &tape.batch_inputs, &mut batch.iter().map(|x| x.len()))?;
    each("shared input", &tape.shared_inputs, &mut shared.iter().map(|x| x.len()))?;
    each("output", &plan.outputs, &mut outputs.iter().map(|x| x.len()))
}

/// Runs one operation on shared values.
fn run_shared<T: Real>(
    tape: &Tape<T>,
    plan: &Plan,
    node: u32,
    inputs: &[&[T]],
    store: &mut [Vec<T>],
    scratch: &mut [T],
) {
    let node = &tape.nodes[node as usize];
    let mut out: SmallVec<[Vec<T>; 4]> = node
        .outputs
        .clone()
        .map(|id| match plan.places[id as usize] {
            Place::Shared(k) => std::mem::take(&mut store[k]),
            _ => Vec::new(),
        })
        .collect();
    {
        let shape = |id: ValueId| tape.values[id as usize].shape;
        let x: SmallVec<[&[T]; 4]> = node
            .inputs
            .iter()
            .map(|&id| match (plan.places[id as usize], &tape.values[id as usize].source) {
                (Place::Shared(k), _) => store[k].as_slice(),
                (Place::SharedInput(k), _) => inputs[k],
                (_, Source::Constant(data)) => data,
                _ => unreachable!("a shared operation reads shared values"),
            })
            .collect();
        let input_shapes: SmallVec<[Shape; 4]> = node.inputs.iter().map(|&id| shape(id)).collect();
        let output_shapes: SmallVec<[Shape; 4]> = node.outputs.clone().map(shape).collect();
        let mut views: SmallVec<[&mut [T]; 4]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        node.op.eval(&mut Eval {
            rows: 0,
            inputs: &x,
            input_shapes: &input_shapes,
            outputs: &mut views,
            output_shapes: &output_shapes,
            scratch,
        });
    }
    for (id, buffer) in node.outputs.clone().zip(out) {
        if let Place::Shared(k) = plan.places[id as usize] {
            store[k] = buffer;
        }
    }
}

/// Adds all lanes into lane 0, in a fixed tree.
fn add_lanes<T: Real>(lanes: &mut [Lane<T>], sums: impl Iterator<Item = usize> + Clone) {
    let mut gap = 1;
    while gap < lanes.len() {
        let mut k = 0;
        while k + gap < lanes.len() {
            let (left, right) = lanes.split_at_mut(k + gap);
            for s in sums.clone() {
                let pairs = left[k].sums[s].iter_mut().zip(&right[0].sums[s]);
                pairs.for_each(|(a, &b)| *a += b);
            }
            k += 2 * gap;
        }
        gap *= 2;
    }
}

impl<T: Real> Stage<'_, T> {
    /// First row of lane `lane`.
    fn first_row(&self, lane: usize) -> usize {
        (self.first_shard(lane) * self.plan.shard_rows).min(self.rows)
    }

    fn first_shard(&self, lane: usize) -> usize {
        lane * self.shards / self.plan.lanes
    }

    /// Runs lanes `first ..`, splitting them between threads.
    fn lanes(&self, lanes: &mut [Lane<T>], first: usize, mut sinks: Sinks<'_, T>, parallel: bool) {
        if lanes.len() == 1 {
            return self.lane(&mut lanes[0], first, &mut sinks);
        }
        let middle = lanes.len() / 2;
        let start = self.first_row(first);
        let rows = self.first_row(first + middle) - start;
        let total = self.first_row(first + lanes.len()) - start;
        if total == 0 {
            return;
        }
        let (a, b) = lanes.split_at_mut(middle);
        let mut left: Sinks<'_, T> = SmallVec::new();
        let mut right: Sinks<'_, T> = SmallVec::new();
        for sink in sinks {
            let (l, r) = sink.split_at_mut(sink.len() / total * rows);
            left.push(l);
            right.push(r);
        }
        if parallel {
            rayon::join(|| self.lanes(a, first, left, true), || self.lanes(b, first + middle, right, true));
        } else {
            self.lanes(a, first, left, false);
            self.lanes(b, first + middle, right, false);
        }
    }

    /// Runs the shards of one lane, in order.
    fn lane(&self, lane: &mut Lane<T>, index: usize, sinks: &mut Sinks<'_, T>) {
        let shards = self.first_shard(index)..self.first_shard(index + 1);
        if shards.is_empty() {
            return;
        }
        let thread = rayon::current_thread_index().unwrap_or(0) % self.workspaces.len();
        let mut workspace = self.workspaces[thread].lock().unwrap_or_else(PoisonError::into_inner);
        workspace.prepare(self.plan);
        let base = self.first_row(index);
        for shard in shards {
            let first = shard * self.plan.shard_rows;
            let rows = self.plan.shard_rows.min(self.rows - first);
            self.shard(&mut workspace, lane, first, rows, sinks, base);
        }
    }

    /// Runs this phase on rows `first .. first + rows`.
    fn shard(
        &self,
        workspace: &mut Workspace<T>,
        lane: &mut Lane<T>,
        first: usize,
        rows: usize,
        sinks: &mut Sinks<'_, T>,
        base: usize,
    ) {
        let plan = self.plan;
        let phase = &plan.phases[self.phase];
        let mut outputs = phase.outputs.iter().peekable();
        let mut order: SmallVec<[usize; 16]> = phase.outputs.iter().map(|&(_, k)| k).collect();
        order.sort_unstable();
        let sink_of = |position: usize| order.partition_point(|&k| k < position);
        while let Some(&&(None, position)) = outputs.peek() {
            outputs.next();
            let id = plan.outputs[position];
            if let Place::BatchInput(k) = plan.places[id as usize] {
                let unit = self.unit(id);
                let from = &self.batch[k][first * unit..][..rows * unit];
                sinks[sink_of(position)][(first - base) * unit..][..rows * unit].copy_from_slice(from);
            }
        }
        let mut carried = phase.carried.iter().enumerate().peekable();
        for (step, &index) in phase.batch.iter().enumerate() {
            self.step(workspace, lane, index, first, rows);
            while let Some(&&(Some(at), position)) = outputs.peek() {
                if at != step {
                    break;
                }
                outputs.next();
                self.store(
                    workspace,
                    plan.outputs[position],
                    &mut *sinks[sink_of(position)],
                    first - base,
                    rows,
                );
            }
            while let Some(&(k, &(at, _, id))) = carried.peek() {
                if at != step {
                    break;
                }
                carried.next();
                self.store(workspace, id, &mut *sinks[order.len() + k], first - base, rows);
            }
        }
    }

    fn unit(&self, id: ValueId) -> usize {
        self.tape.values[id as usize].shape.unit()
    }

    fn store(&self, workspace: &Workspace<T>, id: ValueId, sink: &mut [T], row: usize, rows: usize) {
        if let Place::Slot(slot) = self.plan.places[id as usize] {
            let unit = self.unit(id);
            sink[row * unit..][..rows * unit].copy_from_slice(&workspace.slots[slot][..rows * unit]);
        }
    }

    /// Runs one operation on rows `first .. first + rows`.
    fn step(&self, workspace: &mut Workspace<T>, lane: &mut Lane<T>, index: u32, first: usize, rows: usize) {
        let node = &self.tape.nodes[index as usize];
        let plan = self.plan;
        let shape = |id: ValueId| self.tape.values[id as usize].shape;
        let mut out: SmallVec<[Vec<T>; 4]> = node
            .outputs
            .clone()
            .map(|id| match (plan.places[id as usize], plan.lane_of[id as usize]) {
                (_, Some(sum)) => std::mem::take(&mut lane.sums[sum]),
                (Place::Slot(slot), None) => std::mem::take(&mut workspace.slots[slot]),
                _ => unreachable!("a batch operation gives batch values or sums"),
            })
            .collect();
        {
            let slots = &workspace.slots;
            let x: SmallVec<[&[T]; 4]> =
                node.inputs.iter().map(|&id| self.read(slots, id, first, rows)).collect();
            let input_shapes: SmallVec<[Shape; 4]> = node.inputs.iter().map(|&id| shape(id)).collect();
            let output_shapes: SmallVec<[Shape; 4]> = node.outputs.clone().map(shape).collect();
            let mut views: SmallVec<[&mut [T]; 4]> =
                out.iter_mut().zip(&output_shapes).map(|(o, s)| &mut o[..s.len(rows)]).collect();
            node.op.eval(&mut Eval {
                rows,
                inputs: &x,
                input_shapes: &input_shapes,
                outputs: &mut views,
                output_shapes: &output_shapes,
                scratch: &mut workspace.scratch,
            });
        }
        for (id, buffer) in node.outputs.clone().zip(out) {
            match (plan.places[id as usize], plan.lane_of[id as usize]) {
                (_, Some(sum)) => lane.sums[sum] = buffer,
                (Place::Slot(slot), None) => workspace.slots[slot] = buffer,
                _ => {}
            }
        }
    }

    fn read<'b>(&'b self, slots: &'b [Vec<T>], id: ValueId, first: usize, rows: usize) -> &'b [T] {
        let unit = self.unit(id);
        let value = &self.tape.values[id as usize];
        if let Some(k) = self.plan.carried_of[id as usize]
            && self.plan.phase_of[id as usize] < self.phase
        {
            return &self.carried[k][first * unit..][..rows * unit];
        }
        match (self.plan.places[id as usize], &value.source) {
            (Place::Slot(slot), _) => &slots[slot][..rows * unit],
            (Place::BatchInput(k), _) => &self.batch[k][first * unit..][..rows * unit],
            (Place::Shared(k), _) => &self.shared[k],
            (Place::SharedInput(k), _) => self.inputs[k],
            (_, Source::Constant(data)) => data,
            (Place::Dead | Place::Constant, _) => unreachable!("a live operation reads live values"),
        }
    }
}

impl<T: Real> Workspace<T> {
    fn prepare(&mut self, plan: &Plan) {
        if self.slots.len() < plan.slots.len() {
            self.slots = plan.slots.iter().map(|&unit| vec![T::ZERO; unit * plan.shard_rows]).collect();
            self.scratch = vec![T::ZERO; plan.scratch];
        }
    }
}
