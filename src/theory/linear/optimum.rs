//! A linear flow trained on the rows at hand to a certified optimum.

use crate::flow::presets::{Name, Preset};
use crate::flow::{Flow, bijections};
use crate::theory::tolerance::gamma;
use crate::theory::{Context, Outcome};
use crate::train::polish::{Certificate, GOAL, output_affine, polish, weights};
use crate::train::{Preprocess, TrainOptions, build};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::qr::qr;
use eigenflow_linalg::svd::{condition_number, svd_full};

/// Second moments of rows: `Σ_n = Q diag(λ) Qᵀ` (weights `1/n`), from the SVD of the centred rows, so that
/// `λ` is known to `eps √(λ λ_max)` and not to `eps λ_max`.
#[derive(Clone, Debug)]
pub struct Spectrum {
    /// Means of the columns.
    pub mean: Vec<f64>,
    /// Eigenvalues, descending; those of null directions are zero.
    pub values: Vec<f64>,
    /// Eigenvectors, one a column.
    pub axes: Matrix<f64>,
    /// Directions in which the rows do not vary beyond the rounding of their singular values:
    /// `s <= max(N, D) eps s_max`.
    pub null: usize,
}

impl Spectrum {
    /// The spectrum of the rows of `x`.
    ///
    /// # Errors
    /// If an entry is not finite.
    pub fn of(x: &Matrix<f64>) -> Result<Self, eigenflow_linalg::Error> {
        let (n, d) = x.shape();
        let mut mean = vec![0.0; d];
        // Twice: the second pass removes the rounding of the first.
        for _ in 0..2 {
            let shift: Vec<f64> =
                (0..d).map(|j| (0..n).map(|i| x[(i, j)] - mean[j]).sum::<f64>() / n.max(1) as f64).collect();
            mean.iter_mut().zip(shift).for_each(|(m, s)| *m += s);
        }
        let centred = Matrix::from_fn(n, d, |i, j| x[(i, j)] - mean[j]);
        let f = svd_full(&if n > d { qr(&centred)?.r } else { centred })?;
        let limit = n.max(d) as f64 * f64::EPSILON * f.s.first().copied().unwrap_or(0.0);
        let mut values: Vec<f64> =
            f.s.iter().map(|&s| if s > limit { s * s / n.max(1) as f64 } else { 0.0 }).collect();
        values.resize(d, 0.0);
        let null = values.iter().filter(|&&v| v == 0.0).count();
        Ok(Self { mean, values, axes: f.v, null })
    }
}

/// A linear flow at its optimum, with what it was trained on.
#[derive(Clone, Debug)]
pub struct Optimum {
    /// The linear flow in training units: one affine layer.
    pub flow: Flow<f64>,
    /// The rows in training units.
    pub rows: Matrix<f64>,
    /// Their second moments.
    pub spectrum: Spectrum,
    /// Tikhonov weight.
    pub alpha: f64,
    /// What polishing reached.
    pub certificate: Certificate,
}

/// Trains a linear flow on the training rows of `cx`: the model itself where its core is one full
/// affine layer, otherwise an affine layer behind its own standardisation.
///
/// # Errors
/// The undecided outcome: no data, no optimum, no certificate.
pub fn fit(id: &str, cx: &Context<'_>, alpha: f64) -> Result<Optimum, Outcome> {
    let Some(x) = cx.training.filter(|x| x.rows() > 1) else {
        return Err(Outcome::undecided(id, "requires data"));
    };
    let refuse = |e: String| Outcome::undecided(id, format!("not fitted: {e}"));
    let flow = if cx.flow.core().len() == 1 && output_affine(cx.flow).is_some() {
        cx.flow.clone()
    } else {
        let options = TrainOptions { seed: cx.seed, ..TrainOptions::default() };
        build(&Preset::named(Name::Affine), Preprocess::Standardize, x, &options)
            .map_err(|e| refuse(e.to_string()))?
            .flow
    };
    let rows = if flow.preprocessing() == 0 {
        x.clone()
    } else {
        let before = flow.part(0..flow.preprocessing()).map_err(|e| refuse(e.to_string()))?;
        before.normalize(x).map_err(|e| refuse(e.to_string()))?.0
    };
    let core = flow.part(flow.core()).map_err(|e| refuse(e.to_string()))?;
    fit_from(id, core, rows, alpha)
}

