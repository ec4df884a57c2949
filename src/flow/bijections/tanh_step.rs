//! The step `t ↦ t + p tanh t`, `p > -1`, which planar and Sylvester layers take along their axes: its slope and its inverse.

use crate::flow::number::Number;
use eigenflow_autodiff::implicit::{Equation, Structure, solve};
use eigenflow_autodiff::primitive::{Eval, shape_error};
use eigenflow_autodiff::{Error, Shape, Var};
use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::scalar::{exp, tanh};

/// Least slope of the step at 0, and so everywhere.
const LEAST: f64 = 1e-3;

/// The slope `1 + p > 0` of the step at 0 from an unbounded number; 1 (`p = 0`, the identity) at 0.
///
/// D. J. Rezende, S. Mohamed, *Variational inference with normalizing flows*, 2015, appendix A.1, with the least slope
/// and the start added.
pub(super) fn steepness<N: Number>(raw: N) -> N {
    raw.plus((1.0 - LEAST).exp_m1().ln()).softplus().plus(LEAST)
}

/// `ln d(t + p tanh t)/dt` for `q = 1 + p`: a sum of positive terms, `q sech² t + tanh² t`.
pub(super) fn log_slope<N: Number>(q: N, t: N) -> N {
    let sech = (t.times(2.0).sigmoid() * t.times(-2.0).sigmoid()).times(4.0);
    let tanh = t.tanh();
    (q * sech + tanh * tanh).ln()
}

/// Records the `t` at which `t + p tanh t = s`, column by column; `p` is the same for all rows.
pub(super) fn invert<'t, T: Real>(p: Var<'t, T>, s: Var<'t, T>) -> Var<'t, T> {
    solve(TanhStep, &[p, s])
}

/// `t + p tanh t = s`.
#[derive(Clone, Copy, Debug)]
struct TanhStep;

/// Most steps of Newton's method; a root next to a slope of `1e-3`, or at the edge of saturation, takes some 60.
const MOST: usize = 200;

impl<T: Real> Equation<T> for TanhStep {
    fn name(&self) -> &'static str {
        "tanh step, inverted"
    }

    fn structure(&self) -> Structure {
        Structure::Diagonal
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, Error> {
        let m = inputs[1].cols();
        if inputs[1] == Shape::batch(m) && inputs[0] == Shape::shared(1, m) {
            return Ok(inputs[1]);
        }
        shape_error("tanh step, inverted", inputs, "a shared row, and a batch of as many columns")
    }

    fn residual<'t>(&self, x: &[Var<'t, T>], t: Var<'t, T>) -> Var<'t, T> {
        t + x[0] * t.tanh() - x[1]
    }

    fn solve(&self, cx: &mut Eval<'_, '_, T>) {
        let p = cx.inputs[0];
        if p.is_empty() {
            return;
        }
        for (t, s) in cx.outputs[0].chunks_exact_mut(p.len()).zip(cx.inputs[1].chunks_exact(p.len())) {
            for ((t, &s), &p) in t.iter_mut().zip(s).zip(p) {
                *t = root(p, s);
            }
        }
    }
}

/// The root by Newton's method from a side from which it runs one way: the step is concave on the right of 0 if `p > 0`
/// (from below, rising) and convex if not (from above, falling). It ends where rounding turns it round.
fn root<T: Real>(p: T, s: T) -> T {
    if !(p > -T::ONE && p.is_finite() && s.is_finite()) {
        return T::NAN;
    }
    let a = s.abs();
    // tanh t <= min(1, t)
    let (far, near) = (a - p, a / (T::ONE + p));
    let rising = p > T::ZERO;
    let mut t = if rising { far.maximum(near) } else { far.minimum(near) };
    for _ in 0..MOST {
        let e = exp(-(t + t));
        let sech = T::of(4.0) * e / ((T::ONE + e) * (T::ONE + e));
        let next = t - (t + p * tanh(t) - a) / (T::ONE + p * sech);
        if !(if rising { next > t } else { next < t }) {
            return if s < T::ZERO { -t } else { t };
        }
        t = next;
    }
    T::NAN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::number::Bounded;

    fn roots<T: Real>() {
        for raw in [-1e6, -40.0, -3.0, -0.5, 0.0, 1e-3, 2.0, 30.0, 1e4, 1e6, 1e12] {
            let p = T::of(steepness(Bounded::exact(raw)).value) - T::ONE;
            for size in [0.0, 1e-30, 1e-12, 1e-4, 0.3, 0.999, 1.0, 5.0, 40.0, 1e3, 1e9] {
                // Also on the edge where the step saturates.
                for s in [T::of(size), -T::of(size), p * T::of(0.999), p + T::of(size)] {
                    let t = root(p, s);
                    // Backward error: a few roundings of the terms, and the spacing of subnormal roots times the slope.
                    let terms = t.f64().abs() + (p.f64() * t.f64().tanh()).abs() + s.f64().abs();
                    let subnormal = T::MIN_POSITIVE.f64() * (1.0 + p.f64().abs());
                    let residual = t.f64() + p.f64() * t.f64().tanh() - s.f64();
                    assert!(
                        residual.abs() <= 16.0 * T::EPS.f64() * (terms + subnormal),
                        "{p:?} {s:?}: {t:?}, {residual:e}"
                    );
                }
            }
        }
        assert!(root(T::of(-1.0), T::ONE).is_nan() && root(T::ONE, T::INFINITY).is_nan());
    }

    #[test]
    fn the_root_solves_its_equation_to_rounding() {
        roots::<f64>();
        roots::<f32>();
    }

    #[test]
    fn the_slope_is_positive_and_one_at_the_start() {
        assert!((steepness(Bounded::exact(0.0)).value - 1.0).abs() < 1e-15);
        for raw in [-1e300, -1e6, -3.0, 4.0, 1e6] {
            let q = steepness(Bounded::exact(raw));
            for t in [0.0, 1e-9, 1.0, 30.0, 1e6] {
                let log = log_slope(q, Bounded::exact(t)).value;
                assert!(log.is_finite() && log >= LEAST.ln() - 1e-12, "{raw} {t}: {log}");
            }
        }
    }
}
