//! A perceptron on a tile of rows: the parts that a layer's value, gradient and tangents share.

use crate::flow::conditioner::Activation;
use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::{Kernel, Sigmoid, Tanh, dispatch, in_place, lane};
use eigenflow_linalg::lines::{Right, affine, times};

/// Rows that pass all layers together: their values stay in the first-level cache.
pub(super) const TILE: usize = 64;

/// One affine layer `x Wᵀ + b`, `W` stored as `[outputs, inputs]`.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a, T> {
    pub weight: &'a [T],
    /// `Wᵀ`, where it is there.
    pub turned: Option<&'a [T]>,
    pub bias: &'a [T],
    pub inputs: usize,
    pub outputs: usize,
}

impl<'a, T: Real> Layer<'a, T> {
    /// `y = x Wᵀ + b` for `lines` lines.
    pub fn apply(&self, y: &mut [T], x: &[T], lines: usize, scratch: &mut [T]) {
        affine(y, x, lines, self.right(true), self.bias, scratch);
    }

    /// `dy = dx Wᵀ` for `lines` lines.
    pub fn push(&self, dy: &mut [T], dx: &[T], lines: usize, scratch: &mut [T]) {
        times(dy, dx, lines, self.right(true), scratch);
    }

    /// `Wᵀ` or `W`.
    fn right(&self, transpose: bool) -> Right<'a, T> {
        Right::either(self.weight, self.turned, self.outputs, self.inputs, transpose)
    }

    /// `dx = dy W` for `lines` lines.
    pub fn pull(&self, dx: &mut [T], dy: &[T], lines: usize, scratch: &mut [T]) {
        times(dx, dy, lines, self.right(false), scratch);
    }
}

/// `y = act(y)`, and the slope `act'` where it cannot be told from `y` alone.
pub(super) fn activate<T: Real>(activation: Activation, y: &mut [T], slope: Option<&mut [T]>) {
    match activation {
        Activation::Tanh => in_place::<Tanh, T>(y),
        Activation::Relu => dispatch(Relu { y }),
        Activation::Silu => dispatch(Silu { y, slope }),
    }
}

struct Relu<'a, T> {
    y: &'a mut [T],
}

impl<T: Real> Kernel for Relu<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        // The sign of a zero tells the side of the kink: +0 at and above it, -0 below.
        let relu = |u: T| if u >= T::ZERO { u + T::ZERO } else { -T::ZERO };
        self.y.iter_mut().for_each(|y| *y = if y.is_nan() { *y } else { relu(*y) });
    }
}

struct Silu<'a, T> {
    y: &'a mut [T],
    slope: Option<&'a mut [T]>,
}

impl<T: Real> Kernel for Silu<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Some(slope) = self.slope else {
            self.y.iter_mut().for_each(|y| *y = *y * lane::<Sigmoid, T, FMA>(*y));
            return;
        };
        for (y, d) in self.y.iter_mut().zip(slope) {
            let u = *y;
            let s = lane::<Sigmoid, T, FMA>(u);
            *y = u * s;
            *d = s * (T::ONE + u * (T::ONE - s));
        }
    }
}

/// `act'` from the value of the activation, or the stored slope.
#[derive(Clone, Copy)]
pub(super) struct Slope<'a, T> {
    pub activation: Activation,
    /// Values of the hidden layer.
    pub value: &'a [T],
    /// Stored slopes, for activations that need them.
    pub stored: Option<&'a [T]>,
}

impl<'a, T: Real> Slope<'a, T> {
    /// Of the rows whose numbers stand at `range`.
    pub fn rows(&self, range: std::ops::Range<usize>) -> Self {
        Self { stored: self.stored.map(|s| &s[range.clone()]), value: &self.value[range], ..*self }
    }

    /// Cotangents `t[n, :] *= act'[n, :]` of rows of `width` numbers; a zero stays zero.
    pub fn pull(&self, t: &mut [T], width: usize) {
        dispatch(Scale::<T, true> { slope: *self, t, width, repeats: 1 });
    }

    /// Tangents `t[n, k, :] *= act'[n, :]`, `repeats` lines `k` a row of `width` numbers.
    pub fn push(&self, t: &mut [T], width: usize, repeats: usize) {
        dispatch(Scale::<T, false> { slope: *self, t, width, repeats });
    }

    /// Values of the hidden layer, where it is one of tanh.
    pub fn tanh(&self) -> Option<&'a [T]> {
        (self.activation == Activation::Tanh).then_some(self.value)
    }

    #[inline(always)]
    fn of(&self, at: usize, width: usize) -> (&'a [T], &'a [T]) {
        let value = &self.value[at..at + width];
        (value, self.stored.map_or(value, |s| &s[at..at + width]))
    }
}

/// `KEEP`: exactly zero stays zero.
struct Scale<'a, 'b, T, const KEEP: bool> {
    slope: Slope<'a, T>,
    t: &'b mut [T],
    width: usize,
    repeats: usize,
}

impl<T: Real, const KEEP: bool> Kernel for Scale<'_, '_, T, KEEP> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        match self.slope.activation {
            Activation::Tanh => self.by_line(|y, _| T::ONE - y * y),
            Activation::Relu => {
                self.by_line(|y, _| if y > T::ZERO || T::ONE / y > T::ZERO { T::ONE } else { T::ZERO });
            }
            Activation::Silu => self.by_line(|_, d| d),
        }
    }
}

impl<T: Real, const KEEP: bool> Scale<'_, '_, T, KEEP> {
    #[inline(always)]
    fn by_line(self, f: impl Fn(T, T) -> T) {
        // Rows of one line each are as one.
        let width = if self.repeats == 1 { self.slope.value.len() } else { self.width };
        for (row, t) in self.t.chunks_exact_mut(self.repeats * width).enumerate() {
            let (value, stored) = self.slope.of(row * width, width);
            for t in t.chunks_exact_mut(width) {
                for ((t, &y), &d) in t.iter_mut().zip(value).zip(stored) {
                    let slope = f(y, d);
                    *t = if KEEP { chain(*t, slope) } else { *t * slope };
                }
            }
        }
    }
}

/// A cotangent times a derivative: exactly zero stays zero, whatever the derivative.
#[inline(always)]
pub(super) fn chain<T: Real>(t: T, derivative: T) -> T {
    if t == T::ZERO { T::ZERO } else { t * derivative }
}
