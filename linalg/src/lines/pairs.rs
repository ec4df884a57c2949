//! Products of eight columns in `f32`: two terms of the sum lie in each vector of 512 bits.
//!
//! Eight numbers fill half of such a vector, and vectors of 256 bits are multiplied no sooner. Here term `2i` of column `j` is number `2j`
//! of a line of sixteen and term `2i + 1` number `2j + 1`; a pair of terms of `x` is read at once into all lanes. 256 lines of
//! 64 terms in turn: 4.3 µs by vectors of 256 bits, 3.0 so; 64 lines 1.06 and 0.88.

use super::block::Start;
use crate::small::{Lanes, Wide};
use pulp::bytemuck::{cast, cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};

/// Columns of the product.
pub(super) const COLUMNS: usize = 8;
/// Two terms of each.
const WIDTH: usize = 2 * COLUMNS;
/// More terms than this are left to [`super::block`].
const MOST_TERMS: usize = 128;
/// Lines whose sums are in registers or, after that, on the stack.
const LINES: usize = 8;

/// Whether products of `k` terms are for [`product`].
pub(super) fn fits(k: usize) -> bool {
    k.is_multiple_of(2) && k <= MOST_TERMS
}

/// `Y += X W` or `Y = X W + b`: `[lines, 8]` from `[lines, k]` and `[k, 8]`.
///
/// Each number is the start and, added to it, the sum of even terms and that of odd ones, whatever the instruction set.
pub(super) fn product(y: &mut [f32], x: &[f32], w: &[f32], start: Start<'_, f32>) {
    begin(y, start);
    Arch::new().dispatch(Lines { y, x, w });
}

/// What the sums are added to.
fn begin(y: &mut [f32], start: Start<'_, f32>) {
    match start {
        Start::Zero => y.fill(0.0),
        Start::Bias(bias) => y.chunks_exact_mut(COLUMNS).for_each(|y| y.copy_from_slice(bias)),
        Start::Sum => (),
    }
}

/// `Y += X W`
struct Lines<'a> {
    y: &'a mut [f32],
    x: &'a [f32],
    w: &'a [f32],
}

impl WithSimd for Lines<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // As integers of 64 bits: of single numbers the compiler makes no vectors.
        let mut pairs = [0_u64; MOST_TERMS * COLUMNS / 2];
        let pairs = &mut pairs[..self.w.len() / 2];
        for (pair, w) in pairs.chunks_exact_mut(COLUMNS).zip(self.w.chunks_exact(WIDTH)) {
            for j in 0..COLUMNS {
                let (even, odd) = (u64::from(w[j].to_bits()), u64::from(w[COLUMNS + j].to_bits()));
                pair[j] = if cfg!(target_endian = "little") { even | odd << 32 } else { even << 32 | odd };
            }
        }
        let pairs = cast_slice(pairs);
        match WIDTH / Wide::<S, f32>::COUNT {
            1 => self.add::<S, 1, 8>(simd, pairs),
            2 => self.add::<S, 2, 4>(simd, pairs),
            4 => self.add::<S, 4, 4>(simd, pairs),
            _ => self.add::<S, WIDTH, 1>(simd, pairs),
        }
    }
}

impl Lines<'_> {
    /// `V` vectors are a line of pairs; `L` lines at a time.
    #[inline(always)]
    fn add<S: Simd, const V: usize, const L: usize>(self, simd: S, pairs: &[f32]) {
        let terms = self.w.len() / COLUMNS;
        let mut sums = [0.0; LINES * WIDTH];
        for (y, x) in self.y.chunks_mut(LINES * COLUMNS).zip(self.x.chunks(LINES * terms)) {
            let (count, mut line) = (y.len() / COLUMNS, 0);
            while line + L <= count {
                let sums = &mut sums[line * WIDTH..];
                // A call of its own has the registers to itself.
                simd.vectorize(Block::<V, L> { sums, x: &x[line * terms..], pairs, terms });
                line += L;
            }
            while line < count {
                let sums = &mut sums[line * WIDTH..];
                simd.vectorize(Block::<V, 1> { sums, x: &x[line * terms..], pairs, terms });
                line += 1;
            }
            for (y, sums) in y.iter_mut().zip(sums.chunks_exact(2)) {
                *y += sums[0] + sums[1];
            }
        }
    }
}

