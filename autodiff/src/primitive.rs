//! The contract of a primitive: three rules and no more.

use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use smallvec::SmallVec;
use std::any::{Any, TypeId};
use std::fmt::Debug;

/// A few shapes.
pub type Shapes = SmallVec<[Shape; 4]>;
/// Tangents of the outputs of a primitive.
pub type Tangents<'t, T> = SmallVec<[Tangent<'t, T>; 2]>;
/// Cotangents of the inputs of a primitive; `None` is zero.
pub type Cotangents<'t, T> = SmallVec<[Option<Var<'t, T>>; 4]>;

/// Identity of an operation for common-subexpression elimination: its type and its parameters.
pub type Key = (TypeId, u64, u64);

/// An operation of the tape: `eval` computes it, `jvp` and `vjp` *record* its derivatives.
///
/// Because the derivative rules record ordinary tape operations, they can be differentiated
/// again: reverse over forward, forward over reverse and higher orders come for free.
///
/// A primitive acts on each row of a batch on its own. A shared output of one that takes batch values is a
/// sum over rows: its `eval` *adds* to that output. Batch outputs and sums may stand side by side (the
/// backward step of a layer gives the cotangents of its rows and of its weights). Values have shape
/// `[rows, tangents, cols]` ([`Shape`]).
pub trait Primitive<T: Real>: Any + Debug + Send + Sync {
    /// Name, for messages.
    fn name(&self) -> &'static str;

    /// Shapes of the outputs, or why the inputs do not fit.
    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error>;

    /// Computes the outputs. Must write every number of every output, and *add* to those that are sums ([`Primitive::begins_sums`]: or set
    /// them, at first). It stays on its thread, whose workspace it holds: waiting for other threads of the pool in here could wait for that
    /// workspace.
    fn eval(&self, cx: &mut Eval<'_, '_, T>);

    /// Records the tangents of the outputs from those of the inputs.
    ///
    /// `x` and `y` are inputs and outputs; each of `dx` may be structurally zero, but not all are.
    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error>;

    /// Records the cotangents of those inputs that are wanted (`need`) from those of the outputs.
    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error>;

    /// Whether input `i` only carries what a factorisation left behind: no derivative flows there.
    fn is_auxiliary(&self, input: usize) -> bool {
        let _ = input;
        false
    }

    /// Whether the tangent axis of its values has a meaning of its own, as of blocks that are multiplied. Many tangents, or seeds, at once
    /// are then refused, whatever the length of that axis: they would take its place.
    fn is_on_blocks(&self) -> bool {
        false
    }

    /// Whether `eval` *sets* sums over rows where [`Eval::begins`], whatever they hold. Nobody writes zeros there before; without this the tape
    /// does, and `eval` adds.
    fn begins_sums(&self) -> bool {
        false
    }

    /// Whether every thread computes shared outputs for itself, rather than one thread for all: for what takes less time than to fetch it
    /// from the cache of another core. It holds where operations on rows alone read them, for 2^18 numbers of a program in all.
    fn each_thread(&self) -> bool {
        false
    }

    /// Scratch numbers needed for `rows` batch rows.
    fn scratch(&self, inputs: &[Shape], rows: usize) -> usize {
        let _ = (inputs, rows);
        0
    }

    /// Identity for common-subexpression elimination; `None` never merges.
    fn key(&self) -> Option<Key> {
        None
    }
}

/// What a primitive computes from: input and output buffers of one shard.
pub struct Eval<'a, 'b, T> {
    /// Rows of the batch in this shard.
    pub rows: usize,
    /// Whether sums over rows begin with these rows; true for an operation on shared values, which sees all there is. The sums hold zeros
    /// then, or anything if the primitive [begins sums](Primitive::begins_sums).
    pub begins: bool,
    /// Input buffers.
    pub inputs: &'a [&'a [T]],
    /// Shapes of the inputs.
    pub input_shapes: &'a [Shape],
    /// Output buffers.
    pub outputs: &'a mut [&'b mut [T]],
    /// Shapes of the outputs.
    pub output_shapes: &'a [Shape],
    /// Scratch of the length asked for by [`Primitive::scratch`], with arbitrary content.
    pub scratch: &'a mut [T],
}

/// A shape error of operation `op`.
pub fn shape_error<S>(op: &'static str, shapes: &[Shape], remedy: &'static str) -> Result<S, Error> {
    Err(Error::Shape { op, shapes: shapes.to_vec(), remedy })
}
