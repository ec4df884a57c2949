//! Other libraries' weights as models of our own layers.
//!
//! A file holds a `state_dict` and no configuration: what its names and shapes do not say is [`Settings`]. An imported
//! model is a model like any other; its parameters may stand in another order, and constants may be taken into
//! them, but each tensor is read, and one that is not understood is an error that names it. Names of the form
//! `__name__` are no parameters of any library and are passed over.

mod nflows;
mod weights;
mod zuko;

use super::conditioner::Activation;
use super::{AnyModel, Flow, Layer, Model};
use serde::Deserialize;
use std::path::Path;
use weights::Weights;

pub use zuko::export as export_zuko;

/// A library whose weights are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// zuko: RealNVP, NICE, MAF, NSF and couplings with splines.
    Zuko,
    /// nflows: RealNVP, MAF, rational-quadratic couplings and autoregressive layers, LULinear, permutations, batch and
    /// activation normalization.
    Nflows,
}

impl Library {
    /// The name as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Zuko => "zuko",
            Self::Nflows => "nflows",
        }
    }
}

/// What the weights do not say, with the libraries' own defaults; `bound` is 5 in zuko, and 3 is taken for nflows, where
/// it has no default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Half the side of the splines' box (`bound` in zuko, `tail_bound` in nflows).
    pub bound: Option<f64>,
    /// Nonlinearity of the networks (`relu`).
    pub activation: Option<Activation>,
    /// zuko's `slope`: least scale and slope (1e-3).
    pub slope: Option<f64>,
    /// nflows' `min_bin_width` (1e-3).
    pub min_bin_width: Option<f64>,
    /// nflows' `min_bin_height` (1e-3).
    pub min_bin_height: Option<f64>,
    /// nflows' `min_derivative` (1e-3).
    pub min_derivative: Option<f64>,
    /// `eps` of nflows' `LULinear` (1e-3).
    pub lu_eps: Option<f64>,
    /// `eps` of nflows' `BatchNorm` (1e-5).
    pub batch_norm_eps: Option<f64>,
}

impl Settings {
    fn activation(&self) -> Activation {
        self.activation.unwrap_or(Activation::Relu)
    }
}

/// What is wrong with the weights, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("{file}: cannot be read: {error}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// No safetensors file, or a damaged one.
    #[error(
        "{file}: no sound safetensors file ({problem}); write the state_dict with safetensors' save_file"
    )]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A tensor that is missing, not understood, or not as the others say.
    #[error("{file}: tensor '{tensor}': {problem}")]
    Tensor {
        /// The file.
        file: String,
        /// Name of the tensor.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
    /// The tensors make no flow.
    #[error("{file}: {error}; look at the settings given with --config")]
    Flow {
        /// The file.
        file: String,
        /// What is wrong.
        error: super::Error,
    },
    /// A model that the library has no layers for.
    #[error("layer {layer} ({kind}) has no counterpart in {library}: {reason}")]
    NoCounterpart {
        /// The library.
        library: &'static str,
        /// Position of the layer.
        layer: usize,
        /// Its kind.
        kind: &'static str,
        /// Why not.
        reason: &'static str,
    },
}

/// A layer with its parameters, in the order of its declaration.
struct Part {
    layer: Layer,
    parameters: Vec<Vec<f64>>,
}

/// Reads a library's weights as a model, in their own precision.
///
/// # Errors
/// Whatever is wrong with the file, with the tensor at fault: see [`Error`].
pub fn import(library: Library, path: &Path, settings: &Settings) -> Result<AnyModel, Error> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| Error::Read { file: file.clone(), error })?;
    import_bytes(library, &bytes, &file, settings)
}

/// The same from the bytes of a file; `file` is its name in messages.
///
/// # Errors
/// As [`import`].
pub fn import_bytes(
    library: Library,
    bytes: &[u8],
    file: &str,
    settings: &Settings,
) -> Result<AnyModel, Error> {
    let mut weights = Weights::read(bytes, file)?;
    let parts = match library {
        Library::Zuko => zuko::parts(&mut weights, settings)?,
        Library::Nflows => nflows::parts(&mut weights, settings)?,
    };
    weights.finish()?;
    let wrong = |error| Error::Flow { file: file.to_owned(), error };
    let layers: Vec<Layer> = parts.iter().map(|p| p.layer.clone()).collect();
    let mut flow = Flow::<f64>::new(layers, 0, 0).map_err(wrong)?;
    let data = parts.into_iter().flat_map(|p| p.parameters);
    for (p, data) in flow.parameters_mut().iter_mut().zip(data) {
        // Every part took its tensors by the shapes that its layer declares.
        debug_assert_eq!(p.data.len(), data.len(), "{}", p.name);
        p.data = data;
    }
    flow.check_parameters().map_err(wrong)?;
    let columns = (0..flow.dim()).map(|j| format!("c{j}")).collect();
    let record = serde_json::json!({ "imported": library.as_str(), "weights": file });
    let model = Model { flow, columns, record: Some(record) };
    Ok(if weights.is_single() { AnyModel::F32(model.cast()) } else { AnyModel::F64(model) })
}
