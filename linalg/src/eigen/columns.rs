//! Products of columns and a vector, in lanes. Columns have a multiple of [`PANEL`] rows in memory, and begin where a vector does.

use super::reduction::PANEL;
use crate::Real;
use crate::small::Lanes;
use pulp::bytemuck::{cast_slice, cast_slice_mut};

/// Columns that meet a vector in registers.
const TOGETHER: usize = 4;

/// `K` columns from number `first` on, of `stride` numbers each.
#[inline(always)]
fn columns<T, const K: usize>(a: &[T], first: usize, stride: usize) -> [&[T]; K] {
    let mut columns = [&[][..]; K];
    for k in 0..K {
        columns[k] = &a[(first + k) * stride..][..stride];
    }
    columns
}

/// `to[k] = (column k of a)ᵀ x`, over the rows from `from` on, a multiple of [`PANEL`].
#[inline(always)]
pub(super) fn dots<C: Lanes>(c: C, to: &mut [C::T], a: &[C::T], x: &[C::T], from: usize) {
    let (stride, mut at) = (x.len(), 0);
    while at + TOGETHER <= to.len() {
        to[at..][..TOGETHER].copy_from_slice(&dots_of::<_, TOGETHER>(c, columns(a, at, stride), x, from));
        at += TOGETHER;
    }
    while at < to.len() {
        [to[at]] = dots_of(c, columns(a, at, stride), x, from);
        at += 1;
    }
}

#[inline(always)]
fn dots_of<C: Lanes, const K: usize>(c: C, a: [&[C::T]; K], x: &[C::T], from: usize) -> [C::T; K] {
    let x: &[C::V] = cast_slice(&x[from..]);
    let a = rows(c, a, from, x.len());
    let mut sums = [c.splat(C::T::ZERO); K];
    for (i, x) in x.iter().enumerate() {
        for k in 0..K {
            sums[k] = c.mul_add(a[k][i], *x, sums[k]);
        }
    }
    let mut dots = [C::T::ZERO; K];
    for k in 0..K {
        dots[k] = c.sum(sums[k]);
    }
    dots
}

/// `y += Σ by[k] (column k of a)`, over the rows from `from` on, a multiple of [`PANEL`].
#[inline(always)]
pub(super) fn combine<C: Lanes>(c: C, y: &mut [C::T], a: &[C::T], by: &[C::T], from: usize) {
    let (stride, mut at) = (y.len(), 0);
    while at + TOGETHER <= by.len() {
        combine_of::<_, TOGETHER>(c, y, columns(a, at, stride), &by[at..], from);
        at += TOGETHER;
    }
    while at < by.len() {
        combine_of::<_, 1>(c, y, columns(a, at, stride), &by[at..], from);
        at += 1;
    }
}

#[inline(always)]
fn combine_of<C: Lanes, const K: usize>(c: C, y: &mut [C::T], a: [&[C::T]; K], by: &[C::T], from: usize) {
    let y: &mut [C::V] = cast_slice_mut(&mut y[from..]);
    let a = rows(c, a, from, y.len());
    let mut factors = [c.splat(C::T::ZERO); K];
    for k in 0..K {
        factors[k] = c.splat(by[k]);
    }
    for (i, y) in y.iter_mut().enumerate() {
        let mut sum = *y;
        for k in 0..K {
            sum = c.mul_add(factors[k], a[k][i], sum);
        }
        *y = sum;
    }
}

/// `count` vectors of each column, from row `from` on.
#[inline(always)]
fn rows<C: Lanes, const K: usize>(_: C, a: [&[C::T]; K], from: usize, count: usize) -> [&[C::V]; K] {
    let mut rows = [&[][..]; K];
    for k in 0..K {
        rows[k] = &cast_slice(&a[k][from..])[..count];
    }
    rows
}

/// `y = A x` in the rows from `first` on, for a symmetric `A` and an `x` that is zero above.
///
/// `a` begins with column `first`. Of each block of [`PANEL`] columns it has the rows on the diagonal in full and those below.
/// Rows of the first block above `first` become something.
#[inline(always)]
pub(super) fn symmetric<C: Lanes>(c: C, y: &mut [C::T], a: &[C::T], x: &[C::T], first: usize) {
    let stride = y.len();
    let (mut block, mut at) = (first / PANEL * PANEL, first);
    y[block..].fill(C::T::ZERO);
    while block < stride {
        let below = block + PANEL;
        let mut sums = [C::T::ZERO; PANEL];
        while at + TOGETHER <= below {
            let group = columns::<_, TOGETHER>(a, at - first, stride);
            sums[at - block..][..TOGETHER].copy_from_slice(&both(c, y, group, x, block, at));
            at += TOGETHER;
        }
        while at < below {
            [sums[at - block]] = both(c, y, columns(a, at - first, stride), x, block, at);
            at += 1;
        }
        for (y, sum) in y[block..below].iter_mut().zip(sums) {
            *y += sum;
        }
        block = below;
    }
}

