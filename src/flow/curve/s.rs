//! The S: two arcs of a circle of radius `R` that meet at the origin and bend to opposite sides.

use super::Curve;
use eigenflow_autodiff::{Mask, Var};
use eigenflow_linalg::Real;
use std::f64::consts::{PI, TAU};

/// `m(t) = (R sin a, s R (cos a - 1))` with `a = t/R` and `s = sgn t`; `t` is arc length, `κ = -s/R`.
///
/// The tube is `|t| < 3πR/2`, `|w| < R`. With longer arcs it would meet itself: the circles of both halves, about
/// `(0, -R)` and `(0, R)`, touch at the origin, where `t → 2πR` comes back. Within it the halves are disjoint: a
/// point within `2R` of both centres is seen from either less than a right angle off the common axis, on
/// the side of its own `x`, and the missing quarter turn of each half is that of the other side.
#[derive(Clone, Copy, Debug)]
pub(in crate::flow) struct SCurve {
    pub radius: f64,
}

/// The longest angle of either arc.
const LONGEST: f64 = 1.5 * PI;

impl SCurve {
    /// `(s, sin a, cos a)`; at `t = 0` the right-hand side is taken.
    fn angle<T: Real>(self, t: Var<'_, T>) -> [Var<'_, T>; 3] {
        let one = t.recorder().scalar(T::ONE);
        let a = t * T::of(self.radius.recip());
        [t.ge(t.recorder().scalar(T::ZERO)).select(one, -one), a.sin(), a.cos()]
    }
}

impl Curve for SCurve {
    fn coordinates(&self, [x, z]: [f64; 2]) -> Option<[f64; 2]> {
        let r = self.radius;
        let both = x.hypot(z + r) < 2.0 * r && x.hypot(z - r) < 2.0 * r;
        let positive = if both { x >= 0.0 } else { z < 0.0 };
        let s = if positive { 1.0 } else { -1.0 };
        // The half t < 0 is the other one mirrored in the origin.
        let (x, z) = (s * x, s * z);
        let rho = x.hypot(z + r);
        // ρ - R, from the displacement from the origin, which may be small against R.
        let w = s * ((x * x + z * z) + 2.0 * r * z) / (rho + r);
        let angle = x.atan2(z + r);
        let angle = if angle < 0.0 { angle + TAU } else { angle };
        (angle < LONGEST && w.abs() < r && rho > 0.0).then_some([s * r * angle, w])
    }

    fn contains<'t, T: Real>(&self, t: Var<'t, T>, w: Var<'t, T>) -> Mask<'t, T> {
        let below = |v: Var<'t, T>, limit: f64| v.abs().lt(v.recorder().scalar(T::of(limit)));
        below(t, LONGEST * self.radius).and(below(w, self.radius))
    }

    fn point<'t, T: Real>(&self, t: Var<'t, T>) -> [Var<'t, T>; 2] {
        let ([s, sin, _], r) = (self.angle(t), T::of(self.radius));
        // cos a - 1 = -2 sin²(a/2)
        let half = (t * T::of(0.5 / self.radius)).sin();
        [sin * r, s * half.square() * (r * T::of(-2.0))]
    }

    fn tangent<'t, T: Real>(&self, t: Var<'t, T>) -> [Var<'t, T>; 2] {
        let [s, sin, cos] = self.angle(t);
        [cos, -(s * sin)]
    }

    fn stretch<'t, T: Real>(&self, t: Var<'t, T>, w: Var<'t, T>) -> Var<'t, T> {
        let [s, ..] = self.angle(t);
        s * w * T::of(self.radius.recip()) + T::ONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every point of the tube has its own coordinates: they come back from `m + w n` on a dense grid.
    #[test]
    fn coordinates_are_unique_in_the_tube() {
        let curve = SCurve { radius: 2.0 };
        for i in -199..200_i32 {
            for j in -19..20_i32 {
                let (t, w) = (f64::from(i) / 200.0 * LONGEST * 2.0, f64::from(j) / 20.0 * 2.0);
                let (a, s) = (t / 2.0, if t < 0.0 { -1.0 } else { 1.0 });
                let x = [2.0 * a.sin() + w * s * a.sin(), s * 2.0 * (a.cos() - 1.0) + w * a.cos()];
                let found = curve.coordinates(x).unwrap();
                assert!((found[0] - t).abs() < 1e-12 && (found[1] - w).abs() < 1e-12, "{t} {w}: {found:?}");
            }
        }
        for outside in
            [[0.0, -6.1], [0.0, 6.1], [6.0, 0.0], [-3.0, -1.0], [f64::NAN, 0.0], [f64::INFINITY, 0.0]]
        {
            assert_eq!(curve.coordinates(outside), None, "{outside:?}");
        }
    }
}
