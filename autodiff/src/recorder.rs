//! The tape: a program that is recorded once and replayed.

use crate::primitive::{Key, Primitive};
use crate::{Error, Shape, Var};
use eigenflow_linalg::Real;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Index of a value on its tape.
pub(crate) type ValueId = u32;

/// Where a value comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source<T> {
    BatchInput(usize),
    SharedInput(usize),
    Constant(Arc<[T]>),
    Node { node: u32 },
}

#[derive(Clone, Debug)]
pub(crate) struct Value<T> {
    pub shape: Shape,
    pub source: Source<T>,
}

#[derive(Clone, Debug)]
pub(crate) struct Node<T> {
    pub op: Arc<dyn Primitive<T>>,
    pub inputs: SmallVec<[ValueId; 4]>,
    pub outputs: Range<ValueId>,
}

/// Operations in the order in which they were recorded.
#[derive(Debug)]
pub(crate) struct Tape<T> {
    pub nodes: Vec<Node<T>>,
    pub values: Vec<Value<T>>,
    pub batch_inputs: Vec<ValueId>,
    pub shared_inputs: Vec<ValueId>,
    known: HashMap<(Key, SmallVec<[ValueId; 4]>), u32>,
    /// Constants of one number, by bits: merged, so that what is computed from them is too.
    scalars: HashMap<u64, ValueId>,
}

impl<T> Default for Tape<T> {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            values: Vec::new(),
            batch_inputs: Vec::new(),
            shared_inputs: Vec::new(),
            known: HashMap::new(),
            scalars: HashMap::new(),
        }
    }
}

/// Records operations on [`Var`]s.
///
/// ```
/// use eigenflow_autodiff::Program;
/// // y = x W + b for every row x
/// let program = Program::<f64>::record(|r| {
///     let (x, w, b) = (r.batch(2), r.shared(2, 1), r.shared(1, 1));
///     vec![x.matmul(w) + b]
/// });
/// let y = program.run(1, &[&[3.0, 4.0]], &[&[1.0, 2.0], &[0.5]]).unwrap();
/// assert_eq!(y[0], [11.5]);
/// ```
#[derive(Debug, Default)]
pub struct Recorder<T> {
    tape: RefCell<Tape<T>>,
}

impl<T: Real> Recorder<T> {
    /// An empty tape.
    pub fn new() -> Self {
        Self { tape: RefCell::default() }
    }

    /// The finished tape, without the tables of recording.
    pub(crate) fn into_tape(self) -> Tape<T> {
        let tape = self.tape.into_inner();
        Tape { known: HashMap::new(), scalars: HashMap::new(), ..tape }
    }

