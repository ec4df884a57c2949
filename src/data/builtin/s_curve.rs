//! The S-curve: a bent sheet in space whose true density, covariance and entropy are known.

use super::arc;
use super::draw::{names, normal, rows};
use super::interval;
use super::{Builtin, Parameter, Parameters};
use crate::data::{Error, Table};
use eigenflow_linalg::Matrix;
use rand::RngExt;
use rayon::prelude::*;
use std::f64::consts::PI;

pub(super) static SET: Builtin = Builtin {
    name: "s-curve",
    summary: "a bent sheet: t ~ N(0, (0.45 pi)^2), u ~ U(0, 1), (sin t, 2u, sgn(t)(cos t - 1)) + noise",
    licence: None,
    parameters: &[Parameter::rows(20_000, u32::MAX as u64), Parameter::noise(0.1), Parameter::seed()],
    dimension: |_| 3,
    intrinsic: |_| Some(2),
    entropy: |p| s_curve_entropy(p.real("noise")),
    make,
};

/// Standard deviation of the arc length `t = 3π η₀`, `η₀ ~ N(0, 0.15²)`.
const ARC_STD: f64 = 0.45 * PI;
/// Width of the sheet.
const WIDTH: f64 = 2.0;

fn make(parameters: &Parameters) -> Result<Table, Error> {
    let noise = parameters.real("noise");
    rows("s-curve", parameters.count("n"), parameters.seed(), &names(&["x", "y", "z"]), |generator, row| {
        let t = ARC_STD * normal(generator);
        let width: f64 = generator.random();
        row[0] = t.sin() + noise * normal(generator);
        row[1] = WIDTH * width + noise * normal(generator);
        row[2] = t.signum() * (t.cos() - 1.0) + noise * normal(generator);
    })
}

/// Log-density in nats of the S-curve with isotropic noise, at `(x, y, z)`.
///
/// The width is independent of the arc. Its density is `[Φ(y/σ) - Φ((y-2)/σ)] / 2`. The arc is two
/// half-lines wound around unit circles, about `(0, -1)` for `t > 0` and, point-mirrored, about
/// `(0, 1)` for `t < 0`; each turn adds its part of the normal density of `t` to a weight on one
/// circle, and the integral over the angle is by panels around the nearest point. The relative error
/// of the density is below 1e-10 wherever the exponent `distance² / 2σ²` is below 1e5.
/// Cost: 100 to 300 exponentials. Returns NaN unless `noise` is positive and all numbers are finite.
///
/// ```
/// use eigenflow::data::builtin::s_curve_log_density;
/// // Much noise: nearly a normal density with the same variances, 0.49 + σ², 1/3 + σ², 0.77 + σ².
/// let log_p = s_curve_log_density([0.0, 1.0, 0.0], 100.0);
/// let normal = -1.5 * (2.0 * std::f64::consts::PI).ln() - 3.0 * 100.0_f64.ln();
/// assert!((log_p - normal).abs() < 1e-4);
/// ```
pub fn s_curve_log_density([x, y, z]: [f64; 3], noise: f64) -> f64 {
    if !(noise > 0.0 && [x, y, z, noise].iter().all(|v| v.is_finite())) {
        return f64::NAN;
    }
    interval::log_density(y, WIDTH, noise) + log_arcs(x, z, noise)
}

/// [`s_curve_log_density`] of every row, in parallel.
///
/// # Errors
/// A matrix without exactly three columns, or noise that is not a positive number.
pub fn s_curve_log_densities(points: &Matrix<f64>, noise: f64) -> Result<Vec<f64>, Error> {
    if points.cols() != 3 {
        return Err(Error::Shape {
            file: "true density of the S-curve".into(),
            shape: vec![points.rows(), points.cols()],
            remedy: "give the three columns x, y, z",
        });
    }
    if !(noise > 0.0 && noise.is_finite()) {
        let (key, value) = ("noise".into(), noise.to_string());
        let wanted = "positive where a density is asked for".into();
        return Err(Error::BadParameter { name: SET.name, key, value, wanted });
    }
    let rows = points.data().par_chunks_exact(3);
    Ok(rows.map(|row| s_curve_log_density([row[0], row[1], row[2]], noise)).collect())
}

