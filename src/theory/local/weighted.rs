//! Weighted neighbourhoods of latents, and sums over their rows that are studentised by their own squares.

use eigenflow_linalg::Matrix;

/// Where one term is more than this part of the sum of squares, the variance is not known.
const DOMINANT: f64 = 0.25;
/// Radii squared that are tried, ascending.
const SQUARES: [f64; 12] = [0.02, 0.03, 0.045, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.7, 0.85];

/// Rows with the weights `exp(-|y - c|² / 2τ²)`, `c = (1 + τ²) y0`.
///
/// If the latents `y` are `N(0, I)` the weighted ones are exactly `N(y0, ε² I)`, `ε² = τ²/(1 + τ²)`. Weights are at most 1.
#[derive(Clone, Debug)]
pub struct Weighted {
    /// `y0`.
    pub centre: Vec<f64>,
    /// `ε`, between 0 and 1.
    pub eps: f64,
    /// One weight a row.
    pub weights: Vec<f64>,
}

impl Weighted {
    /// The weights of `latents` for a neighbourhood of radius `eps` in `(0, 1)` at `centre`.
    pub fn new(latents: &Matrix<f64>, centre: &[f64], eps: f64) -> Self {
        // 1/τ² = 1/ε² - 1 and c = y0 / (1 - ε²)
        let (rate, outward) = (0.5 * (1.0 / (eps * eps) - 1.0), 1.0 / (1.0 - eps * eps));
        let weight = |row: &[f64]| {
            let square: f64 = row.iter().zip(centre).map(|(y, c)| (y - outward * c).powi(2)).sum();
            (-rate * square).exp()
        };
        let weights = (0..latents.rows()).map(|n| weight(latents.row(n))).collect();
        Self { centre: centre.to_vec(), eps, weights }
    }

    /// The smallest radius of a fixed list at which at least `least` rows are effective.
    pub fn smallest(latents: &Matrix<f64>, centre: &[f64], least: f64) -> Option<Self> {
        SQUARES
            .iter()
            .map(|square| Self::new(latents, centre, square.sqrt()))
            .find(|found| found.effective() >= least)
    }

    /// Effective sample size `(Σ w)² / Σ w²`; 0 if all weights vanish.
    ///
    /// ```
    /// use eigenflow::theory::local::Weighted;
    /// let two = Weighted { centre: vec![0.0], eps: 0.5, weights: vec![1.0, 1.0, 0.0] };
    /// assert_eq!(two.effective(), 2.0);
    /// ```
    pub fn effective(&self) -> f64 {
        let (sum, squares): (f64, f64) =
            (self.weights.iter().sum(), self.weights.iter().map(|w| w * w).sum());
        if squares > 0.0 { sum * sum / squares } else { 0.0 }
    }
}

/// `Σ a` over `√(Σ a² + extra)` for independent terms `a` of mean zero, with its skewness removed: close to standard
/// normal, also far out.
///
/// With `T` that ratio and `γ = Σ a³ / (Σ a² + extra)^{3/2}` it is Hall's monotone transformation
/// `((1 + γT/3)³ - 1)/γ + γ/6` (P. Hall, *On the removal of skewness by transformation*, J. R. Stat. Soc. B 54, 1992). Without it the tail of
/// a covariance's `T` is wrong by `exp(γ|T|³/3)`, a factor of hundreds at 500 rows. `extra` is variance
/// of the sum from elsewhere. `None` where one term dominates the squares: the variance is unstable.
///
/// ```
/// use eigenflow::theory::local::studentised;
/// // Symmetric terms: the plain ratio, 2 / √6.
/// let t = studentised([1.0, -1.0, 1.0, -1.0, 1.0, 1.0].into_iter(), 0.0).unwrap();
/// assert!((t - 0.87).abs() < 0.02);
/// assert_eq!(studentised([1.0, 100.0].into_iter(), 0.0), None);
/// ```
pub fn studentised(terms: impl Iterator<Item = f64>, extra: f64) -> Option<f64> {
    let (mut sum, mut squares, mut cubes, mut largest) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
    for a in terms {
        sum += a;
        squares += a * a;
        cubes += a * a * a;
        largest = largest.max(a * a);
    }
    let total = squares + extra;
    if total == 0.0 {
        return Some(0.0);
    }
    if !(largest <= DOMINANT * total) {
        return None;
    }
    let (t, skew) = (sum / total.sqrt(), cubes / total.powf(1.5));
    if skew.abs() < 1e-6 {
        return Some(t);
    }
    Some(((1.0 + skew * t / 3.0).powi(3) - 1.0) / skew + skew / 6.0)
}
