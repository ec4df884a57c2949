//! Quantiles of Student's t, for whole degrees of freedom.

/// `P(|t| > x)` with `nu` degrees of freedom, by the finite trigonometric sums of
/// Abramowitz and Stegun 26.7.3 and 26.7.4. Absolute error about `nu` roundings.
fn two_sided(x: f64, nu: usize) -> f64 {
    let theta = (x / (nu as f64).sqrt()).atan();
    let (sin, cos) = theta.sin_cos();
    let even = nu.is_multiple_of(2);
    // 1 + (1/2) cos² + (1·3)/(2·4) cos⁴ + …, or 1 + (2/3) cos² + (2·4)/(3·5) cos⁴ + …
    let (mut term, mut sum) = (1.0, 0.0);
    let (first, count) = if even { (1, nu / 2) } else { (2, (nu - 1) / 2) };
    for k in 0..count {
        sum += term;
        let p = (first + 2 * k) as f64;
        term *= p / (p + 1.0) * cos * cos;
    }
    let inside = if even { sin * sum } else { 2.0 / std::f64::consts::PI * (theta + sin * cos * sum) };
    1.0 - inside
}

/// The `x` with `P(|t| > x) = p`, `0 < p < 1`, `nu >= 1`, by bisection; accurate for `p` above `1e-12`.
///
/// ```
/// use eigenflow::theory::local::t_quantile;
/// assert!((t_quantile(0.5, 1) - 1.0).abs() < 1e-9); // Cauchy: quartiles at ±1
/// assert!((t_quantile(0.05, 4) - 2.776_445).abs() < 1e-6);
/// ```
pub fn t_quantile(p: f64, nu: usize) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while two_sided(high, nu) > p && high < 1e12 {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if two_sided(middle, nu) > p { low = middle } else { high = middle }
    }
    high
}