    /// Declares the next batch input, of shape `[rows, cols]`.
    pub fn batch(&self, cols: usize) -> Var<'_, T> {
        self.batch_block(1, cols)
    }

    /// Declares the next batch input, of shape `[rows, tangents, cols]`.
    pub fn batch_block(&self, tangents: usize, cols: usize) -> Var<'_, T> {
        let mut tape = self.tape.borrow_mut();
        let index = tape.batch_inputs.len();
        let id = tape.push(Shape::block(tangents, cols), Source::BatchInput(index));
        tape.batch_inputs.push(id);
        Var::new(self, id)
    }

    /// Declares the next shared input (a parameter), a `rows x cols` matrix.
    pub fn shared(&self, rows: usize, cols: usize) -> Var<'_, T> {
        let mut tape = self.tape.borrow_mut();
        let index = tape.shared_inputs.len();
        let id = tape.push(Shape::shared(rows, cols), Source::SharedInput(index));
        tape.shared_inputs.push(id);
        Var::new(self, id)
    }

    /// Declares the next batch or shared input, whichever the shape says.
    pub fn input(&self, shape: Shape) -> Var<'_, T> {
        match shape {
            Shape::Batch { tangents, cols } => self.batch_block(tangents, cols),
            Shape::Shared { rows, cols } => self.shared(rows, cols),
        }
    }

    /// A constant shared matrix.
    ///
    /// # Panics
    /// If `data.len() != rows * cols`.
    pub fn constant(&self, rows: usize, cols: usize, data: &[T]) -> Var<'_, T> {
        assert_eq!(data.len(), rows * cols, "a {rows} x {cols} constant needs {} numbers", rows * cols);
        let id = self.tape.borrow_mut().push(Shape::shared(rows, cols), Source::Constant(Arc::from(data)));
        Var::new(self, id)
    }

    /// A constant row.
    pub fn row(&self, data: &[T]) -> Var<'_, T> {
        self.constant(1, data.len(), data)
    }

    /// A constant `1 x 1` matrix, which broadcasts against everything.
    pub fn scalar(&self, value: T) -> Var<'_, T> {
        let bits = value.f64().to_bits();
        let known = self.tape.borrow().scalars.get(&bits).copied();
        if let Some(id) = known {
            return Var::new(self, id);
        }
        let constant = self.constant(1, 1, &[value]);
        self.tape.borrow_mut().scalars.insert(bits, constant.id());
        constant
    }

    /// A value of the given shape with every number equal to `value`.
    pub fn full(&self, shape: Shape, value: T) -> Var<'_, T> {
        self.scalar(value).broadcast_to(shape)
    }

    /// Records an operation and gives its outputs.
    ///
    /// # Errors
    /// If the shapes do not fit.
    pub fn try_apply<'t>(
        &'t self,
        op: Arc<dyn Primitive<T>>,
        inputs: &[Var<'t, T>],
    ) -> Result<SmallVec<[Var<'t, T>; 2]>, Error> {
        debug_assert!(inputs.iter().all(|v| std::ptr::eq(v.recorder(), self)), "a variable of another tape");
        let shapes: SmallVec<[Shape; 4]> = inputs.iter().map(Var::shape).collect();
        let ids: SmallVec<[ValueId; 4]> = inputs.iter().map(super::var::Var::id).collect();
        let key = op.key().map(|k| (k, ids.clone()));
        let mut tape = self.tape.borrow_mut();
        let known = key.as_ref().and_then(|k| tape.known.get(k).copied());
        let node = if let Some(node) = known {
            node
        } else {
            let out = op.shapes(&shapes)?;
            let node = tape.nodes.len() as u32;
            let first = tape.values.len() as ValueId;
            for shape in out {
                tape.push(shape, Source::Node { node });
            }
            let outputs = first..tape.values.len() as ValueId;
            tape.nodes.push(Node { op, inputs: ids, outputs });
            if let Some(key) = key {
                tape.known.insert(key, node);
            }
            node
        };
        Ok(tape.nodes[node as usize].outputs.clone().map(|id| Var::new(self, id)).collect())
    }

    /// Records an operation and gives its first output.
    ///
    /// # Panics
    /// If the shapes do not fit; the message says all of them.
    #[track_caller]
    pub fn apply<'t>(&'t self, op: impl Primitive<T> + 'static, inputs: &[Var<'t, T>]) -> Var<'t, T> {
        self.apply_all(op, inputs)[0]
    }

    /// Records an operation and gives all its outputs.
    ///
    /// # Panics
    /// If the shapes do not fit; the message says all of them.
    #[track_caller]
    pub fn apply_all<'t>(
        &'t self,
        op: impl Primitive<T> + 'static,
        inputs: &[Var<'t, T>],
    ) -> SmallVec<[Var<'t, T>; 2]> {
        match self.try_apply(Arc::new(op), inputs) {
            Ok(outputs) => outputs,
            Err(error) => panic!("{error}"),
        }
    }

    /// Number of operations recorded so far.
    pub fn len(&self) -> usize {
        self.tape.borrow().nodes.len()
    }

    /// Whether nothing has been recorded.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn shape_of(&self, id: ValueId) -> Shape {
        self.tape.borrow().values[id as usize].shape
    }

    pub(crate) fn node(&self, index: usize) -> Node<T> {
        self.tape.borrow().nodes[index].clone()
    }

    /// The operation that produced a value, if it is not an input or a constant.
    pub(crate) fn producer(&self, id: ValueId) -> Option<Node<T>> {
        let tape = self.tape.borrow();
        match tape.values[id as usize].source {
            Source::Node { node, .. } => Some(tape.nodes[node as usize].clone()),
            _ => None,
        }
    }

    pub(crate) fn values_len(&self) -> usize {
        self.tape.borrow().values.len()
    }
}

impl<T> Tape<T> {
    fn push(&mut self, shape: Shape, source: Source<T>) -> ValueId {
        let id = self.values.len() as ValueId;
        self.values.push(Value { shape, source });
        id
    }

    /// The numbers of a constant.
    pub fn constant(&self, id: ValueId) -> &[T] {
        match &self.values[id as usize].source {
            Source::Constant(numbers) => numbers,
            _ => unreachable!("value {id} is computed"),
        }
    }
}
