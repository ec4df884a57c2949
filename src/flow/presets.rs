//! Flows by name: `affine`, `paper`, `paper-tril`, `realnvp`.

use super::bijections::{Affine, Asinh, BatchNorm, Coupling, Form, Permutation, Prelu, Sinh};
use super::conditioner::Activation;
use super::{Error, Layer};
use serde::{Deserialize, Serialize};

/// Names of the flows that are built.
pub const NAMES: &[&str] = &["affine", "paper", "paper-tril", "realnvp"];

/// Which flow, with every option that a preset takes. `None` is the preset's own default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Preset {
    /// One of [`NAMES`].
    pub flow: Name,
    /// Number of layers: couplings of `realnvp` (8), activations of `paper` (4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
    /// Widths of the conditioner's hidden layers (128, 128).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Vec<usize>>,
    /// `prelu`, `sinh`, `asinh` for `paper`; `tanh`, `relu`, `silu` for conditioners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Nonlinearity>,
    /// Bound `c` of a coupling's log-scale: the scale lies in `[e^-c, e^c]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_bound: Option<f64>,
    /// How couplings split columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
    /// Batch normalization after every so many layers of `paper`; 0 is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<usize>,
    /// An affine layer at the latent end.
    pub output_affine: bool,
}

/// Name of a preset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    /// One full affine layer: a normal distribution.
    Affine,
    /// Full affine layers with activations between (Feinman and Parthasarathy 2019).
    Paper,
    /// The same with lower triangular matrices: a Knothe-Rosenblatt map.
    PaperTril,
    /// Affine couplings.
    #[default]
    Realnvp,
}

impl Name {
    /// The name as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Affine => "affine",
            Self::Paper => "paper",
            Self::PaperTril => "paper-tril",
            Self::Realnvp => "realnvp",
        }
    }
}

/// Name of a nonlinearity, of a flow or of a conditioner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nonlinearity {
    /// Generative PReLU.
    Prelu,
    /// Generative sinh.
    Sinh,
    /// Generative asinh.
    Asinh,
    /// Conditioner: tanh.
    Tanh,
    /// Conditioner: ReLU.
    Relu,
    /// Conditioner: SiLU.
    Silu,
}

/// How couplings choose the columns that move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mask {
    /// The second half moves; after each coupling the columns are reversed.
    Halves,
    /// Even and odd columns move in turn.
    Alternating,
    /// A random half moves, then the other one, then another random one.
    #[default]
    Random,
}

impl Preset {
    /// The preset of a name with all defaults.
    pub fn named(flow: Name) -> Self {
        Self { flow, ..Self::default() }
    }

    /// The layers of a flow of `dim` columns. `seed` draws random masks.
    ///
    /// # Errors
    /// If an option is out of its range or is not one of this flow.
    pub fn layers(&self, dim: usize, seed: u64) -> Result<Vec<Layer>, Error> {
        if dim == 0 {
            return Err(Error::NoColumns);
        }
        let mut layers = match self.flow {
            Name::Affine => vec![Affine::new(dim, Form::Full).into()],
            Name::Paper => self.paper(dim, Form::Full)?,
            Name::PaperTril => self.paper(dim, Form::LowerTriangular)?,
            Name::Realnvp => self.realnvp(dim, seed)?,
        };
        let ends_affine = matches!(layers.last(), Some(Layer::Affine(_)));
        if self.output_affine && !ends_affine {
            layers.push(Affine::new(dim, Form::Full).into());
        }
        Ok(layers)
    }

    fn fail<S>(&self, option: &'static str, reason: &'static str) -> Result<S, Error> {
        Err(Error::Option { flow: self.flow.as_str(), option, reason })
    }

    fn count(&self, default: usize) -> Result<usize, Error> {
        match self.layers {
            Some(n) if n == 0 || n > 1000 => self.fail("--layers", "must be between 1 and 1000"),
            n => Ok(n.unwrap_or(default)),
        }
    }

    /// Affine layers, activations between them, optional batch normalization, an affine layer last.
    fn paper(&self, dim: usize, form: Form) -> Result<Vec<Layer>, Error> {
        let mut layers = Vec::new();
        let every = self.batch_norm.unwrap_or(0);
        for k in 0..self.count(4)? {
            layers.push(Affine::new(dim, form).into());
            layers.push(match self.activation.unwrap_or(Nonlinearity::Prelu) {
                Nonlinearity::Prelu => Prelu { dim }.into(),
                Nonlinearity::Sinh => Sinh { dim }.into(),
                Nonlinearity::Asinh => Asinh { dim }.into(),
                _ => return self.fail("--activation", "must be prelu, sinh or asinh"),
            });
            if every > 0 && (k + 1) % every == 0 {
                layers.push(BatchNorm::new(dim).into());
            }
        }
        layers.push(Affine::new(dim, form).into());
        Ok(layers)
    }

    fn realnvp(&self, dim: usize, seed: u64) -> Result<Vec<Layer>, Error> {
        let activation = match self.activation.unwrap_or(Nonlinearity::Silu) {
            Nonlinearity::Tanh => Activation::Tanh,
            Nonlinearity::Relu => Activation::Relu,
            Nonlinearity::Silu => Activation::Silu,
            _ => return self.fail("--activation", "must be tanh, relu or silu"),
        };
        let hidden = self.hidden.clone().unwrap_or_else(|| vec![128, 128]);
        if hidden.iter().any(|&w| w == 0 || w > 65_536) {
            return self.fail("--hidden", "widths must be between 1 and 65536");
        }
        let bound = self.scale_bound.unwrap_or(2.0);
        if !(bound > 0.0 && bound <= 20.0) {
            return self.fail("--scale-bound", "must be above 0 and at most 20");
        }
        let mask = self.mask.unwrap_or_default();
        let mut layers: Vec<Layer> = Vec::new();
        for k in 0..self.count(8)? {
            let moved = match mask {
                Mask::Halves => (dim / 2..dim).collect(),
                Mask::Alternating => (0..dim).filter(|j| dim == 1 || j % 2 == k % 2).collect(),
                Mask::Random => random_half(dim, seed, k),
            };
            layers.push(Coupling { dim, moved, hidden: hidden.clone(), activation, bound }.into());
            if mask == Mask::Halves {
                layers.push(Permutation::reversed(dim).into());
            }
        }
        Ok(layers)
    }
}

/// A random half of the columns, ascending; a pure function of its arguments. Each odd one is the
/// complement of the one before, so that every column moves.
fn random_half(dim: usize, seed: u64, k: usize) -> Vec<usize> {
    use rand::RngExt;
    let mut random = crate::random::generator(seed, "mask", (k / 2) as u64);
    let mut columns: Vec<usize> = (0..dim).collect();
    for i in (1..dim).rev() {
        columns.swap(i, random.random_range(0..=i));
    }
    let mut half = if k.is_multiple_of(2) || dim == 1 {
        columns[dim / 2..].to_vec()
    } else {
        columns[..dim / 2].to_vec()
    };
    half.sort_unstable();
    half
}
