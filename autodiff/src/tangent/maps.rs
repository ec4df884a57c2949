//! Linear maps of tangents, which keep what structure they can.

use super::Tangent;
use super::piece::{Kind, Piece, extent, hull, rates};
use crate::primitives::columns::runs;
use crate::primitives::diagonal::{RowScale, Seeds};
use crate::{Recorder, Shape, Var};
use eigenflow_linalg::Real;
use smallvec::SmallVec;
use std::ops::Range;

impl<'t, T: Real> Tangent<'t, T> {
    /// The sum of two tangents of one value.
    pub fn add(self, other: Self, r: &'t Recorder<T>, shape: Shape) -> Self {
        if self.is_zero() {
            return other;
        }
        if other.is_zero() {
            return self;
        }
        if !self.is_cut_like(&other) {
            return Self::join(r, shape, &self, &other, |a, b| a + b);
        }
        let sum = |(p, q): (&Piece<'t, T>, &Piece<'t, T>)| match (&p.kind, &q.kind) {
            (Kind::Zero, _) => q.clone(),
            (_, Kind::Zero) => p.clone(),
            _ => p.zip(q, r, shape, |a, b| a + b),
        };
        Self { pieces: self.pieces.iter().zip(&other.pieces).map(sum).collect() }
    }

    /// Whether the pieces of both have the same columns.
    fn is_cut_like(&self, other: &Self) -> bool {
        self.pieces.iter().map(|p| p.cols).eq(other.pieces.iter().map(|p| p.cols))
    }

