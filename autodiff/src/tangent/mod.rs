//! Tangents with structure: what forward mode pushes through a tape.
//!
//! A push carries a block of `seeds` tangents through a program in one pass. Much of such a block
//! is structurally zero: the seed of an input is the identity, an elementwise layer keeps it
//! diagonal, a coupling touches half of it. A [`Tangent`] knows this, so a permutation moves
//! nothing, an elementwise layer scales rows, and the first product costs no arithmetic.

mod maps;
mod piece;

pub(crate) use self::piece::hull;
use self::piece::{Kind, Piece};
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
}
