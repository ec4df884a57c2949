//! Flows by name: see [`NAMES`].

mod intervals;
mod names;
mod options;
mod shuffle;

pub use self::intervals::Intervals;
pub use self::names::{Mask, NAMES, Name, Nonlinearity};

use self::shuffle::{random_half, shuffled};
use super::bijections::{
    ActNorm, Affine, Asinh, Autoregressive, BatchNorm, Coupling, Form, GeneralCoupling, LuLinear,
    Permutation, Planar, Prelu, Radial, Residual, Sinh, Support, Sylvester,
};
use super::conditioner::Activation;
use super::transformer::{Scale, Spline, Transformer};
use super::{Error, Layer};
use serde::{Deserialize, Serialize};

/// Which flow, with every option that a preset takes. `None` is the preset's own default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Preset {
    /// One of [`NAMES`].
    pub flow: Name,
    /// Number of layers: couplings (8), autoregressive layers (5), activations of `paper` (4), planar and radial layers (16),
    /// Sylvester (8) and residual ones (6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
    /// Widths of the conditioner's hidden layers (128, 128; 64, 64 for `residual`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Vec<usize>>,
    /// Whether conditioners are residual networks: an odd number of hidden layers of one width (128, 128, 128).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub residual: bool,
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
    /// Where the columns' values lie: one interval for all of them, or one for each. The map to the whole line is put before
    /// everything else where a flow is built for data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub support: Option<Intervals>,
}

impl Preset {
    /// The preset of a name with all defaults.
    pub fn named(flow: Name) -> Self {
        Self { flow, ..Self::default() }
    }

