//! Two spirals in the plane: density by quadrature along them.

use super::arc;
use super::draw::{names, normal, rows};
use super::{Builtin, Parameter, Parameters};
use crate::data::{Error, Table};
use rand::RngExt;
use std::f64::consts::PI;

pub(super) static SET: Builtin = Builtin {
    name: "spirals",
    summary: "two spirals: (t cos t, t sin t) / 3 and its mirror image in the origin, t = 3 pi sqrt(u), u ~ U(0, 1), + noise",
    licence: None,
    parameters: &[Parameter::rows(20_000, u32::MAX as u64), Parameter::noise(0.1), Parameter::seed()],
    dimension: |_| 2,
    intrinsic: |_| Some(1),
    entropy: |p| spirals_entropy(p.real("noise")),
    make,
};

/// Where a spiral ends.
const END: f64 = 3.0 * PI;
/// Units of the angle in one unit of the radius.
const PITCH: f64 = 3.0;

fn point(t: f64) -> (f64, f64) {
    (t * t.cos() / PITCH, t * t.sin() / PITCH)
}

fn make(parameters: &Parameters) -> Result<Table, Error> {
    let noise = parameters.real("noise");
    rows("spirals", parameters.count("n"), parameters.seed(), &names(&["x", "y"]), |generator, row| {
        let (mirrored, t) = (generator.random::<bool>(), END * generator.random::<f64>().sqrt());
        let (sign, (x, y)) = (if mirrored { -1.0 } else { 1.0 }, point(t));
        row[0] = sign * x + noise * normal(generator);
        row[1] = sign * y + noise * normal(generator);
    })
}

/// The two spirals with isotropic noise, prepared for many points.
///
/// The integral over `t` (density `2t / 9π²`) is cut into panels at most two units of noise long on the curve, each with a
/// 16-point Gauss-Legendre rule: relative error near rounding. Panels that add less than `e^-45` of the nearest one are
/// passed over. Cost of a density: one distance a panel, and a few hundred exponentials.
#[derive(Clone, Debug)]
pub struct Spirals {
    noise: f64,
    panels: Vec<Panel>,
}

/// Points of a piece of the curve, with weights.
#[derive(Clone, Debug)]
struct Panel {
    middle: (f64, f64),
    /// Largest distance of a node from the middle.
    radius: f64,
    nodes: Vec<(f64, f64, f64)>,
}

impl Spirals {
    /// For a positive noise; `None` for any other, and below 0.005, where the panels would be many.
    pub fn new(noise: f64) -> Option<Self> {
        if !(noise >= 0.005 && noise.is_finite()) {
            return None;
        }
        let mut panels = Vec::new();
        let mut from = 0.0;
        while from < END {
            // Speed of the curve: √(1 + t²) / 3, at most this on the panel.
            let fastest = (1.0 + (from + 1.0) * (from + 1.0)).sqrt() / PITCH;
            let half = 0.5 * (2.0 * noise / fastest).min(0.5).min(END - from);
            let at = |x: f64| from + half + half * x;
            let nodes: Vec<(f64, f64, f64)> = arc::RULE
                .iter()
                .map(|&(x, w)| {
                    let (t, (a, b)) = (at(x), point(at(x)));
                    (a, b, w * half * 2.0 * t / (END * END))
                })
                .collect();
            let middle = point(at(0.0));
            let radius = nodes.iter().map(|n| (n.0 - middle.0).hypot(n.1 - middle.1)).fold(0.0, f64::max);
            panels.push(Panel { middle, radius, nodes });
            from += 2.0 * half;
        }
        Some(Self { noise, panels })
    }

    /// Log-density in nats. NaN where a number is not finite.
    pub fn log_density(&self, [x, y]: [f64; 2]) -> f64 {
        if !(x.is_finite() && y.is_finite()) {
            return f64::NAN;
        }
        let both = arc::log_add(self.one(x, y), self.one(-x, -y));
        both - 2.0_f64.ln() + arc::log_peak(self.noise)
    }

