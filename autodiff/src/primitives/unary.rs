//! Elementwise functions of one value.

use super::{cotangent, key};
use crate::primitive::{Cotangents, Eval, Key, Primitive, Shapes, Tangents};
use crate::{Error, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::{self as el, Kernel, dispatch};
use smallvec::smallvec;

/// An elementwise function `y = f(x)`, with `dy = f'(x) dx`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary<T> {
    /// `c x`.
    Scale(T),
    /// `x + c`.
    Offset(T),
    /// `exp x`, derivative `y`.
    Exp,
    /// `exp x - 1`, derivative `y + 1`.
    ExpM1,
    /// `ln x`, derivative `1 / x`.
    Ln,
    /// `ln(1 + x)`, derivative `1 / (1 + x)`.
    Ln1p,
    /// `tanh x`, derivative `1 - y²`.
    Tanh,
    /// `1 / (1 + exp(-x))`, derivative `y (1 - y)`.
    Sigmoid,
    /// `ln(1 + exp x)`, derivative `sigmoid x`.
    Softplus,
    /// `sinh x`, derivative `cosh x`.
    Sinh,
    /// `cosh x`, derivative `sinh x`.
    Cosh,
    /// `asinh x`, derivative `1 / sqrt(1 + x²) = 1 / cosh y`.
    Asinh,
    /// `sin x`, derivative `cos x`.
    Sin,
    /// `cos x`, derivative `-sin x`.
    Cos,
    /// The error function, derivative `2/√π exp(-x²)`.
    Erf,
    /// The standard normal quantile, derivative `√(2π) exp(y²/2)`.
    NormalQuantile,
    /// `√x`, derivative `1 / (2 y)`.
    Sqrt,
    /// `1 / x`, derivative `-y²`.
    Recip,
    /// `x²`, derivative `2 x`.
    Square,
    /// `x^n`, derivative `n x^(n-1)`.
    Powi(i32),
    /// `x^p`, derivative `p x^(p-1)`.
    Powf(T),
    /// `|x|`; the derivative at 0 is the right-hand one, `+1`.
    Abs,
}

/// `y = f(x)` in vector code.
fn each<T: Real>(y: &mut [T], x: &[T], f: impl Fn(T) -> T) {
    dispatch(Each { y, x, f });
}

struct Each<'a, T, F> {
    y: &'a mut [T],
    x: &'a [T],
    f: F,
}

impl<T: Real, F: Fn(T) -> T> Kernel for Each<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        self.y.iter_mut().zip(self.x).for_each(|(y, &x)| *y = (self.f)(x));
    }
}

impl<T: Real> Unary<T> {
    /// Computes `y = f(x)`.
    fn compute(self, y: &mut [T], x: &[T]) {
        match self {
            Self::Scale(c) => each(y, x, |x| c * x),
            Self::Offset(c) => each(y, x, |x| c + x),
            Self::Exp => el::exp(y, x),
            Self::ExpM1 => el::exp_m1(y, x),
            Self::Ln => el::ln(y, x),
            Self::Ln1p => el::ln_1p(y, x),
            Self::Tanh => el::tanh(y, x),
            Self::Sigmoid => el::sigmoid(y, x),
            Self::Softplus => el::softplus(y, x),
            Self::Sinh => el::sinh(y, x),
            Self::Cosh => el::cosh(y, x),
            Self::Asinh => el::asinh(y, x),
            Self::Sin => el::sin(y, x),
            Self::Cos => el::cos(y, x),
            Self::Erf => el::erf(y, x),
            Self::NormalQuantile => el::quantile(y, x),
            Self::Sqrt => each(y, x, T::sqrt),
            Self::Recip => each(y, x, |x| T::ONE / x),
            Self::Square => each(y, x, |x| x * x),
            Self::Powi(n) => y.iter_mut().zip(x).for_each(|(y, &x)| *y = powi(x, n)),
            Self::Powf(p) => y.iter_mut().zip(x).for_each(|(y, &x)| *y = x.powf(p)),
            Self::Abs => each(y, x, T::abs),
        }
    }

