//! The best linear denoiser, in closed form, and how far a picture is from another.

use crate::theory::linear::Spectrum;
use eigenflow_linalg::Matrix;

/// `μ + Σ (Σ + σ²I)⁻¹ (x - μ)` of each row: the linear estimate of least mean squared error of what `x` was before independent noise of
/// standard deviation `σ` was added, for rows of mean `μ` and covariance `Σ` (N. Wiener 1949). Along the `k`-th principal axis it
/// shrinks by `λ_k / (λ_k + σ²)`. Cost: two products with the axes.
///
/// ```
/// use eigenflow::report::studies::images::wiener::wiener;
/// use eigenflow::theory::linear::Spectrum;
/// use eigenflow_linalg::Matrix;
/// // Mean (2, 0), variances 3 and 1: noise of variance 1 leaves 3/4 and 1/2.
/// let spectrum = Spectrum { mean: vec![2.0, 0.0], values: vec![3.0, 1.0], axes: Matrix::identity(2), null: 0 };
/// let x = wiener(&spectrum, &Matrix::new(1, 2, vec![6.0, -4.0]), 1.0);
/// assert_eq!(x.data(), [2.0 + 0.75 * 4.0, -0.5 * 4.0]);
/// ```
pub fn wiener(spectrum: &Spectrum, x: &Matrix<f64>, noise: f64) -> Matrix<f64> {
    let centred = Matrix::from_fn(x.rows(), x.cols(), |i, j| x[(i, j)] - spectrum.mean[j]);
    let along = centred.mul(&spectrum.axes);
    let share = |k: usize| match spectrum.values[k] {
        0.0 => 0.0,
        value => value / (value + noise * noise),
    };
    let kept = Matrix::from_fn(x.rows(), x.cols(), |i, k| along[(i, k)] * share(k));
    let back = kept.mul(&spectrum.axes.transpose());
    Matrix::from_fn(x.rows(), x.cols(), |i, j| spectrum.mean[j] + back[(i, j)])
}

/// Peak signal-to-noise ratio `-10 log₁₀ (1/D) Σ (a - b)²` in decibels, for pixels whose largest value is 1.
///
/// ```
/// use eigenflow::report::studies::images::wiener::psnr;
/// // Off by 0.1 everywhere: a hundredth of the peak's square.
/// assert!((psnr(&[0.2, 0.9], &[0.3, 0.8]) - 20.0).abs() < 1e-12);
/// ```
pub fn psnr(a: &[f64], b: &[f64]) -> f64 {
    let square: f64 = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum();
    -10.0 * (square / a.len() as f64).log10()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::generator;
    use crate::report::studies::Mean;
    use rand::RngExt;
    use rand_distr::StandardNormal;

    /// On correlated normal rows no other linear estimate has a smaller error: those with the noise misjudged by a tenth lose, and the error is
    /// the predicted one, `Σ λσ²/(λ + σ²)`, within five standard errors of the same draws.
    #[test]
    fn nothing_linear_does_better() {
        let (n, noise) = (20_000, 0.6);
        let mut random = generator(3, "wiener", 0);
        let mut normal = |_: usize, _: usize| random.sample::<f64, _>(StandardNormal);
        let mix = Matrix::new(3, 3, vec![1.0, 0.5, 0.0, 0.0, 0.7, 0.2, 0.0, 0.0, 0.3]);
        let clean = Matrix::from_fn(n, 3, &mut normal).mul(&mix);
        let noisy = Matrix::from_fn(n, 3, |i, j| clean[(i, j)] + noise * normal(i, j));
        let spectrum = Spectrum::of(&clean).unwrap();
        let errors = |level: f64| -> Vec<f64> {
            let found = wiener(&spectrum, &noisy, level);
            (0..n)
                .map(|i| found.row(i).iter().zip(clean.row(i)).map(|(a, b)| (a - b) * (a - b)).sum())
                .collect()
        };
        let here = errors(noise);
        let own = Mean::of(&here);
        let variance = noise * noise;
        let predicted: f64 = spectrum.values.iter().map(|l| l * variance / (l + variance)).sum();
        assert!((own.value - predicted).abs() < 5.0 * own.error, "{own:?} {predicted}");
        for other in [0.9 * noise, 1.1 * noise] {
            let gap: Vec<f64> = errors(other).iter().zip(&here).map(|(a, b)| a - b).collect();
            let gap = Mean::of(&gap);
            assert!(gap.value > 0.0, "{other}: {gap:?}");
        }
    }
}
