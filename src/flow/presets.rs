//! Flows by name: see [`NAMES`].

use super::bijections::{
    ActNorm, Affine, Asinh, Autoregressive, BatchNorm, Coupling, Form, GeneralCoupling, LuLinear,
    Permutation, Prelu, Sinh,
};
use super::conditioner::Activation;
use super::transformer::{Scale, Spline, Transformer};
use super::{Error, Layer};
use serde::{Deserialize, Serialize};

/// Names of the flows that are built.
pub const NAMES: &[&str] =
    &["affine", "glow", "iaf", "maf", "nice", "nsf", "nsf-ar", "paper", "paper-tril", "realnvp"];

/// Which flow, with every option that a preset takes. `None` is the preset's own default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Preset {
    /// One of [`NAMES`].
    pub flow: Name,
    /// Number of layers: couplings (8), autoregressive layers (5), activations of `paper` (4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
    /// Widths of the conditioner's hidden layers (128, 128).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Vec<usize>>,
    /// `prelu`, `sinh`, `asinh` for `paper`; `tanh`, `relu`, `silu` for conditioners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Nonlinearity>,
    /// Bins of a spline (8).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bins: Option<usize>,
    /// Bound `c` of the log-scale of affine layers: the scale lies in `[e^-c, e^c]` (2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_bound: Option<f64>,
    /// How couplings split columns; `random` orders columns at random in autoregressive layers, others take the given
    /// order and its reverse in turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<Mask>,
    /// Batch normalization after every so many layers of `paper`, between every so many autoregressive layers; 0 is never.
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
    /// Activation normalization, a permutation, an LU linear map and an affine coupling a step, on vectors (Kingma and Dhariwal
    /// 2018).
    Glow,
    /// Inverse autoregressive flow: [`Name::Maf`] with its directions swapped (Kingma et al. 2016). Training runs the sequential
    /// direction.
    Iaf,
    /// Masked autoregressive flow, affine (Papamakarios et al. 2017).
    Maf,
    /// Additive couplings, scales at the end (Dinh et al. 2015).
    Nice,
    /// Couplings with rational-quadratic splines on the box `[-5, 5]` (Durkan et al. 2019).
    Nsf,
    /// The same, autoregressive.
    NsfAr,
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
            Self::Glow => "glow",
            Self::Iaf => "iaf",
            Self::Maf => "maf",
            Self::Nice => "nice",
            Self::Nsf => "nsf",
            Self::NsfAr => "nsf-ar",
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
            Name::Glow => self.glow(dim, seed)?,
            Name::Iaf => self.autoregressive(dim, seed, &self.affine()?, true)?,
            Name::Maf => self.autoregressive(dim, seed, &self.affine()?, false)?,
            Name::Nice => self.nice(dim, seed)?,
            Name::Nsf => self.couplings(dim, seed, &self.spline()?)?,
            Name::NsfAr => self.autoregressive(dim, seed, &self.spline()?, false)?,
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

    /// The conditioner's nonlinearity and widths.
    fn conditioner(&self) -> Result<(Activation, Vec<usize>), Error> {
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
        Ok((activation, hidden))
    }

    fn bound(&self) -> Result<f64, Error> {
        let bound = self.scale_bound.unwrap_or(2.0);
        if bound > 0.0 && bound <= 20.0 {
            return Ok(bound);
        }
        self.fail("--scale-bound", "must be above 0 and at most 20")
    }

    fn affine(&self) -> Result<Transformer, Error> {
        Ok(Transformer::Affine { scale: Scale::Tanh { bound: self.bound()? } })
    }

    fn spline(&self) -> Result<Transformer, Error> {
        let bins = self.bins.unwrap_or(8);
        if !(2..=256).contains(&bins) {
            return self.fail("--bins", "must be between 2 and 256");
        }
        Ok(Transformer::Spline(Spline::new(bins, BOX)))
    }

    /// Columns that coupling `k` moves.
    fn moved(&self, dim: usize, seed: u64, k: usize) -> Vec<usize> {
        match self.mask.unwrap_or_default() {
            Mask::Halves => (dim / 2..dim).collect(),
            Mask::Alternating => (0..dim).filter(|j| dim == 1 || j % 2 == k % 2).collect(),
            Mask::Random => random_half(dim, seed, k),
        }
    }

    /// A reversal behind a coupling that always moves the same half.
    fn between(&self, dim: usize) -> Option<Layer> {
        (self.mask == Some(Mask::Halves)).then(|| Permutation::reversed(dim).into())
    }

    fn realnvp(&self, dim: usize, seed: u64) -> Result<Vec<Layer>, Error> {
        let (activation, hidden) = self.conditioner()?;
        let bound = self.bound()?;
        let mut layers: Vec<Layer> = Vec::new();
        for k in 0..self.count(8)? {
            let moved = self.moved(dim, seed, k);
            layers.push(Coupling { dim, moved, hidden: hidden.clone(), activation, bound }.into());
            layers.extend(self.between(dim));
        }
        Ok(layers)
    }

    fn couplings(&self, dim: usize, seed: u64, transformer: &Transformer) -> Result<Vec<Layer>, Error> {
        let (activation, hidden) = self.conditioner()?;
        let mut layers: Vec<Layer> = Vec::new();
        for k in 0..self.count(8)? {
            let coupling = GeneralCoupling {
                dim,
                moved: self.moved(dim, seed, k),
                hidden: hidden.clone(),
                activation,
                residual: false,
                transformer: transformer.clone(),
            };
            layers.push(coupling.into());
            layers.extend(self.between(dim));
        }
        Ok(layers)
    }

    fn nice(&self, dim: usize, seed: u64) -> Result<Vec<Layer>, Error> {
        let mut layers = self.couplings(dim, seed, &Transformer::Additive)?;
        layers.push(ActNorm { dim }.into());
        Ok(layers)
    }

    fn glow(&self, dim: usize, seed: u64) -> Result<Vec<Layer>, Error> {
        let (activation, hidden) = self.conditioner()?;
        let bound = self.bound()?;
        let mut layers: Vec<Layer> = Vec::new();
        for k in 0..self.count(8)? {
            layers.push(ActNorm { dim }.into());
            layers.push(Permutation { indices: shuffled(dim, seed, "permutation", k) }.into());
            layers.push(LuLinear::new(dim).into());
            let moved = self.moved(dim, seed, k);
            layers.push(Coupling { dim, moved, hidden: hidden.clone(), activation, bound }.into());
        }
        Ok(layers)
    }

    fn autoregressive(
        &self,
        dim: usize,
        seed: u64,
        transformer: &Transformer,
        inverse: bool,
    ) -> Result<Vec<Layer>, Error> {
        let (activation, hidden) = self.conditioner()?;
        let (count, every) = (self.count(5)?, self.batch_norm.unwrap_or(0));
        let layer = |k: usize| -> Layer {
            let order = match self.mask {
                Some(Mask::Random) => shuffled(dim, seed, "order", k),
                _ if k % 2 == 1 => (0..dim).rev().collect(),
                _ => (0..dim).collect(),
            };
            let (hidden, transformer) = (hidden.clone(), transformer.clone());
            Autoregressive { order, hidden, activation, residual: false, transformer, inverse }.into()
        };
        let mut layers = Vec::new();
        for k in 0..count {
            layers.push(layer(k));
            if every > 0 && (k + 1) % every == 0 && k + 1 < count {
                layers.push(BatchNorm::new(dim).into());
            }
        }
        Ok(layers)
    }
}

/// Half the side of the box of splines.
const BOX: f64 = 5.0;

/// The columns in a random order: a pure function of its arguments.
fn shuffled(dim: usize, seed: u64, purpose: &'static str, k: usize) -> Vec<usize> {
    use rand::RngExt;
    let mut random = crate::random::generator(seed, purpose, k as u64);
    let mut columns: Vec<usize> = (0..dim).collect();
    for i in (1..dim).rev() {
        columns.swap(i, random.random_range(0..=i));
    }
    columns
}

/// A random half of the columns, ascending; a pure function of its arguments. Each odd one is the
/// complement of the one before, so that every column moves.
fn random_half(dim: usize, seed: u64, k: usize) -> Vec<usize> {
    let columns = shuffled(dim, seed, "mask", k / 2);
    let mut half = if k.is_multiple_of(2) || dim == 1 {
        columns[dim / 2..].to_vec()
    } else {
        columns[..dim / 2].to_vec()
    };
    half.sort_unstable();
    half
}
