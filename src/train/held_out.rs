//! What a trained flow gives rows that it has not seen.

use super::fit::{add_noise, to_training_units};
use super::{Error, TrainOptions};
use crate::flow::Flow;
use eigenflow_linalg::{Matrix, Real};

/// Log-densities of held-out rows, nats.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOut {
    /// In the data's own units.
    pub log_density: Vec<f64>,
    /// In training units.
    pub training_units: Vec<f64>,
}

impl HeldOut {
    /// Mean negative log-density in the data's own units, with its standard error.
    pub fn nll(&self) -> (f64, f64) {
        negative_mean(&self.log_density)
    }

    /// The same in training units.
    pub fn nll_training_units(&self) -> (f64, f64) {
        negative_mean(&self.training_units)
    }

    /// The least log-density of a row, training units.
    pub fn worst(&self) -> f64 {
        self.training_units.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

fn negative_mean(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
    (-mean, (variance / n).sqrt())
}

/// Scores rows in data units. With input noise the rows are noisy too, from a generator of this purpose: a flow that is
/// trained with noise is a model of noisy rows, and other rows are not what it learnt.
///
/// # Errors
/// If a row does not fit the flow or is out of its reach.
pub fn held_out<T: Real>(flow: &Flow<T>, x: &Matrix<T>, options: &TrainOptions) -> Result<HeldOut, Error> {
    let mut y = to_training_units(flow, x)?;
    add_noise(&mut y, flow.dim(), options, "test-noise", 0);
    let training_units: Vec<f64> = flow.part(flow.core())?.log_density(&y)?.iter().map(|p| p.f64()).collect();
    if flow.preprocessing() == 0 {
        return Ok(HeldOut { log_density: training_units.clone(), training_units });
    }
    let before = flow.part(0..flow.preprocessing())?;
    let (_, log_det) = before.normalize(&flow.with_contexts_of(before.generate(&y)?, &y)?)?;
    let log_density = training_units.iter().zip(&log_det).map(|(p, d)| p + d.f64()).collect();
    Ok(HeldOut { log_density, training_units })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::bijections::{Affine, Form, Standardize};

    /// x = 1 and 5 with mean 3 and scale 2 are y = -1 and 1; z = y under the identity. Training units: -½ ln 2π - ½;
    /// data units: less ln 2.
    #[test]
    fn units_by_hand() {
        let layers = vec![Standardize { dim: 1 }.into(), Affine::new(1, Form::Full).into()];
        let mut flow = Flow::<f64>::new(layers, 1, 0).unwrap();
        for (name, value) in [("layers.0.mean", 3.0), ("layers.0.scale", 2.0), ("layers.1.weight", 1.0)] {
            flow.parameters_mut().iter_mut().find(|p| p.name == name).unwrap().data[0] = value;
        }
        let x = Matrix::new(2, 1, vec![1.0, 5.0]);
        let plain = held_out(&flow, &x, &TrainOptions::default()).unwrap();
        let here = 0.5 * (2.0 * std::f64::consts::PI).ln() + 0.5;
        assert!((plain.nll_training_units().0 - here).abs() < 1e-14);
        assert!((plain.nll().0 - here - 2.0_f64.ln()).abs() < 1e-14 && plain.nll().1 < 1e-14);
        let noisy = held_out(&flow, &x, &TrainOptions { noise: 0.5, ..TrainOptions::default() }).unwrap();
        assert!(noisy.worst() < plain.worst() && noisy.nll().1 > 0.0);
    }
}
