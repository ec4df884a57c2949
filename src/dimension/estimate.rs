//! Estimates of a dimension, and curves of them over scales.

use serde::Serialize;

/// How a dimension is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// `Σ (1 - σ² s_i²)` of one model.
    EffectiveDimension,
    /// The slope of the regularised loss over a path of models.
    Onset,
    /// The slope of the log-density over a path of models.
    Lidl,
    /// Second derivatives of one model's log-density.
    Flipd,
    /// Spectra of neighbourhoods.
    LocalPca,
    /// Ratios of the distances to the two nearest neighbours.
    TwoNn,
}

impl Method {
    /// All methods, in the order in which they are shown.
    pub const ALL: [Self; 6] =
        [Self::EffectiveDimension, Self::Onset, Self::Lidl, Self::Flipd, Self::LocalPca, Self::TwoNn];

    /// Its name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::EffectiveDimension => "effective-dimension",
            Self::Onset => "onset",
            Self::Lidl => "lidl",
            Self::Flipd => "flipd",
            Self::LocalPca => "local-pca",
            Self::TwoNn => "two-nn",
        }
    }

    /// Its name in tables and charts.
    pub fn title(self) -> &'static str {
        match self {
            Self::EffectiveDimension => "effective dimension",
            Self::Onset => "onset law",
            Self::Lidl => "LIDL",
            Self::Flipd => "FLIPD",
            Self::LocalPca => "local PCA",
            Self::TwoNn => "TwoNN",
        }
    }

    /// Whether it reads a model; the others read the data alone.
    pub fn of_model(self) -> bool {
        !matches!(self, Self::LocalPca | Self::TwoNn)
    }

    /// The least that it takes, in words.
    pub fn needs(self) -> &'static str {
        match self {
            Self::EffectiveDimension | Self::Flipd => "a model at one scale",
            Self::Onset | Self::Lidl => "models at two scales or more",
            Self::LocalPca => "16 rows",
            Self::TwoNn => "500 different rows, most with two neighbours that are not equally far",
        }
    }

    /// Whether it needs models at several scales.
    pub fn of_path(self) -> bool {
        matches!(self, Self::Onset | Self::Lidl)
    }
}

/// A dimension at a scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Scale, training units.
    pub scale: f64,
    /// The estimate: the mean over rows, where there are values of rows.
    pub mean: f64,
    /// Its standard error, from 32 blocks of rows.
    pub error: f64,
    /// One value a row; empty where the method has none.
    pub rows: Vec<f64>,
}

/// Blocks of rows behind a standard error.
pub const BLOCKS: usize = 32;

impl Estimate {
    /// The mean of values of rows, with the standard error of its blocks; NaN without rows, and the error for a single one.
    ///
    /// ```
    /// use eigenflow::dimension::Estimate;
    /// let e = Estimate::of_rows(0.1, vec![1.0, 3.0]);
    /// assert_eq!((e.mean, e.error), (2.0, 1.0));
    /// ```
    pub fn of_rows(scale: f64, rows: Vec<f64>) -> Self {
        let size = rows.len().div_ceil(BLOCKS).max(1);
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let blocks: Vec<f64> = rows.chunks(size).map(mean).collect();
        Self { scale, mean: mean(&rows), error: error_of(&blocks), rows }
    }

    /// The median over rows; the mean where there are none.
    pub fn median(&self) -> f64 {
        let mut sorted = self.rows.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(self.mean)
    }
}

/// Standard error of the mean of independent values.
pub(super) fn error_of(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt()
}

/// One method over scales, ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// The method.
    pub method: Method,
    /// Its estimates.
    pub estimates: Vec<Estimate>,
}

impl Curve {
    /// Estimates in order of their scales.
    pub fn new(method: Method, mut estimates: Vec<Estimate>) -> Self {
        estimates.sort_by(|a, b| a.scale.total_cmp(&b.scale));
        Self { method, estimates }
    }
}
