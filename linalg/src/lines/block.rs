//! Products whose lines are whole vectors: sums stay in registers, and neither factor is packed.
//!
//! 64 lines of 64 terms and 64 columns, one thread, microseconds here and by the general product from `Wᵀ`: f32 4.6 and 5.0, f64 9.2 and
//! 10.2; 8 columns: f32 0.83 and 1.28, f64 1.18 and 1.27.

use super::pairs;
use crate::Real;
use crate::small::Lanes;
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};

/// Columns come in multiples of this: of the lanes of 256 bits in `f32`, or of 512 in `f64`.
const COLUMNS: usize = 8;
/// A second factor of more numbers than this (256 KB in `f64`) is left to the general product, which packs it.
const MOST: usize = 1 << 15;

/// Whether products of `k` terms and `n` columns are for [`product`].
pub(crate) fn fits(k: usize, n: usize) -> bool {
    n.is_multiple_of(COLUMNS) && n > 0 && k > 0 && k * n <= MOST
}

/// `Y += X W` or `Y = X W + b`: `[lines, n]` from `[lines, k]` and `[k, n]`.
///
/// Each number is a sum in the order of `k`, whatever the instruction set; that of eight columns in `f32` has even and odd terms apart
/// ([`pairs`]).
pub(crate) struct Product<'a, T> {
    pub y: &'a mut [T],
    pub x: &'a [T],
    pub left: Left,
    pub w: &'a [T],
    pub n: usize,
    pub start: Start<'a, T>,
}

/// How `x` lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    /// `[lines, k]`
    Plain,
    /// `[k, lines]`
    Turned,
    /// One number in the place of all.
    Same,
}

/// What the sums start from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a, T> {
    Zero,
    Bias(&'a [T]),
    /// What `y` holds.
    Sum,
}

pub(crate) fn product<T: Real>(of: Product<'_, T>) {
    if size_of::<T>() == size_of::<f32>() && of.n == pairs::COLUMNS && matches!(of.left, Left::Plain) {
        let start = match of.start {
            Start::Zero => Start::Zero,
            Start::Bias(bias) => Start::Bias(cast_slice(bias)),
            Start::Sum => Start::Sum,
        };
        if pairs::fits(of.w.len() / of.n) {
            return pairs::product(cast_slice_mut(of.y), cast_slice(of.x), cast_slice(of.w), start);
        }
    }
    in_order(of);
}

/// [`product`], each sum in the order of `k`.
fn in_order<T: Real>(mut of: Product<'_, T>) {
    let arch = Arch::new();
    let from = arch.dispatch(Columns { of: &mut of, from: 0 });
    #[cfg(target_arch = "x86_64")]
    if let Arch::V4(simd) = arch {
        // Columns that fill no vector of 512 bits fill one of 256.
        Simd::vectorize(*simd, Columns { of: &mut of, from });
    }
}

/// The columns from `from` on, as far as vectors are filled; gives the first one that is left.
struct Columns<'a, 'b, T> {
    of: &'a mut Product<'b, T>,
    from: usize,
}

impl<T: Real> WithSimd for Columns<'_, '_, T> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let (c, of) = (T::wide(simd), self.of);
        let mut at = self.from;
        // Up to three quarters of the registers hold sums.
        if S::REGISTER_COUNT >= 32 {
            of.columns::<_, 4, 6>(c, &mut at);
            of.columns::<_, 2, 6>(c, &mut at);
        } else {
            of.columns::<_, 2, 6>(c, &mut at);
        }
        of.columns::<_, 1, 8>(c, &mut at);
        at
    }
}

impl<T: Real> Product<'_, T> {
    /// As many columns from `at` on as `V` vectors fit into, `L` lines at a time.
    #[inline(always)]
    fn columns<C: Lanes<T = T>, const V: usize, const L: usize>(&mut self, c: C, at: &mut usize) {
        let lines = self.y.len() / self.n;
        while *at + V * C::COUNT <= self.n {
            let mut line = 0;
            while line + L <= lines {
                self.block::<C, V, L>(c, line, *at);
                line += L;
            }
            while line + 4 <= lines {
                self.block::<C, V, 4>(c, line, *at);
                line += 4;
            }
            if line + 2 <= lines {
                self.block::<C, V, 2>(c, line, *at);
                line += 2;
            }
            if line < lines {
                self.block::<C, V, 1>(c, line, *at);
            }
            *at += V * C::COUNT;
        }
    }

    /// `L` lines of `V` vectors.
    #[inline(always)]
    fn block<C: Lanes<T = T>, const V: usize, const L: usize>(&mut self, c: C, line: usize, at: usize) {
        let n = self.n;
        let terms = self.w.len() / n;
        let columns = at..at + V * C::COUNT;
        let mut sums = [[c.splat(T::ZERO); V]; L];
        for (l, sums) in sums.iter_mut().enumerate() {
            let start = match self.start {
                Start::Zero => continue,
                Start::Bias(bias) => &bias[columns.clone()],
                Start::Sum => &self.y[(line + l) * n..][columns.clone()],
            };
            sums.copy_from_slice(&cast_slice(start)[..V]);
        }
        let w = self.w.chunks_exact(n).map(|w| -> &[C::V] { cast_slice(&w[columns.clone()]) });
        // The numbers of a term, such that the loops check no bounds: they would take as long as the sums do.
        match self.left {
            Left::Plain => {
                let mut x = [self.x; L];
                for (l, x) in x.iter_mut().enumerate() {
                    *x = &self.x[(line + l) * terms..][..terms];
                }
                for (w, i) in w.zip(0..terms) {
                    for l in 0..L {
                        add(c, &mut sums[l], x[l][i], w);
                    }
                }
            }
            Left::Turned => {
                for (w, x) in w.zip(self.x.chunks_exact(self.x.len() / terms)) {
                    let x = &x[line..line + L];
                    for l in 0..L {
                        add(c, &mut sums[l], x[l], w);
                    }
                }
            }
            Left::Same => {
                for w in w {
                    for sums in &mut sums {
                        add(c, sums, self.x[0], w);
                    }
                }
            }
        }
        for (y, sums) in self.y[line * n..].chunks_exact_mut(n).zip(&sums) {
            let y: &mut [C::V] = cast_slice_mut(&mut y[columns.clone()]);
            y[..V].copy_from_slice(sums);
        }
    }
}

