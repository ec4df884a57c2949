//! Orthonormal bases that grow by blocks of lines.

use crate::elementary::{Kernel, dispatch};
use crate::lines::dot;
use crate::product::{Accum, MatRef, matmul};
use crate::{Error, Matrix, Real};

/// The part of a line's length that a pass of orthogonalisation must leave to be the last one: with more than `1/√2`, what the basis
/// itself lacks in orthogonality does not grow (Daniel, Gragg, Kaufman and Stewart 1976).
const LEFT: f64 = std::f64::consts::FRAC_1_SQRT_2;

/// An orthonormal basis, one vector a line.
#[derive(Clone, Debug)]
pub(crate) struct Basis<T> {
    /// Numbers of a line.
    pub length: usize,
    /// The lines, one after the other.
    pub lines: Vec<T>,
}

impl<T: Real> Basis<T> {
    pub fn new(length: usize) -> Self {
        Self { length, lines: Vec::new() }
    }

    pub fn count(&self) -> usize {
        self.lines.len() / self.length
    }

    fn view(&self) -> MatRef<'_, T> {
        MatRef::from_row_major_slice(&self.lines, self.count(), self.length)
    }

    /// Replaces the basis by `weights · basis`: one new vector for each line of the weights.
    pub fn combine(&mut self, weights: MatRef<'_, T>) -> Result<(), Error> {
        self.lines = self.combined(weights)?.into_data();
        Ok(())
    }

    pub fn combined(&self, weights: MatRef<'_, T>) -> Result<Matrix<T>, Error> {
        let mut out = Matrix::zeros(weights.nrows(), self.length);
        matmul(out.view_mut(), Accum::Replace, T::ONE, weights, self.view())?;
        Ok(out)
    }

    /// Splits the lines of a block into what lies in the span of the basis and an orthonormal rest:
    /// `X = C · basis + R · X'`. `X'` replaces `X`; a line with no rest becomes zero.
    ///
    /// Classical Gram-Schmidt against the basis and a modified one within the block. In exact arithmetic a product lies in the span of
    /// the last block alone (but after a restart), so that is taken off first, and a pass over the whole basis finds little. Where a
    /// line still loses much, there is another one, and that is enough (Giraud, Langou and Rozložník 2005).
    pub fn split(&self, x: &mut Matrix<T>) -> Result<(Matrix<T>, Matrix<T>), Error> {
        let (b, j) = (x.rows(), self.count());
        let sizes = |x: &Matrix<T>| (0..b).map(|i| norm(x.row(i))).collect::<Vec<T>>();
        let mut floor = sizes(x);
        let mut inside = Matrix::zeros(b, j);
        let mut beside = Matrix::identity(b);
        self.take_off(x, j - b.min(j), &beside, &mut inside)?;
        for _ in 0..2 {
            let before = sizes(x);
            self.take_off(x, 0, &beside, &mut inside)?;
            let mut r = Matrix::zeros(b, b);
            if self.length > 0 {
                let (x, r) = (x.data_mut(), r.data_mut());
                dispatch(Orthonormalise { x, length: self.length, floor: &floor, r });
            }
            beside = beside.mul(&r);
            if (0..b).all(|i| r[(i, i)] > T::of(LEFT) * before[i]) {
                break;
            }
            floor.fill(T::ONE);
        }
        Ok((inside, beside))
    }

    /// Takes off what lies in the span of the lines from number `first` on: with `X = inside B + beside X₁` before and
    /// `X₁ = c B + X₂`, `inside` grows by `beside c`.
    fn take_off(
        &self,
        x: &mut Matrix<T>,
        first: usize,
        beside: &Matrix<T>,
        inside: &mut Matrix<T>,
    ) -> Result<(), Error> {
        let (b, count) = (x.rows(), self.count() - first);
        if count == 0 {
            return Ok(());
        }
        let mut c = Matrix::zeros(b, count);
        let (lines, length) = (&self.lines[first * self.length..], self.length);
        dispatch(TakeOff { x: x.data_mut(), lines, length, c: c.data_mut() });
        let inside = inside.view_mut().subcols_mut(first, count);
        matmul(inside, Accum::Add, T::ONE, beside.view(), c.view())
    }
}