    /// `ln ∫ weight(t) exp(-|x - c(t)|² / 2σ²) dt` of one spiral.
    fn one(&self, x: f64, y: f64) -> f64 {
        let distance = |p: &Panel| (x - p.middle.0).hypot(y - p.middle.1);
        // Some node of some panel is at most this far.
        let near = self.panels.iter().map(|p| distance(p) + p.radius).fold(f64::INFINITY, f64::min);
        let reach = (near * near + 90.0 * self.noise * self.noise).sqrt();
        let nodes = || {
            let panels = self.panels.iter().filter(|p| distance(p) - p.radius <= reach);
            panels.flat_map(|p| &p.nodes).map(|&(a, b, weight)| {
                (0.5 * (((x - a) / self.noise).powi(2) + ((y - b) / self.noise).powi(2)), weight)
            })
        };
        // Of the nearest node itself: far from the curve a bound of it would be off by more than an exponential has.
        let least = nodes().map(|(exponent, _)| exponent).fold(f64::INFINITY, f64::min);
        nodes().map(|(exponent, weight)| weight * (least - exponent).exp()).sum::<f64>().ln() - least
    }
}

/// Log-density in nats of the two spirals with isotropic noise; of many points: [`Spirals`]. NaN unless all numbers are
/// finite and the noise is at least 0.005.
///
/// ```
/// use eigenflow::data::builtin::spirals_log_density;
/// // Much noise: nearly normal about the origin, with E|c|² = E t²/9 = π²/2 over two columns.
/// let variance = 1e4 + std::f64::consts::PI.powi(2) / 4.0;
/// let normal = -(2.0 * std::f64::consts::PI * variance).ln();
/// assert!((spirals_log_density([0.0, 0.0], 100.0) - normal).abs() < 1e-6);
/// ```
pub fn spirals_log_density(point: [f64; 2], noise: f64) -> f64 {
    Spirals::new(noise).map_or(f64::NAN, |s| s.log_density(point))
}

/// Entropy in nats of the two spirals with isotropic noise, by quadrature on a grid. `None` for noise below 0.02, where the
/// grid would be large.
pub fn spirals_entropy(noise: f64) -> Option<f64> {
    let spirals = Spirals::new(noise).filter(|_| noise >= 0.02)?;
    let side = (-END / PITCH, END / PITCH);
    Some(arc::entropy(|x, y| spirals.log_density([x, y]), noise, [side, side], 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far out the nearest end of a curve decides.
    #[test]
    fn far_points_have_a_finite_density() {
        for (x, y, noise) in [(0.0, 8.0, 0.005), (20.0, 20.0, 0.02), (200.0, -100.0, 0.1), (1e6, 0.0, 0.1)] {
            let nearest = (0..=10_000)
                .flat_map(|i| [1.0, -1.0].map(|s| (point(END * f64::from(i) / 10_000.0), s)))
                .map(|((a, b), s)| (x - s * a).hypot(y - s * b))
                .fold(f64::INFINITY, f64::min);
            let least = 0.5 * (nearest / noise).powi(2);
            let found = spirals_log_density([x, y], noise);
            assert!((found / -least - 1.0).abs() < 1e-2, "({x}, {y}): {found} and {}", -least);
        }
    }

    /// Against Simpson's rule on the definition, 200,000 panels, from thin to wide and from inside to far outside.
    #[test]
    fn densities_agree_with_the_definition() {
        for noise in [0.02, 0.1, 0.5, 5.0] {
            for (x, y) in [(0.0, 0.0), (0.3, -0.4), (3.1, 0.02), (-1.0, 1.2), (2.0, 5.0), (0.01, 0.0)] {
                let n = 200_000;
                let q = |t: f64, sign: f64| {
                    let (a, b) = point(t);
                    ((x - sign * a).powi(2) + (y - sign * b).powi(2)) / (2.0 * noise * noise)
                };
                let t = |i: i32| END * f64::from(i) / f64::from(n);
                let both = || [1.0, -1.0].into_iter().flat_map(|s| (0..=n).map(move |i| (i, s)));
                let least = both().map(|(i, s)| q(t(i), s)).fold(f64::INFINITY, f64::min);
                let term = |(i, s): (i32, f64)| {
                    let simpson = if i == 0 || i == n { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
                    simpson * t(i) * (least - q(t(i), s)).exp()
                };
                let sum = both().map(term).sum::<f64>() * END / f64::from(3 * n) / (END * END);
                let brute = sum.ln() - least - (2.0 * PI * noise * noise).ln();
                let ours = spirals_log_density([x, y], noise);
                assert!(
                    (ours - brute).abs() < 1e-9 * (1.0 + 1e-4 * least),
                    "{noise} ({x}, {y}): {ours} {brute}"
                );
            }
        }
        assert!(
            spirals_log_density([0.0, f64::NAN], 0.1).is_nan()
                && spirals_log_density([0.0, 0.0], 0.0).is_nan()
        );
    }
}
