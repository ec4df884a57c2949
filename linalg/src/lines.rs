//! Products of the lines of a batch with one matrix, such that a line's result never depends on the others.
//!
//! Two things stand between a general product and that promise: a single line would take matrix-vector
//! kernels, which round differently, and a result of few columns wastes most of a vector register.

use crate::Real;
use crate::elementary::{Kernel, dispatch};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// The matrix of [`times`]: `rows x cols` numbers, row by row, used as it stands or transposed.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a, T> {
    /// Its numbers.
    pub data: &'a [T],
    /// Rows as stored.
    pub rows: usize,
    /// Columns as stored.
    pub cols: usize,
    /// Whether `X Wᵀ` is wanted.
    pub transpose: bool,
}

/// Up to so many columns of a result come from dot products: below them a general product leaves its
/// registers mostly empty (128 lines of 64 by 2 columns in f32: 2.4 µs by the general product, 0.5 by dots).
const DOTS: usize = 4;

impl<'a, T: Real> Right<'a, T> {
    /// `W` as it stands.
    pub fn plain(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self { data, rows, cols, transpose: false }
    }

    /// `Wᵀ`.
    pub fn transposed(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self { data, rows, cols, transpose: true }
    }

    /// Inner and outer extent of `X W`.
    fn extents(&self) -> (usize, usize) {
        if self.transpose { (self.cols, self.rows) } else { (self.rows, self.cols) }
    }

    fn view(&self) -> MatRef<'a, T> {
        let w = MatRef::from_row_major_slice(self.data, self.rows, self.cols);
        if self.transpose { w.transpose() } else { w }
    }

    /// Numbers of scratch that [`times`] takes.
    pub fn scratch(rows: usize, cols: usize) -> usize {
        2 * (rows + cols)
    }
}

/// `Y = X W` for every line of `x`: `[lines, n] = [lines, k] [k, n]`.
///
/// The bits of a line depend on that line and on `W` alone. `scratch` has at least [`Right::scratch`] numbers
/// of any content. Cost `2 k n` flops a line.
///
/// # Panics
/// If lengths do not fit.
///
/// ```
/// use eigenflow_linalg::lines::{Right, times};
/// let mut y = [0.0; 2];
/// // Two lines of two numbers times the column (3, 4).
/// times(&mut y, &[1.0, 2.0, 10.0, 0.0], 2, Right::plain(&[3.0, 4.0], 2, 1), &mut [0.0; 6]);
/// assert_eq!(y, [11.0, 30.0]);
/// ```
pub fn times<T: Real>(y: &mut [T], x: &[T], lines: usize, w: Right<'_, T>, scratch: &mut [T]) {
    let (k, n) = w.extents();
    assert!(x.len() == lines * k && y.len() == lines * n, "{lines} lines of {k} and {n} columns");
    if y.is_empty() {
        return;
    }
    if w.transpose && n <= DOTS && k > 0 {
        return dispatch(Dots { y, x, w: w.data, k });
    }
    if lines == 1 {
        let (two, products) = scratch[..2 * (k + n)].split_at_mut(2 * k);
        two.fill(T::ZERO);
        two[..k].copy_from_slice(x);
        let x = MatRef::from_row_major_slice(two, 2, k);
        let to = MatMut::from_row_major_slice_mut(products, 2, n);
        matmul(to, Accum::Replace, x, w.view(), T::ONE, Par::Seq);
        y.copy_from_slice(&products[..n]);
    } else {
        let x = MatRef::from_row_major_slice(x, lines, k);
        let to = MatMut::from_row_major_slice_mut(y, lines, n);
        matmul(to, Accum::Replace, x, w.view(), T::ONE, Par::Seq);
    }
}

