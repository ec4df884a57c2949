//! Means over independent blocks, with their errors and quantiles of Student's t.

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

/// The mean of independent, identically distributed block values, with its standard error.
#[derive(Clone, Copy, Debug)]
pub struct Blocks {
    /// The mean.
    pub mean: f64,
    /// Its standard error.
    pub error: f64,
    /// Degrees of freedom, one less than blocks.
    pub freedom: usize,
    /// Skewness of the mean, `Σ d³ / (Σ d²)^{3/2}` over the deviations `d` of the blocks.
    pub skewness: f64,
    /// Whether no block holds more than 40 % of the squared deviations.
    pub stable: bool,
}

/// Of 64 normal values one holds this much of the squared deviations with a probability below `1e-4`.
const SHARE: f64 = 0.4;

impl Blocks {
    /// The mean of at least two values.
    ///
    /// ```
    /// use eigenflow::theory::local::Blocks;
    /// let b = Blocks::of(&[1.0, 3.0]);
    /// assert_eq!((b.mean, b.error, b.freedom), (2.0, 1.0, 1));
    /// ```
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: Vec<f64> = values.iter().map(|v| (v - mean).powi(2)).collect();
        let total: f64 = squares.iter().sum();
        let cubes: f64 = values.iter().map(|v| (v - mean).powi(3)).sum();
        let skewness = if total > 0.0 { cubes / total.powf(1.5) } else { 0.0 };
        let largest = squares.iter().fold(0.0_f64, |m, s| m.max(*s));
        let freedom = values.len().saturating_sub(1).max(1);
        let error = (total / (freedom as f64 * n)).sqrt();
        Self { mean, error, freedom, skewness, stable: largest <= SHARE * total }
    }

    /// How far the mean may be from zero, on its side of it, with the false-alarm rate `p`: `slack` and the quantile of Student's t times the
    /// error, with the skewness of the mean taken into account by the inverse of Hall's transformation ([`super::studentised`]),
    /// `(3/γ) (∛(1 + γ (q - γ/6)) - 1)` for the quantile `q` with the sign of the mean. On the side that a skewed mean reaches to anyway six errors become
    /// 24 at most, at a skewness of 0.19.
    ///
    /// ```
    /// use eigenflow::theory::local::{Blocks, t_quantile};
    /// // Mean 2, error 1, no skewness.
    /// let b = Blocks::of(&[1.0, 3.0]);
    /// assert!((b.allowed(0.1, 0.5) - (0.5 + t_quantile(0.1, 1))).abs() < 1e-12);
    /// // Values that reach far up have a large error where their mean is large: it need not be as many errors off.
    /// let far_up = Blocks::of(&[0.0, 0.0, 0.0, 4.0]);
    /// assert!(far_up.allowed(0.1, 0.0) < far_up.quantile(0.1) * far_up.error);
    /// ```
    pub fn allowed(&self, p: f64, slack: f64) -> f64 {
        let (q, side, skew) = (self.quantile(p), if self.mean < 0.0 { -1.0 } else { 1.0 }, self.skewness);
        let t = if skew.abs() < 1e-6 {
            q
        } else {
            side * 3.0 / skew * ((1.0 + skew * (side * q - skew / 6.0)).cbrt() - 1.0)
        };
        slack + t * self.error
    }

    /// The `x` with `P(|mean| > x error) = p` where the expectation is zero and nothing is skewed.
    pub fn quantile(&self, p: f64) -> f64 {
        t_quantile(p, self.freedom)
    }
}
