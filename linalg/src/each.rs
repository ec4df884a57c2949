//! Products of small matrices, one pair for each row of a batch: `C_n = op(A_n) op(B_n)`, or added to `C_n`.
//!
//! Local Jacobians are multiplied like this. Where the matrices are small a general product is all
//! overhead, so these have loops of their own.

use crate::Real;
use crate::elementary::{Kernel, dispatch};
use crate::lines::block::{self, Left, Product, Start};
use faer::linalg::matmul::matmul;
use faer::{MatMut, MatRef, Par};

pub use faer::Accum;

/// Extents of `C [m, n] += op(A) op(B)` over `k`, and which factors are stored transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Rows of the result.
    pub m: usize,
    /// Inner extent.
    pub k: usize,
    /// Columns of the result.
    pub n: usize,
    /// Whether `A` is stored as `[k, m]`.
    pub transpose_a: bool,
    /// Whether `B` is stored as `[n, k]`.
    pub transpose_b: bool,
}

/// Products of fewer multiplications take loops of their own (f32, 4 x 4 x 4: 30 ns by the general one).
const SMALL: usize = 2048;

/// `C_n = op(A_n) op(B_n)` or `C_n += …` for each of the rows of a batch, all row-major and contiguous.
///
/// Each product depends on its own factors alone. Cost `2 m k n` flops a row.
///
/// # Panics
/// If lengths are not those of equally many rows.
///
/// ```
/// use eigenflow_linalg::each::{Accum, Extents, products};
/// let e = Extents { m: 1, k: 2, n: 1, transpose_a: false, transpose_b: false };
/// let mut c = [100.0, 0.0];
/// products(e, Accum::Add, &mut c, &[1.0, 2.0, 5.0, 0.0], &[3.0, 4.0, 2.0, 9.0]);
/// assert_eq!(c, [111.0, 10.0]); // 100 + 1·3 + 2·4, 5·2 + 0·9
/// ```
pub fn products<T: Real>(e: Extents, accum: Accum, c: &mut [T], a: &[T], b: &[T]) {
    let Extents { m, k, n, transpose_a, transpose_b } = e;
    if m * k * n < SMALL && matches!(accum, Accum::Replace) {
        c.fill(T::ZERO);
    }
    if m * k * n == 0 {
        return;
    }
    let rows = c.len() / (m * n);
    assert!(
        c.len() == rows * m * n && a.len() == rows * m * k && b.len() == rows * k * n,
        "{rows} products of {m} x {k} and {k} x {n}"
    );
    if m * k * n < SMALL {
        return match n {
            _ if transpose_a || transpose_b => any(e, c, a, b),
            1 => dispatch(Plain::<T, 1> { c, a, b, m, k }),
            2 => dispatch(Plain::<T, 2> { c, a, b, m, k }),
            4 => dispatch(Plain::<T, 4> { c, a, b, m, k }),
            8 => dispatch(Plain::<T, 8> { c, a, b, m, k }),
            16 => dispatch(Plain::<T, 16> { c, a, b, m, k }),
            _ => any(e, c, a, b),
        };
    }
    let pairs = a.chunks_exact(m * k).zip(b.chunks_exact(k * n));
    for (c, (a, b)) in c.chunks_exact_mut(m * n).zip(pairs) {
        if !transpose_b && block::fits(k, n) {
            let left = if transpose_a { Left::Turned } else { Left::Plain };
            let start = if matches!(accum, Accum::Add) { Start::Sum } else { Start::Zero };
            block::product(Product { y: c, x: a, left, w: b, n, start });
            continue;
        }
        let view = |data, rows, cols, transpose: bool| {
            if transpose {
                MatRef::from_row_major_slice(data, cols, rows).transpose()
            } else {
                MatRef::from_row_major_slice(data, rows, cols)
            }
        };
        let (a, b) = (view(a, m, k, transpose_a), view(b, k, n, transpose_b));
        matmul(MatMut::from_row_major_slice_mut(c, m, n), accum, a, b, T::ONE, Par::Seq);
    }
}

/// Neither factor transposed, `N` columns: a line of the result stays in registers.
struct Plain<'a, T, const N: usize> {
    c: &'a mut [T],
    a: &'a [T],
    b: &'a [T],
    m: usize,
    k: usize,
}

impl<T: Real, const N: usize> Kernel for Plain<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (m, k) = (self.m, self.k);
        let pairs = self.a.chunks_exact(m * k).zip(self.b.chunks_exact(k * N));
        for (c, (a, b)) in self.c.chunks_exact_mut(m * N).zip(pairs) {
            for (c, a) in c.chunks_exact_mut(N).zip(a.chunks_exact(k)) {
                let mut line = [T::ZERO; N];
                line.copy_from_slice(c);
                for (&a, b) in a.iter().zip(b.chunks_exact(N)) {
                    for j in 0..N {
                        line[j] = if FMA { a.mul_add(b[j], line[j]) } else { a * b[j] + line[j] };
                    }
                }
                c.copy_from_slice(&line);
            }
        }
    }
}

