//! Plane curves, and the coordinates about them: `t` along the curve, `w` along its left normal.
//!
//! `p(t, w) = m(t) + w n(t)` is a bijection of a tube about the curve. `p` is recorded with basic primitives;
//! its inverse, which for most curves has no closed form, is one operation whose value is solved for and
//! whose derivatives are exact: `dt = τ·dp / σ` and `dw = n·dp`, with the unit tangent `τ` and the *stretch*
//! `σ = |∂p/∂t| = |m'| (1 - κ w)`, `κ` the curvature.

mod coordinates;
mod s;
mod spiral;

use coordinates::Coordinates;
use eigenflow_autodiff::{Mask, Recorder, Var};
use eigenflow_linalg::Real;
pub(super) use s::SCurve;
pub(super) use spiral::Spiral;
use std::fmt::Debug;

/// A plane curve with a tube on which the coordinates `(t, w)` are unique.
pub(super) trait Curve: Copy + Debug + Send + Sync + 'static {
    /// `(t, w)` of a point; `None` outside the tube.
    fn coordinates(&self, point: [f64; 2]) -> Option<[f64; 2]>;

    /// Records where `(t, w)` lies in the tube.
    fn contains<'t, T: Real>(&self, t: Var<'t, T>, w: Var<'t, T>) -> Mask<'t, T>;

    /// Records `m(t)`.
    fn point<'t, T: Real>(&self, t: Var<'t, T>) -> [Var<'t, T>; 2];

    /// Records the unit tangent `m' / |m'|`.
    fn tangent<'t, T: Real>(&self, t: Var<'t, T>) -> [Var<'t, T>; 2];

    /// Records `|m'| (1 - κ w)`, positive in the tube.
    fn stretch<'t, T: Real>(&self, t: Var<'t, T>, w: Var<'t, T>) -> Var<'t, T>;
}

/// Records `m(t) + w n(t)`, NaN outside the tube.
pub(super) fn roll<'t, T: Real, C: Curve>(curve: &C, t: Var<'t, T>, w: Var<'t, T>) -> [Var<'t, T>; 2] {
    let ([a, b], [cos, sin]) = (curve.point(t), curve.tangent(t));
    let inside = curve.contains(t, w);
    let outside = t.recorder().scalar(T::NAN);
    [inside.select(a - w * sin, outside), inside.select(b + w * cos, outside)]
}

/// Records the coordinates `[t, w]` of a point, NaN outside the tube.
pub(super) fn unroll<'t, T: Real, C: Curve>(curve: &C, point: [Var<'t, T>; 2]) -> [Var<'t, T>; 2] {
    let recorder: &Recorder<T> = point[0].recorder();
    let op = std::sync::Arc::new(Coordinates(*curve));
    match recorder.try_apply(op, &point) {
        Ok(out) => [out[0], out[1]],
        Err(error) => panic!("{error}"),
    }
}
