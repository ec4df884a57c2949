//! Moves of columns: slices, selections, concatenation, and their transposes.
//!
//! These are bookkeeping, so the tape sees through them: a slice of a concatenation is the part it
//! came from, a permutation of a concatenation permutes its parts. A coupling layer that slices,
//! transforms and concatenates again thus copies nothing it did not change.

use super::{cotangent, key};
use crate::primitive::{Cotangents, Eval, Key, Primitive, Shapes, Tangents, shape_error};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use smallvec::{SmallVec, smallvec};
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

/// Columns `start .. start + len`.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    start: usize,
    len: usize,
}

/// A value put at columns `start ..` of a wider one that is zero elsewhere: the transpose of [`Slice`].
#[derive(Clone, Copy, Debug)]
pub struct Embed {
    start: usize,
    total: usize,
}

/// Columns chosen by index.
#[derive(Clone, Debug)]
pub struct Gather(Arc<[usize]>);

/// Column `j` is added to column `indices[j]` of `total`: the transpose of [`Gather`].
#[derive(Clone, Debug)]
pub struct Scatter {
    indices: Arc<[usize]>,
    total: usize,
}

/// Columns side by side.
#[derive(Clone, Copy, Debug)]
pub struct Concat;

/// The operation that produced `x` and its inputs, if it is a `P`.
fn produced_by<T: Real, P: Primitive<T> + Clone>(x: Var<'_, T>) -> Option<(P, SmallVec<[Var<'_, T>; 4]>)> {
    let node = x.recorder().producer(x.id())?;
    let op = (&*node.op as &dyn Any).downcast_ref::<P>()?.clone();
    Some((op, node.inputs.iter().map(|&id| Var::new(x.recorder(), id)).collect()))
}

/// Maximal runs of `indices` that stay in one part, as ranges of positions.
pub(crate) fn runs(indices: &[usize], part_of: impl Fn(usize) -> usize) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    for (k, &i) in indices.iter().enumerate() {
        match out.last_mut() {
            Some(run) if part_of(indices[run.start]) == part_of(i) => run.end = k + 1,
            _ => out.push(k..k + 1),
        }
    }
    out
}

#[track_caller]
pub(crate) fn slice<T: Real>(x: Var<'_, T>, range: Range<usize>) -> Var<'_, T> {
    assert!(
        range.start <= range.end && range.end <= x.cols(),
        "columns {range:?} of a value of shape {:?}",
        x.shape()
    );
    if range.len() == x.cols() {
        return x;
    }
    if let Some((Slice { start, .. }, from)) = produced_by(x) {
        return slice(from[0], start + range.start..start + range.end);
    }
    if let Some((Gather(indices), from)) = produced_by(x) {
        return gather(from[0], &indices[range]);
    }
    if let Some((Concat, parts)) = produced_by(x) {
        let mut at = 0;
        let mut pieces: SmallVec<[Var<'_, T>; 4]> = SmallVec::new();
        for part in parts {
            let (lo, hi) = (range.start.max(at), range.end.min(at + part.cols()));
            if lo < hi {
                pieces.push(slice(part, lo - at..hi - at));
            }
            at += part.cols();
        }
        if !pieces.is_empty() {
            return concat(&pieces);
        }
    }
    x.recorder().apply(Slice { start: range.start, len: range.len() }, &[x])
}

#[track_caller]
pub(crate) fn gather<'t, T: Real>(x: Var<'t, T>, indices: &[usize]) -> Var<'t, T> {
    assert!(indices.iter().all(|&i| i < x.cols()), "columns {indices:?} of a value of shape {:?}", x.shape());
    if !indices.is_empty() && indices.windows(2).all(|w| w[1] == w[0] + 1) {
        return slice(x, indices[0]..indices[0] + indices.len());
    }
    if let Some((Gather(inner), from)) = produced_by(x) {
        let through: Vec<usize> = indices.iter().map(|&i| inner[i]).collect();
        return gather(from[0], &through);
    }
    if let Some((Slice { start, .. }, from)) = produced_by(x) {
        let through: Vec<usize> = indices.iter().map(|&i| i + start).collect();
        return x.recorder().apply(Gather(through.into()), &[from[0]]);
    }
    if let Some((Concat, parts)) = produced_by(x) {
        let mut ends: SmallVec<[usize; 8]> = SmallVec::new();
        for part in &parts {
            ends.push(ends.last().copied().unwrap_or(0) + part.cols());
        }
        let part_of = |i: usize| ends.partition_point(|&end| end <= i);
        let runs = runs(indices, part_of);
        if !runs.is_empty() && runs.len() <= 2 * parts.len() {
            let pieces: SmallVec<[Var<'t, T>; 4]> = runs
                .into_iter()
                .map(|run| {
                    let k = part_of(indices[run.start]);
                    let first = ends[k] - parts[k].cols();
                    let local: Vec<usize> = indices[run].iter().map(|i| i - first).collect();
                    gather(parts[k], &local)
                })
                .collect();
            return concat(&pieces);
        }
    }
    x.recorder().apply(Gather(indices.into()), &[x])
}

#[track_caller]
pub(crate) fn concat<'t, T: Real>(parts: &[Var<'t, T>]) -> Var<'t, T> {
    assert!(!parts.is_empty(), "concat needs at least one part");
    let mut flat: SmallVec<[Var<'t, T>; 8]> = SmallVec::new();
    let mut push = |part: Var<'t, T>| {
        // Neighbouring slices of one value are one slice.
        if let Some(&last) = flat.last()
            && let (Some((a, of_a)), Some((b, of_b))) =
                (produced_by::<T, Slice>(last), produced_by::<T, Slice>(part))
            && of_a[0].id() == of_b[0].id()
            && a.start + a.len == b.start
        {
            flat.pop();
            flat.push(slice(of_a[0], a.start..b.start + b.len));
        } else {
            flat.push(part);
        }
    };
    for &part in parts {
        match produced_by::<T, Concat>(part) {
            Some((_, inner)) => inner.into_iter().for_each(&mut push),
            None => push(part),
        }
    }
    if flat.len() == 1 { flat[0] } else { flat[0].recorder().apply(Concat, &flat) }
}

