//! Operations on shared values, by groups that read nothing of each other: threads share a group.

use crate::plan::{Group, Phase, Place, Plan};
use crate::recorder::{Source, Tape, ValueId};
use crate::stage::{Outputs, Workspace, evaluate};
use eigenflow_linalg::Real;
use std::sync::Mutex;

/// What shared operations read besides each other's outputs.
pub(crate) struct Store<'a, T> {
    pub tape: &'a Tape<T>,
    pub plan: &'a Plan,
    pub inputs: &'a [&'a [T]],
    pub workspaces: &'a [Mutex<Workspace<T>>],
}

/// Outputs of fewer numbers in all are one thread's: some 10 microseconds.
const GRAIN: usize = 1 << 14;

/// Shared matrices from number `first` on.
struct Part<'b, T> {
    first: usize,
    matrices: &'b mut [Vec<T>],
}

impl<T: Real> Store<'_, T> {
    /// Runs the shared operations of a phase; `matrices` are all of the store. Which thread runs an operation changes no bit of it.
    pub fn run(&self, phase: &Phase, matrices: &mut [Vec<T>], parallel: bool) {
        // A thread from outside of the pool would wait longer for it than the work takes.
        let parallel = parallel && rayon::current_thread_index().is_some();
        for Group { first, nodes } in &phase.shared {
            let (before, matrices) = matrices.split_at_mut(*first);
            self.group(nodes, before, Part { first: *first, matrices }, parallel);
        }
    }

    /// First shared matrix that a node writes; those of later nodes come later.
    fn first(&self, node: u32) -> usize {
        self.place(self.tape.nodes[node as usize].outputs.start)
    }

    fn place(&self, id: ValueId) -> usize {
        match self.plan.places[id as usize] {
            Place::Shared(k) => k,
            _ => unreachable!("a shared operation gives shared values"),
        }
    }

    fn group(&self, nodes: &[u32], before: &[Vec<T>], part: Part<'_, T>, parallel: bool) {
        let numbers =
            |node: &u32| self.plan.shapes[*node as usize].outputs.iter().map(|s| s.unit()).sum::<usize>();
        let all: usize = nodes.iter().map(numbers).sum();
        if !parallel || nodes.len() < 2 || all < GRAIN {
            let mut workspace = Workspace::of_thread(self.workspaces);
            let Part { first, matrices } = part;
            nodes.iter().for_each(|&node| self.node(node, before, first, matrices, &mut workspace));
            return;
        }
        let mut sum = 0;
        let middle = nodes.iter().position(|node| {
            sum += numbers(node);
            2 * sum > all
        });
        let middle = middle.unwrap_or(0).clamp(1, nodes.len() - 1);
        let (a, b) = nodes.split_at(middle);
        let second = self.first(b[0]);
        let (left, right) = part.matrices.split_at_mut(second - part.first);
        rayon::join(
            || self.group(a, before, Part { first: part.first, matrices: left }, parallel),
            || self.group(b, before, Part { first: second, matrices: right }, parallel),
        );
    }

    /// Runs one operation that reads matrices `before` its group and writes some of those from number `first` on.
    fn node(
        &self,
        index: u32,
        before: &[Vec<T>],
        first: usize,
        matrices: &mut [Vec<T>],
        workspace: &mut Workspace<T>,
    ) {
        let ids = self.tape.nodes[index as usize].outputs.clone();
        let mut out: Outputs<T> =
            ids.clone().map(|id| std::mem::take(&mut matrices[self.place(id) - first])).collect();
        let read = |id: ValueId| match (self.plan.places[id as usize], &self.tape.values[id as usize].source)
        {
            (Place::Shared(k), _) => before[k].as_slice(),
            (Place::SharedInput(k), _) => self.inputs[k],
            (_, Source::Constant(data)) => data,
            _ => unreachable!("a shared operation reads shared values"),
        };
        let Workspace { scratch, views, .. } = workspace;
        evaluate(self.tape, self.plan, index, 0, read, &mut out, scratch, views);
        ids.zip(out).for_each(|(id, buffer)| matrices[self.place(id) - first] = buffer);
    }
}
