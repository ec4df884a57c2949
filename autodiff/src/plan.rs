//! Where every value of a program lives, and when it is computed.
//!
//! Live operations are put into *phases*. In a phase the shared operations run once (some once a thread), then the
//! batch operations run on every shard; sums over rows collect in the lanes, and their totals
//! open the next phase. Batch values share slots of a workspace: a slot is free again when the
//! value in it is dead. A batch value that a later phase reads is *carried* in a buffer of its own
//! over all rows.

use crate::recorder::{Node, Source, Tape, ValueId};
use crate::{Shape, Var};
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// Bytes of workspace that a shard aims at: a quarter of a common L2 cache.
const SHARD_BYTES: usize = 256 * 1024;
/// Products want some rows: up to [`GOOD_ROWS`] of them may take this much, most of an L2 cache.
const FULL_SHARD_BYTES: usize = 640 * 1024;
const GOOD_ROWS: usize = 64;
/// With weights above this size, which every shard reads anew, they may take more still.
const WEIGHTY_BYTES: usize = 1024 * 1024;
const WEIGHTY_SHARD_BYTES: usize = 4 * 1024 * 1024;
const MAX_ROWS: usize = 1024;
/// Most numbers of the matrices that every thread computes for itself, 2 MiB in double precision: what a second-level cache holds. The others are there
/// once.
const MOST_OWN: usize = 1 << 18;
/// Lanes that sum over rows; a constant, so that sums have the same bits on any machine.
const LANES: usize = 8;
/// Lanes of a program without sums over rows, whose results do not depend on the number.
const FREE_LANES: usize = 64;

/// Where a value lives during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Not computed.
    Dead,
    BatchInput(usize),
    SharedInput(usize),
    Constant(ValueId),
    /// A slot of the shard's workspace.
    Slot(usize),
    /// A buffer of the lane, over all its rows: a batch value of an earlier phase.
    Carried(usize),
    /// An accumulator of the lane.
    Sum(usize),
    /// A matrix of the shared store.
    Shared(usize),
    /// A matrix that every thread has for itself, in its workspace.
    Own(usize),
}

/// A sum over rows: the lanes' accumulator `lane` becomes shared matrix `shared`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reduction {
    pub lane: usize,
    pub shared: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Phase {
    /// Nodes on shared values, in order.
    pub shared: Vec<Group>,
    /// Those that every thread computes for itself, after them.
    pub own: Vec<u32>,
    /// Nodes on batch values, in order.
    pub batch: Vec<u32>,
    /// Sums that end this phase.
    pub reductions: Vec<Reduction>,
    /// Program outputs that this phase completes, in order.
    pub outputs: Vec<Copied>,
    /// Carried buffers that it writes, in order.
    pub carried: Vec<Copied>,
}

/// A value that is copied from its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Copied {
    /// After this batch step of the phase; an input at once.
    pub step: Option<usize>,
    /// Number of the program output, or of the carried buffer.
    pub to: usize,
    pub id: ValueId,
}

/// Nodes on shared values that read nothing of each other.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// First shared matrix that they write; they read only those before.
    pub first: usize,
    pub nodes: Vec<u32>,
}