/// Lets the calling thread take what memory it keeps for products, which it otherwise does at its first one.
pub fn prepare_thread<T: Real>() {
    const N: usize = 64;
    let (x, mut y) = ([T::ONE; N * N], [T::ZERO; N * N]);
    let right = Right::transposed(&x, N, N);
    times(&mut y, &x, N, right, &mut []);
    add_outer(&mut y, &x, N, &x, N);
    std::hint::black_box(&y);
}

/// `out += Σ xᵀ y` over lines: `[k, n] += [lines, k]ᵀ [lines, n]`.
///
/// # Panics
/// If lengths do not fit.
pub fn add_outer<T: Real>(out: &mut [T], x: &[T], k: usize, y: &[T], n: usize) {
    let lines = x.len().checked_div(k).unwrap_or(0);
    let to = MatMut::from_row_major_slice_mut(out, k, n);
    let x = MatRef::from_row_major_slice(x, lines, k);
    let y = MatRef::from_row_major_slice(y, lines, n);
    matmul(to, Accum::Add, x.transpose(), y, T::ONE, Par::Seq);
}

/// Every line of `x` against every row of `w`, both of `k` numbers.
struct Dots<'a, T> {
    y: &'a mut [T],
    x: &'a [T],
    w: &'a [T],
    k: usize,
}

/// Partial sums of a dot product: enough for one vector of the widest registers.
const PARTS: usize = 16;

impl<T: Real> Kernel for Dots<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let n = self.w.len() / self.k;
        for (y, x) in self.y.chunks_exact_mut(n).zip(self.x.chunks_exact(self.k)) {
            for (y, w) in y.iter_mut().zip(self.w.chunks_exact(self.k)) {
                *y = dot::<T, FMA>(x, w);
            }
        }
    }
}

/// `Σ x` in a fixed order: as many partial sums as a vector register holds, for numbers enough to fill one.
///
/// Inside a [`Kernel`] it is vector code.
///
/// ```
/// assert_eq!(eigenflow_linalg::lines::sum(&[1.0, 2.0, 3.5]), 6.5);
/// ```
#[inline(always)]
pub fn sum<T: Real>(x: &[T]) -> T {
    let chunks = x.chunks_exact(PARTS);
    let rest = chunks.remainder();
    if x.len() < PARTS {
        return rest.iter().copied().sum();
    }
    let mut parts = [T::ZERO; PARTS];
    for x in chunks {
        for i in 0..PARTS {
            parts[i] += x[i];
        }
    }
    rest.iter().fold(tree(parts), |sum, &x| sum + x)
}

/// The sum of all parts, as a tree.
#[inline(always)]
fn tree<T: Real>(mut parts: [T; PARTS]) -> T {
    let mut half = PARTS / 2;
    while half > 0 {
        for i in 0..half {
            parts[i] += parts[i + half];
        }
        half /= 2;
    }
    parts[0]
}

