//! A perceptron on a tile of rows: the parts that a layer's value, gradient and tangents share.

use crate::flow::conditioner::Activation;
use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::{Kernel, Sigmoid, Tanh, dispatch, lane};
use eigenflow_linalg::lines::{Right, times};

/// Rows that pass all layers together: their values stay in the first-level cache.
pub(super) const TILE: usize = 64;

/// One affine layer `x Wᵀ + b`, `W` stored as `[outputs, inputs]`.
#[derive(Clone, Copy)]
pub(super) struct Layer<'a, T> {
    pub weight: &'a [T],
    pub bias: &'a [T],
    pub inputs: usize,
    pub outputs: usize,
}

impl<T: Real> Layer<'_, T> {
    /// `y = x Wᵀ` for `lines` lines.
    pub fn apply(&self, y: &mut [T], x: &[T], lines: usize, scratch: &mut [T]) {
        times(y, x, lines, Right::transposed(self.weight, self.outputs, self.inputs), scratch);
    }

    /// `dx = dy W` for `lines` lines.
    pub fn pull(&self, dx: &mut [T], dy: &[T], lines: usize, scratch: &mut [T]) {
        times(dx, dy, lines, Right::plain(self.weight, self.outputs, self.inputs), scratch);
    }
}

/// `y = act(y + b)`, and the slope `act'` where it cannot be told from `y` alone.
pub(super) fn activate<T: Real>(activation: Activation, y: &mut [T], bias: &[T], slope: Option<&mut [T]>) {
    dispatch(Activate { activation, y, bias, slope });
}

struct Activate<'a, T> {
    activation: Activation,
    y: &'a mut [T],
    bias: &'a [T],
    slope: Option<&'a mut [T]>,
}

impl<T: Real> Kernel for Activate<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let n = self.bias.len();
        match (self.activation, self.slope) {
            (Activation::Tanh, _) => {
                for y in self.y.chunks_exact_mut(n) {
                    y.iter_mut().zip(self.bias).for_each(|(y, &b)| *y = lane::<Tanh, T, FMA>(*y + b));
                }
            }
            (Activation::Relu, _) => {
                // The sign of a zero tells the side of the kink: +0 at and above it, -0 below.
                let relu = |u: T| if u >= T::ZERO { u + T::ZERO } else { -T::ZERO };
                for y in self.y.chunks_exact_mut(n) {
                    y.iter_mut().zip(self.bias).for_each(|(y, &b)| {
                        let u = *y + b;
                        *y = if u.is_nan() { u } else { relu(u) };
                    });
                }
            }
            (Activation::Silu, Some(slope)) => {
                for (y, slope) in self.y.chunks_exact_mut(n).zip(slope.chunks_exact_mut(n)) {
                    for ((y, d), &b) in y.iter_mut().zip(slope).zip(self.bias) {
                        let u = *y + b;
                        let s = lane::<Sigmoid, T, FMA>(u);
                        *y = u * s;
                        *d = s * (T::ONE + u * (T::ONE - s));
                    }
                }
            }
            (Activation::Silu, None) => {
                for y in self.y.chunks_exact_mut(n) {
                    y.iter_mut().zip(self.bias).for_each(|(y, &b)| {
                        let u = *y + b;
                        *y = u * lane::<Sigmoid, T, FMA>(u);
                    });
                }
            }
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

    /// `t[n, k, :] *= act'[n, :]` for `repeats` lines `k` a row of `width` numbers; a zero stays zero.
    pub fn scale(&self, t: &mut [T], width: usize, repeats: usize) {
        dispatch(Scale { slope: *self, t, width, repeats });
    }

    #[inline(always)]
    fn of(&self, at: usize, width: usize) -> (&'a [T], &'a [T]) {
        let value = &self.value[at..at + width];
        (value, self.stored.map_or(value, |s| &s[at..at + width]))
    }
}

struct Scale<'a, 'b, T> {
    slope: Slope<'a, T>,
    t: &'b mut [T],
    width: usize,
    repeats: usize,
}

impl<T: Real> Kernel for Scale<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (width, repeats) = (self.width, self.repeats);
        match self.slope.activation {
            Activation::Tanh => by_line(&self.slope, self.t, width, repeats, |y, _| T::ONE - y * y),
            Activation::Relu => by_line(&self.slope, self.t, width, repeats, |y, _| {
                if y > T::ZERO || T::ONE / y > T::ZERO { T::ONE } else { T::ZERO }
            }),
            Activation::Silu => by_line(&self.slope, self.t, width, repeats, |_, d| d),
        }
    }
}

#[inline(always)]
fn by_line<T: Real>(slope: &Slope<'_, T>, t: &mut [T], width: usize, repeats: usize, f: impl Fn(T, T) -> T) {
    for (line, t) in t.chunks_exact_mut(width).enumerate() {
        let (value, stored) = slope.of(line / repeats * width, width);
        for ((t, &y), &d) in t.iter_mut().zip(value).zip(stored) {
            *t = chain(*t, f(y, d));
        }
    }
}

/// A cotangent or tangent times a derivative: exactly zero stays zero, whatever the derivative.
#[inline(always)]
pub(super) fn chain<T: Real>(t: T, derivative: T) -> T {
    if t == T::ZERO { T::ZERO } else { t * derivative }
}
