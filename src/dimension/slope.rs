//! Slopes of values of rows over the logarithm of the scale.

/// Between each two neighbouring scales: their geometric mean, and the slope `Δv/Δ log σ` of every row.
pub(super) fn slopes(scales: &[f64], values: &[Vec<f64>]) -> Vec<(f64, Vec<f64>)> {
    let between = |(s, v): (&[f64], &[Vec<f64>])| {
        let step = (s[1] / s[0]).ln();
        let rows = v[0].iter().zip(&v[1]).map(|(a, b)| (b - a) / step).collect();
        ((s[0] * s[1]).sqrt(), rows)
    };
    scales.windows(2).zip(values.windows(2)).map(between).collect()
}
