//! Seeing through moves of columns as they are recorded.
//!
//! A slice of a concatenation is the part it
//! came from, a permutation of a concatenation permutes its parts. A coupling layer that slices,
//! transforms and concatenates again thus copies nothing it did not change.

use super::{Concat, Embed, Gather, Slice};
use crate::Var;
use crate::primitive::Primitive;
use eigenflow_linalg::Real;
use smallvec::SmallVec;
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

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
pub(super) fn embed<T: Real>(x: Var<'_, T>, start: usize, total: usize) -> Var<'_, T> {
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