/// The value whose columns `x` permutes, and the column of it that each column of `x` is; `None` where `x`
/// is no permutation of another value.
pub(crate) fn unpermuted<T: Real>(x: Var<'_, T>) -> Option<(Var<'_, T>, Arc<[usize]>)> {
    let (Gather(indices), from) = produced_by(x)?;
    let from = from[0];
    let mut seen = vec![false; from.cols()];
    indices.iter().for_each(|&i| seen[i] = true);
    (indices.len() == from.cols() && seen.iter().all(|&s| s)).then_some((from, indices))
}

/// `x` put at columns `start ..` of `total`.
fn embed<T: Real>(x: Var<'_, T>, start: usize, total: usize) -> Var<'_, T> {
    if x.cols() == total { x } else { x.recorder().apply(Embed { start, total }, &[x]) }
}

/// The sum of two cotangents of one value; neighbouring parts are put side by side, not added.
pub(crate) fn accumulate<'t, T: Real>(a: Var<'t, T>, b: Var<'t, T>) -> Var<'t, T> {
    if let (Some((p, x)), Some((q, y))) = (produced_by::<T, Embed>(a), produced_by::<T, Embed>(b)) {
        let (x, y) = (x[0], y[0]);
        let fits = x.shape().with_cols(0) == y.shape().with_cols(0);
        if fits && p.start + x.cols() == q.start {
            return embed(concat(&[x, y]), p.start, p.total);
        }
        if fits && q.start + y.cols() == p.start {
            return embed(concat(&[y, x]), q.start, p.total);
        }
    }
    a + b
}

impl<T: Real> Primitive<T> for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if self.start + self.len > inputs[0].cols() {
            return shape_error("slice", inputs, "the range must lie inside the columns");
        }
        Ok(smallvec![inputs[0].with_cols(self.len)])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        if self.len == 0 {
            return;
        }
        let lines = cx.inputs[0].chunks_exact(cx.input_shapes[0].cols());
        for (y, x) in cx.outputs[0].chunks_exact_mut(self.len).zip(lines) {
            y.copy_from_slice(&x[self.start..self.start + self.len]);
        }
    }

    fn jvp<'t>(
        &self,
        _r: &'t Recorder<T>,
        _x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        Ok(smallvec![dx[0].slice(self.start..self.start + self.len)])
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        Ok(cotangent(dy, need, |dy| embed(dy, self.start, x[0].cols())))
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(self.start as u64, self.len as u64))
    }
}

