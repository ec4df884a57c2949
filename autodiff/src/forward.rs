//! Forward mode: records the tangents of a tape.

use crate::primitive::Tangents;
use crate::tangent::hull;
use crate::{Error, Recorder, Tangent, Var};
use eigenflow_linalg::Real;
use smallvec::SmallVec;

impl<T: Real> Recorder<T> {
    /// Records the tangents of `outputs` when the values `seeds` move with the given tangents.
    ///
    /// Structural zeros and diagonals are kept ([`Tangent`]): with [`Tangent::identity`] as the
    /// seed of an input of `D` columns this pushes a whole Jacobian in one pass. The result's block
    /// holds the *transposed* Jacobian of each row: entry `[n, t, i]` is `dy_i / dx_t`.
    ///
    /// A block of tangents can be pushed once; higher forward orders nest single tangents. It
    /// holds the Jacobian of each row by itself, so it cannot cross a sum over rows.
    ///
    /// # Errors
    /// If an operation on the way has no such derivative.
    pub fn push<'t>(
        &'t self,
        outputs: &[Var<'t, T>],
        seeds: &[(Var<'t, T>, Tangent<'t, T>)],
    ) -> Result<Vec<Tangent<'t, T>>, Error> {
        let mut tangents: Vec<Option<Tangent<'t, T>>> = vec![None; self.values_len()];
        let mut wide = false;
        let mut seeded = 0..0;
        for (x, dx) in seeds {
            if !dx.fits(x.shape()) {
                return Err(Error::Shape {
                    op: "push",
                    shapes: vec![x.shape()],
                    remedy: "a tangent has the columns of its variable; blocks and diagonals belong to \
                             batch variables, a shared one moves along one tangent of its own shape",
                });
            }
            wide |= dx.is_wider_than(x.shape());
            if x.shape().is_batch() && x.shape().tangents() == 1 {
                seeded = hull(seeded, dx.support());
            }
            tangents[x.id() as usize] = Some(dx.clone());
        }
        // Single tangents of several seeds are a block too.
        let many = seeded.len() > 1;
        wide |= many;
        for index in self.ancestors(outputs, seeds) {
            let node = self.node(index);
            let moves = |k: usize| {
                !node.op.is_auxiliary(k)
                    && tangents[node.inputs[k] as usize].as_ref().is_some_and(|t| !t.is_zero())
            };
            if !(0..node.inputs.len()).any(moves) {
                continue;
            }
            let x: SmallVec<[Var<'t, T>; 4]> = node.inputs.iter().map(|&id| Var::new(self, id)).collect();
            let y: SmallVec<[Var<'t, T>; 2]> = node.outputs.clone().map(|id| Var::new(self, id)).collect();
            let refuse = |reason| Error::NoDerivative { op: node.op.name(), kind: "forward", reason };
            let block = || x.iter().chain(&y).any(|v| v.shape().tangents() > 1);
            if (many && node.op.is_on_blocks()) || (wide && block()) {
                return Err(refuse(
                    "the value already carries a block of tangents; push one tangent at a time",
                ));
            }
            let moving = |k: usize| moves(k) && x[k].shape().is_batch();
            if wide && !y[0].shape().is_batch() && (0..x.len()).any(moving) {
                return Err(refuse(
                    "the Jacobian of each row ends at a sum over rows; push one tangent at a time",
                ));
            }
            let dx: SmallVec<[Tangent<'t, T>; 4]> = x
                .iter()
                .map(|v| tangents[v.id() as usize].clone().unwrap_or_else(|| Tangent::zero(v.cols())))
                .collect();
            let dy: Tangents<'t, T> = node.op.jvp(self, &x, &y, &dx)?;
            for (y, dy) in y.iter().zip(dy) {
                debug_assert_eq!(y.cols(), dy.cols(), "tangent of {}", node.op.name());
                let slot = &mut tangents[y.id() as usize];
                // A seed on an intermediate value stands, whatever flows into it.
                if slot.is_none() {
                    *slot = Some(dy);
                }
            }
        }
        Ok(outputs
            .iter()
            .map(|y| tangents[y.id() as usize].clone().unwrap_or_else(|| Tangent::zero(y.cols())))
            .collect())
    }

    /// Nodes that the derivatives of these values pass through, in order. Seeds stand, so what is before a seed
    /// alone does not count: otherwise the expansion of one layer would be pushed through all others.
    fn ancestors(&self, of: &[Var<'_, T>], seeds: &[(Var<'_, T>, Tangent<'_, T>)]) -> Vec<usize> {
        let mut reached = vec![false; self.values_len()];
        let mut is_seed = vec![false; reached.len()];
        seeds.iter().for_each(|(x, _)| is_seed[x.id() as usize] = true);
        for y in of {
            reached[y.id() as usize] = true;
        }
        let mut nodes = Vec::new();
        for index in (0..self.len()).rev() {
            let node = self.node(index);
            if node.outputs.clone().any(|id| reached[id as usize] && !is_seed[id as usize]) {
                nodes.push(index);
                let moving = node.inputs.iter().enumerate().filter(|(k, _)| !node.op.is_auxiliary(*k));
                moving.for_each(|(_, &id)| reached[id as usize] = true);
            }
        }
        nodes.reverse();
        nodes
    }

    /// Records the single tangents of `outputs` when each `(x, dx)` of `seeds` moves along `dx`.
    ///
    /// The product of the Jacobian with a direction. It can be nested to any order.
    pub fn jvp<'t>(
        &'t self,
        outputs: &[Var<'t, T>],
        seeds: &[(Var<'t, T>, Var<'t, T>)],
    ) -> Result<Vec<Var<'t, T>>, Error> {
        let seeds: Vec<_> = seeds
            .iter()
            .map(|&(x, dx)| {
                if x.shape() == dx.shape() {
                    Ok((x, Tangent::dense(dx)))
                } else {
                    Err(Error::Shape {
                        op: "jvp",
                        shapes: vec![x.shape(), dx.shape()],
                        remedy: "a direction has the shape of its variable",
                    })
                }
            })
            .collect::<Result<_, _>>()?;
        let tangents = self.push(outputs, &seeds)?;
        Ok(outputs
            .iter()
            .zip(tangents)
            .map(|(y, t)| {
                let zero = || self.full(y.shape(), T::ZERO);
                t.to_dense(self, y.shape()).map_or_else(zero, |(_, block)| block)
            })
            .collect())
    }
}
