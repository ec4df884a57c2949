//! Dot products of lines with few others.

use super::sums::PARTS;
use crate::Real;
use crate::small::Lanes;
use pulp::bytemuck::cast_slice;
use pulp::{Arch, Simd, WithSimd};

/// `y[i, j] = x_i · w_j + b_j` for lines of `k > 0` numbers.
///
/// Each product has [`PARTS`] partial sums, added as a tree, then the numbers that fill none.
pub(super) fn dots<T: Real>(y: &mut [T], x: &[T], w: &[T], bias: Option<&[T]>, k: usize) {
    Arch::new().dispatch(Dots { y, x, w, bias, k });
}

pub(super) struct Dots<'a, T> {
    pub y: &'a mut [T],
    pub x: &'a [T],
    pub w: &'a [T],
    pub bias: Option<&'a [T]>,
    pub k: usize,
}

impl<T: Real> WithSimd for Dots<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (c, k) = (T::wide(simd), self.k);
        let n = self.w.len() / k;
        let groups = self.y.chunks_mut(LINES * n).zip(self.x.chunks(LINES * k));
        for (y, x) in groups {
            if x.len() == LINES * k {
                several::<_, LINES>(c, y, x, self.w, self.bias, k);
            } else {
                for (y, x) in y.chunks_exact_mut(n).zip(x.chunks_exact(k)) {
                    several::<_, 1>(c, y, x, self.w, self.bias, k);
                }
            }
        }
    }
}

/// Lines that meet an other together.
const LINES: usize = 4;

#[inline(always)]
fn several<C: Lanes, const L: usize>(
    c: C,
    y: &mut [C::T],
    x: &[C::T],
    w: &[C::T],
    bias: Option<&[C::T]>,
    k: usize,
) {
    let n = w.len() / k;
    let mut lines = [x; L];
    for (l, line) in lines.iter_mut().enumerate() {
        *line = &x[l * k..(l + 1) * k];
    }
    for (j, w) in w.chunks_exact(k).enumerate() {
        let sums = dot(c, w, lines);
        for l in 0..L {
            y[l * n + j] = bias.map_or(sums[l], |bias| sums[l] + bias[j]);
        }
    }
}

/// `x · w` for each of `K` lines, all of the same length.
#[inline(always)]
pub(crate) fn dot<C: Lanes, const K: usize>(c: C, x: &[C::T], w: [&[C::T]; K]) -> [C::T; K] {
    let whole = x.len() / PARTS * PARTS;
    let xs: &[C::V] = cast_slice(&x[..whole]);
    let mut ws = [xs; K];
    for k in 0..K {
        ws[k] = cast_slice(&w[k][..whole]);
    }
    let parts = match PARTS / C::COUNT {
        1 => partial::<C, K, 1>(c, xs, ws),
        2 => partial::<C, K, 2>(c, xs, ws),
        4 => partial::<C, K, 4>(c, xs, ws),
        8 => partial::<C, K, 8>(c, xs, ws),
        _ => partial::<C, K, PARTS>(c, xs, ws),
    };
    let mut sums = [C::T::ZERO; K];
    for k in 0..K {
        sums[k] = c.sum(parts[k]);
        for (&x, &w) in x[whole..].iter().zip(&w[k][whole..]) {
            sums[k] = if C::FUSED { x.mul_add(w, sums[k]) } else { x * w + sums[k] };
        }
    }
    sums
}

/// Sums of every [`PARTS`]-th product, in `N` vectors, and of these as a tree down to one vector.
#[inline(always)]
fn partial<C: Lanes, const K: usize, const N: usize>(c: C, xs: &[C::V], ws: [&[C::V]; K]) -> [C::V; K] {
    let (xs, _) = xs.as_chunks::<N>();
    let mut lines = [xs; K];
    for k in 0..K {
        lines[k] = &ws[k].as_chunks::<N>().0[..xs.len()];
    }
    let mut parts = [[c.splat(C::T::ZERO); N]; K];
    for (at, x) in xs.iter().enumerate() {
        for k in 0..K {
            for i in 0..N {
                parts[k][i] = c.mul_add(x[i], lines[k][at][i], parts[k][i]);
            }
        }
    }
    let mut first = [c.splat(C::T::ZERO); K];
    for k in 0..K {
        let mut half = N / 2;
        while half > 0 {
            for i in 0..half {
                parts[k][i] = c.add(parts[k][i], parts[k][i + half]);
            }
            half /= 2;
        }
        first[k] = parts[k][0];
    }
    first
}
