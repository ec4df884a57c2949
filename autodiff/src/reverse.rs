//! Reverse mode: records the cotangents of a tape.

use crate::primitives::columns::accumulate;
use crate::{Error, Recorder, Shape, Var};
use eigenflow_linalg::Real;
use smallvec::SmallVec;

impl<T: Real> Recorder<T> {
    /// Records the cotangents of `inputs` when the given outputs have the given cotangents.
    ///
    /// Products of the transposed Jacobian. A cotangent of a batch value may carry a block of
    /// seeds (`[rows, seeds, cols]` for a value of one tangent): all seeds go in one sweep, and
    /// the result for an input carries the block too. A block holds the Jacobian of each row by
    /// itself, so it cannot cross a sum over rows, and shared values take one seed at a time.
    ///
    /// Inputs may be any values of the tape, intermediate ones too. Zero where nothing flows.
    ///
    /// # Errors
    /// If an operation on the way has no such derivative.
    pub fn vjp<'t>(
        &'t self,
        outputs: &[(Var<'t, T>, Var<'t, T>)],
        inputs: &[Var<'t, T>],
    ) -> Result<Vec<Var<'t, T>>, Error> {
        let found = self.pull(outputs, inputs)?;
        let seeds = seeds_of(outputs)?;
        let zero = |x: &Var<'t, T>| {
            let shape = seeds.map_or(x.shape(), |s| x.shape().with_tangents(s));
            self.full(shape, T::ZERO)
        };
        Ok(inputs.iter().zip(found).map(|(x, dx)| dx.unwrap_or_else(|| zero(x))).collect())
    }

    /// As [`Recorder::vjp`], with `None` for cotangents that are structurally zero.
    pub fn pull<'t>(
        &'t self,
        outputs: &[(Var<'t, T>, Var<'t, T>)],
        inputs: &[Var<'t, T>],
    ) -> Result<Vec<Option<Var<'t, T>>>, Error> {
        self.pull_partial(outputs, inputs, &[])
    }

    /// [`Recorder::pull`] of partial derivatives: nothing flows through the values `held`.
    pub(crate) fn pull_partial<'t>(
        &'t self,
        outputs: &[(Var<'t, T>, Var<'t, T>)],
        inputs: &[Var<'t, T>],
        held: &[Var<'t, T>],
    ) -> Result<Vec<Option<Var<'t, T>>>, Error> {
        let by_row = seeds_of(outputs)?.is_some();
        self.sweep(outputs, inputs, held, by_row)
    }

    /// [`Recorder::pull_partial`]; `by_row` asks for the Jacobian of each row by itself, so that a sum
    /// over rows on the way is an error.
    pub(crate) fn sweep<'t>(
        &'t self,
        outputs: &[(Var<'t, T>, Var<'t, T>)],
        inputs: &[Var<'t, T>],
        held: &[Var<'t, T>],
        by_row: bool,
    ) -> Result<Vec<Option<Var<'t, T>>>, Error> {
        if by_row && inputs.iter().any(|x| !x.shape().is_batch()) {
            return Err(Error::NoDerivative {
                op: "vjp",
                kind: "reverse",
                reason: "many seeds at once reach batch values only; pull shared values one seed at a time",
            });
        }
        let many = outputs.iter().any(|(y, dy)| dy.shape().tangents() > y.shape().tangents());
        let nodes = self.len();
        let end = outputs.iter().map(|(y, _)| y.id() + 1).max().unwrap_or(0);

        // Which values depend on an input that is asked for.
        let mut needed = vec![false; self.values_len()];
        for x in inputs {
            needed[x.id() as usize] = true;
        }
        let mut is_held = vec![false; needed.len()];
        held.iter().for_each(|x| is_held[x.id() as usize] = true);
        let mut last = 0;
        for index in 0..nodes {
            let node = self.node(index);
            if node.outputs.start >= end {
                break;
            }
            last = index + 1;
            let depends = node
                .inputs
                .iter()
                .enumerate()
                .any(|(k, &id)| needed[id as usize] && !node.op.is_auxiliary(k));
            if depends {
                node.outputs.clone().for_each(|id| needed[id as usize] = true);
            }
        }

        let mut cotangents: Vec<Option<Var<'t, T>>> = vec![None; needed.len()];
        let add = |slot: &mut Option<Var<'t, T>>, dy: Var<'t, T>| {
            *slot = Some(match *slot {
                None => dy,
                Some(sum) => accumulate(sum, dy),
            });
        };
        for &(y, dy) in outputs {
            add(&mut cotangents[y.id() as usize], dy);
        }
        let wanted: Vec<u32> = inputs.iter().map(Var::id).collect();
        for index in (0..last).rev() {
            let node = self.node(index);
            let ids = node.outputs.clone();
            let reached =
                |id: u32| needed[id as usize] && cotangents[id as usize].is_some() && !is_held[id as usize];
            if !ids.clone().any(reached) {
                continue;
            }
            let need: SmallVec<[bool; 4]> = node
                .inputs
                .iter()
                .enumerate()
                .map(|(k, &id)| needed[id as usize] && !node.op.is_auxiliary(k))
                .collect();
            if !need.contains(&true) {
                continue;
            }
            let x: SmallVec<[Var<'t, T>; 4]> = node.inputs.iter().map(|&id| Var::new(self, id)).collect();
            let y: SmallVec<[Var<'t, T>; 2]> = ids.clone().map(|id| Var::new(self, id)).collect();
            let refuse = |reason| Error::NoDerivative { op: node.op.name(), kind: "reverse", reason };
            let reached = x.iter().zip(&need).filter(|(_, need)| **need).map(|(v, _)| v);
            let block = || y.iter().chain(reached).any(|v| v.shape().tangents() > 1);
            if by_row && ((many && node.op.is_on_blocks()) || block()) {
                return Err(refuse("the value already carries a block of tangents; pull one seed at a time"));
            }
            // The inputs are batch values, so a shared value that depends on them is a sum.
            if by_row && x.iter().zip(&need).any(|(v, &need)| need && !v.shape().is_batch()) {
                return Err(refuse(
                    "the Jacobian of each row ends at a sum over rows; pull one seed at a time",
                ));
            }
            let dy: SmallVec<[Option<Var<'t, T>>; 2]> =
                ids.map(|id| cotangents[id as usize].filter(|_| !is_held[id as usize])).collect();
            let dx = node.op.vjp(self, &x, &y, &dy, &need)?;
            for ((&id, dx), need) in node.inputs.iter().zip(dx).zip(need) {
                if let (Some(dx), true) = (dx, need) {
                    debug_assert!(
                        dx.shape() == self.shape_of(id) || by_row,
                        "cotangent of an input of {}: {:?} for {:?}",
                        node.op.name(),
                        dx.shape(),
                        self.shape_of(id)
                    );
                    add(&mut cotangents[id as usize], dx);
                }
            }
        }
        Ok(wanted.into_iter().map(|id| cotangents[id as usize]).collect())
    }

    /// Records the gradient of the sum over rows of `y` (a batch value or a shared matrix).
    pub fn gradient<'t>(&'t self, y: Var<'t, T>, inputs: &[Var<'t, T>]) -> Result<Vec<Var<'t, T>>, Error> {
        self.vjp(&[(y, self.full(y.shape(), T::ONE))], inputs)
    }
}

/// Seeds of the blocks that outputs carry, if they are not of the outputs' own shapes.
fn seeds_of<T: Real>(outputs: &[(Var<'_, T>, Var<'_, T>)]) -> Result<Option<usize>, Error> {
    let mut blocks = outputs.iter().map(|(y, dy)| {
        let (y, dy) = (y.shape(), dy.shape());
        if y == dy {
            return Ok(None);
        }
        if y == Shape::batch(y.cols()) && dy.with_tangents(1) == y {
            return Ok(Some(dy.tangents()));
        }
        Err(Error::Shape {
            op: "vjp",
            shapes: vec![y, dy],
            remedy: "a cotangent has the shape of its output, or a block of seeds of it",
        })
    });
    let first = blocks.next().unwrap_or(Ok(None))?;
    for other in blocks {
        if other? != first {
            return Err(Error::Shape {
                op: "vjp",
                shapes: outputs.iter().map(|(_, dy)| dy.shape()).collect(),
                remedy: "the cotangents of all outputs carry the same number of seeds",
            });
        }
    }
    Ok(first)
}
