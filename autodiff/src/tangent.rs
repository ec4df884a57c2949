//! Tangents with structure: what forward mode pushes through a tape.
//!
//! A push carries a block of `seeds` tangents through a program in one pass. Much of such a block
//! is structurally zero: the seed of an input is the identity, an elementwise layer keeps it
//! diagonal, a coupling touches half of it. A [`Tangent`] knows this, so a permutation moves
//! nothing, an elementwise layer scales rows, and the first product costs no arithmetic.

use crate::primitives::columns::runs;
use crate::primitives::diagonal::{DiagonalToBlock, RowScale, Seeds};
use crate::{Recorder, Shape, Var};
use eigenflow_linalg::Real;
use smallvec::{SmallVec, smallvec};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The seed that moves each column, and the rates at which they do (`None`: 1).
pub type Diagonal<'t, T> = (Arc<[usize]>, Option<Var<'t, T>>);

/// A tangent of a value of `cols` columns: pieces of columns, side by side.
#[derive(Clone)]
pub struct Tangent<'t, T> {
    pieces: SmallVec<[Piece<'t, T>; 2]>,
}

#[derive(Clone)]
struct Piece<'t, T> {
    cols: usize,
    kind: Kind<'t, T>,
}

/// How a piece depends on the seeds.
#[derive(Clone)]
enum Kind<'t, T> {
    /// Not at all.
    Zero,
    /// Column `j` moves only with seed `seeds[j]`, at the rate `scale_j` (1 where absent).
    Diagonal { seeds: Arc<[usize]>, scale: Option<Var<'t, T>> },
    /// Tangents of seeds `start .. start + block.tangents`; no other seed moves it.
    Dense { start: usize, block: Var<'t, T> },
}

impl<T: Real> fmt::Debug for Tangent<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.pieces.iter().map(|p| match &p.kind {
            Kind::Zero => format!("zero {}", p.cols),
            Kind::Diagonal { seeds, .. } => format!("diagonal {seeds:?}"),
            Kind::Dense { start, block } => format!("dense {:?} from seed {start}", block.shape()),
        });
        write!(f, "[{}]", kinds.collect::<Vec<_>>().join(", "))
    }
}

impl<'t, T: Real> Tangent<'t, T> {
    /// Structurally zero.
    pub fn zero(cols: usize) -> Self {
        Self::piece(cols, Kind::Zero)
    }

    /// Column `j` moves with seed `j` at rate 1: the seed of a Jacobian.
    pub fn identity(cols: usize) -> Self {
        if cols == 0 {
            return Self::zero(0);
        }
        Self::piece(cols, Kind::Diagonal { seeds: (0..cols).collect(), scale: None })
    }

    /// Column `j` moves with seed `seeds[j]` at the rate `rates_j` (a value of the tangent's columns).
    pub fn diagonal(seeds: Arc<[usize]>, rates: Var<'t, T>) -> Self {
        Self::piece(seeds.len(), Kind::Diagonal { seeds, scale: Some(rates) })
    }

