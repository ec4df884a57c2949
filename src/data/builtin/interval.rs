//! Normal noise on a uniform number.

use std::f64::consts::PI;

/// Log-density at `y` of `U(0, width) + noise · N(0, 1)`: `ln([erfc(a) - erfc(b)] / 2 width)` with `a, b` the distances
/// to the ends over `σ √2`, signs taken so that nothing cancels in the tails.
pub(super) fn log_density(y: f64, width: f64, noise: f64) -> f64 {
    let (scale, half) = (noise * std::f64::consts::SQRT_2, 0.5 * width);
    let from_middle = (y - half).abs();
    let (near, far) = (ln_erfc((from_middle - half) / scale), ln_erfc((from_middle + half) / scale));
    near + (-(far - near).exp_m1()).ln() - (2.0 * width).ln()
}

/// `ln erfc(x)`; beyond 25 by the asymptotic series, whose next term is below 1e-12.
fn ln_erfc(x: f64) -> f64 {
    if x < 25.0 {
        return libm::erfc(x).ln();
    }
    let u = 0.5 / (x * x);
    let series = -u * (1.0 - 3.0 * u * (1.0 - 5.0 * u * (1.0 - 7.0 * u)));
    -x * x - (x * PI.sqrt()).ln() + series.ln_1p()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact results are asserted")]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_definition_and_reaches_far() {
        for noise in [0.05, 1.0, 40.0] {
            for y in [-0.2, 0.0, 0.7, 1.0, 2.0, 2.3] {
                // Simpson's rule on the definition: relative error (h d / σ²)⁴ / 180 at a distance d
                // beyond the edge, here 5e-13 at most.
                let n = 80_000;
                let normal = |e: f64| (-0.5 * ((y - e) / noise).powi(2)).exp() / (noise * (2.0 * PI).sqrt());
                let term = |i: i32| {
                    let simpson = if i == 0 || i == n { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
                    simpson * normal(2.0 * f64::from(i) / f64::from(n))
                };
                let brute = (0..=n).map(term).sum::<f64>() / f64::from(3 * n);
                assert!((log_density(y, 2.0, noise).exp() / brute - 1.0).abs() < 1e-10, "{noise} {y}");
            }
        }
        assert!((ln_erfc(25.0) - libm::erfc(25.0).ln()).abs() < 1e-10);
        // Far out: the edge's half normal tail, -d²/2σ² - ln(d/σ²) - ln(2 √(2π) σ).
        let (d, s) = (100.0_f64, 0.1_f64);
        let tail = -d * d / (2.0 * s * s) - (d / s).ln() - 0.5 * (2.0 * PI).ln() - 2.0_f64.ln();
        assert!((log_density(2.0 + d, 2.0, s) - tail).abs() < 1e-5);
        assert_eq!(log_density(-d, 2.0, s), log_density(2.0 + d, 2.0, s));
    }
}