/// `Σ x w` in a fixed order: [`PARTS`] partial sums, added as a tree, then the rest.
#[inline(always)]
pub(crate) fn dot<T: Real, const FMA: bool>(x: &[T], w: &[T]) -> T {
    let fused = |a: T, b: T, c: T| if FMA { a.mul_add(b, c) } else { a * b + c };
    let mut parts = [T::ZERO; PARTS];
    let (xs, ws) = (x.chunks_exact(PARTS), w.chunks_exact(PARTS));
    let (rest_x, rest_w) = (xs.remainder(), ws.remainder());
    for (x, w) in xs.zip(ws) {
        for i in 0..PARTS {
            parts[i] = fused(x[i], w[i], parts[i]);
        }
    }
    rest_x.iter().zip(rest_w).fold(tree(parts), |sum, (&x, &w)| fused(x, w, sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementary::levels::Level;

    fn levels_agree<T: Real>(k: usize, n: usize) {
        let number = |i: usize| T::of(((i * 37 + 11) % 101) as f64 / 17.0 - 3.0);
        let x: Vec<T> = (0..5 * k).map(number).collect();
        let w: Vec<T> = (0..k * n).map(|i| number(3 * i + 1)).collect();
        let by = |level: Level| {
            let mut y = vec![T::NAN; 5 * n];
            level.kernel(Dots { y: &mut y, x: &x, w: &w, k });
            y
        };
        let mut best = vec![T::NAN; 5 * n];
        times(&mut best, &x, 5, Right::transposed(&w, n, k), &mut []);
        for level in Level::vectors() {
            assert_eq!(by(level), best, "{k} {n} {level:?}");
        }
        // The two paths differ in rounding: each of them is off by `k eps/2 Σ|x w|` at most.
        for (at, y) in by(Level::Portable).into_iter().enumerate() {
            let (x, w) = (&x[at / n * k..][..k], &w[at % n * k..][..k]);
            let size: f64 = x.iter().zip(w).map(|(x, w)| (x.f64() * w.f64()).abs()).sum();
            assert!((y.f64() - best[at].f64()).abs() <= k as f64 * T::EPS.f64() * size, "{k} {n}");
        }
    }

    #[test]
    fn levels_agree_on_dots() {
        for k in [1, 2, 7, 16, 33, 64] {
            for n in 1..=DOTS {
                levels_agree::<f32>(k, n);
                levels_agree::<f64>(k, n);
            }
        }
    }

    /// Nothing is fused in a sum: its bits are the same everywhere.
    #[test]
    fn levels_agree_on_sums() {
        struct Sum<'a, T>(&'a [T]);
        impl<T: Real> Kernel for Sum<'_, T> {
            type Output = T;
            #[inline(always)]
            fn run<const FMA: bool>(self) -> T {
                sum(self.0)
            }
        }
        fn check<T: Real>() {
            let x: Vec<T> = (0..131).map(|i| T::of(((i * 37 + 11) % 101) as f64 / 17.0 - 3.0)).collect();
            for len in 0..x.len() {
                let (x, plain) = (&x[..len], sum(&x[..len]).f64().to_bits());
                for level in Level::vectors().into_iter().chain([Level::Portable]) {
                    assert_eq!(level.kernel(Sum(x)).f64().to_bits(), plain, "{len} {level:?}");
                }
            }
        }
        check::<f32>();
        check::<f64>();
    }

    /// The bits of a line are the same alone and among others, by either kernel and for any extents.
    #[test]
    fn a_line_does_not_depend_on_the_others() {
        for k in [1, 2, 7, 16, 33, 64] {
            for n in [1, 2, 4, 5, 64] {
                for transpose in [false, true] {
                    let number = |i: usize| ((i * 37 + 11) % 101) as f32 / 17.0 - 3.0;
                    let x: Vec<f32> = (0..67 * k).map(number).collect();
                    let w: Vec<f32> = (0..k * n).map(|i| number(3 * i + 1)).collect();
                    let (rows, cols) = if transpose { (n, k) } else { (k, n) };
                    let right = Right { data: &w, rows, cols, transpose };
                    let mut scratch = vec![f32::NAN; Right::<f32>::scratch(rows, cols)];
                    let mut all = vec![0.0; 67 * n];
                    times(&mut all, &x, 67, right, &mut scratch);
                    for line in [0, 13, 66] {
                        let mut one = vec![0.0; n];
                        times(&mut one, &x[line * k..(line + 1) * k], 1, right, &mut scratch);
                        assert_eq!(one, all[line * n..(line + 1) * n], "{k} {n} {transpose} {line}");
                        for (j, one) in one.iter().enumerate() {
                            let entry = |i: usize| w[if transpose { j * k + i } else { i * n + j }];
                            let exact: f64 = (0..k).map(|i| x[line * k + i] as f64 * entry(i) as f64).sum();
                            let size: f64 =
                                (0..k).map(|i| (x[line * k + i] as f64 * entry(i) as f64).abs()).sum();
                            assert!((*one as f64 - exact).abs() <= k as f64 * 1.2e-7 * size);
                        }
                    }
                }
            }
        }
    }
}
