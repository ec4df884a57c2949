//! Normal noise around a circular arc in the plane: density by quadrature, entropy on a grid.

use rayon::prelude::*;
use std::f64::consts::PI;
use std::sync::LazyLock;

/// Log-density at the point `(c, s)` of `(cos θ, sin θ) + noise · N(0, I)`, where `θ` has density
/// `weight` on `[from, to]`, a part of `[0, 2π]`.
///
/// With `(c, s) = r (cos φ, sin φ)` and `κ = r / noise²` it is
/// `-ln(2π noise²) - (r - 1)² / 2 noise² + ln ∫ weight(θ) exp(-κ (1 - cos(θ - φ))) dθ`.
/// The exponent grows away from its least value on the arc, so panels end where it has grown by 8 and
/// by 45 (a tail below e^-45), are at most 0.8 long, and carry 16-point Gauss-Legendre rules. For
/// weights that vary on a scale of 1 the relative error is near rounding.
pub(super) fn log_density(
    (c, s): (f64, f64),
    noise: f64,
    (from, to): (f64, f64),
    weight: impl Fn(f64) -> f64,
) -> f64 {
    let (r, phi) = (c.hypot(s), s.atan2(c));
    let kappa = r / (noise * noise);
    // Angles from the point's own, by way of either of its copies that is within half a turn.
    let sides = [phi, phi + 2.0 * PI].map(|phi| (phi, (from - phi).max(-PI), (to - phi).min(PI)));
    let sides = sides.into_iter().filter(|&(_, a, b)| a < b);
    let nearest = |(a, b): (f64, f64)| {
        if a > 0.0 {
            a
        } else if b < 0.0 {
            -b
        } else {
            0.0
        }
    };
    let least = sides.clone().map(|(_, a, b)| nearest((a, b))).fold(PI, f64::min);
    let least_half = (least / 2.0).sin().powi(2);
    // Angle at which the exponent is `growth` above its least value: 1 - cos d = 2 sin²(d / 2).
    let reach = |growth: f64| 2.0 * (least_half + growth / (2.0 * kappa)).min(1.0).sqrt().asin();
    let (near, far) = (reach(8.0), reach(45.0));
    let mut integral = 0.0;
    for (phi, a, b) in sides {
        for (sign, low, high) in [(1.0, a.max(0.0), b), (-1.0, (-b).max(0.0), -a)] {
            let integrand = |d: f64| {
                // cos(least) - cos(d), without cancellation.
                let rise = 2.0 * (0.5 * (d + least)).sin() * (0.5 * (d - least)).sin();
                weight(phi + sign * d) * (-kappa * rise).exp()
            };
            integral += panels(low, high.min(near), integrand);
            integral += panels(low.max(near), high.min(far), integrand);
        }
    }
    let radial = (r - 1.0) / noise;
    log_peak(noise) - 0.5 * radial * radial - 2.0 * kappa * least_half + integral.ln()
}

/// An upper bound of [`log_density`] at distance `r` from the centre, for weights of total at most 1.
pub(super) fn log_bound(r: f64, noise: f64) -> f64 {
    log_peak(noise) - 0.5 * ((r - 1.0) / noise).powi(2)
}

/// `ln(e^a + e^b)`.
pub(super) fn log_add(a: f64, b: f64) -> f64 {
    let (small, large) = if a < b { (a, b) } else { (b, a) };
    if large == f64::NEG_INFINITY { large } else { large + (small - large).exp().ln_1p() }
}

/// Entropy `-∫ p ln p` of a density on the line or in the plane, from its logarithm, by the trapezoid
/// rule with `per_noise` points per unit of noise on a box that is widened by 9 units of noise.
///
/// A density with normal noise is analytic, and the rule converges exponentially in `per_noise`.
/// The sum is taken in a fixed order: the same bits for any number of threads.
pub(super) fn entropy(
    log_density: impl Fn(f64, f64) -> f64 + Sync,
    noise: f64,
    boxed: [(f64, f64); 2],
    per_noise: f64,
) -> f64 {
    let integrand = |x: f64, y: f64| {
        let log_p = log_density(x, y);
        if log_p > -700.0 { -log_p * log_p.exp() } else { 0.0 }
    };
    integral(integrand, noise, boxed, per_noise)
}

/// The integral of `f` by the rule of [`entropy`].
pub(super) fn integral(
    f: impl Fn(f64, f64) -> f64 + Sync,
    noise: f64,
    boxed: [(f64, f64); 2],
    per_noise: f64,
) -> f64 {
    let step = noise / per_noise;
    let [x, y] = boxed.map(|(low, high)| {
        // A side without extent stands for a density on the line.
        let points = if low < high { ((high - low + 18.0 * noise) / step).ceil() as usize + 1 } else { 1 };
        (if points > 1 { low - 9.0 * noise } else { low }, points)
    });
    let line = |i: usize| (0..y.1).map(|j| f(x.0 + i as f64 * step, y.0 + j as f64 * step)).sum::<f64>();
    let lines: Vec<f64> = (0..x.1).into_par_iter().map(line).collect();
    lines.iter().sum::<f64>() * step * if y.1 > 1 { step } else { 1.0 }
}

