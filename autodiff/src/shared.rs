//! Operations on shared values, by groups that read nothing of each other: threads share a group.

use crate::plan::{Group, Phase, Place, Plan};
use crate::recorder::Tape;
use crate::stage::{Outputs, Rows, Workspace, evaluate};
use eigenflow_linalg::{Aligned, Real, halfway, join, share};
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
    matrices: &'b mut [Aligned<T>],
}

impl<T: Real> Store<'_, T> {
    /// Runs the shared operations of a phase; `matrices` are all of the store. Which thread runs an operation changes no bit of it.
    pub fn run(&self, phase: &Phase, matrices: &mut [Aligned<T>], parallel: bool) {
        for Group { first, nodes } in &phase.shared {
            let (before, matrices) = matrices.split_at_mut(*first);
            let least = if parallel { share(self.numbers(nodes), GRAIN) } else { usize::MAX };
            self.group(nodes, before, Part { first: *first, matrices }, least);
        }
    }

    /// First shared matrix that a node writes; those of later nodes come later.
    fn first(&self, node: u32) -> usize {
        number(self.plan.wiring[node as usize].writes[0])
    }

    /// Numbers that operations write.
    fn numbers(&self, nodes: &[u32]) -> usize {
        let of = |node: &u32| self.plan.wiring[*node as usize].outputs.iter();
        nodes.iter().flat_map(of).map(|s| s.unit()).sum()
    }

    fn group(&self, nodes: &[u32], before: &[Aligned<T>], part: Part<'_, T>, least: usize) {
        if nodes.len() < 2 || self.numbers(nodes) < least {
            let mut workspace = Workspace::of_thread(self.workspaces);
            let Part { first, matrices } = part;
            nodes.iter().for_each(|&node| self.node(node, before, first, matrices, &mut workspace));
            return;
        }
        let each = nodes.iter().map(|&node| self.numbers(&[node]));
        let (a, b) = nodes.split_at(halfway(each));
        let second = self.first(b[0]);
        let (left, right) = part.matrices.split_at_mut(second - part.first);
        join(
            || self.group(a, before, Part { first: part.first, matrices: left }, least),
            || self.group(b, before, Part { first: second, matrices: right }, least),
        );
    }

    /// Runs one operation that reads matrices `before` its group and writes some of those from number `first` on.
    fn node(
        &self,
        index: u32,
        before: &[Aligned<T>],
        first: usize,
        matrices: &mut [Aligned<T>],
        workspace: &mut Workspace<T>,
    ) {
        let wiring = &self.plan.wiring[index as usize];
        let position = |&place: &Place| number(place) - first;
        let mut out: Outputs<T> =
            wiring.writes.iter().map(|place| std::mem::take(&mut matrices[position(place)])).collect();
        let read = |place: Place| match place {
            Place::Shared(k) => &before[k][..],
            Place::SharedInput(k) => self.inputs[k],
            Place::Constant(id) => self.tape.constant(id),
            _ => unreachable!("a shared operation reads shared values"),
        };
        let Workspace { scratch, views, .. } = workspace;
        let rows = Rows { count: 0, begins: true };
        evaluate(self.tape, self.plan, index, rows, |place, _| read(place), &mut out, scratch, views);
        wiring.writes.iter().zip(out).for_each(|(place, buffer)| matrices[position(place)] = buffer);
    }
}

/// The number of a shared matrix.
fn number(place: Place) -> usize {
    match place {
        Place::Shared(k) => k,
        _ => unreachable!("a shared operation gives shared values"),
    }
}