    /// Records `f'(x)`; `None` for the affine functions and `|x|`, which need no product.
    fn derivative<'t>(self, x: Var<'t, T>, y: Var<'t, T>) -> Option<Var<'t, T>> {
        let one = T::ONE;
        Some(match self {
            Self::Scale(_) | Self::Offset(_) | Self::Abs => return None,
            Self::Exp => y,
            Self::ExpM1 => y + one,
            Self::Ln => x.recip(),
            Self::Ln1p => (x + one).recip(),
            Self::Tanh => -y.square() + one,
            Self::Sigmoid => y * (-y + one),
            Self::Softplus => x.sigmoid(),
            Self::Sinh => x.cosh(),
            Self::Cosh => x.sinh(),
            Self::Asinh => y.cosh().recip(),
            Self::Sin => x.cos(),
            Self::Cos => -x.sin(),
            Self::Erf => (-x.square()).exp() * T::of(std::f64::consts::FRAC_2_SQRT_PI),
            Self::NormalQuantile => {
                (y.square() * T::of(0.5)).exp() * T::of((2.0 * std::f64::consts::PI).sqrt())
            }
            Self::Sqrt => y.recip() * T::of(0.5),
            Self::Recip => -y.square(),
            Self::Square => x * T::of(2.0),
            // One less than the least exponent is none.
            Self::Powi(n) => {
                n.checked_sub(1).map_or_else(|| x.powi(n) * x.recip(), |k| x.powi(k)) * T::of(f64::from(n))
            }
            Self::Powf(p) => x.powf(p - one) * p,
        })
    }
}

fn powi<T: Real>(x: T, n: i32) -> T {
    let mut base = if n < 0 { T::ONE / x } else { x };
    let mut n = n.unsigned_abs();
    let mut y = T::ONE;
    while n > 0 {
        if n & 1 == 1 {
            y *= base;
        }
        base *= base;
        n >>= 1;
    }
    y
}

impl<T: Real> Primitive<T> for Unary<T> {
    fn name(&self) -> &'static str {
        match self {
            Self::Scale(_) => "scale",
            Self::Offset(_) => "offset",
            Self::Exp => "exp",
            Self::ExpM1 => "exp_m1",
            Self::Ln => "ln",
            Self::Ln1p => "ln_1p",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Softplus => "softplus",
            Self::Sinh => "sinh",
            Self::Cosh => "cosh",
            Self::Asinh => "asinh",
            Self::Sin => "sin",
            Self::Cos => "cos",
            Self::Erf => "erf",
            Self::NormalQuantile => "normal_quantile",
            Self::Sqrt => "sqrt",
            Self::Recip => "recip",
            Self::Square => "square",
            Self::Powi(_) => "powi",
            Self::Powf(_) => "powf",
            Self::Abs => "abs",
        }
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        Ok(smallvec![inputs[0]])
    }

    fn eval(&self, cx: &mut Eval<'_, '_, T>) {
        self.compute(cx.outputs[0], cx.inputs[0]);
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dx: &[Tangent<'t, T>],
    ) -> Result<Tangents<'t, T>, Error> {
        let dx = &dx[0];
        Ok(smallvec![match *self {
            Self::Offset(_) => dx.clone(),
            Self::Scale(c) => dx.scale_by(r, c),
            Self::Abs => dx.scale(sign(r, x[0])),
            _ => dx.scale(self.derivative(x[0], y[0]).expect("only affine functions have none")),
        }])
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<T>,
        x: &[Var<'t, T>],
        y: &[Var<'t, T>],
        dy: &[Option<Var<'t, T>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, T>, Error> {
        Ok(cotangent(dy, need, |dy| match *self {
            Self::Offset(_) => dy,
            Self::Scale(c) => dy * c,
            Self::Abs => dy * sign(r, x[0]),
            _ => {
                let d = self.derivative(x[0], y[0]).expect("only affine functions have none");
                // Any derivative is NaN where the value is: a zero cotangent stays zero.
                dy.chain(d)
            }
        }))
    }

    fn key(&self) -> Option<Key> {
        let (a, b) = match *self {
            Self::Scale(c) => (0, c.f64().to_bits()),
            Self::Offset(c) => (1, c.f64().to_bits()),
            Self::Powf(c) => (2, c.f64().to_bits()),
            Self::Powi(n) => (3, n as u64),
            Self::Exp => (4, 0),
            Self::ExpM1 => (5, 0),
            Self::Ln => (6, 0),
            Self::Ln1p => (7, 0),
            Self::Tanh => (8, 0),
            Self::Sigmoid => (9, 0),
            Self::Softplus => (10, 0),
            Self::Sinh => (11, 0),
            Self::Cosh => (12, 0),
            Self::Asinh => (13, 0),
            Self::Sin => (14, 0),
            Self::Cos => (15, 0),
            Self::Erf => (16, 0),
            Self::NormalQuantile => (17, 0),
            Self::Sqrt => (18, 0),
            Self::Recip => (19, 0),
            Self::Square => (20, 0),
            Self::Abs => (21, 0),
        };
        Some(key::<Self>(a, b))
    }
}

/// `+1` where `x >= 0`, else `-1`: locally constant, so a mask and not a function.
fn sign<'t, T: Real>(r: &'t Recorder<T>, x: Var<'t, T>) -> Var<'t, T> {
    let one = r.full(x.shape(), T::ONE);
    x.ge(r.scalar(T::ZERO)).select(one, -one)
}
