//! Studies of images: what a flow of pixels makes of them, beside PCA and the linear denoiser.
//!
//! Pixels are numbers from 0 to 1, dequantised. Two flows are trained: one with the Tikhonov penalty, whose local axes are looked at
//! ([`geometry`], [`walks`]), and one of rows with noise, given its level, that takes the noise out again ([`denoiser`]).

pub mod denoiser;
pub mod gallery;
pub mod geometry;
pub mod rows;
pub mod walks;
pub mod wiener;

pub use rows::Images;

use crate::flow::presets::Preset;
use crate::train;
use serde::{Deserialize, Serialize};

/// How a flow is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Its couplings.
    pub preset: Preset,
    /// Passes over the training rows.
    pub epochs: usize,
    /// Rows a step.
    pub batch: usize,
    /// Learning rate.
    pub lr: f64,
}

/// What a study of images is made with. Standard deviations are in units of grey, 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The scale of the penalty: its weight is `α = scale²/2` in units of grey, the noise that it stands for.
    pub scale: f64,
    /// Noise that is added and taken out.
    pub noise: [f64; 3],
    /// The flow whose local axes are looked at.
    pub geometry: Recipe,
    /// The flow that takes noise out.
    pub denoiser: Recipe,
    /// Local axes that are drawn.
    pub axes: usize,
    /// Held-out rows of each class at which the whole spectrum is taken, the condition, and the noise is taken out.
    pub rows: [usize; 3],
    /// Seed of everything.
    pub seed: u64,
}

/// Numbers of an epoch of either flow, and whether to go on.
pub type Observer<'a> = dyn FnMut(&train::EpochRow) -> std::ops::ControlFlow<()> + 'a;
