//! What lies in the span of orthonormal lines, taken off other lines.

use crate::Real;
use crate::small::Lanes;
use pulp::bytemuck::{cast_slice, cast_slice_mut};
use pulp::{Arch, Simd, WithSimd};

/// Lines of `B` that meet a line of `X` in registers.
const TOGETHER: usize = 4;

/// `c = X Bᵀ` and `X -= c B`, for the lines of `X` and orthonormal lines `B`, all of `length` numbers.
///
/// Four lines of `B` after the other, so each comes from memory once and stays in the first-level cache for all of `X`. A
/// general product would pack `B` anew each time, which costs more than the few lines of `X` do.
pub(crate) fn take_off<T: Real>(x: &mut [T], lines: &[T], length: usize, c: &mut [T]) {
    if length > 0 && !lines.is_empty() {
        Arch::new().dispatch(TakeOff { x, lines, length, c });
    }
}

struct TakeOff<'a, T> {
    x: &'a mut [T],
    lines: &'a [T],
    length: usize,
    c: &'a mut [T],
}

impl<T: Real> WithSimd for TakeOff<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (wide, n) = (T::wide(simd), self.length);
        let count = self.lines.len() / n;
        for (block, lines) in self.lines.chunks(TOGETHER * n).enumerate() {
            let first = block * TOGETHER;
            for (x, c) in self.x.chunks_exact_mut(n).zip(self.c.chunks_exact_mut(count)) {
                if lines.len() == TOGETHER * n {
                    let (a, b) = lines.split_at(2 * n);
                    let (a, b) = (a.split_at(n), b.split_at(n));
                    let off = from_line(wide, x, [a.0, a.1, b.0, b.1]);
                    c[first..first + TOGETHER].copy_from_slice(&off);
                } else {
                    for (c, line) in c[first..].iter_mut().zip(lines.chunks_exact(n)) {
                        [*c] = from_line(wide, x, [line]);
                    }
                }
            }
        }
    }
}

/// Takes `K` lines off one line; gives how much of each.
#[inline(always)]
fn from_line<C: Lanes, const K: usize>(c: C, x: &mut [C::T], lines: [&[C::T]; K]) -> [C::T; K] {
    let whole = x.len() / C::COUNT * C::COUNT;
    let (x, x_rest) = x.split_at_mut(whole);
    let x: &mut [C::V] = cast_slice_mut(x);
    let mut vectors = [cast_slice::<C::T, C::V>(&[]); K];
    for k in 0..K {
        vectors[k] = &cast_slice(&lines[k][..whole])[..x.len()];
    }
    let mut parts = [c.splat(C::T::ZERO); K];
    for (i, x) in x.iter().enumerate() {
        for k in 0..K {
            parts[k] = c.mul_add(*x, vectors[k][i], parts[k]);
        }
    }
    let mut off = [C::T::ZERO; K];
    for k in 0..K {
        let rest: C::T = x_rest.iter().zip(&lines[k][whole..]).map(|(&x, &l)| x * l).sum();
        off[k] = cast_slice::<C::V, C::T>(&[parts[k]]).iter().fold(rest, |sum, &part| sum + part);
        parts[k] = c.splat(off[k]);
    }
    for (i, x) in x.iter_mut().enumerate() {
        for k in 0..K {
            *x = c.sub_mul(parts[k], vectors[k][i], *x);
        }
    }
    for (i, x) in x_rest.iter_mut().enumerate() {
        for k in 0..K {
            *x -= off[k] * lines[k][whole + i];
        }
    }
    off
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Matrix;
    use crate::elementary::levels::Level;

    /// Against the definition, by every instruction set.
    ///
    /// With `e = eps |x|`: a dot product of `n` terms is off by `n e/2`, a rounded line by `e/2`; each line taken off before adds `e`
    /// for the subtraction and `e` for what two rounded lines lack in orthogonality. In sum less than `(n + 2 count + 1) e`,
    /// and twice that once a coefficient's error has been subtracted too.
    fn check<T: Real>(rows: usize, count: usize, n: usize) {
        let cosine = |k: usize, j: usize| {
            let size = (if k == 0 { 1.0 } else { 2.0 } / n as f64).sqrt();
            size * (std::f64::consts::PI * k as f64 * (j as f64 + 0.5) / n as f64).cos()
        };
        let lines = Matrix::<T>::from_fn(count, n, |k, j| T::of(cosine(k, j)));
        let start =
            Matrix::<T>::from_fn(rows, n, |i, j| T::of(((i * 31 + j * 17 + 5) % 23) as f64 / 7.0 - 1.5));
        for level in Level::vectors().into_iter().chain([Level::Portable]) {
            let (mut x, mut c) = (start.clone(), Matrix::zeros(rows, count));
            level.run(TakeOff { x: x.data_mut(), lines: lines.data(), length: n, c: c.data_mut() });
            for i in 0..rows {
                let size = start.row(i).iter().map(|v| v.f64().powi(2)).sum::<f64>().sqrt();
                let bound = 2.0 * (n + 2 * count + 1) as f64 * T::EPS.f64() * size;
                let with = |x: &[T], k: usize| (0..n).map(|j| x[j].f64() * cosine(k, j)).sum::<f64>();
                for k in 0..count {
                    let off = (c[(i, k)].f64() - with(start.row(i), k)).abs();
                    let left = with(x.row(i), k).abs();
                    assert!(
                        off <= bound && left <= bound,
                        "{level:?} {rows} {count} {n}: {off} {left} {bound}"
                    );
                }
                for j in 0..n {
                    let back: f64 = (0..count).map(|k| c[(i, k)].f64() * cosine(k, j)).sum();
                    let lost = (x[(i, j)].f64() + back - start[(i, j)].f64()).abs();
                    assert!(lost <= bound, "{level:?} {rows} {count} {n}: {lost} {bound}");
                }
            }
        }
    }

    /// Lengths and counts on either side of whole vectors and blocks.
    #[test]
    fn lines_are_taken_off_by_every_instruction_set() {
        for (rows, count, length) in [(1, 1, 1), (1, 3, 7), (3, 4, 16), (2, 5, 17), (5, 9, 40), (2, 2, 3)] {
            check::<f64>(rows, count, length);
            check::<f32>(rows, count, length);
        }
        let mut x = [1_f64, 2.0];
        take_off(&mut x, &[], 2, &mut []);
        assert!(x.map(f64::to_bits) == [1_f64, 2.0].map(f64::to_bits));
    }
}
