//! Names of flows and of their options.

use serde::{Deserialize, Serialize};

/// Names of the flows that are built.
pub const NAMES: &[&str] = &[
    "affine",
    "glow",
    "iaf",
    "maf",
    "nice",
    "nsf",
    "nsf-ar",
    "paper",
    "paper-tril",
    "planar",
    "radial",
    "realnvp",
    "residual",
    "sylvester",
];

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
    /// Planar layers, scales at the end (Rezende and Mohamed 2015).
    Planar,
    /// Radial layers, scales at the end (Rezende and Mohamed 2015).
    Radial,
    /// Affine couplings.
    #[default]
    Realnvp,
    /// The identity plus a contraction, with scales before each layer and at the end (Behrmann et al. 2019, Chen et al. 2019).
    Residual,
    /// Sylvester layers with up to 8 axes each, scales at the end (van den Berg et al. 2018).
    Sylvester,
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
            Self::Planar => "planar",
            Self::Radial => "radial",
            Self::Realnvp => "realnvp",
            Self::Residual => "residual",
            Self::Sylvester => "sylvester",
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
    /// The second half moves, the first half, even columns, odd columns, and so on.
    Mixed,
    /// A random half moves, then the other one, then another random one.
    #[default]
    Random,
}
