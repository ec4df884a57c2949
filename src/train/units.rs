//! Units of columns: their means and deviations, the rows in these units, and what whitens them.

use super::TrainOptions;
use eigenflow_linalg::Matrix;
use eigenflow_linalg::eigen::Eigh;

/// Least ridge of whitening, relative to the mean variance.
const RIDGE: f64 = 1e-10;

/// Mean and scale of each column.
pub(super) struct Units {
    pub mean: Vec<f64>,
    /// The standard deviation (`1/n`), but 1 where the column is constant.
    pub scale: Vec<f64>,
    /// Columns whose deviation is rounding of their mean.
    pub constant: Vec<usize>,
}

impl Units {
    pub(super) fn of(x: &Matrix<f64>) -> Self {
        let (mean, mut scale) = moments(x);
        let constant: Vec<usize> =
            (0..x.cols()).filter(|&j| scale[j] <= 8.0 * f64::EPSILON * mean[j].abs()).collect();
        constant.iter().for_each(|&j| scale[j] = 1.0);
        Self { mean, scale, constant }
    }

    /// One scale for all columns, the root of their mean variance.
    pub(super) fn isotropic(mut self) -> Self {
        let d = self.scale.len();
        if self.constant.len() < d {
            let square =
                |j: usize| if self.constant.contains(&j) { 0.0 } else { self.scale[j] * self.scale[j] };
            let root = ((0..d).map(square).sum::<f64>() / d as f64).sqrt();
            self.scale.fill(root);
        }
        self
    }

    /// `(x - mean) / scale`.
    pub(super) fn apply(&self, x: &Matrix<f64>) -> Matrix<f64> {
        Matrix::from_fn(x.rows(), x.cols(), |i, j| (x[(i, j)] - self.mean[j]) / self.scale[j])
    }
}

/// Means and standard deviations (`1/n`) of columns. The mean of deviations corrects the mean, so that a column of one value has that mean
/// and no deviation, whatever the rounding of the sum.
fn moments(x: &Matrix<f64>) -> (Vec<f64>, Vec<f64>) {
    let n = x.rows() as f64;
    let mut mean = vec![0.0; x.cols()];
    let mut square = vec![0.0; x.cols()];
    for i in 0..x.rows() {
        mean.iter_mut().zip(x.row(i)).for_each(|(m, v)| *m += v / n);
    }
    let mut correction = vec![0.0; x.cols()];
    for i in 0..x.rows() {
        correction.iter_mut().zip(x.row(i)).zip(&mean).for_each(|((c, v), m)| *c += (v - m) / n);
    }
    mean.iter_mut().zip(correction).for_each(|(m, c)| *m += c);
    for i in 0..x.rows() {
        for ((s, v), m) in square.iter_mut().zip(x.row(i)).zip(&mean) {
            *s += (v - m) * (v - m) / n;
        }
    }
    square.iter_mut().for_each(|s| *s = s.sqrt());
    (mean, square)
}

/// Covariance (`1/n`) of centred rows.
pub(super) fn covariance(centred: &Matrix<f64>) -> Matrix<f64> {
    let n = centred.rows().max(1) as f64;
    centred.transpose().mul(centred).map(|v| v / n)
}

/// `(Σ + r I)^{-1/2}`: input noise adds `σ²` to every variance, the penalty `2α`; both are the ridge `r` of the optimum.
pub(super) fn whitening(spectrum: &Eigh<f64>, options: &TrainOptions) -> Matrix<f64> {
    let d = spectrum.values.len();
    let mean_variance = spectrum.values.iter().sum::<f64>() / d as f64;
    let ridge = options.noise * options.noise + 2.0 * options.alpha + RIDGE * mean_variance;
    let ridge = if ridge > 0.0 { ridge } else { 1.0 };
    let v = &spectrum.vectors;
    let root: Vec<f64> = spectrum.values.iter().map(|l| (l.max(0.0) + ridge).sqrt().recip()).collect();
    Matrix::from_fn(d, d, |i, j| (0..d).map(|k| v[(i, k)] * root[k] * v[(j, k)]).sum())
}