    /// An elementwise linear map, which keeps diagonals: `map` gets the rates of some columns (or
    /// a block of tangents of them), and which columns these are.
    pub(crate) fn elementwise(
        &self,
        r: &'t Recorder<T>,
        shape: Shape,
        map: impl Fn(Var<'t, T>, Range<usize>) -> Var<'t, T>,
    ) -> Self {
        let mut at = 0;
        let pieces = self
            .pieces
            .iter()
            .map(|p| {
                let columns = at..at + p.cols;
                at = columns.end;
                let kind = match &p.kind {
                    Kind::Zero => Kind::Zero,
                    Kind::Diagonal { seeds, scale } => Kind::Diagonal {
                        seeds: seeds.clone(),
                        scale: Some(map(rates(r, shape.with_cols(p.cols), *scale), columns)),
                    },
                    Kind::Dense { start, block } => {
                        Kind::Dense { start: *start, block: map(*block, columns) }
                    }
                };
                Piece { cols: p.cols, kind }
            })
            .collect();
        Self { pieces }
    }

    /// An elementwise map of two tangents, linear in both together; equal diagonals stay diagonal.
    pub(crate) fn zip(
        r: &'t Recorder<T>,
        shape: Shape,
        a: &Self,
        b: &Self,
        map: impl Fn(Var<'t, T>, Var<'t, T>, Range<usize>) -> Var<'t, T>,
    ) -> Self {
        if !a.is_cut_like(b) {
            return Self::join(r, shape, a, b, |a, b| map(a, b, 0..shape.cols()));
        }
        let mut at = 0;
        let zip = |(p, q): (&Piece<'t, T>, &Piece<'t, T>)| {
            let columns = at..at + p.cols;
            at = columns.end;
            p.zip(q, r, shape, |a, b| map(a, b, columns))
        };
        Self { pieces: a.pieces.iter().zip(&b.pieces).map(zip).collect() }
    }

    /// The tangent times a primal value, column by column (`v` has the tangent's columns or one).
    pub fn scale(&self, v: Var<'t, T>) -> Self {
        let wide = v.cols() == self.cols() && self.pieces.len() > 1;
        let mut at = 0;
        let pieces = self
            .pieces
            .iter()
            .map(|p| {
                let v = if wide { v.slice(at..at + p.cols) } else { v };
                at += p.cols;
                let kind = match &p.kind {
                    Kind::Zero => Kind::Zero,
                    Kind::Diagonal { seeds, scale } => Kind::Diagonal {
                        seeds: seeds.clone(),
                        scale: Some(match scale {
                            Some(s) => *s * v,
                            None => v.broadcast_to(v.shape().with_cols(p.cols)),
                        }),
                    },
                    Kind::Dense { start, block } => Kind::Dense { start: *start, block: *block * v },
                };
                Piece { cols: p.cols, kind }
            })
            .collect();
        Self { pieces }
    }

    /// The tangent times a constant.
    pub fn scale_by(&self, r: &'t Recorder<T>, c: T) -> Self {
        let pieces = self
            .pieces
            .iter()
            .map(|p| {
                let kind = match &p.kind {
                    Kind::Zero => Kind::Zero,
                    Kind::Diagonal { seeds, scale } => Kind::Diagonal {
                        seeds: seeds.clone(),
                        scale: Some(match scale {
                            Some(s) => *s * c,
                            None => r.full(Shape::shared(1, p.cols), c),
                        }),
                    },
                    Kind::Dense { start, block } => Kind::Dense { start: *start, block: *block * c },
                };
                Piece { cols: p.cols, kind }
            })
            .collect();
        Self { pieces }
    }

    /// The same tangent where a value of shape `from` was broadcast to `to`.
    pub fn broadcast(&self, r: &'t Recorder<T>, from: Shape, to: Shape) -> Self {
        if from == to {
            return self.clone();
        }
        self.linear(r, from, to.cols(), |block| block.broadcast_to(tangent_shape(to, block.shape())))
    }

    /// Applies a linear map of values with `cols` columns, recorded on the dense block over the
    /// support.
    pub fn linear(
        &self,
        r: &'t Recorder<T>,
        shape: Shape,
        cols: usize,
        map: impl FnOnce(Var<'t, T>) -> Var<'t, T>,
    ) -> Self {
        match self.to_dense(r, shape) {
            None => Self::zero(cols),
            Some((start, block)) => Self::piece(cols, Kind::Dense { start, block: map(block) }),
        }
    }

    /// Tangent of `x W` (or `x Wᵀ`) with `W` held fixed.
    pub fn matmul(&self, r: &'t Recorder<T>, shape: Shape, w: Var<'t, T>, transpose: bool) -> Self {
        let cols = if transpose {
            let Shape::Shared { rows, .. } = w.shape() else { unreachable!("weights are shared") };
            rows
        } else {
            w.cols()
        };
        if let [Piece { kind: Kind::Diagonal { seeds, scale }, .. }] = &self.pieces[..] {
            let w = if transpose { w.transpose() } else { w };
            let scale = rates(r, shape, *scale).broadcast_to(shape);
            let block = r.apply(RowScale(Seeds::within(seeds, extent(seeds))), &[scale, w]);
            return Self::piece(cols, Kind::Dense { start: extent(seeds).start, block });
        }
        match self.to_dense(r, shape) {
            None => Self::zero(cols),
            Some((start, x)) => {
                let block = if transpose { x.matmul_t(w) } else { x.matmul(w) };
                Self::piece(cols, Kind::Dense { start, block })
            }
        }
    }

    /// A map of two tangents of one shape, recorded on dense blocks over their joint support.
    pub fn join(
        r: &'t Recorder<T>,
        shape: Shape,
        a: &Self,
        b: &Self,
        map: impl FnOnce(Var<'t, T>, Var<'t, T>) -> Var<'t, T>,
    ) -> Self {
        let seeds = hull(a.support(), b.support());
        let block = map(a.over(r, shape, seeds.clone()), b.over(r, shape, seeds.clone()));
        Self::piece(block.cols(), Kind::Dense { start: seeds.start, block })
    }

    /// Columns `range`.
    pub fn slice(&self, range: Range<usize>) -> Self {
        let mut pieces = SmallVec::new();
        let mut at = 0;
        for p in &self.pieces {
            let lo = range.start.max(at);
            let hi = range.end.min(at + p.cols);
            if lo < hi {
                pieces.push(p.slice(lo - at..hi - at));
            }
            at += p.cols;
        }
        Self { pieces }
    }

    /// Columns `indices[0], indices[1], …`.
    pub fn gather(&self, r: &'t Recorder<T>, shape: Shape, indices: &[usize]) -> Self {
        if self.is_zero() {
            return Self::zero(indices.len());
        }
        let bounds: SmallVec<[usize; 8]> = self
            .pieces
            .iter()
            .scan(0, |at, p| {
                *at += p.cols;
                Some(*at)
            })
            .collect();
        let piece_of = |column: usize| bounds.partition_point(|&end| end <= column);
        let runs = runs(indices, piece_of);
        if runs.len() > 2 * self.pieces.len() {
            // Pieces cut to shreds: one dense block is cheaper.
            let (start, block) = self.to_dense(r, shape).expect("not zero");
            return Self::piece(indices.len(), Kind::Dense { start, block: block.gather(indices) });
        }
        let pieces = runs
            .into_iter()
            .map(|run| {
                let k = piece_of(indices[run.start]);
                let offset = bounds[k] - self.pieces[k].cols;
                let local: Vec<usize> = indices[run].iter().map(|i| i - offset).collect();
                let kind = match &self.pieces[k].kind {
                    Kind::Zero => Kind::Zero,
                    Kind::Diagonal { seeds, scale } => Kind::Diagonal {
                        seeds: local.iter().map(|&j| seeds[j]).collect(),
                        scale: scale.map(|s| s.gather(&local)),
                    },
                    Kind::Dense { start, block } => {
                        Kind::Dense { start: *start, block: block.gather(&local) }
                    }
                };
                Piece { cols: local.len(), kind }
            })
            .collect();
        Self { pieces }
    }

    /// Tangents of values put side by side.
    pub fn concat(parts: &[Self]) -> Self {
        Self { pieces: parts.iter().flat_map(|t| t.pieces.iter().cloned()).collect() }
    }
}

/// `shape` with the tangents of `block` where `shape` itself has one.
fn tangent_shape(shape: Shape, block: Shape) -> Shape {
    if shape.tangents() == 1 { shape.with_tangents(block.tangents()) } else { shape }
}
