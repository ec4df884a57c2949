//! Figures of independent rows: means with errors, quantiles, rank correlation.

/// A mean with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Its standard error.
    pub error: f64,
}

impl Mean {
    /// The mean of independent numbers; NaN for none, and its error for fewer than two.
    ///
    /// ```
    /// use eigenflow::report::studies::Mean;
    /// // Deviations of 1 about 3: variance 2, over two.
    /// assert_eq!(Mean::of(&[2.0, 4.0]), Mean { value: 3.0, error: 1.0 });
    /// ```
    pub fn of(x: &[f64]) -> Self {
        let n = x.len() as f64;
        let value = x.iter().sum::<f64>() / n;
        let square = x.iter().map(|v| (v - value).powi(2)).sum::<f64>();
        Self { value, error: (square / (n - 1.0) / n).sqrt() }
    }
}

/// The `q`-quantile of numbers, those at the two nearest ranks interpolated; NaN for none. What is not a number comes last.
///
/// ```
/// use eigenflow::report::studies::quantile;
/// assert_eq!(quantile(&[3.0, 1.0, 2.0], 0.25), 1.5);
/// ```
pub fn quantile(x: &[f64], q: f64) -> f64 {
    let mut sorted = x.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q.clamp(0.0, 1.0) * last as f64;
    let low = at.floor() as usize;
    sorted[low] + (at - at.floor()) * (sorted[(low + 1).min(last)] - sorted[low])
}

/// Spearman's rank correlation; NaN for fewer than two rows.
///
/// ```
/// use eigenflow::report::studies::rank_correlation;
/// assert_eq!(rank_correlation(&[1.0, 2.0, 9.0], &[0.0, -1.0, -7.0]), -1.0);
/// ```
pub fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    let ranks = |x: &[f64]| {
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_by(|&i, &j| x[i].total_cmp(&x[j]));
        let mut out = vec![0.0; x.len()];
        order.into_iter().enumerate().for_each(|(rank, i)| out[i] = rank as f64);
        out
    };
    let (a, b, mean) = (ranks(a), ranks(b), 0.5 * (a.len() as f64 - 1.0));
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}
