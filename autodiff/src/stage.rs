//! One phase of a run: shards of rows, the threads that share them, and single operations.

use crate::plan::{Place, Plan};
use crate::primitive::Eval;
use crate::recorder::{Tape, ValueId};
use crate::sums::add_lane;
use eigenflow_linalg::{Aligned, Real, join};
use smallvec::SmallVec;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A fixed share of the rows: what is summed over them, and what later phases read of them.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    pub sums: Vec<Aligned<T>>,
    carried: Vec<Aligned<T>>,
}

impl<T: Real> Lane<T> {
    pub fn new(plan: &Plan) -> Self {
        Self {
            sums: plan.accumulators.iter().map(|&n| Aligned::zeros(n)).collect(),
            carried: plan.carried.iter().map(|_| Aligned::default()).collect(),
        }
    }
}

/// What one thread needs to run operations. Every operation writes to it: it is on cache lines of its own, in pairs, which some
/// processors fetch together.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Workspace<T> {
    slots: Vec<Aligned<T>>,
    /// Shared matrices that every thread has for itself.
    own: Vec<Aligned<T>>,
    /// The run whose own matrices are there, by phase.
    owned: Vec<u64>,
    pub scratch: Aligned<T>,
    /// Always empty; keeps its memory between operations ([`recycle`]).
    pub views: Views,
}

impl<T: Real> Workspace<T> {
    pub fn new(plan: &Plan) -> Self {
        let slot = |&unit: &usize| Aligned::zeros(unit * plan.shard_rows);
        let arity = plan.wiring.iter().map(|s| s.inputs.len()).max().unwrap_or(0);
        Self {
            slots: plan.slots.iter().map(slot).collect(),
            own: plan.own.iter().map(|&n| Aligned::zeros(n)).collect(),
            owned: vec![0; plan.phases.len()],
            scratch: Aligned::zeros(plan.scratch),
            views: Vec::with_capacity(arity),
        }
    }

    /// That of the calling thread.
    pub fn of_thread(workspaces: &[Mutex<Self>]) -> MutexGuard<'_, Self> {
        let thread = rayon::current_thread_index().unwrap_or(0) % workspaces.len();
        workspaces[thread].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory of a list of slices, between two uses: a pair has the layout of a slice.
pub(crate) type Views = Vec<[usize; 2]>;

/// An empty list in the memory of another one, whatever it held: the standard library collects in
/// place where the layouts agree.
fn recycle<A, B>(mut list: Vec<A>) -> Vec<B> {
    list.clear();
    list.into_iter().filter_map(|_| None).collect()
}

/// Program outputs, over all rows of a range of lanes, in order of position.
pub(crate) type Sinks<'a, T> = SmallVec<[&'a mut [T]; 16]>;

/// What all shards of a phase read.
pub(crate) struct Stage<'a, T> {
    pub tape: &'a Tape<T>,
    pub plan: &'a Plan,
    pub phase: usize,
    pub rows: usize,
    pub shards: usize,
    pub batch: &'a [&'a [T]],
    pub inputs: &'a [&'a [T]],
    pub shared: &'a [Aligned<T>],
    /// The run that shared values are of, by phase; never 0.
    pub runs: &'a [u64],
    pub workspaces: &'a [Mutex<Workspace<T>>],
}

/// Where the rows of one shard are.
#[derive(Clone, Copy)]
struct Shard {
    /// First row.
    first: usize,
    /// The same, counted from the first row of the lane.
    in_lane: usize,
    rows: usize,
}