/// The sums as they are written.
fn any<T: Real>(e: Extents, c: &mut [T], a: &[T], b: &[T]) {
    let Extents { m, k, n, transpose_a, transpose_b } = e;
    let pairs = a.chunks_exact(m * k).zip(b.chunks_exact(k * n));
    for (c, (a, b)) in c.chunks_exact_mut(m * n).zip(pairs) {
        for i in 0..m {
            for j in 0..n {
                let of_a = |l: usize| a[if transpose_a { l * m + i } else { i * k + l }];
                let of_b = |l: usize| b[if transpose_b { j * k + l } else { l * n + j }];
                c[i * n + j] += (0..k).map(|l| of_a(l) * of_b(l)).sum::<T>();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementary::levels::Level;

    fn levels_agree<T: Real, const N: usize>(m: usize, k: usize) {
        let number = |i: usize| T::of(((i * 29 + 7) % 97) as f64 / 13.0 - 3.5);
        let a: Vec<T> = (0..3 * m * k).map(number).collect();
        let b: Vec<T> = (0..3 * k * N).map(|i| number(5 * i + 2)).collect();
        let start: Vec<T> = (0..3 * m * N).map(|i| number(i + 50)).collect();
        let by = |level: Level| {
            let mut c = start.clone();
            level.kernel(Plain::<T, N> { c: &mut c, a: &a, b: &b, m, k });
            c
        };
        let mut best = start.clone();
        let e = Extents { m, k, n: N, transpose_a: false, transpose_b: false };
        products(e, Accum::Add, &mut best, &a, &b);
        for level in Level::vectors() {
            assert_eq!(by(level), best, "{e:?} {level:?}");
        }
        // The two paths differ in rounding: each is off by `(k + 1) eps/2 (|c| + Σ|a b|)` at most, and no
        // entry here is above 4.
        let bound = (k as f64 + 1.0) * T::EPS.f64() * (4.0 + k as f64 * 16.0);
        for (c, best) in by(Level::Portable).iter().zip(&best) {
            assert!((c.f64() - best.f64()).abs() <= bound, "{e:?}");
        }
    }

    #[test]
    fn levels_agree_on_products() {
        for (m, k) in [(1, 1), (2, 1), (3, 5), (8, 8), (5, 17)] {
            levels_agree::<f32, 1>(m, k);
            levels_agree::<f32, 2>(m, k);
            levels_agree::<f32, 4>(m, k);
            levels_agree::<f32, 8>(m, k);
            levels_agree::<f32, 16>(m, k);
            levels_agree::<f64, 1>(m, k);
            levels_agree::<f64, 2>(m, k);
            levels_agree::<f64, 4>(m, k);
            levels_agree::<f64, 8>(m, k);
            levels_agree::<f64, 16>(m, k);
        }
    }

    /// Every kernel against the definition, and each row alone against all rows.
    #[test]
    fn products_are_the_sums_of_their_definition() {
        let number = |i: usize| ((i * 29 + 7) % 97) as f64 / 13.0 - 3.5;
        for (m, k, n) in
            [(1, 1, 1), (2, 1, 1), (8, 4, 4), (3, 5, 2), (6, 3, 8), (5, 2, 16), (4, 3, 7), (20, 11, 13)]
        {
            for flags in 0..4 {
                let e = Extents { m, k, n, transpose_a: flags & 1 == 1, transpose_b: flags & 2 == 2 };
                let rows = 3;
                let a: Vec<f64> = (0..rows * m * k).map(number).collect();
                let b: Vec<f64> = (0..rows * k * n).map(|i| number(5 * i + 2)).collect();
                let start: Vec<f64> = (0..rows * m * n).map(|i| number(i + 50)).collect();
                let mut c = start.clone();
                products(e, Accum::Add, &mut c, &a, &b);
                let mut expected = start.clone();
                any(e, &mut expected, &a, &b);
                for (c, x) in c.iter().zip(&expected) {
                    assert!((c - x).abs() <= 1e-13 * (k as f64) * 16.0, "{e:?}");
                }
                let mut alone = start[m * n..2 * m * n].to_vec();
                products(e, Accum::Add, &mut alone, &a[m * k..2 * m * k], &b[k * n..2 * k * n]);
                assert_eq!(alone, c[m * n..2 * m * n], "{e:?}");
            }
        }
    }
}