/// Columns `at..at + K`, of the block that begins with row `block`: `y += A x`, and the products of `x` and what is below the block.
#[inline(always)]
fn both<C: Lanes, const K: usize>(
    c: C,
    y: &mut [C::T],
    a: [&[C::T]; K],
    x: &[C::T],
    block: usize,
    at: usize,
) -> [C::T; K] {
    let y: &mut [C::V] = cast_slice_mut(&mut y[block..]);
    let a = rows(c, a, block, y.len());
    let mut factors = [c.splat(C::T::ZERO); K];
    for k in 0..K {
        factors[k] = c.splat(x[at + k]);
    }
    let x = &cast_slice::<C::T, C::V>(&x[block..])[..y.len()];
    let own = PANEL / C::COUNT;
    for i in 0..own {
        for k in 0..K {
            y[i] = c.mul_add(factors[k], a[k][i], y[i]);
        }
    }
    let mut sums = [c.splat(C::T::ZERO); K];
    for (i, y) in y.iter_mut().enumerate().skip(own) {
        let mut sum = *y;
        for k in 0..K {
            sum = c.mul_add(factors[k], a[k][i], sum);
            sums[k] = c.mul_add(a[k][i], x[i], sums[k]);
        }
        *y = sum;
    }
    let mut dots = [C::T::ZERO; K];
    for k in 0..K {
        dots[k] = c.sum(sums[k]);
    }
    dots
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementary::levels::Level;
    use pulp::{Simd, WithSimd};

    /// All three products, from row or column `first` on.
    struct All<'a, T> {
        a: &'a [T],
        x: &'a [T],
        by: &'a [T],
        first: usize,
        dots: &'a mut [T],
        sum: &'a mut [T],
        product: &'a mut [T],
    }

    impl<T: Real> WithSimd for All<'_, T> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (c, stride) = (T::wide(simd), self.x.len());
            let from = self.first / PANEL * PANEL;
            dots(c, self.dots, self.a, self.x, from);
            combine(c, self.sum, self.a, self.by, from);
            symmetric(c, self.product, &self.a[self.first * stride..], self.x, self.first);
        }
    }

    /// By every instruction set, exactly: whole numbers, small enough for `f32`.
    #[allow(clippy::float_cmp, clippy::needless_range_loop)]
    fn check<T: Real>(stride: usize, first: usize, count: usize) {
        let whole = |i: usize| ((i * 37 + 11) % 17) as f64 - 8.0;
        let entry = |i: usize, j: usize| whole(i.max(j) * stride + i.min(j));
        // Above the blocks on the diagonal is what must not be read.
        let a: Vec<T> = (0..stride * stride)
            .map(|at| (at % stride, at / stride))
            .map(|(i, j)| if i / PANEL < j / PANEL { T::NAN } else { T::of(entry(i, j)) })
            .collect();
        let x: Vec<T> = (0..stride).map(|i| if i < first { T::ZERO } else { T::of(whole(3 * i)) }).collect();
        let by: Vec<T> = (0..count).map(|k| T::of(whole(k + 5))).collect();
        let from = first / PANEL * PANEL;
        for level in Level::vectors().into_iter().chain([Level::Portable]) {
            let (mut dots, mut sum, mut product) =
                (vec![T::NAN; count], vec![T::ONE; stride], vec![T::NAN; stride]);
            level.run(All {
                a: &a,
                x: &x,
                by: &by,
                first,
                dots: &mut dots,
                sum: &mut sum,
                product: &mut product,
            });
            for (k, dot) in dots.iter().enumerate() {
                let exact: f64 = (from..stride).map(|i| entry(i, k) * x[i].f64()).sum();
                assert_eq!(dot.f64(), exact, "{level:?}: product {k} of {count}");
            }
            for i in 0..stride {
                let exact: f64 = (0..count).map(|k| entry(i, k) * by[k].f64()).sum();
                assert_eq!(sum[i].f64(), if i < from { 1.0 } else { 1.0 + exact }, "{level:?}: sum, row {i}");
            }
            for i in first..stride {
                let exact: f64 = (first..stride).map(|j| entry(i, j) * x[j].f64()).sum();
                assert_eq!(product[i].f64(), exact, "{level:?}: symmetric product, row {i}");
            }
        }
    }

    #[test]
    fn products_are_their_definition_by_every_instruction_set() {
        for (stride, first, count) in
            [(16, 0, 0), (16, 15, 3), (48, 1, 16), (64, 20, 5), (80, 32, 7), (48, 47, 1)]
        {
            check::<f64>(stride, first, count);
            check::<f32>(stride, first, count);
        }
    }
}