impl<T: Real> Stage<'_, T> {
    /// First row of lane `lane`.
    fn first_row(&self, lane: usize) -> usize {
        (self.first_shard(lane) * self.plan.shard_rows).min(self.rows)
    }

    fn first_shard(&self, lane: usize) -> usize {
        lane * self.shards / self.plan.lanes
    }

    /// Makes room in a lane for what later phases read.
    pub fn prepare(&self, lane: &mut Lane<T>, index: usize) {
        let rows = self.first_row(index + 1) - self.first_row(index);
        for (buffer, &unit) in lane.carried.iter_mut().zip(&self.plan.carried) {
            buffer.resize(unit * rows);
        }
    }

    /// Runs lanes `first ..`, splitting them between threads, and adds their sums into those of the first one that has rows, whose
    /// index in `lanes` it gives: the tree of the additions is that of the splits, whoever runs them. Lanes without rows are left as they are,
    /// and have no part in the sums; no buffer passes from lane to lane: the cache of a lane's thread may still have it in the next run.
    /// `squares`, if there is one for each sum, get those of totals that an addition makes.
    pub fn lanes(
        &self,
        lanes: &mut [Lane<T>],
        first: usize,
        mut sinks: Sinks<'_, T>,
        squares: &mut [f64],
        parallel: bool,
    ) -> usize {
        let middle = lanes.len() / 2;
        let start = self.first_row(first);
        let rows = self.first_row(first + middle) - start;
        let total = self.first_row(first + lanes.len()) - start;
        if total == 0 {
            return 0;
        }
        if lanes.len() == 1 {
            self.lane(&mut lanes[0], first, &mut sinks);
            return 0;
        }
        let (a, b) = lanes.split_at_mut(middle);
        let mut left: Sinks<'_, T> = SmallVec::new();
        let mut right: Sinks<'_, T> = SmallVec::new();
        for sink in sinks {
            let (l, r) = sink.split_at_mut(sink.len() / total * rows);
            left.push(l);
            right.push(r);
        }
        let (to, from) = if parallel && rows > 0 && rows < total {
            let a = || self.lanes(a, first, left, &mut [], true);
            join(a, || self.lanes(b, first + middle, right, &mut [], true))
        } else {
            let from = first + middle;
            (self.lanes(a, first, left, &mut [], parallel), self.lanes(b, from, right, &mut [], parallel))
        };
        if rows == 0 {
            return middle + from;
        }
        if rows < total {
            let sums = &self.plan.phases[self.phase].reductions;
            add_lane(sums, &mut a[to].sums, &b[from].sums, squares, parallel);
        }
        to
    }

    /// Runs the shards of one lane, in order.
    fn lane(&self, lane: &mut Lane<T>, index: usize, sinks: &mut Sinks<'_, T>) {
        if self.phase == 0 {
            self.prepare(lane, index);
        }
        let shards = self.first_shard(index)..self.first_shard(index + 1);
        if shards.is_empty() {
            return;
        }
        let mut workspace = Workspace::of_thread(self.workspaces);
        self.own(&mut workspace);
        let base = self.first_row(index);
        for shard in shards {
            let first = shard * self.plan.shard_rows;
            let rows = self.plan.shard_rows.min(self.rows - first);
            self.shard(&mut workspace, lane, Shard { first, in_lane: first - base, rows }, sinks);
        }
    }

    /// Computes what the thread has for itself, unless it is there from other lanes of the run.
    fn own(&self, workspace: &mut Workspace<T>) {
        for (k, (phase, &run)) in self.plan.phases.iter().zip(self.runs).take(self.phase + 1).enumerate() {
            if workspace.owned[k] == run {
                continue;
            }
            for &node in &phase.own {
                let writes = self.plan.wiring[node as usize].writes.iter();
                let number = |&place: &Place| match place {
                    Place::Own(k) => k,
                    _ => unreachable!("what a thread computes for itself is its own"),
                };
                let Workspace { own, scratch, views, .. } = &mut *workspace;
                let mut out: Outputs<T> =
                    writes.clone().map(|p| std::mem::take(&mut own[number(p)])).collect();
                let (rows, read) = (Rows { count: 0, begins: true }, |place, _| self.read_shared(place));
                evaluate(self.tape, self.plan, node, rows, read, &mut out, scratch, views);
                writes.zip(out).for_each(|(place, buffer)| own[number(place)] = buffer);
            }
            workspace.owned[k] = run;
        }
    }

    /// Runs this phase on the rows of one shard.
    fn shard(&self, workspace: &mut Workspace<T>, lane: &mut Lane<T>, at: Shard, sinks: &mut Sinks<'_, T>) {
        let phase = &self.plan.phases[self.phase];
        let mut order: SmallVec<[usize; 16]> = phase.outputs.iter().map(|c| c.to).collect();
        order.sort_unstable();
        let mut outputs = phase.outputs.iter().peekable();
        // An output is copied where it was computed: after `step`, or at once if it is an input.
        let mut copy_outputs = |workspace: &Workspace<T>, lane: &Lane<T>, step: Option<usize>| {
            while let Some(copied) = outputs.next_if(|c| c.step == step) {
                let sink = &mut *sinks[order.partition_point(|&k| k < copied.to)];
                self.store(workspace, lane, copied.id, sink, at);
            }
        };
        copy_outputs(workspace, lane, None);
        let mut carried = phase.carried.iter().peekable();
        for (step, &index) in phase.batch.iter().enumerate() {
            self.step(workspace, lane, index, at);
            copy_outputs(workspace, lane, Some(step));
            while let Some(copied) = carried.next_if(|c| c.step == Some(step)) {
                let mut buffer = std::mem::take(&mut lane.carried[copied.to]);
                self.store(workspace, lane, copied.id, &mut buffer, at);
                lane.carried[copied.to] = buffer;
            }
        }
    }

    /// Copies a value of this phase to the rows of a lane's buffer.
    fn store(&self, workspace: &Workspace<T>, lane: &Lane<T>, id: ValueId, sink: &mut [T], at: Shard) {
        let unit = self.tape.values[id as usize].shape.unit();
        let value = self.read([&workspace.slots, &[]], lane, self.plan.places[id as usize], unit, at);
        sink[at.in_lane * unit..][..at.rows * unit].copy_from_slice(value);
    }

    /// Runs one operation on the rows of one shard.
    fn step(&self, workspace: &mut Workspace<T>, lane: &mut Lane<T>, index: u32, at: Shard) {
        let writes = &self.plan.wiring[index as usize].writes;
        let begins = at.in_lane == 0;
        let clear = begins && !self.tape.nodes[index as usize].op.begins_sums();
        let mut out: Outputs<T> = SmallVec::new();
        for &place in writes {
            out.push(match place {
                Place::Slot(slot) => std::mem::take(&mut workspace.slots[slot]),
                Place::Sum(sum) => {
                    let mut sums = std::mem::take(&mut lane.sums[sum]);
                    if clear {
                        // Here and not before the run: what is added next finds the zeros in the cache.
                        sums.fill(T::ZERO);
                    }
                    sums
                }
                _ => unreachable!("a batch operation gives batch values or sums"),
            });
        }
        let Workspace { slots, own, scratch, views, .. } = workspace;
        let read = |place, unit| self.read([slots, own], lane, place, unit, at);
        let rows = Rows { count: at.rows, begins };
        evaluate(self.tape, self.plan, index, rows, read, &mut out, scratch, views);
        for (&place, buffer) in writes.iter().zip(out.drain(..)) {
            match place {
                Place::Sum(sum) => lane.sums[sum] = buffer,
                Place::Slot(slot) => slots[slot] = buffer,
                _ => {}
            }
        }
    }

    /// The numbers of a value, `unit` a row if it is of the batch.
    fn read<'b>(
        &'b self,
        [slots, own]: [&'b [Aligned<T>]; 2],
        lane: &'b Lane<T>,
        place: Place,
        unit: usize,
        at: Shard,
    ) -> &'b [T] {
        match place {
            Place::Slot(slot) => &slots[slot][..at.rows * unit],
            Place::Carried(k) => &lane.carried[k][at.in_lane * unit..][..at.rows * unit],
            Place::BatchInput(k) => &self.batch[k][at.first * unit..][..at.rows * unit],
            Place::Own(k) => &own[k],
            _ => self.read_shared(place),
        }
    }

    /// The numbers of a value that all threads share.
    fn read_shared(&self, place: Place) -> &[T] {
        match place {
            Place::Shared(k) => &self.shared[k],
            Place::SharedInput(k) => self.inputs[k],
            Place::Constant(id) => self.tape.constant(id),
            _ => unreachable!("a live operation reads live values"),
        }
    }
}

