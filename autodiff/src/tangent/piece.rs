//! Some columns of a tangent, which depend on the seeds in one way.

use crate::primitives::diagonal::{DiagonalToBlock, Seeds};
use crate::primitives::extent::place_tangents;
use crate::{Recorder, Shape, Var};
use eigenflow_linalg::Real;
use std::ops::Range;
use std::sync::Arc;

#[derive(Clone)]
pub(super) struct Piece<'t, T> {
    pub(super) cols: usize,
    pub(super) kind: Kind<'t, T>,
}

/// How a piece depends on the seeds.
#[derive(Clone)]
pub(super) enum Kind<'t, T> {
    /// Not at all.
    Zero,
    /// Column `j` moves only with seed `seeds[j]`, at the rate `scale_j` (1 where absent).
    Diagonal { seeds: Arc<[usize]>, scale: Option<Var<'t, T>> },
    /// Tangents of seeds `start .. start + block.tangents`; no other seed moves it.
    Dense { start: usize, block: Var<'t, T> },
}

impl<'t, T: Real> Piece<'t, T> {
    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        if range.len() == self.cols {
            return self.clone();
        }
        let kind = match &self.kind {
            Kind::Zero => Kind::Zero,
            Kind::Diagonal { seeds, scale } => Kind::Diagonal {
                seeds: Arc::from(&seeds[range.clone()]),
                scale: scale.map(|s| s.slice(range.clone())),
            },
            Kind::Dense { start, block } => Kind::Dense { start: *start, block: block.slice(range.clone()) },
        };
        Self { cols: range.len(), kind }
    }

    /// An elementwise map of two pieces of the same columns; equal diagonals stay diagonal.
    pub(super) fn zip(
        &self,
        other: &Self,
        r: &'t Recorder<T>,
        shape: Shape,
        map: impl FnOnce(Var<'t, T>, Var<'t, T>) -> Var<'t, T>,
    ) -> Self {
        let shape = shape.with_cols(self.cols);
        let kind = match (&self.kind, &other.kind) {
            (Kind::Zero, Kind::Zero) => Kind::Zero,
            (Kind::Diagonal { seeds, scale: s }, Kind::Diagonal { seeds: same, scale: t })
                if seeds == same =>
            {
                let scale = map(rates(r, shape, *s), rates(r, shape, *t));
                Kind::Diagonal { seeds: seeds.clone(), scale: Some(scale) }
            }
            _ => {
                let seeds = hull(self.support(), other.support());
                let (a, b) = (self.over(r, shape, seeds.clone()), other.over(r, shape, seeds.clone()));
                Kind::Dense { start: seeds.start, block: map(a, b) }
            }
        };
        Self { cols: self.cols, kind }
    }

    /// Seeds on which the piece depends.
    pub(super) fn support(&self) -> Range<usize> {
        match &self.kind {
            Kind::Zero => 0..0,
            Kind::Diagonal { seeds, .. } => extent(seeds),
            Kind::Dense { start, block } => *start..start + block.shape().tangents(),
        }
    }

    pub(super) fn over(&self, r: &'t Recorder<T>, shape: Shape, seeds: Range<usize>) -> Var<'t, T> {
        let shape = shape.with_cols(self.cols);
        match &self.kind {
            Kind::Zero => r.full(shape.with_tangents(seeds.len()), T::ZERO),
            Kind::Diagonal { seeds: own, scale } => {
                let scale = rates(r, shape, *scale).broadcast_to(shape);
                r.apply(DiagonalToBlock(Seeds::within(own, seeds)), &[scale])
            }
            Kind::Dense { start, block } => {
                let own = block.shape().tangents();
                if own == seeds.len() {
                    return *block;
                }
                place_tangents(*block, start - seeds.start, seeds.len())
            }
        }
    }
}

/// The rates of a diagonal: 1 where absent.
pub(super) fn rates<'t, T: Real>(r: &'t Recorder<T>, shape: Shape, scale: Option<Var<'t, T>>) -> Var<'t, T> {
    scale.unwrap_or_else(|| r.full(shape, T::ONE))
}

/// The smallest range that contains two others.
pub(crate) fn hull(a: Range<usize>, b: Range<usize>) -> Range<usize> {
    match (a.is_empty(), b.is_empty()) {
        (true, _) => b,
        (_, true) => a,
        _ => a.start.min(b.start)..a.end.max(b.end),
    }
}

/// The smallest range of seeds that contains all of these.
pub(super) fn extent(seeds: &[usize]) -> Range<usize> {
    let lo = seeds.iter().copied().min().unwrap_or(0);
    let hi = seeds.iter().copied().max().map_or(lo, |m| m + 1);
    lo..hi
}
