//! What a case works on: a model and an input from outside, or seeded ones.

use super::Case;
use eigenflow::flow::presets::{Mask, Name, Nonlinearity, Preset};
use eigenflow::flow::{AnyModel, Flow};
use eigenflow::random::generator;
use eigenflow_linalg::Real;
use rand::RngExt;
use rand_distr::StandardNormal;

/// A model and an input; what is `None` is drawn.
#[derive(Default)]
pub struct Given {
    /// Weights.
    pub model: Option<AnyModel>,
    /// Entries in C order.
    pub input: Option<Vec<f64>>,
}

impl Given {
    /// The flow of a case: RealNVP of eight couplings (the second half moves, then columns are reversed), tanh
    /// conditioner 2 x 64, log-scale `tanh s`.
    pub fn flow<T: Real>(&self, case: Case) -> Result<Flow<T>, String> {
        let flow = match &self.model {
            Some(model) => model.cast().flow,
            None => realnvp(case.dim)?,
        };
        if flow.dim() == case.dim {
            Ok(flow)
        } else {
            Err(format!("{case}: the model has {} columns; load one of {}", flow.dim(), case.dim))
        }
    }

    /// The input: `len` numbers, standard normal where none is given.
    pub fn input<T: Real>(&self, case: Case, len: usize) -> Result<Vec<T>, String> {
        match &self.input {
            Some(x) if x.len() == len => Ok(x.iter().map(|&x| T::of(x)).collect()),
            Some(x) => Err(format!("{case}: the input has {} entries, the case needs {len}", x.len())),
            None => {
                let mut random = generator(0, "bench", 0);
                Ok((0..len).map(|_| T::of(random.sample::<f64, _>(StandardNormal))).collect())
            }
        }
    }
}

fn realnvp<T: Real>(dim: usize) -> Result<Flow<T>, String> {
    let preset = Preset {
        layers: Some(8),
        hidden: Some(vec![64, 64]),
        activation: Some(Nonlinearity::Tanh),
        scale_bound: Some(1.0),
        mask: Some(Mask::Halves),
        ..Preset::named(Name::Realnvp)
    };
    let layers = preset.layers(dim, 0).map_err(|e| e.to_string())?;
    Flow::new(layers, 0, 0).map_err(|e| e.to_string())
}
