//! The spiral of Archimedes.

use super::Curve;
use eigenflow_autodiff::{Mask, Var};
use eigenflow_linalg::Real;
use std::f64::consts::TAU;

/// `m(t) = c + a (t cos t, t sin t)`, `t0 < t < t1`: pitch `a`, axis `c`. `|m'| = a √(1+t²)`,
/// `κ = (2+t²) / (a (1+t²)^{3/2})`; the left normal points inwards.
///
/// The tube is `|w| < 3a`. From `t0 >= π` on the radius of curvature is at least `3.02 a` and turns are at least
/// `6.18 a` apart, so the nearest point of the spiral is unique in it.
#[derive(Clone, Copy, Debug)]
pub(in crate::flow) struct Spiral {
    pub pitch: f64,
    pub axis: [f64; 2],
    pub from: f64,
    pub to: f64,
}

/// Half width of the tube in pitches.
const REACH: f64 = 3.0;
/// Most Newton steps; half a dozen are usual, more at the inner end where the tube is nearly as wide as its radius.
const STEPS: usize = 40;

impl Spiral {
    /// `√(1+t²)`.
    fn speed<T: Real>(t: Var<'_, T>) -> Var<'_, T> {
        (t.square() + T::ONE).sqrt()
    }

    /// The foot of the point `r (cos θ, sin θ)` near the turn through `t`, and its `w`, in pitches: a root of
    /// `m'·(p - m) = r [cos(θ-t) + t sin(θ-t)] - t`.
    fn foot(r: f64, theta: f64, mut t: f64) -> [f64; 2] {
        for _ in 0..STEPS {
            let (sin, cos) = (theta - t).sin_cos();
            let step = (r * (cos + t * sin) - t) / (r * (2.0 * sin - t * cos) - 1.0);
            t -= step;
            if !(step.abs() > f64::EPSILON * t.abs()) {
                break;
            }
        }
        let (sin, cos) = (theta - t).sin_cos();
        [t, (t * t - r * (t * cos - sin)) / t.hypot(1.0)]
    }
}

impl Curve for Spiral {
    fn coordinates(&self, [x, z]: [f64; 2]) -> Option<[f64; 2]> {
        let (x, z) = ((x - self.axis[0]) / self.pitch, (z - self.axis[1]) / self.pitch);
        let (r, theta) = (x.hypot(z), z.atan2(x));
        // The turns on either side of the point.
        let turn = ((r - theta) / TAU).floor();
        let feet = [turn, turn + 1.0].map(|k| Self::foot(r, theta, theta + TAU * k));
        let inside = |[t, w]: &[f64; 2]| w.abs() < REACH && self.from < *t && *t < self.to;
        let near = feet.into_iter().filter(inside).min_by(|a, b| a[1].abs().total_cmp(&b[1].abs()))?;
        Some([near[0], self.pitch * near[1]])
    }

    fn contains<'t, T: Real>(&self, t: Var<'t, T>, w: Var<'t, T>) -> Mask<'t, T> {
        let scalar = |v: f64| t.recorder().scalar(T::of(v));
        let along = t.gt(scalar(self.from)).and(t.lt(scalar(self.to)));
        along.and(w.abs().lt(scalar(REACH * self.pitch)))
    }

    fn point<'t, T: Real>(&self, t: Var<'t, T>) -> [Var<'t, T>; 2] {
        let place = |v: Var<'t, T>, c: f64| t * v * T::of(self.pitch) + T::of(c);
        [place(t.cos(), self.axis[0]), place(t.sin(), self.axis[1])]
    }

    fn tangent<'t, T: Real>(&self, t: Var<'t, T>) -> [Var<'t, T>; 2] {
        let (sin, cos, speed) = (t.sin(), t.cos(), Self::speed(t));
        [(cos - t * sin) / speed, (sin + t * cos) / speed]
    }

    fn stretch<'t, T: Real>(&self, t: Var<'t, T>, w: Var<'t, T>) -> Var<'t, T> {
        let square = t.square();
        Self::speed(t) * T::of(self.pitch) - w * (square + T::of(2.0)) / (square + T::ONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    /// Every point of the tube has its own coordinates: they come back from `m + w n` on a dense grid.
    #[test]
    fn coordinates_are_unique_in_the_tube() {
        let curve = Spiral { pitch: 0.5, axis: [1.0, -2.0], from: PI, to: 30.0 };
        for i in 1..600_i32 {
            for j in -19..20_i32 {
                let (t, w) = (PI + f64::from(i) / 600.0 * (30.0 - PI), f64::from(j) / 20.0 * 1.5);
                let ((sin, cos), speed) = (t.sin_cos(), t.hypot(1.0));
                let normal = [-(sin + t * cos) / speed, (cos - t * sin) / speed];
                let x = [1.0 + 0.5 * t * cos + w * normal[0], -2.0 + 0.5 * t * sin + w * normal[1]];
                let found = curve.coordinates(x).unwrap();
                assert!((found[0] - t).abs() < 1e-11 && (found[1] - w).abs() < 1e-11, "{t} {w}: {found:?}");
            }
        }
        for outside in [[1.0, -2.0], [40.0, 0.0], [f64::NAN, 0.0], [f64::INFINITY, 0.0]] {
            assert_eq!(curve.coordinates(outside), None, "{outside:?}");
        }
    }
}
