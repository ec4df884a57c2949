//! Orthonormal bases that grow by blocks of lines.

use crate::lines::dot;
use crate::product::{Accum, MatRef, matmul};
use crate::small::Lanes;
use crate::take_off::take_off;
use crate::{Error, Matrix, Real};
use pulp::{Arch, Simd, WithSimd};

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
        self.lines.len().checked_div(self.length).unwrap_or(0)
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
    /// Gram-Schmidt against the basis (classical within four of its lines, modified from four to four) and a modified one within the
    /// block. In exact arithmetic a product lies in the span of the last block alone (but after a restart), so that is taken off first,
    /// and a pass over the whole basis finds little. Where a line still loses much, there is another one, and that is enough (Giraud,
    /// Langou and Rozložník 2005).
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
                Arch::new().dispatch(Orthonormalise { x, length: self.length, floor: &floor, r });
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
        take_off(x.data_mut(), lines, length, c.data_mut());
        let inside = inside.view_mut().subcols_mut(first, count);
        matmul(inside, Accum::Add, T::ONE, beside.view(), c.view())
    }
}

/// The length of a line.
pub(crate) fn norm<T: Real>(x: &[T]) -> T {
    Arch::new().dispatch(Norm(x))
}

struct Norm<'a, T>(&'a [T]);

impl<T: Real> WithSimd for Norm<'_, T> {
    type Output = T;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> T {
        length(T::wide(simd), self.0)
    }
}

/// The length of a line; squares that overflow or vanish are scaled first.
#[inline(always)]
fn length<C: Lanes<T = T>, T: Real>(c: C, x: &[T]) -> T {
    let [square] = dot(c, x, [x]);
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

/// Orthonormal lines: `X = R X'` with `R` lower triangular. A line that is nothing but rounding becomes zero.
struct Orthonormalise<'a, T> {
    x: &'a mut [T],
    length: usize,
    /// Lengths of which 32 eps are rounding.
    floor: &'a [T],
    r: &'a mut [T],
}

impl<T: Real> WithSimd for Orthonormalise<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let wide = T::wide(simd);
        let (n, b) = (self.length, self.floor.len());
        for i in 0..b {
            let (before, rest) = self.x.split_at_mut(i * n);
            let line = &mut rest[..n];
            for (k, other) in before.chunks_exact(n).enumerate() {
                let [c] = dot(wide, line, [other]);
                line.iter_mut().zip(other).for_each(|(a, &b)| *a -= c * b);
                self.r[i * b + k] = c;
            }
            let size = length(wide, line);
            if size > T::of(32.0) * T::EPS * self.floor[i] {
                line.iter_mut().for_each(|v| *v /= size);
                self.r[i * b + i] = size;
            } else {
                line.fill(T::ZERO);
            }
        }
    }
}