    /// The layers of a flow of `dim` columns. `seed` draws random masks.
    ///
    /// # Errors
    /// If an option is out of its range. Options that this flow does not take are passed over: see [`Preset::unused`].
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
            Name::Planar => self.stacked(dim, 16, &Planar { dim }.into())?,
            Name::Radial => self.stacked(dim, 16, &Radial { dim }.into())?,
            Name::Realnvp => self.couplings(dim, seed, &self.affine()?)?,
            Name::Residual => self.residual(dim)?,
            Name::Sylvester => self.stacked(dim, 8, &Sylvester { dim, axes: dim.min(AXES) }.into())?,
        };
        let ends_affine = matches!(layers.last(), Some(Layer::Affine(_)));
        if self.output_affine && !ends_affine {
            layers.push(Affine::new(dim, Form::Full).into());
        }
        Ok(layers)
    }

    /// The layer that takes the columns' intervals to the line, if any are given.
    ///
    /// # Errors
    /// If there are neither one nor `dim` of them.
    pub fn support(&self, dim: usize) -> Result<Option<Support>, Error> {
        let Some(Intervals(given)) = &self.support else { return Ok(None) };
        match given[..] {
            [one] => Ok(Some(Support { columns: vec![one; dim] })),
            _ if given.len() == dim => Ok(Some(Support { columns: given.clone() })),
            _ => self.fail(
                "--support",
                "must have one interval for all columns, or one for each, with ; between them",
            ),
        }
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

    /// The nonlinearity and widths of `count` conditioners, for `dim` columns.
    fn conditioner(
        &self,
        dim: usize,
        count: usize,
        default: &[usize],
    ) -> Result<(Activation, Vec<usize>), Error> {
        let activation = match self.activation.unwrap_or(Nonlinearity::Silu) {
            Nonlinearity::Tanh => Activation::Tanh,
            Nonlinearity::Relu => Activation::Relu,
            Nonlinearity::Silu => Activation::Silu,
            _ => return self.fail("--activation", "must be tanh, relu or silu"),
        };
        let default = if self.residual { &RESIDUAL_WIDTHS } else { default };
        let hidden = self.hidden.clone().unwrap_or_else(|| default.to_vec());
        if hidden.iter().any(|&w| w == 0 || w > 65_536) {
            return self.fail("--hidden", "widths must be between 1 and 65536");
        }
        // About: couplings read and move half of the columns, and contexts are inputs too.
        let whole = matches!(self.flow, Name::Iaf | Name::Maf | Name::NsfAr | Name::Residual);
        let columns = if whole { dim } else { dim.div_ceil(2) };
        let outputs =
            if matches!(self.flow, Name::Nsf | Name::NsfAr) { 3 * self.bins.unwrap_or(8) } else { 2 };
        let widths = [&[columns], &hidden[..], &[columns.saturating_mul(outputs)]].concat();
        let weights: usize =
            widths.windows(2).map(|pair| pair[0].saturating_mul(pair[1])).fold(0, usize::saturating_add);
        if weights.saturating_mul(count) > MOST_WEIGHTS {
            return self.fail(
                "--hidden",
                "widths make more than about 2^28 weights in all layers; take narrower ones, or fewer --layers",
            );
        }
        if self.residual && (hidden.len().is_multiple_of(2) || hidden.iter().any(|w| *w != hidden[0])) {
            return self.fail(
                "--hidden",
                "must be an odd number of equal widths for a residual network, as 128,128,128",
            );
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
            _ if dim == 1 => vec![0],
            Mask::Alternating => (0..dim).filter(|j| j % 2 == k % 2).collect(),
            Mask::Mixed => match k % 4 {
                0 => (dim / 2..dim).collect(),
                1 => (0..dim / 2).collect(),
                k => (0..dim).filter(|j| j % 2 == k % 2).collect(),
            },
            Mask::Random => random_half(dim, seed, k),
        }
    }

    /// A reversal behind a coupling that always moves the same half.
    fn between(&self, dim: usize) -> Option<Layer> {
        (self.mask == Some(Mask::Halves)).then(|| Permutation::reversed(dim).into())
    }

    /// Coupling `k`: an affine one with a perceptron is one operation.
    fn coupling(&self, dim: usize, seed: u64, k: usize, transformer: &Transformer) -> Result<Layer, Error> {
        let (activation, hidden) = self.conditioner(dim, self.count(8)?, &WIDTHS)?;
        let moved = self.moved(dim, seed, k);
        Ok(match *transformer {
            Transformer::Affine { scale: Scale::Tanh { bound } } if !self.residual => {
                Coupling { dim, moved, hidden, activation, bound }.into()
            }
            _ => {
                let (residual, transformer) = (self.residual, transformer.clone());
                GeneralCoupling { dim, moved, hidden, activation, residual, transformer }.into()
            }
        })
    }

    fn couplings(&self, dim: usize, seed: u64, transformer: &Transformer) -> Result<Vec<Layer>, Error> {
        let mut layers: Vec<Layer> = Vec::new();
        for k in 0..self.count(8)? {
            layers.push(self.coupling(dim, seed, k, transformer)?);
            layers.extend(self.between(dim));
        }
        Ok(layers)
    }

    /// Layers of one kind, each with its own start; scales at the end.
    fn stacked(&self, dim: usize, default: usize, layer: &Layer) -> Result<Vec<Layer>, Error> {
        let mut layers = vec![layer.clone(); self.count(default)?];
        layers.push(ActNorm { dim }.into());
        Ok(layers)
    }

    fn residual(&self, dim: usize) -> Result<Vec<Layer>, Error> {
        let count = self.count(6)?;
        let (activation, hidden) = self.conditioner(dim, count, &[64, 64])?;
        let mut layers: Vec<Layer> = Vec::new();
        for _ in 0..count {
            layers.push(ActNorm { dim }.into());
            layers.push(Residual { dim, hidden: hidden.clone(), activation }.into());
        }
        layers.push(ActNorm { dim }.into());
        Ok(layers)
    }

    fn nice(&self, dim: usize, seed: u64) -> Result<Vec<Layer>, Error> {
        let mut layers = self.couplings(dim, seed, &Transformer::Additive)?;
        layers.push(ActNorm { dim }.into());
        Ok(layers)
    }

    fn glow(&self, dim: usize, seed: u64) -> Result<Vec<Layer>, Error> {
        let transformer = self.affine()?;
        let mut layers: Vec<Layer> = Vec::new();
        for k in 0..self.count(8)? {
            layers.push(ActNorm { dim }.into());
            layers.push(Permutation { indices: shuffled(dim, seed, "permutation", k) }.into());
            layers.push(LuLinear::new(dim).into());
            layers.push(self.coupling(dim, seed, k, &transformer)?);
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
        let (count, every) = (self.count(5)?, self.batch_norm.unwrap_or(0));
        let (activation, hidden) = self.conditioner(dim, count, &WIDTHS)?;
        let layer = |k: usize| -> Layer {
            let order = match self.mask {
                Some(Mask::Random) => shuffled(dim, seed, "order", k),
                _ if k % 2 == 1 => (0..dim).rev().collect(),
                _ => (0..dim).collect(),
            };
            let (hidden, transformer) = (hidden.clone(), transformer.clone());
            let residual = self.residual;
            Autoregressive { order, hidden, activation, residual, transformer, inverse }.into()
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

/// Most weights of a flow's conditioners, as they are counted here: 2 GiB in double precision.
const MOST_WEIGHTS: usize = 1 << 28;

/// Widths of conditioners.
const WIDTHS: [usize; 2] = [128, 128];

/// Widths of residual ones: a layer and a block.
const RESIDUAL_WIDTHS: [usize; 3] = [128, 128, 128];

/// Half the side of the box of splines.
const BOX: f64 = 5.0;

/// Most axes of a Sylvester layer.
const AXES: usize = 8;
