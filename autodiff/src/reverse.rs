//! Reverse mode: records the cotangents of a tape.

use crate::primitives::columns::accumulate;
use crate::{Error, Recorder, Var};
use eigenflow_linalg::Real;
use smallvec::SmallVec;

impl<T: Real> Recorder<T> {
    /// Records the cotangents of `inputs` when the given outputs have the given cotangents.
    ///
    /// Products of the transposed Jacobian. A cotangent of a batch value may carry a block of
    /// seeds (`[rows, seeds, cols]` for a value of one tangent): all seeds go in one sweep, and
    /// the result for an input carries the block too. Shared values sum over rows, so they take
    /// one seed at a time.
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
        let seeds = outputs.iter().map(|(_, dy)| dy.shape().tangents()).max().unwrap_or(1);
        Ok(inputs
            .iter()
            .zip(found)
            .map(|(x, dx)| {
                dx.unwrap_or_else(|| {
                    let tangents = seeds.max(x.shape().tangents());
                    self.full(x.shape().with_tangents(tangents), T::ZERO)
                })
            })
            .collect())
    }

    /// As [`Recorder::vjp`], with `None` for cotangents that are structurally zero.
    pub fn pull<'t>(
        &'t self,
        outputs: &[(Var<'t, T>, Var<'t, T>)],
        inputs: &[Var<'t, T>],
    ) -> Result<Vec<Option<Var<'t, T>>>, Error> {
        let seeded = outputs.iter().any(|(y, dy)| dy.shape().tangents() > y.shape().tangents());
        for (y, dy) in outputs {
            let many = y.shape().is_batch() && y.shape().tangents() == 1;
            let one = dy.shape() == y.shape();
            if !(one || many && dy.shape().with_tangents(1) == y.shape()) {
                return Err(Error::Shape {
                    op: "vjp",
                    shapes: vec![y.shape(), dy.shape()],
                    remedy: "a cotangent has the shape of its output, or a block of seeds of it",
                });
            }
        }
        if seeded && inputs.iter().any(|x| !x.shape().is_batch()) {
            return Err(Error::NoDerivative {
                op: "vjp",
                kind: "reverse",
                reason: "many seeds at once reach batch values only; pull shared values one seed at a time",
            });
        }
        let nodes = self.len();
        let end = outputs.iter().map(|(y, _)| y.id() + 1).max().unwrap_or(0);

        // Which values depend on an input that is asked for.
        let mut needed = vec![false; self.values_len()];
        for x in inputs {
            needed[x.id() as usize] = true;
        }
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
            if !ids.clone().any(|id| needed[id as usize] && cotangents[id as usize].is_some()) {
                continue;
            }
            let need: SmallVec<[bool; 4]> = node
                .inputs
                .iter()
                .enumerate()
                .map(|(k, &id)| {
                    let shared_seed = seeded && !self.shape_of(id).is_batch();
                    needed[id as usize] && !node.op.is_auxiliary(k) && !shared_seed
                })
                .collect();
            if !need.contains(&true) {
                continue;
            }
            let x: SmallVec<[Var<'t, T>; 4]> = node.inputs.iter().map(|&id| Var::new(self, id)).collect();
            let y: SmallVec<[Var<'t, T>; 2]> = ids.clone().map(|id| Var::new(self, id)).collect();
            if seeded && y.iter().any(|v| v.shape().tangents() > 1) {
                return Err(Error::NoDerivative {
                    op: node.op.name(),
                    kind: "reverse",
                    reason: "the value already carries a block of tangents; pull one seed at a time",
                });
            }
            let dy: SmallVec<[Option<Var<'t, T>>; 2]> = ids.map(|id| cotangents[id as usize]).collect();
            let dx = node.op.vjp(self, &x, &y, &dy, &need)?;
            for ((&id, dx), need) in node.inputs.iter().zip(dx).zip(need) {
                if let (Some(dx), true) = (dx, need) {
                    debug_assert!(
                        dx.shape() == self.shape_of(id) || seeded,
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