impl<T: Real> Primitive<T> for Embed {
    fn name(&self) -> &'static str {
        "embed"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if self.start + inputs[0].cols() > self.total {
            return shape_error("embed", inputs, "the columns must fit");
        }
        Ok(smallvec![inputs[0].with_cols(self.total)])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let len = cx.input_shapes[0].cols();
        cx.outputs[0].fill(T::ZERO);
        if len == 0 {
            return;
        }
        let lines = cx.inputs[0].chunks_exact(len);
        for (y, x) in cx.outputs[0].chunks_exact_mut(self.total).zip(lines) {
            y[self.start..self.start + len].copy_from_slice(x);
        }
    }

    fn jvp<'t>(
        &self,
        _r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let after = self.total - self.start - x[0].cols();
        Ok(smallvec![Tangent::concat(&[Tangent::zero(self.start), dx[0].clone(), Tangent::zero(after)])])
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        Ok(cotangent(dy, need, |dy| dy.slice(self.start..self.start + x[0].cols())))
    }

    fn key(&self) -> Option<Key> {
        Some(key::<Self>(self.start as u64, self.total as u64))
    }
}

impl<T: Real> Primitive<T> for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if self.0.iter().any(|&i| i >= inputs[0].cols()) {
            return shape_error("gather", inputs, "indices must be columns");
        }
        Ok(smallvec![inputs[0].with_cols(self.0.len())])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        if self.0.is_empty() {
            return;
        }
        let lines = cx.inputs[0].chunks_exact(cx.input_shapes[0].cols());
        for (y, x) in cx.outputs[0].chunks_exact_mut(self.0.len()).zip(lines) {
            for (y, &i) in y.iter_mut().zip(self.0.iter()) {
                *y = x[i];
            }
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        Ok(smallvec![dx[0].gather(r, x[0].shape(), &self.0)])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let total = x[0].cols();
        Ok(cotangent(dy, need, |dy| {
            let mut inverse = vec![usize::MAX; total];
            self.0.iter().enumerate().for_each(|(j, &i)| inverse[i] = j);
            if self.0.len() == total && !inverse.contains(&usize::MAX) {
                dy.gather(&inverse)
            } else {
                r.apply(Scatter { indices: self.0.clone(), total }, &[dy])
            }
        }))
    }
}

impl<T: Real> Primitive<T> for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        if inputs[0].cols() != self.indices.len() {
            return shape_error("scatter", inputs, "one index a column");
        }
        Ok(smallvec![inputs[0].with_cols(self.total)])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        cx.outputs[0].fill(T::ZERO);
        if self.indices.is_empty() {
            return;
        }
        let lines = cx.inputs[0].chunks_exact(self.indices.len());
        for (y, x) in cx.outputs[0].chunks_exact_mut(self.total).zip(lines) {
            for (&x, &i) in x.iter().zip(self.indices.iter()) {
                y[i] += x;
            }
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        Ok(smallvec![dx[0].linear(r, x[0].shape(), self.total, |t| r.apply(self.clone(), &[t]))])
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        _x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        Ok(cotangent(dy, need, |dy| dy.gather(&self.indices)))
    }
}

impl<T: Real> Primitive<T> for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        let first = inputs[0].with_cols(0);
        if inputs.iter().any(|s| s.with_cols(0) != first) {
            return shape_error("concat", inputs, "all parts must have the same rows and tangents");
        }
        Ok(smallvec![inputs[0].with_cols(inputs.iter().map(|s| s.cols()).sum())])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let total = cx.output_shapes[0].cols();
        let mut at = 0;
        for (x, shape) in cx.inputs.iter().zip(cx.input_shapes) {
            let len = shape.cols();
            if len > 0 {
                for (y, x) in cx.outputs[0].chunks_exact_mut(total).zip(x.chunks_exact(len)) {
                    y[at..at + len].copy_from_slice(x);
                }
            }
            at += len;
        }
    }

    fn jvp<'t>(
        &self,
        _r: &'t Recorder<T>,
        _x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        Ok(smallvec![Tangent::concat(dx)])
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        let mut at = 0;
        Ok(x.iter()
            .zip(need)
            .map(|(x, &need)| {
                at += x.cols();
                let range = at - x.cols()..at;
                if need { dy[0].map(|dy| dy.slice(range)) } else { None }
            })
            .collect())
    }
}