/// Noise for which [`entropy`] is a matter of a second or so, with unit arcs.
pub(super) fn entropy_is_cheap(noise: f64) -> bool {
    noise >= 0.01
}

/// Log-density at its peak of normal noise in the plane, `-ln 2πσ²`.
pub(super) fn log_peak(noise: f64) -> f64 {
    -(2.0 * PI).ln() - 2.0 * noise.ln()
}

/// Integral from `low` to `high`, panels at most 0.8 long; 0 where `high <= low`.
fn panels(low: f64, high: f64, f: impl Fn(f64) -> f64) -> f64 {
    if low >= high {
        return 0.0;
    }
    let count = ((high - low) / 0.8).ceil();
    let half = (high - low) / (2.0 * count);
    let rule: &[(f64, f64); POINTS] = &RULE;
    let panel = |k: usize| {
        let middle = low + (2 * k + 1) as f64 * half;
        rule.iter().map(|&(x, w)| w * f(middle + half * x)).sum::<f64>()
    };
    half * (0..count as usize).map(panel).sum::<f64>()
}

const POINTS: usize = 16;

/// Gauss-Legendre nodes and weights on [-1, 1]: roots of the Legendre polynomial by Newton's method
/// from the usual guess (Press et al., Numerical Recipes, 3rd ed., section 4.6.1).
pub(super) static RULE: LazyLock<[(f64, f64); POINTS]> = LazyLock::new(|| {
    let n = POINTS as f64;
    std::array::from_fn(|i| {
        let mut x = (PI * (i as f64 + 0.75) / (n + 0.5)).cos();
        let mut slope = 1.0;
        for _ in 0..8 {
            let (mut p, mut previous) = (1.0, 0.0);
            for k in 1..=POINTS {
                let k = k as f64;
                (p, previous) = (((2.0 * k - 1.0) * x * p - (k - 1.0) * previous) / k, p);
            }
            slope = n * (x * p - previous) / (x * x - 1.0);
            x -= p / slope;
        }
        (x, 2.0 / ((1.0 - x * x) * slope * slope))
    })
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_exact_to_degree_31() {
        for degree in 0..32 {
            let integral: f64 = RULE.iter().map(|&(x, w)| w * x.powi(degree)).sum();
            let exact = if degree % 2 == 0 { 2.0 / f64::from(degree + 1) } else { 0.0 };
            assert!((integral - exact).abs() < 1e-14, "degree {degree}: {integral} and {exact}");
        }
    }

    /// Against the plain trapezoid rule on the periodic integrand of a uniform full circle, and
    /// against brute force on a part of it, from far inside to far outside, wide noise to thin.
    #[test]
    fn densities_agree_with_brute_force() {
        for noise in [0.01, 0.1, 1.0, 30.0] {
            for r in [0.0, 0.3, 1.0, 1.0 + 3.0 * noise] {
                for phi in [0.0_f64, 0.01, 1.0, 2.0, 3.1, 4.0, 6.2] {
                    for (from, to) in [(0.0, 2.0 * PI), (0.0, PI), (PI, 2.0 * PI), (1.0, 1.5)] {
                        let (c, s) = (r * phi.cos(), r * phi.sin());
                        let weight = |t: f64| (-t / 2.0).exp();
                        let log_p = log_density((c, s), noise, (from, to), weight);
                        let q =
                            |t: f64| ((c - t.cos()).powi(2) + (s - t.sin()).powi(2)) / (2.0 * noise * noise);
                        let count = 4000;
                        let t = |i: usize| from + (to - from) * (i as f64 + 0.5) / count as f64;
                        let least =
                            (0..count).map(|i| q(t(i))).fold(f64::INFINITY, f64::min).min(q(from)).min(q(to));
                        // Composite Gauss-Legendre on 4000 panels of the untransformed integrand.
                        let half = (to - from) / (2.0 * count as f64);
                        let sum: f64 = (0..count)
                            .map(|i| {
                                let value =
                                    |x: f64| weight(t(i) + half * x) * (least - q(t(i) + half * x)).exp();
                                RULE.iter().map(|&(x, w)| w * half * value(x)).sum::<f64>()
                            })
                            .sum();
                        let brute = sum.ln() - least - (2.0 * PI * noise * noise).ln();
                        // The brute exponent itself is only good to its size times rounding.
                        let tolerance = 1e-12 + 1e-15 * least * 4.0;
                        assert!(
                            (log_p - brute).abs() < tolerance,
                            "{noise} {r} {phi} {from} {to}: {log_p} {brute}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn entropy_of_a_normal_is_known() {
        let normal = |x: f64, y: f64| log_peak(0.3) - (x * x + y * y) / (2.0 * 0.09);
        let exact = 1.0 + (2.0 * PI * 0.09).ln();
        assert!((entropy(normal, 0.3, [(-0.1, 0.1), (-0.1, 0.1)], 2.0) - exact).abs() < 1e-12);
    }
}