    /// The seeds of all columns and their rates (`None`: 1), if each column moves with one seed alone and
    /// all are one piece.
    pub fn as_diagonal(&self) -> Option<Diagonal<'t, T>> {
        match &self.pieces[..] {
            [Piece { kind: Kind::Diagonal { seeds, scale }, .. }] => Some((seeds.clone(), *scale)),
            _ => None,
        }
    }

    /// An explicit block of tangents that belong to seeds `start ..`.
    pub fn dense_from(start: usize, block: Var<'t, T>) -> Self {
        Self::piece(block.cols(), Kind::Dense { start, block })
    }

    /// An explicit block of tangents (one tangent for a value of ordinary shape).
    pub fn dense(block: Var<'t, T>) -> Self {
        Self::piece(block.cols(), Kind::Dense { start: 0, block })
    }

    fn piece(cols: usize, kind: Kind<'t, T>) -> Self {
        Self { pieces: smallvec![Piece { cols, kind }] }
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.pieces.iter().map(|p| p.cols).sum()
    }

    /// Whether it is structurally zero.
    pub fn is_zero(&self) -> bool {
        self.pieces.iter().all(|p| matches!(p.kind, Kind::Zero))
    }

    /// Whether it is a block: more tangents than a value of this shape, or a diagonal of seeds.
    pub fn is_wider_than(&self, shape: Shape) -> bool {
        let several = self.support().len() > shape.tangents();
        several || self.pieces.iter().any(|p| matches!(p.kind, Kind::Diagonal { .. }))
    }

    /// The smallest range of seeds that contains all on which it depends.
    pub fn support(&self) -> Range<usize> {
        self.pieces.iter().fold(0..0, |all, p| hull(all, p.support()))
    }

    /// Whether it can be the tangent of a value of this shape.
    pub(crate) fn fits(&self, shape: Shape) -> bool {
        let piece = |p: &Piece<'t, T>| match &p.kind {
            Kind::Zero => true,
            Kind::Diagonal { .. } => shape == Shape::batch(shape.cols()),
            Kind::Dense { block, .. } => {
                let own = shape.with_cols(p.cols);
                block.shape() == own || (own == Shape::batch(p.cols) && block.shape().with_tangents(1) == own)
            }
        };
        self.cols() == shape.cols() && self.pieces.iter().all(piece)
    }

    /// The whole block over seeds `0 .. seeds`, of shape `shape.with_tangents(seeds)`.
    ///
    /// `None` where it is structurally zero.
    ///
    /// # Panics
    /// If it depends on a seed that is not among these.
    pub fn into_block(self, r: &'t Recorder<T>, shape: Shape, seeds: usize) -> Option<Var<'t, T>> {
        if self.is_zero() {
            return None;
        }
        Some(self.over(r, shape, 0..seeds))
    }

    /// One dense variable over the given seeds, which must contain the support.
    fn over(&self, r: &'t Recorder<T>, shape: Shape, seeds: Range<usize>) -> Var<'t, T> {
        let parts: SmallVec<[Var<'t, T>; 4]> =
            self.pieces.iter().map(|p| p.over(r, shape, seeds.clone())).collect();
        Var::concat(&parts)
    }

    /// Where it is nonzero: the first seed and one dense block over the support.
    pub fn to_dense(&self, r: &'t Recorder<T>, shape: Shape) -> Option<(usize, Var<'t, T>)> {
        if self.is_zero() {
            return None;
        }
        let support = self.support();
        Some((support.start, self.over(r, shape, support)))
    }

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

impl<'t, T: Real> Piece<'t, T> {
    fn slice(&self, range: Range<usize>) -> Self {
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
    fn zip(
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
    fn support(&self) -> Range<usize> {
        match &self.kind {
            Kind::Zero => 0..0,
            Kind::Diagonal { seeds, .. } => extent(seeds),
            Kind::Dense { start, block } => *start..start + block.shape().tangents(),
        }
    }

    fn over(&self, r: &'t Recorder<T>, shape: Shape, seeds: Range<usize>) -> Var<'t, T> {
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
                crate::primitives::extent::place_tangents(*block, start - seeds.start, seeds.len())
            }
        }
    }
}

/// `shape` with the tangents of `block` where `shape` itself has one.
fn tangent_shape(shape: Shape, block: Shape) -> Shape {
    if shape.tangents() == 1 { shape.with_tangents(block.tangents()) } else { shape }
}

/// The rates of a diagonal: 1 where absent.
fn rates<'t, T: Real>(r: &'t Recorder<T>, shape: Shape, scale: Option<Var<'t, T>>) -> Var<'t, T> {
    scale.unwrap_or_else(|| r.full(shape, T::ONE))
}

/// The smallest range that contains two others.
fn hull(a: Range<usize>, b: Range<usize>) -> Range<usize> {
    match (a.is_empty(), b.is_empty()) {
        (true, _) => b,
        (_, true) => a,
        _ => a.start.min(b.start)..a.end.max(b.end),
    }
}

/// The smallest range of seeds that contains all of these.
fn extent(seeds: &[usize]) -> Range<usize> {
    let lo = seeds.iter().copied().min().unwrap_or(0);
    let hi = seeds.iter().copied().max().map_or(lo, |m| m + 1);
    lo..hi
}