/// `sums += x w`
#[inline(always)]
fn add<C: Lanes, const V: usize>(c: C, sums: &mut [C::V; V], x: C::T, w: &[C::V]) {
    let x = c.splat(x);
    for v in 0..V {
        sums[v] = c.mul_add(x, w[v], sums[v]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementary::levels::Level;

    fn number<T: Real>(i: usize) -> T {
        T::of(((i * 37 + 11) % 101) as f64 / 17.0 - 3.0)
    }

    /// By one instruction set, as far as its vectors go.
    fn by<T: Real>(level: Level, mut of: Product<'_, T>) -> usize {
        level.run(Columns { of: &mut of, from: 0 })
    }

    /// Against the definition: each number is off by less than `(k + 1) eps Σ |x w|`, the start included; and all vectors give the same bits.
    fn check<T: Real>([lines, k, n]: [usize; 3], left: Left) {
        let strides = match left {
            Left::Plain => [k, 1],
            Left::Turned => [1, lines],
            Left::Same => [0, 0],
        };
        let x: Vec<T> = (0..=(lines - 1) * strides[0] + (k - 1) * strides[1]).map(number).collect();
        let w: Vec<T> = (0..k * n).map(|i| number(3 * i + 1)).collect();
        let bias: Vec<T> = (0..n).map(|i| number(5 * i + 2)).collect();
        let before: Vec<T> = (0..lines * n).map(|i| number(7 * i + 3)).collect();
        for start in [Start::Zero, Start::Bias(&bias), Start::Sum] {
            let mut best = before.clone();
            in_order(Product { y: &mut best, x: &x, left, w: &w, n, start });
            for (at, y) in best.iter().enumerate() {
                let (line, column) = (at / n, at % n);
                let first = match start {
                    Start::Zero => 0.0,
                    Start::Bias(bias) => bias[column].f64(),
                    Start::Sum => before[at].f64(),
                };
                let term = |i: usize| x[line * strides[0] + i * strides[1]].f64() * w[i * n + column].f64();
                let (exact, size) =
                    (0..k).map(term).fold((first, first.abs()), |(s, a), t| (s + t, a + t.abs()));
                let bound = (k + 1) as f64 * T::EPS.f64() * size;
                assert!((y.f64() - exact).abs() <= bound, "{lines} {k} {n} {left:?} {at}: {y} {exact}");
            }
            for level in Level::vectors().into_iter().chain([Level::Portable]) {
                let mut y = before.clone();
                let end = by(level, Product { y: &mut y, x: &x, left, w: &w, n, start });
                assert!(end + COLUMNS >= n, "{level:?} leaves columns to smaller vectors only");
                for at in (0..lines * n).filter(|at| at % n < end) {
                    let close = if matches!(level, Level::Portable) {
                        // Not fused: two roundings a term, in each of both.
                        let size: f64 =
                            (0..k).map(|i| w[i * n + at % n].f64().abs() * 3.0).sum::<f64>() + 3.0;
                        (y[at].f64() - best[at].f64()).abs() <= 2.0 * (k + 1) as f64 * T::EPS.f64() * size
                    } else {
                        y[at] == best[at]
                    };
                    assert!(close, "{level:?} {lines} {k} {n} {left:?} {at}");
                }
            }
        }
    }

    #[test]
    fn products_are_their_definition_by_every_instruction_set() {
        for lines in [1, 2, 3, 6, 7, 13, 64] {
            for k in [1, 2, 17, 64] {
                for n in [8, 16, 24, 40, 64, 72] {
                    for left in [Left::Plain, Left::Turned, Left::Same] {
                        check::<f32>([lines, k, n], left);
                        check::<f64>([lines, k, n], left);
                    }
                }
            }
        }
    }
}
