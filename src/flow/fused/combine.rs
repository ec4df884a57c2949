//! The last step of a push: what the passed and the moved columns contribute, in one block.

use super::coupling::Few;
use eigenflow_autodiff::primitive::{Cotangents, Eval, Primitive, Shapes, Tangents};
use eigenflow_autodiff::primitives::row_product::RowProduct;
use eigenflow_autodiff::{Error, Recorder, Shape, Tangent, Var, expand};
use eigenflow_linalg::Real;
use eigenflow_linalg::each::{Accum, Extents, products};
use eigenflow_linalg::elementary::{Kernel, dispatch};
use smallvec::smallvec;
use std::ops::Range;
use std::sync::Arc;

/// The tangent of the moved columns.
pub(super) enum Moved<'t, T> {
    Zero,
    /// Column `j` moves with seed `seeds[j]` alone, at a rate of its own.
    Diagonal(Arc<[usize]>, Var<'t, T>),
    /// A block from a first seed on.
    Block(usize, Var<'t, T>),
}

impl<'t, T: Real> Moved<'t, T> {
    pub fn of(r: &'t Recorder<T>, db: &Tangent<'t, T>, shape: Shape) -> Self {
        if let Some((seeds, rates)) = db.as_diagonal() {
            let rates = rates.unwrap_or_else(|| r.scalar(T::ONE)).broadcast_to(shape);
            return Self::Diagonal(seeds, rates);
        }
        db.to_dense(r, shape).map_or(Self::Zero, |(first, block)| Self::Block(first, block))
    }
}

/// `out = scale ⊙ dB + A` or `scale ⊙ dB + A G`, over a range of seeds that contains those of both.
///
/// Inputs: `A` (`[a, m]`, or `[a, p]` with `G`), `G` (`[p, m]`) if there is one, `scale`, and `dB` as a block
/// or as rates.
#[derive(Clone, Debug)]
pub(super) struct Combine {
    /// Number of seeds of the result.
    seeds: usize,
    /// Seeds of `A`.
    of_a: Range<usize>,
    local: bool,
    moved: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Zero,
    Diagonal(Arc<[usize]>),
    Block(Range<usize>),
}

impl Combine {
    /// Records the tangent; `first` is the first seed of `a`.
    pub fn record<'t, T: Real>(
        r: &'t Recorder<T>,
        first: usize,
        a: Var<'t, T>,
        local: Option<Var<'t, T>>,
        moved: Moved<'t, T>,
        scale: Var<'t, T>,
    ) -> Tangent<'t, T> {
        let of_a = first..first + a.shape().tangents();
        let of_b = match &moved {
            Moved::Zero => of_a.clone(),
            Moved::Diagonal(seeds, _) => {
                let ends = (seeds.iter().min(), seeds.iter().max());
                ends.0.map_or(of_a.start, |&s| s)..ends.1.map_or(of_a.end, |&s| s + 1)
            }
            Moved::Block(first, block) => *first..first + block.shape().tangents(),
        };
        let start = of_a.start.min(of_b.start);
        let end = of_a.end.max(of_b.end);
        let relative = |range: Range<usize>| range.start - start..range.end - start;
        let mut inputs: Few<Var<'t, T>> = smallvec![a];
        inputs.extend(local);
        inputs.push(scale);
        let kind = match moved {
            Moved::Zero => Kind::Zero,
            Moved::Diagonal(seeds, rates) => {
                inputs.push(rates);
                Kind::Diagonal(seeds.iter().map(|s| s - start).collect())
            }
            Moved::Block(_, block) => {
                inputs.push(block);
                Kind::Block(relative(of_b))
            }
        };
        let op = Self { seeds: end - start, of_a: relative(of_a), local: local.is_some(), moved: kind };
        Tangent::dense_from(start, r.apply(op, &inputs))
    }

    /// Position of `scale` among the inputs.
    fn scale(&self) -> usize {
        1 + usize::from(self.local)
    }

    /// The same in basic primitives.
    fn expand<'t, T: Real>(&self, r: &'t Recorder<T>, x: &[Var<'t, T>]) -> [Var<'t, T>; 1] {
        let scale = x[self.scale()];
        let product = RowProduct { transpose_a: false, transpose_b: false };
        let a = if self.local { r.apply(product, &x[..2]) } else { x[0] };
        let from_a = Tangent::dense_from(self.of_a.start, a);
        let moved = x.get(self.scale() + 1).copied();
        let from_b = match (&self.moved, moved) {
            (Kind::Diagonal(seeds), Some(rates)) => Tangent::diagonal(seeds.clone(), rates),
            (Kind::Block(range), Some(block)) => Tangent::dense_from(range.start, block),
            _ => Tangent::zero(scale.cols()),
        };
        let sum = from_b.scale(scale).add(from_a, r, scale.shape());
        let block = sum.into_block(r, scale.shape(), self.seeds);
        [block.unwrap_or_else(|| r.full(scale.shape().with_tangents(self.seeds), T::ZERO))]
    }
}