/// Entropy in nats of the S-curve with isotropic noise, by quadrature on a grid (the width apart from
/// the arc), to about 1e-9. `None` for noise below 0.01, where the grid would be large.
///
/// ```
/// let entropy = eigenflow::data::builtin::s_curve_entropy(0.1).unwrap();
/// // The law for little noise: ½ ln(2πe 0.45²π²) + ln 2 + ½ ln(2πe σ²) + 0.9032 σ.
/// let tau_e = (2.0 * std::f64::consts::PI * std::f64::consts::E).ln();
/// let law = tau_e + (0.45 * std::f64::consts::PI).ln() + 2.0_f64.ln() + 0.1_f64.ln() + 0.09032;
/// assert!((entropy - law).abs() < 0.01);
/// ```
pub fn s_curve_entropy(noise: f64) -> Option<f64> {
    arc::entropy_is_cheap(noise).then(|| entropy_on_grid(noise, 2.0))
}

fn entropy_on_grid(noise: f64, per_noise: f64) -> f64 {
    let width = arc::entropy(
        |y, _| interval::log_density(y, WIDTH, noise),
        noise,
        [(0.0, WIDTH), (0.0, 0.0)],
        per_noise,
    );
    let arcs = arc::entropy(|x, z| log_arcs(x, z, noise), noise, [(-1.0, 1.0), (-2.0, 2.0)], per_noise);
    width + arcs
}

/// Log-density of `(sin t, sgn(t)(cos t - 1)) + noise`.
fn log_arcs(x: f64, z: f64, noise: f64) -> f64 {
    // The half t < 0 is the half t > 0 mirrored in the origin.
    let bounds = [z, -z].map(|z| arc::log_bound(x.hypot(z + 1.0), noise));
    let (likely, other) = if bounds[0] >= bounds[1] { (1.0, 1) } else { (-1.0, 0) };
    let half = |sign: f64| arc::log_density((sign * z + 1.0, sign * x), noise, (0.0, 2.0 * PI), weight);
    let first = half(likely);
    if bounds[other] < first - 45.0 { first } else { arc::log_add(first, half(-likely)) }
}