/// The sums of even and of odd terms of `L` lines, which are `V` vectors each.
struct Block<'a, const V: usize, const L: usize> {
    sums: &'a mut [f32],
    x: &'a [f32],
    pairs: &'a [f32],
    terms: usize,
}

impl<const V: usize, const L: usize> WithSimd for Block<'_, V, L> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { sums: to, x, pairs, terms } = self;
        let c = Wide::<S, f32>::new(simd);
        let mut lines = [&[][..]; L];
        for l in 0..L {
            lines[l] = &cast_slice::<f32, [f32; 2]>(&x[l * terms..][..terms])[..pairs.len() / WIDTH];
        }
        let mut sums = [[c.splat(0.0); V]; L];
        for (w, i) in pairs.chunks_exact(WIDTH).zip(0..pairs.len() / WIDTH) {
            let w: &[S::f32s] = &cast_slice(w)[..V];
            for l in 0..L {
                for v in 0..V {
                    sums[l][v] = c.mul_add(alternate(simd, lines[l][i], v), w[v], sums[l][v]);
                }
            }
        }
        for (to, sums) in to.chunks_exact_mut(WIDTH).zip(&sums) {
            cast_slice_mut(to)[..V].copy_from_slice(sums);
        }
    }
}

/// Vector `v` of a line in which two numbers alternate.
#[inline(always)]
fn alternate<S: Simd>(simd: S, x: [f32; 2], v: usize) -> S::f32s {
    if S::F32_LANES == 1 { simd.splat_f32s(x[v % 2]) } else { cast(simd.splat_f64s(cast(x))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementary::levels::Level;

    /// Against the definition, and the same bits by every vector.
    #[test]
    fn products_are_their_definition_by_every_instruction_set() {
        let number = |i: usize| ((i * 37 + 11) % 101) as f32 / 17.0 - 3.0;
        for (lines, k) in [(1, 2), (3, 4), (8, 64), (11, 10), (29, 128)] {
            let x: Vec<f32> = (0..lines * k).map(number).collect();
            let w: Vec<f32> = (0..k * COLUMNS).map(|i| number(3 * i + 1)).collect();
            let bias: Vec<f32> = (0..COLUMNS).map(|i| number(5 * i + 2)).collect();
            let before: Vec<f32> = (0..lines * COLUMNS).map(|i| number(7 * i + 3)).collect();
            for start in [Start::Zero, Start::Bias(&bias), Start::Sum] {
                let mut best = before.clone();
                product(&mut best, &x, &w, start);
                for level in Level::vectors().into_iter().chain([Level::Portable]) {
                    let mut y = before.clone();
                    begin(&mut y, start);
                    level.run(Lines { y: &mut y, x: &x, w: &w });
                    if !matches!(level, Level::Portable) {
                        assert_eq!(y, best, "{level:?} {lines} {k}");
                    }
                    for (at, y) in y.iter().enumerate() {
                        let (line, j) = (at / COLUMNS, at % COLUMNS);
                        let first = match start {
                            Start::Zero => 0.0,
                            Start::Bias(bias) => bias[j],
                            Start::Sum => before[at],
                        };
                        let term = |i: usize| f64::from(x[line * k + i]) * f64::from(w[i * COLUMNS + j]);
                        let first = (f64::from(first), f64::from(first).abs());
                        let (exact, size) = (0..k).map(term).fold(first, |(s, a), t| (s + t, a + t.abs()));
                        let bound = (k + 2) as f64 * f64::from(f32::EPSILON) * size;
                        assert!(
                            (f64::from(*y) - exact).abs() <= bound,
                            "{level:?} {lines} {k} {at}: {y} {exact}"
                        );
                    }
                }
            }
        }
    }
}
