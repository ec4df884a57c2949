//! Products of the lines of a batch with one matrix, such that a line's result never depends on the others.
//!
//! Two things stand between a general product and that promise: a single line would take matrix-vector
//! kernels, which round differently, and a result of few columns wastes most of a vector register. Where lines are whole
//! vectors and the matrix stays in the cache a kernel of our own is faster than a general product besides: it packs nothing.

pub(crate) mod block;
mod dots;
mod pairs;
mod sums;

use crate::Real;
use block::{Left, Product, Start};
pub(crate) use dots::dot;
pub use faer::Accum;
use faer::linalg::matmul::matmul;
use faer::{MatMut, MatRef, Par};
pub use sums::{add_lines, sum};

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
/// Terms of a sum that a general product of many lines adds up at a time.
const TERMS: usize = 512;
/// Multiplications up to which a general product is a tiny one.
const TINY: usize = 4096;

impl<'a, T: Real> Right<'a, T> {
    /// `W` as it stands.
    pub fn plain(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self { data, rows, cols, transpose: false }
    }

    /// `Wᵀ`.
    pub fn transposed(data: &'a [T], rows: usize, cols: usize) -> Self {
        Self { data, rows, cols, transpose: true }
    }

    /// `W`, or `Wᵀ` if `transpose`, by the numbers of `W` (`rows x cols`) or those of `Wᵀ`, if they are at hand: whichever takes less time.
    ///
    /// ```
    /// use eigenflow_linalg::lines::Right;
    /// let (w, turned) = ([1.0; 512], [1.0; 512]);
    /// // 64 columns are summed from lines of that length, 8 terms each.
    /// assert!(!Right::either(&w, Some(&turned), 64, 8, true).transpose);
    /// // Two columns are dot products with lines of 256 terms.
    /// assert!(Right::either(&w, Some(&turned), 2, 256, true).transpose);
    /// ```
    pub fn either(w: &'a [T], turned: Option<&'a [T]>, rows: usize, cols: usize, transpose: bool) -> Self {
        let by_dots = if transpose { rows } else { cols } <= DOTS;
        match turned {
            Some(turned) if by_dots != transpose => {
                Self { data: turned, rows: cols, cols: rows, transpose: !transpose }
            }
            _ => Self { data: w, rows, cols, transpose },
        }
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
        padded(rows.max(cols)) * (rows + cols)
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
    product(y, x, lines, w, None, scratch);
}

/// `Y = X W + b` for every line of `x`, as [`times`].
///
/// # Panics
/// If lengths do not fit.
///
/// ```
/// use eigenflow_linalg::lines::{Right, affine};
/// let mut y = [0.0; 2];
/// affine(&mut y, &[1.0, 2.0, 10.0, 0.0], 2, Right::plain(&[3.0, 4.0], 2, 1), &[0.5], &mut [0.0; 6]);
/// assert_eq!(y, [11.5, 30.5]);
/// ```
pub fn affine<T: Real>(y: &mut [T], x: &[T], lines: usize, w: Right<'_, T>, bias: &[T], scratch: &mut [T]) {
    assert_eq!(bias.len(), w.extents().1, "a number for each column");
    product(y, x, lines, w, Some(bias), scratch);
}

fn product<T: Real>(
    y: &mut [T],
    x: &[T],
    lines: usize,
    w: Right<'_, T>,
    bias: Option<&[T]>,
    scratch: &mut [T],
) {
    let (k, n) = w.extents();
    assert!(x.len() == lines * k && y.len() == lines * n, "{lines} lines of {k} and {n} columns");
    if y.is_empty() {
        return;
    }
    if w.transpose && n <= DOTS && k > 0 {
        return dots::dots(y, x, w.data, bias, k);
    }
    if !w.transpose && block::fits(k, n) {
        let start = bias.map_or(Start::Zero, Start::Bias);
        return block::product(Product { y, x, left: Left::Plain, w: w.data, n, start });
    }
    let multiply = |y: &mut [T], x: &[T], lines: usize| {
        let (y, x) =
            (MatMut::from_row_major_slice_mut(y, lines, n), MatRef::from_row_major_slice(x, lines, k));
        matmul(y, Accum::Replace, x, w.view(), T::ONE, Par::Seq);
    };
    let least = padded(k);
    if lines == 1 || (k > TERMS && lines * n * k <= TINY) {
        let (some, products) = scratch[..least * (k + n)].split_at_mut(least * k);
        some[..lines * k].copy_from_slice(x);
        some[lines * k..].fill(T::ZERO);
        multiply(products, some, least);
        y.copy_from_slice(&products[..lines * n]);
    } else {
        multiply(y, x, lines);
    }
    // Afterwards: kernels of few and of many lines start their sums differently where there is something to add to.
    if let Some(bias) = bias {
        y.chunks_exact_mut(n).for_each(|y| y.iter_mut().zip(bias).for_each(|(y, &b)| *y += b));
    }
}

/// Lines that a product of fewer is padded to: a general product takes other kernels for a vector, and, where sums are long, for a tiny product, which
/// do not cut sums into parts.
fn padded(k: usize) -> usize {
    if k > TERMS { 8 } else { 2 }
}

/// Whether `X Wᵀ` of `k` terms and `n` columns takes less time if the numbers of `Wᵀ` are at hand ([`Right::either`]).
///
/// ```
/// use eigenflow_linalg::lines::is_sooner_transposed;
/// assert!(is_sooner_transposed(64, 64) && !is_sooner_transposed(64, 2));
/// ```
pub fn is_sooner_transposed(k: usize, n: usize) -> bool {
    n > DOTS && block::fits(k, n)
}

/// Lets the calling thread take what memory it keeps for products, which it otherwise does at its first one.
pub fn prepare_thread<T: Real>() {
    const N: usize = 64;
    let (x, mut y) = ([T::ONE; N * N], [T::ZERO; N * N]);
    let right = Right::transposed(&x, N, N);
    times(&mut y, &x, N, right, &mut []);
    // Columns that are for the general product.
    outer(&mut y[..5 * N], Accum::Add, &x, N, &x[..5 * N], 5);
    std::hint::black_box(&y);
}

/// `out = Σ xᵀ y` or `out += Σ xᵀ y` over lines: `[k, n]` from `[lines, k]ᵀ [lines, n]`.
///
/// # Panics
/// If lengths do not fit.
///
/// ```
/// use eigenflow_linalg::lines::{Accum, outer};
/// let mut out = [100.0, 0.0];
/// // Two lines of one number each, and of two.
/// outer(&mut out, Accum::Add, &[1.0, 10.0], 1, &[1.0, 2.0, 3.0, 4.0], 2);
/// assert_eq!(out, [131.0, 42.0]);
/// outer(&mut out, Accum::Replace, &[1.0, 10.0], 1, &[1.0, 2.0, 3.0, 4.0], 2);
/// assert_eq!(out, [31.0, 42.0]);
/// ```
pub fn outer<T: Real>(out: &mut [T], accum: Accum, x: &[T], k: usize, y: &[T], n: usize) {
    if out.is_empty() {
        return;
    }
    let lines = x.len().checked_div(k).unwrap_or(0);
    assert!(x.len() == lines * k && y.len() == lines * n && out.len() == k * n, "{k} and {n} columns");
    let start = if matches!(accum, Accum::Add) { Start::Sum } else { Start::Zero };
    if block::fits(lines, n) {
        return block::product(Product { y: out, x, left: Left::Turned, w: y, n, start });
    }
    if n == 1 && block::fits(lines, k) {
        return block::product(Product { y: out, x: y, left: Left::Turned, w: x, n: k, start });
    }
    if n < FEW && k * n <= TURNED && block::fits(lines, k) {
        return turned(out, start, x, k, y, n);
    }
    let to = MatMut::from_row_major_slice_mut(out, k, n);
    let x = MatRef::from_row_major_slice(x, lines, k);
    let y = MatRef::from_row_major_slice(y, lines, n);
    matmul(to, accum, x.transpose(), y, T::ONE, Par::Seq);
}

/// Fewer columns of sums are summed as lines, which are whole vectors: 64 lines, 64 by 4 sums in f32 take 0.8 µs, and 1.9 by a general product.
const FEW: usize = 8;
/// Most numbers of such sums.
const TURNED: usize = 512;

/// [`outer`] by way of `outᵀ += yᵀ x`.
fn turned<T: Real>(out: &mut [T], start: Start<'_, T>, x: &[T], k: usize, y: &[T], n: usize) {
    let mut turned = [T::ZERO; TURNED];
    let turned = &mut turned[..k * n];
    if matches!(start, Start::Sum) {
        for (i, line) in out.chunks_exact(n).enumerate() {
            for (to, &from) in turned[i..].iter_mut().step_by(k).zip(line) {
                *to = from;
            }
        }
    }
    block::product(Product { y: turned, x: y, left: Left::Turned, w: x, n: k, start });
    for (i, line) in out.chunks_exact_mut(n).enumerate() {
        for (to, &from) in line.iter_mut().zip(turned[i..].iter().step_by(k)) {
            *to = from;
        }
    }
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
            level.run(dots::Dots { y: &mut y, x: &x, w: &w, bias: None, k });
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

    /// The bits of a line are the same alone and among others, by either kernel and for any extents.
    #[test]
    fn a_line_does_not_depend_on_the_others() {
        for k in [1, 2, 7, 16, 33, 64, 512, 600, 784] {
            for n in [1, 2, 3, 4, 5, 8, 24, 64] {
                for transpose in [false, true] {
                    let number = |i: usize| ((i * 37 + 11) % 101) as f32 / 17.0 - 3.0;
                    let x: Vec<f32> = (0..67 * k).map(number).collect();
                    let w: Vec<f32> = (0..k * n).map(|i| number(3 * i + 1)).collect();
                    let (rows, cols) = if transpose { (n, k) } else { (k, n) };
                    let right = Right { data: &w, rows, cols, transpose };
                    let mut scratch = vec![f32::NAN; Right::<f32>::scratch(rows, cols)];
                    let mut all = vec![0.0; 67 * n];
                    times(&mut all, &x, 67, right, &mut scratch);
                    let (bias, mut moved) = (&x[..n], vec![0.0; 67 * n]);
                    affine(&mut moved, &x, 67, right, bias, &mut scratch);
                    let mut few = vec![0.0; 3 * n];
                    times(&mut few, &x[..3 * k], 3, right, &mut scratch);
                    assert_eq!(few, all[..3 * n], "{k} {n} {transpose}, three lines");
                    for line in [0, 13, 66] {
                        let mut one = vec![0.0; n];
                        times(&mut one, &x[line * k..(line + 1) * k], 1, right, &mut scratch);
                        assert_eq!(one, all[line * n..(line + 1) * n], "{k} {n} {transpose} {line}");
                        affine(&mut one, &x[line * k..(line + 1) * k], 1, right, bias, &mut scratch);
                        assert_eq!(
                            one,
                            moved[line * n..(line + 1) * n],
                            "{k} {n} {transpose} {line}, affine"
                        );
                        times(&mut one, &x[line * k..(line + 1) * k], 1, right, &mut scratch);
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

    /// With a bias, from either storage of the matrix, for one line and for many.
    #[test]
    fn affine_maps_are_products_and_a_bias() {
        for k in [1, 3, 64] {
            for n in [1, 4, 5, 8, 40] {
                for transpose in [false, true] {
                    let number = |i: usize| ((i * 37 + 11) % 101) as f64 / 17.0 - 3.0;
                    let x: Vec<f64> = (0..9 * k).map(number).collect();
                    let (rows, cols) = if transpose { (n, k) } else { (k, n) };
                    let w: Vec<f64> = (0..k * n).map(|i| number(3 * i + 1)).collect();
                    let turned: Vec<f64> = (0..k * n).map(|i| w[i % rows * cols + i / rows]).collect();
                    let bias: Vec<f64> = (0..n).map(|i| number(5 * i + 2)).collect();
                    for turned in [None, Some(&turned[..])] {
                        let right = Right::either(&w, turned, rows, cols, transpose);
                        let mut scratch = vec![f64::NAN; Right::<f64>::scratch(k, n)];
                        for lines in [1, 9] {
                            let mut y = vec![f64::NAN; lines * n];
                            affine(&mut y, &x[..lines * k], lines, right, &bias, &mut scratch);
                            for (at, y) in y.iter().enumerate() {
                                let entry =
                                    |i: usize| w[if transpose { at % n * k + i } else { i * n + at % n }];
                                let exact: f64 =
                                    (0..k).map(|i| x[at / n * k + i] * entry(i)).sum::<f64>() + bias[at % n];
                                // Sums of `k + 1` terms below 9 in magnitude, in two orders.
                                let bound = (k + 1) as f64 * f64::EPSILON * 9.0 * (k + 1) as f64;
                                assert!((y - exact).abs() <= bound, "{k} {n} {transpose} {lines}");
                            }
                        }
                    }
                }
            }
        }
    }

    /// Whole numbers, so every order of the sums gives the same.
    #[test]
    fn sums_over_lines_are_added() {
        for lines in [0, 1, 5, 13, 64] {
            for (k, n) in [
                (1, 1),
                (3, 1),
                (16, 1),
                (1, 16),
                (6, 8),
                (64, 64),
                (5, 3),
                (64, 3),
                (8, 5),
                (3, 2),
                (1, 4),
                (2, 64),
            ] {
                let whole = |i: usize, by: usize| ((i * by) % 13) as f64 - 6.0;
                let x: Vec<f64> = (0..lines * k).map(|i| whole(i, 5)).collect();
                let y: Vec<f64> = (0..lines * n).map(|i| whole(i, 7)).collect();
                let mut out: Vec<f64> = (0..k * n).map(|i| whole(i, 3)).collect();
                outer(&mut out, Accum::Add, &x, k, &y, n);
                let mut sum = vec![0.5; n];
                add_lines(&mut sum, &y);
                let of = |a: &dyn Fn(usize) -> f64| (0..lines).map(a).sum::<f64>();
                let sums: Vec<f64> = (0..n).map(|j| 0.5 + of(&|l| y[l * n + j])).collect();
                assert_eq!(sum, sums, "{lines} {n}");
                let entry = |at: usize| whole(at, 3) + of(&|l| x[l * k + at / n] * y[l * n + at % n]);
                assert_eq!(out, (0..k * n).map(entry).collect::<Vec<f64>>(), "{lines} {k} {n}");
                // What was there is not read.
                let mut alone = vec![f64::NAN; k * n];
                outer(&mut alone, Accum::Replace, &x, k, &y, n);
                let sums: Vec<f64> = out.iter().enumerate().map(|(i, sum)| sum - whole(i, 3)).collect();
                assert_eq!(alone, sums, "{lines} {k} {n}");
            }
        }
    }
}
