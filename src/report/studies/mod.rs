//! Worked studies: data, and what a model makes of it.

pub mod galaxies;
pub mod images;
pub mod s_curve;

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