/// Density of `t > 0` at the angle `θ` in `[0, 2π]`: the sum over turns `t = θ + 2πk`. Four turns:
/// the fifth is `e^-150` of the first.
fn weight(angle: f64) -> f64 {
    let term = |k: f64| {
        let t = (angle + 2.0 * PI * k) / ARC_STD;
        (-0.5 * t * t).exp()
    };
    (term(0.0) + term(1.0) + term(2.0) + term(3.0)) / (ARC_STD * (2.0 * PI).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integral over `t` as the definition states it, 40,000 panels of the midpoint rule's
    /// better sibling (Simpson), no circle and no turns.
    fn brute(x: f64, z: f64, noise: f64) -> f64 {
        let q = |t: f64, side: f64| {
            let (dx, dz) = (x - t.sin(), z - side * (t.cos() - 1.0));
            (dx * dx + dz * dz) / (2.0 * noise * noise) + 0.5 * (t / ARC_STD).powi(2)
        };
        let end = 12.0 * ARC_STD;
        let steps = 200_000;
        let h = end / f64::from(steps);
        let values = |side: f64| (0..=steps).map(move |i| q(side * h * f64::from(i), side));
        let least = values(1.0).chain(values(-1.0)).fold(f64::INFINITY, f64::min);
        let mut sum = 0.0;
        for side in [1.0, -1.0] {
            for (i, value) in values(side).enumerate() {
                let ends = i == 0 || i == steps as usize;
                let simpson = if ends {
                    1.0
                } else if i % 2 == 1 {
                    4.0
                } else {
                    2.0
                };
                sum += simpson * (least - value).exp();
            }
        }
        (sum * h / 3.0).ln() - least - (ARC_STD * (2.0 * PI).sqrt() * 2.0 * PI * noise * noise).ln()
    }

    #[test]
    fn arcs_agree_with_the_definition() {
        let mut worst = 0.0_f64;
        for noise in [0.02, 0.1, 0.5, 5.0] {
            for (x, z) in [
                (0.0, 0.0),
                (0.01, -0.02),
                (1.0, -1.0),
                (-1.0, 1.0),
                (0.3, -1.9),
                (0.0, -2.0),
                (-0.9, 0.6),
                (0.0, -1.0),
                (0.5, 0.7),
                (1.2, 2.2),
                (0.02, 1.98),
                (-0.6, -1.6),
            ] {
                // Where the exponent is large its own rounding rules, in either computation.
                let (ours, theirs) = (log_arcs(x, z, noise), brute(x, z, noise));
                worst = worst.max((ours - theirs).abs() / (1.0 + 1e-5 * theirs.abs()));
            }
        }
        assert!(worst < 1e-11, "largest relative difference {worst:e}");
    }

    #[test]
    fn what_is_no_density_is_nan_or_refused() {
        for noise in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(s_curve_log_density([0.0; 3], noise).is_nan());
            assert!(s_curve_log_densities(&Matrix::zeros(1, 3), noise).is_err());
        }
        assert!(s_curve_log_densities(&Matrix::zeros(1, 2), 0.1).is_err());
        assert!(s_curve_log_density([f64::NAN, 0.0, 0.0], 0.1).is_nan());
        assert!(s_curve_log_density([1e200, 0.0, 0.0], 0.1) == f64::NEG_INFINITY);
    }

    /// The entropy's grid is fine enough: half the step changes nothing.
    #[test]
    fn entropies_do_not_depend_on_the_grid() {
        for noise in [0.05, 0.2, 1.0] {
            let (coarse, fine) = (entropy_on_grid(noise, 2.0), entropy_on_grid(noise, 3.0));
            assert!((coarse - fine).abs() < 1e-8, "{noise}: {coarse} {fine}");
        }
    }

    /// Monte Carlo figures with their standard errors: the design's oracle table (within three), and
    /// an independent program that sums over a fine grid of `t` for each of up to 2,000,000 draws of
    /// its own generator (within three).
    #[test]
    fn entropies_agree_with_independent_monte_carlo() {
        for (noise, table, independent) in [
            (0.2, (2.444, 0.004), (2.447_61, 0.000_77)),
            (0.1, (1.660, 0.002), (1.664_56, 0.000_74)),
            (0.05, (0.929, 0.002), (0.925_10, 0.001_03)),
            (0.02, (-0.0175, 0.0014), (-0.018_18, 0.001_43)),
        ] {
            let entropy = s_curve_entropy(noise).unwrap();
            for (mean, error) in [table, independent] {
                assert!(
                    (entropy - mean).abs() <= 3.0 * error,
                    "noise {noise}: {entropy}, and {mean} ± {error}"
                );
            }
        }
        assert_eq!(s_curve_entropy(0.001), None);
    }

    /// The mean of `-ln p` over our own draws is the entropy: density, entropy and draws agree.
    #[test]
    fn draws_follow_the_density() {
        let table = SET.make(&SET.parameters_from([("n", "50000")]).unwrap()).unwrap();
        let n = table.rows() as f64;
        let mean_of = |noise| -> (f64, f64) {
            let log_p = s_curve_log_densities(&table.values, noise).unwrap();
            let mean = -log_p.iter().sum::<f64>() / n;
            (mean, (log_p.iter().map(|l| (l + mean).powi(2)).sum::<f64>() / n / n).sqrt())
        };
        let ((mean, error), entropy) = (mean_of(0.1), s_curve_entropy(0.1).unwrap());
        assert!((mean - entropy).abs() < 4.0 * error, "{mean} ± {error}, entropy {entropy}");
        // Another noise is refuted: the check can fail.
        let (off, error) = mean_of(0.13);
        assert!(off - entropy > 4.0 * error, "{off} ± {error}");
    }

    /// Global covariance without noise: 0.490816, 0.772908, -0.437093 (xz), 1/3, in closed form from
    /// `E cos kt = e^{-k²s²/2}`; x and z are uncorrelated with y. Sample moments within five standard
    /// errors.
    #[test]
    fn draws_have_the_known_covariance() {
        let table = SET.make(&SET.parameters_from([("n", "50000"), ("noise", "0")]).unwrap()).unwrap();
        let n = table.rows() as f64;
        let means = table.means();
        for (a, b, exact) in [
            (0, 0, 0.490_816),
            (2, 2, 0.772_908),
            (0, 2, -0.437_093),
            (1, 1, 1.0 / 3.0),
            (0, 1, 0.0),
            (1, 2, 0.0),
        ] {
            let product = |i| (table.values[(i, a)] - means[a]) * (table.values[(i, b)] - means[b]);
            let covariance = (0..table.rows()).map(product).sum::<f64>() / n;
            let variance = (0..table.rows()).map(|i| (product(i) - covariance).powi(2)).sum::<f64>() / n;
            assert!((covariance - exact).abs() < 5.0 * (variance / n).sqrt(), "({a}, {b}): {covariance}");
        }
        let e = |k: f64| (-0.5 * (k * ARC_STD).powi(2)).exp();
        assert!(((1.0 - e(2.0)) / 2.0 - 0.490_816).abs() < 1e-6);
        assert!((1.5 - 2.0 * e(1.0) + 0.5 * e(2.0) - 0.772_908).abs() < 1e-6);
    }
}