impl Phase {
    /// Appends a node whose outputs begin with shared matrix `first`: to the last group, unless it reads what that one writes.
    fn push_shared(&mut self, node: u32, mut reads: impl Iterator<Item = Place>, first: usize) {
        match self.shared.last_mut() {
            Some(group) if !reads.any(|p| matches!(p, Place::Shared(k) if k >= group.first)) => {
                group.nodes.push(node);
            }
            _ => self.shared.push(Group { first, nodes: vec![node] }),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub places: Vec<Place>,
    pub phases: Vec<Phase>,
    /// Numbers per row of each slot.
    pub slots: Vec<usize>,
    /// Numbers per row of each carried buffer.
    pub carried: Vec<usize>,
    /// Numbers of each shared matrix.
    pub shared: Vec<usize>,
    /// Numbers of each matrix that every thread has for itself.
    pub own: Vec<usize>,
    /// Numbers of each lane accumulator.
    pub accumulators: Vec<usize>,
    /// What each live node reads and writes; empty for dead nodes.
    pub wiring: Vec<Wiring>,
    pub outputs: Vec<ValueId>,
    pub shard_rows: usize,
    pub lanes: usize,
    /// Whether some inputs are late, so that the first phase is what they have no part in.
    pub late: bool,
    /// Scratch numbers for one shard, and for shared operations.
    pub scratch: usize,
}

/// What a node reads and writes: looked up once, for a run passes here for each node and shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wiring {
    pub inputs: SmallVec<[Shape; 4]>,
    pub outputs: SmallVec<[Shape; 2]>,
    pub reads: SmallVec<[Place; 4]>,
    pub writes: SmallVec<[Place; 2]>,
}

/// Where a live operation stands.
struct Level {
    phase: usize,
    /// Whether it runs on every shard.
    batch: bool,
    /// Whether it reads batch values, so that its shared outputs are sums over rows.
    from_batch: bool,
}

impl Plan {
    /// The plan of a tape for its outputs; what `late` batch inputs have a part in begins with the second phase.
    pub fn new<T: eigenflow_linalg::Real>(tape: &Tape<T>, outputs: &[ValueId], late: &[ValueId]) -> Self {
        let shape = |id: ValueId| tape.values[id as usize].shape;
        let live = live_nodes(tape, outputs);

        // Phase of each value and node.
        let mut phase_of = vec![0_usize; tape.values.len()];
        late.iter().for_each(|&id| phase_of[id as usize] = 1);
        let mut levels: Vec<Option<Level>> = Vec::with_capacity(tape.nodes.len());
        for (index, node) in tape.nodes.iter().enumerate() {
            if !live[index] {
                levels.push(None);
                continue;
            }
            let phase = node.inputs.iter().map(|&i| phase_of[i as usize]).max().unwrap_or(0);
            let first = node.outputs.start;
            let from_batch = node.inputs.iter().any(|&i| shape(i).is_batch());
            let batch = from_batch || shape(first).is_batch();
            for id in node.outputs.clone() {
                // A sum over rows is known when the phase ends.
                phase_of[id as usize] = phase + usize::from(from_batch && !shape(id).is_batch());
            }
            levels.push(Some(Level { phase, batch, from_batch }));
        }
        let count = phase_of.iter().max().map_or(1, |m| m + 1);
        let mut phases = vec![Phase::default(); count];
        let mut places = vec![Place::Dead; tape.values.len()];
        let mut lane_of = vec![None; tape.values.len()];
        let (mut shared, mut accumulators) = (Vec::new(), Vec::new());
        for (id, value) in tape.values.iter().enumerate() {
            match value.source {
                Source::BatchInput(k) => places[id] = Place::BatchInput(k),
                Source::SharedInput(k) => places[id] = Place::SharedInput(k),
                Source::Constant(_) => places[id] = Place::Constant(id as ValueId),
                Source::Node { .. } => {}
            }
        }

        // What operations on shared values read, and outputs, are there once for all threads.
        let mut common = vec![false; tape.values.len()];
        outputs.iter().for_each(|&id| common[id as usize] = true);
        for (node, level) in tape.nodes.iter().zip(&levels) {
            if level.as_ref().is_some_and(|l| !l.batch) {
                node.inputs.iter().for_each(|&id| common[id as usize] = true);
            }
        }
        let is_own =
            |node: &Node<T>| node.op.each_thread() && node.outputs.clone().all(|id| !common[id as usize]);
        let numbers = |node: &Node<T>| node.outputs.clone().map(|id| shape(id).unit()).sum::<usize>();
        let (mut own, mut all_own) = (Vec::new(), 0);

        // Order, and places of shared values and sums.
        for (index, level) in levels.iter().enumerate() {
            let Some(level) = level else { continue };
            let phase = &mut phases[level.phase];
            let node = &tape.nodes[index];
            if level.batch {
                phase.batch.push(index as u32);
            } else if is_own(node) && all_own + numbers(node) <= MOST_OWN {
                phase.own.push(index as u32);
                all_own += numbers(node);
                for id in node.outputs.clone() {
                    places[id as usize] = Place::Own(own.len());
                    own.push(shape(id).unit());
                }
                continue;
            } else {
                let reads = node.inputs.iter().map(|&i| places[i as usize]);
                phase.push_shared(index as u32, reads, shared.len());
            }
            for id in node.outputs.clone() {
                if !shape(id).is_batch() {
                    places[id as usize] = Place::Shared(shared.len());
                    if level.from_batch {
                        lane_of[id as usize] = Some(accumulators.len());
                        phase.reductions.push(Reduction { lane: accumulators.len(), shared: shared.len() });
                        accumulators.push(shape(id).unit());
                    }
                    shared.push(shape(id).unit());
                }
            }
        }

        // Batch values: carried where a later phase reads them, else slots by liveness.
        let mut crosses = vec![false; tape.values.len()];
        for (index, level) in levels.iter().enumerate() {
            let Some(level) = level else { continue };
            for &i in &tape.nodes[index].inputs {
                crosses[i as usize] |= shape(i).is_batch() && phase_of[i as usize] < level.phase;
            }
        }
        let mut slots = Slots { last_use: vec![usize::MAX; tape.values.len()], ..Slots::default() };
        let mut carried_of = vec![None; tape.values.len()];
        for (number, phase) in phases.iter_mut().enumerate() {
            slots.assign(tape, number, phase, &phase_of, &crosses, &mut places);
        }
        for &Copied { to, id, .. } in phases.iter().flat_map(|p| &p.carried) {
            carried_of[id as usize] = Some(to);
        }
        for (to, &id) in outputs.iter().enumerate() {
            if !shape(id).is_batch() {
                continue;
            }
            let (phase, step) = match tape.values[id as usize].source {
                Source::Node { node, .. } => {
                    let phase = levels[node as usize].as_ref().map_or(0, |l| l.phase);
                    (phase, phases[phase].batch.binary_search(&node).ok())
                }
                _ => (phase_of[id as usize], None),
            };
            phases[phase].outputs.push(Copied { step, to, id });
        }
        for phase in &mut phases {
            phase.outputs.sort_unstable();
        }

        let Slots { sizes: slots, carried, .. } = slots;
        let row: usize = slots.iter().sum::<usize>() * size_of::<T>();
        let weights: usize = tape.shared_inputs.iter().map(|&id| shape(id).unit() * size_of::<T>()).sum();
        let shard_rows = shard_rows(row, weights);
        let read = |id: ValueId, phase: usize| match carried_of[id as usize] {
            Some(buffer) if phase_of[id as usize] < phase => Place::Carried(buffer),
            _ => places[id as usize],
        };
        let write = |id: ValueId| lane_of[id as usize].map_or(places[id as usize], Place::Sum);
        let wire = |(node, level): (&Node<T>, &Option<Level>)| {
            level.as_ref().map_or_else(Wiring::default, |level| Wiring {
                inputs: node.inputs.iter().map(|&id| shape(id)).collect(),
                outputs: node.outputs.clone().map(shape).collect(),
                reads: node.inputs.iter().map(|&id| read(id, level.phase)).collect(),
                writes: node.outputs.clone().map(write).collect(),
            })
        };
        let wiring: Vec<Wiring> = tape.nodes.iter().zip(&levels).map(wire).collect();
        let needs = tape.nodes.iter().zip(&wiring).zip(&live).filter(|(_, live)| **live);
        let scratch = needs.map(|((node, w), _)| node.op.scratch(&w.inputs, shard_rows)).max().unwrap_or(0);
        let lanes = if accumulators.is_empty() { FREE_LANES } else { LANES };
        Self {
            places,
            phases,
            slots,
            carried,
            shared,
            own,
            accumulators,
            wiring,
            outputs: outputs.to_vec(),
            shard_rows,
            lanes,
            late: !late.is_empty(),
            scratch,
        }
    }
}

/// Rows of a shard, from bytes of workspace per row and bytes of weights: nothing else. A power of two, so
/// that a batch of one splits evenly.
fn shard_rows(row_bytes: usize, weight_bytes: usize) -> usize {
    let fit = |bytes: usize| (bytes / row_bytes.max(1)).clamp(1, MAX_ROWS);
    let most = if weight_bytes > WEIGHTY_BYTES { WEIGHTY_SHARD_BYTES } else { FULL_SHARD_BYTES };
    1 << fit(SHARD_BYTES).max(fit(most).min(GOOD_ROWS)).ilog2()
}

fn live_nodes<T>(tape: &Tape<T>, outputs: &[ValueId]) -> Vec<bool> {
    let mut used = vec![false; tape.values.len()];
    for &id in outputs {
        used[id as usize] = true;
    }
    let mut live = vec![false; tape.nodes.len()];
    for (index, node) in tape.nodes.iter().enumerate().rev() {
        if node.outputs.clone().any(|id| used[id as usize]) {
            live[index] = true;
            node.inputs.iter().for_each(|&id| used[id as usize] = true);
        }
    }
    live
}

/// Slots of a workspace, and which of them are free.
#[derive(Default)]
struct Slots {
    sizes: Vec<usize>,
    /// By size; of equals the one freed last comes first, which is warm in the cache.
    free: BTreeSet<(usize, Reverse<usize>, usize)>,
    time: usize,
    /// Last step of the phase that reads each value; `usize::MAX` outside of [`Slots::assign`].
    last_use: Vec<usize>,
    /// Numbers per row of each carried buffer.
    carried: Vec<usize>,
}

impl Slots {
    fn free(&mut self, slot: usize) {
        self.time += 1;
        self.free.insert((self.sizes[slot], Reverse(self.time), slot));
    }

