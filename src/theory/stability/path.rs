//! The linear flow along the penalty: likelihood on both sides of a split, condition, and the weight that held-out rows choose.

use super::shrinkage::{LedoitWolf, ledoit_wolf};
use crate::theory::linear::{Path, Spectrum};
use eigenflow_linalg::{Error, Matrix};

/// Ends of the grid of weights, in units of a mean variance of 1, and its points.
const ENDS: (f64, f64) = (1e-9, 10.0);
const POINTS: u32 = 150;
/// Steps of the golden section between two points of the grid.
const GOLDEN: usize = 60;

/// The weight that held-out rows choose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Chosen {
    /// A maximum of the held-out likelihood inside the grid.
    At(f64),
    /// The likelihood still rises towards smaller weights at the lower end: no penalty is wanted.
    None,
    /// It still rises at the upper end.
    Beyond(f64),
}

/// Linear optima over all weights, in closed form from the spectrum of the training rows.
#[derive(Clone, Debug)]
pub struct LinearPath {
    /// Weights, ascending.
    pub alphas: Vec<f64>,
    /// Spectrum of the training rows, training units.
    pub spectrum: Spectrum,
    /// Second moments of the held-out rows about the training mean along the training axes.
    pub moments: Vec<f64>,
    /// Ledoit and Wolf's weight.
    pub ledoit_wolf: LedoitWolf,
}

impl LinearPath {
    /// The path of rows in training units.
    ///
    /// # Errors
    /// If an entry is not finite.
    pub fn new(training: &Matrix<f64>, held_out: &Matrix<f64>) -> Result<Self, Error> {
        let spectrum = Spectrum::of(training)?;
        let (n, d) = held_out.shape();
        let centred = Matrix::from_fn(n, d, |i, j| held_out[(i, j)] - spectrum.mean[j]);
        let scores = centred.mul(&spectrum.axes);
        // Along a null direction of both, what is left is rounding, as in the spectrum.
        let rounding = training.rows().max(d) as f64 * f64::EPSILON;
        let least = rounding * rounding * spectrum.values.first().unwrap_or(&0.0);
        let moment = |k: usize| {
            let mean = scores.col(k).iter().map(|v| v * v).sum::<f64>() / n.max(1) as f64;
            if mean > least { mean } else { 0.0 }
        };
        let moments = (0..d).map(moment).collect();
        let mean = spectrum.values.iter().sum::<f64>() / d.max(1) as f64;
        let unit = if mean > 0.0 { mean } else { 1.0 };
        let (low, high) = (ENDS.0 * unit, ENDS.1 * unit);
        let alphas =
            (0..=POINTS).map(|k| low * (high / low).powf(f64::from(k) / f64::from(POINTS))).collect();
        let ledoit_wolf = ledoit_wolf(training, &spectrum);
        Ok(Self { alphas, spectrum, moments, ledoit_wolf })
    }

    /// The closed forms of the optima.
    pub fn closed(&self) -> Path<'_> {
        Path(&self.spectrum.values)
    }

    /// Mean log-likelihood of the held-out rows under the optimum of weight `alpha`, nats a row of training units.
    pub fn held_out(&self, alpha: f64) -> f64 {
        self.closed().likelihood_of(alpha, &self.moments)
    }

    /// The weight of the largest held-out likelihood: the best of the grid, then by golden section in `log α`.
    pub fn chosen(&self) -> Chosen {
        let values: Vec<f64> = self.alphas.iter().map(|&a| self.held_out(a)).collect();
        let best = (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(0);
        if best == 0 {
            return Chosen::None;
        }
        if best + 1 == values.len() {
            return Chosen::Beyond(self.alphas[best]);
        }
        let (mut low, mut high) = (self.alphas[best - 1].ln(), self.alphas[best + 1].ln());
        let ratio = 0.5 * (5.0_f64.sqrt() - 1.0);
        for _ in 0..GOLDEN {
            let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
            if self.held_out(a.exp()) >= self.held_out(b.exp()) { high = b } else { low = a }
        }
        Chosen::At((0.5 * (low + high)).exp())
    }
}