impl<T: Real> Primitive<T> for Combine {
    fn name(&self) -> &'static str {
        "combine tangents"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        Ok(smallvec![inputs[self.scale()].with_tangents(self.seeds)])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        let m = cx.output_shapes[0].cols();
        let unit = self.seeds * m;
        let a = cx.inputs[0];
        let of_a = self.of_a.start * m..self.of_a.end * m;
        let out = &mut *cx.outputs[0];
        let moved = cx.inputs.get(self.scale() + 1).copied();
        dispatch(Scaled { op: self, columns: m, a, scale: cx.inputs[self.scale()], moved, out });
        if self.local {
            let p = cx.input_shapes[0].cols();
            let e = Extents { m: self.of_a.len(), k: p, n: m, transpose_a: false, transpose_b: false };
            if of_a.len() == unit {
                products(e, Accum::Add, out, a, cx.inputs[1]);
            } else {
                let pairs = a.chunks_exact(e.m * p).zip(cx.inputs[1].chunks_exact(p * m));
                for (out, (a, g)) in out.chunks_exact_mut(unit).zip(pairs) {
                    products(e, Accum::Add, &mut out[of_a.clone()], a, g);
                }
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
        expand::push(r, &self.expand(r, x), x, dx)
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        _y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        expand::pull(r, &self.expand(r, x), x, dy, need)
    }
}

/// `scale ⊙ dB`, and `A` unless it is still to be multiplied by `G`.
struct Scaled<'a, T> {
    op: &'a Combine,
    columns: usize,
    a: &'a [T],
    scale: &'a [T],
    moved: Option<&'a [T]>,
    out: &'a mut [T],
}

impl<T: Real> Kernel for Scaled<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        unrolled!(self.columns, |m| self.columns(m));
    }
}

impl<T: Real> Scaled<'_, T> {
    #[inline(always)]
    fn columns(self, m: usize) {
        let Self { op, a, scale, moved, out, .. } = self;
        let (unit, of_a) = (op.seeds * m, op.of_a.start * m..op.of_a.end * m);
        let whole = !op.local && of_a.len() == unit;
        for (n, (out, scale)) in out.chunks_exact_mut(unit).zip(scale.chunks_exact(m)).enumerate() {
            match (&op.moved, moved) {
                (Kind::Block(range), Some(block)) if whole && range.len() == op.seeds => {
                    // In one pass: a block of many columns is more than a cache holds.
                    let own = n * unit..(n + 1) * unit;
                    let blocks = block[own.clone()].chunks_exact(m).zip(a[own].chunks_exact(m));
                    for (out, (block, a)) in out.chunks_exact_mut(m).zip(blocks) {
                        for (((o, &b), &s), &a) in out.iter_mut().zip(block).zip(scale).zip(a) {
                            *o = b * s + a;
                        }
                    }
                    continue;
                }
                (Kind::Block(range), Some(block)) => {
                    out[..range.start * m].fill(T::ZERO);
                    out[range.end * m..].fill(T::ZERO);
                    let block = &block[n * range.len() * m..(n + 1) * range.len() * m];
                    let lines = out[range.start * m..range.end * m].chunks_exact_mut(m);
                    for (out, block) in lines.zip(block.chunks_exact(m)) {
                        for ((o, &b), &s) in out.iter_mut().zip(block).zip(scale) {
                            *o = b * s;
                        }
                    }
                }
                (Kind::Diagonal(seeds), Some(rates)) => {
                    out.fill(T::ZERO);
                    let rates = &rates[n * m..(n + 1) * m];
                    for (j, &seed) in seeds.iter().enumerate() {
                        out[seed * m + j] = rates[j] * scale[j];
                    }
                }
                _ => out.fill(T::ZERO),
            }
            if !op.local {
                let a = &a[n * of_a.len()..(n + 1) * of_a.len()];
                out[of_a.clone()].iter_mut().zip(a).for_each(|(o, &a)| *o += a);
            }
        }
    }
}