    /// The free slot that fits best: the smallest that is large enough, else the largest, grown.
    fn take(&mut self, need: usize) -> usize {
        let fits = self.free.range((need, Reverse(usize::MAX), 0)..).next();
        let Some(&best) = fits.or_else(|| self.free.last()) else {
            self.sizes.push(need);
            return self.sizes.len() - 1;
        };
        self.free.remove(&best);
        let slot = best.2;
        self.sizes[slot] = self.sizes[slot].max(need);
        slot
    }

    /// Gives each batch value of a phase a slot; a slot whose value is dead is used again.
    ///
    /// All slots are free again at the end: nothing in a slot outlives its phase.
    fn assign<T>(
        &mut self,
        tape: &Tape<T>,
        number: usize,
        phase: &mut Phase,
        phase_of: &[usize],
        crosses: &[bool],
        places: &mut [Place],
    ) {
        let inputs = |index: u32| tape.nodes[index as usize].inputs.iter().map(|&id| id as usize);
        for (step, &index) in phase.batch.iter().enumerate() {
            inputs(index).for_each(|id| self.last_use[id] = step);
        }
        for (step, &index) in phase.batch.iter().enumerate() {
            let outputs = tape.nodes[index as usize].outputs.clone();
            for id in outputs.clone() {
                let shape = tape.values[id as usize].shape;
                if !shape.is_batch() {
                    continue;
                }
                if crosses[id as usize] {
                    phase.carried.push(Copied { step: Some(step), to: self.carried.len(), id });
                    self.carried.push(shape.unit());
                }
                places[id as usize] = Place::Slot(self.take(shape.unit()));
            }
            let unused = outputs.map(|id| id as usize).filter(|&id| self.last_use[id] == usize::MAX);
            let mut dead: SmallVec<[usize; 8]> =
                inputs(index).filter(|&id| self.last_use[id] == step).chain(unused).collect();
            dead.sort_unstable();
            dead.dedup();
            for id in dead {
                // A value of an earlier phase is read from where it was carried, not from its slot.
                if let (Place::Slot(slot), true) = (places[id], phase_of[id] == number) {
                    self.free(slot);
                }
            }
        }
        for &index in &phase.batch {
            inputs(index).for_each(|id| self.last_use[id] = usize::MAX);
        }
    }
}

/// Ids of variables.
pub(crate) fn ids<T: eigenflow_linalg::Real>(vars: &[Var<'_, T>]) -> Vec<ValueId> {
    vars.iter().map(Var::id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Program;

    /// Transposes that operations on rows alone read are each thread's own, as far as memory goes.
    #[test]
    fn who_has_a_transpose() {
        let of = |n: usize, what: usize| {
            let program = Program::<f64>::record(|r| {
                let (x, t) = (r.batch(n), r.shared(n, n).transpose());
                let y = x.matmul(t);
                match what {
                    0 => vec![y],
                    1 => vec![y, t],
                    _ => vec![y.matmul(t.exp())],
                }
            });
            (program.inner.plan.own.clone(), program.inner.plan.shared.clone())
        };
        assert_eq!(of(4, 0), (vec![16], vec![]));
        assert_eq!(of(4, 1), (vec![], vec![16]), "an output is there once");
        assert_eq!(of(4, 2), (vec![], vec![16, 16]), "so is what an operation on shared values reads");
        assert_eq!(of(512, 0), (vec![MOST_OWN], vec![]));
        assert_eq!(of(513, 0), (vec![], vec![513 * 513]), "so is what would be too much for every thread");
    }
}