/// The length of a line.
pub(crate) fn norm<T: Real>(x: &[T]) -> T {
    dispatch(Norm(x))
}

struct Norm<'a, T>(&'a [T]);

impl<T: Real> Kernel for Norm<'_, T> {
    type Output = T;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> T {
        length::<T, FMA>(self.0)
    }
}

/// The length of a line; squares that overflow or vanish are scaled first.
#[inline(always)]
fn length<T: Real, const FMA: bool>(x: &[T]) -> T {
    let square = dot::<T, FMA>(x, x);
    if square.is_finite() && square > T::MIN_POSITIVE / T::EPS {
        return square.sqrt();
    }
    let largest = x.iter().fold(T::ZERO, |m, v| m.maximum(v.abs()));
    if largest == T::ZERO || !largest.is_finite() {
        return largest;
    }
    let sum: T = x.iter().map(|&v| (v / largest) * (v / largest)).sum();
    largest * sum.sqrt()
}

/// `c = X Bᵀ`, then `X -= c B`, for lines `B` that are orthonormal. A general product would pack `B` anew each time, which costs more than
/// the few lines of `X` do.
struct TakeOff<'a, T> {
    x: &'a mut [T],
    lines: &'a [T],
    length: usize,
    c: &'a mut [T],
}

impl<T: Real> Kernel for TakeOff<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let n = self.length;
        let count = self.lines.len() / n;
        for (x, c) in self.x.chunks_exact_mut(n).zip(self.c.chunks_exact_mut(count)) {
            for (c, line) in c.iter_mut().zip(self.lines.chunks_exact(n)) {
                *c = dot::<T, FMA>(x, line);
            }
            for (c, four) in c.chunks(4).zip(self.lines.chunks(4 * n)) {
                if let ([c0, c1, c2, c3], true) = (c, four.len() == 4 * n) {
                    let (a, b) = four.split_at(2 * n);
                    let (lines_a, lines_b) = (a.split_at(n), b.split_at(n));
                    let pairs = lines_a.0.iter().zip(lines_a.1).zip(lines_b.0.iter().zip(lines_b.1));
                    for (x, ((&l0, &l1), (&l2, &l3))) in x.iter_mut().zip(pairs) {
                        *x -= (*c0 * l0 + *c1 * l1) + (*c2 * l2 + *c3 * l3);
                    }
                } else {
                    for (&c, line) in c.iter().zip(four.chunks_exact(n)) {
                        x.iter_mut().zip(line).for_each(|(x, &l)| *x -= c * l);
                    }
                }
            }
        }
    }
}

/// Orthonormal lines: `X = R X'` with `R` lower triangular. A line that is nothing but rounding becomes zero.
struct Orthonormalise<'a, T> {
    x: &'a mut [T],
    length: usize,
    /// Lengths of which 32 eps are rounding.
    floor: &'a [T],
    r: &'a mut [T],
}

impl<T: Real> Kernel for Orthonormalise<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (n, b) = (self.length, self.floor.len());
        for i in 0..b {
            let (before, rest) = self.x.split_at_mut(i * n);
            let line = &mut rest[..n];
            for (k, other) in before.chunks_exact(n).enumerate() {
                let c = dot::<T, FMA>(line, other);
                line.iter_mut().zip(other).for_each(|(a, &b)| *a -= c * b);
                self.r[i * b + k] = c;
            }
            let size = length::<T, FMA>(line);
            if size > T::of(32.0) * T::EPS * self.floor[i] {
                line.iter_mut().for_each(|v| *v /= size);
                self.r[i * b + i] = size;
            } else {
                line.fill(T::ZERO);
            }
        }
    }
}