/// Outputs of one operation that are listed on the stack: a fused layer keeps many.
const MANY: usize = 16;

/// Output buffers of one operation, taken from where they live.
pub(crate) type Outputs<T> = SmallVec<[Aligned<T>; MANY]>;

/// Rows of the batch that an operation is computed for.
#[derive(Clone, Copy)]
pub(crate) struct Rows {
    pub count: usize,
    /// Whether its sums over rows begin with them.
    pub begins: bool,
}

/// Computes one operation into its output buffers.
#[allow(clippy::too_many_arguments)]
pub(crate) fn evaluate<'a, T: Real>(
    tape: &Tape<T>,
    plan: &Plan,
    index: u32,
    Rows { count: rows, begins }: Rows,
    read: impl Fn(Place, usize) -> &'a [T],
    out: &mut Outputs<T>,
    scratch: &mut [T],
    views: &mut Views,
) {
    let node = &tape.nodes[index as usize];
    let wiring = &plan.wiring[index as usize];
    let mut inputs: Vec<&[T]> = recycle(std::mem::take(views));
    inputs.extend(wiring.reads.iter().zip(&wiring.inputs).map(|(&place, shape)| read(place, shape.unit())));
    let mut outputs: SmallVec<[&mut [T]; MANY]> = SmallVec::new();
    for (out, shape) in out.iter_mut().zip(&wiring.outputs) {
        outputs.push(&mut out[..shape.len(rows)]);
    }
    node.op.eval(&mut Eval {
        rows,
        begins,
        inputs: &inputs,
        input_shapes: &wiring.inputs,
        outputs: &mut outputs,
        output_shapes: &wiring.outputs,
        scratch,
    });
    *views = recycle(inputs);
}