/// Trains an affine layer on rows in training units.
///
/// # Errors
/// The undecided outcome: no optimum, no certificate.
pub fn fit_rows(id: &str, rows: Matrix<f64>, alpha: f64, seed: u64) -> Result<Optimum, Outcome> {
    let layer = bijections::Affine::new(rows.cols(), bijections::Form::Full);
    let flow = Flow::new(vec![layer.into()], 0, seed)
        .map_err(|e| Outcome::undecided(id, format!("not fitted: {e}")))?;
    fit_from(id, flow, rows, alpha)
}

fn fit_from(id: &str, mut flow: Flow<f64>, rows: Matrix<f64>, alpha: f64) -> Result<Optimum, Outcome> {
    let refuse = |e: String| Outcome::undecided(id, format!("not fitted: {e}"));
    let spectrum = Spectrum::of(&rows).map_err(|e| refuse(e.to_string()))?;
    if spectrum.null > 0 && alpha == 0.0 {
        let reason = format!("no optimum exists: {} null directions", spectrum.null);
        return Err(Outcome::undecided(id, reason)
            .predicted("without penalty the likelihood of rank-deficient data has no bound")
            .measured(format!("rank {} of {}", rows.cols() - spectrum.null, rows.cols()))
            .figure("null_directions", spectrum.null as f64));
    }
    let certificate = polish(&mut flow, &rows, alpha).map_err(|e| refuse(e.to_string()))?;
    let optimum = Optimum { flow, rows, spectrum, alpha, certificate };
    let rounding = optimum.rounding().map_err(|e| refuse(e.to_string()))?;
    if certificate.residual <= GOAL + rounding {
        return Ok(optimum);
    }
    let reason = format!("not stationary: relative gradient {:.1e}", certificate.residual);
    Err(Outcome::undecided(id, reason).figure("relative_gradient", certificate.residual))
}

impl Optimum {
    /// `W` of the flow, which is its Jacobian.
    pub fn weight(&self) -> Matrix<f64> {
        weights(&self.flow, 0).0
    }

    /// `λ_i + 2α`, descending.
    pub fn shifted(&self) -> Vec<f64> {
        self.spectrum.values.iter().map(|l| l + 2.0 * self.alpha).collect()
    }

    /// What rounding makes of `E[ffᵀ] + 2αWWᵀ` and of `W⁻ᵀWᵀ`, in the spectral norm.
    ///
    /// A latent has the error `γ_D (|W||h| + |b|)`, which enters twice; the sum over rows adds
    /// `γ_N` of its terms, the inverse `γ_{4D} κ_F(W)`.
    ///
    /// # Errors
    /// If the weight is not finite.
    pub fn rounding(&self) -> Result<f64, eigenflow_linalg::Error> {
        let (w, b) = weights(&self.flow, 0);
        let (n, d) = self.rows.shape();
        let magnitude = self.rows.map(f64::abs).mul(&w.map(f64::abs).transpose());
        let mut total = 0.0;
        for i in 0..n {
            total += (0..d).map(|j| (magnitude[(i, j)] + b[(0, j)].abs()).powi(2)).sum::<f64>();
        }
        let work = (total / n.max(1) as f64).sqrt();
        let latent = (d as f64).sqrt();
        let moments = 2.0 * gamma(n + 2 * d) * latent * work;
        let penalty = 2.0 * self.alpha * gamma(2 * d) * w.norm().powi(2);
        Ok(moments + penalty + gamma(4 * d) * (d as f64).sqrt() * condition_number(&w)?)
    }

    /// How far `W (Σ + 2αI) Wᵀ` may be from `I`: the certified relative gradient and rounding.
    ///
    /// # Errors
    /// As [`Optimum::rounding`].
    pub fn tolerance(&self) -> Result<f64, eigenflow_linalg::Error> {
        Ok(self.certificate.residual + self.rounding()?)
    }

    /// `W (Σ_n + 2αI) Wᵀ - I`, from the centred rows and not from their covariance.
    pub fn residual(&self) -> Matrix<f64> {
        let w = self.weight();
        let (n, d) = self.rows.shape();
        let centred = Matrix::from_fn(n, d, |i, j| self.rows[(i, j)] - self.spectrum.mean[j]);
        let f = centred.mul(&w.transpose());
        let (moments, gram) = (f.transpose().mul(&f), w.mul(&w.transpose()));
        Matrix::from_fn(d, d, |i, j| {
            moments[(i, j)] / n as f64 + 2.0 * self.alpha * gram[(i, j)] - f64::from(u8::from(i == j))
        })
    }
}
