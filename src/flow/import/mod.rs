//! Other libraries' weights as models of our own layers.
//!
//! A file holds a `state_dict` and no configuration: what its names and shapes do not say is [`Settings`], which the file's
//! metadata may hold under the same names. An imported model is a model like any other; its parameters may stand in another order, and constants may be taken into
//! them, but each tensor is read, and one that is not understood is an error that names it. Names of the form
//! `__name__` are no parameters of any library and are passed over.

mod nflows;
mod weights;
mod zuko;

use super::conditioner::Activation;
use super::{AnyModel, Flow, Layer, Model};
use eigenflow_linalg::Real;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use weights::Weights;

pub use zuko::export as export_zuko;

/// A library whose weights are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    /// zuko: RealNVP, NICE, MAF, NSF, couplings with splines, elementwise transforms.
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

/// What the weights do not say, with the libraries' own defaults, each under its name here or its name there (`bound` is `tail_bound` too); `bound` is 5 in zuko, and 3 is taken for nflows, where
/// it has no default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Half the side of the splines' box (`bound` in zuko, `tail_bound` in nflows).
    #[serde(alias = "tail_bound", alias = "tail-bound")]
    pub bound: Option<f64>,
    /// Nonlinearity of the networks (`relu`).
    pub activation: Option<Activation>,
    /// zuko's `slope`: least scale and slope (1e-3).
    pub slope: Option<f64>,
    /// nflows' `min_bin_width` (1e-3).
    #[serde(alias = "min_bin_width")]
    pub min_bin_width: Option<f64>,
    /// nflows' `min_bin_height` (1e-3).
    #[serde(alias = "min_bin_height")]
    pub min_bin_height: Option<f64>,
    /// nflows' `min_derivative` (1e-3).
    #[serde(alias = "min_derivative")]
    pub min_derivative: Option<f64>,
    /// `eps` of nflows' `LULinear` (1e-3).
    #[serde(alias = "lu_eps")]
    pub lu_eps: Option<f64>,
    /// `eps` of nflows' `BatchNorm` (1e-5).
    #[serde(alias = "batch_norm_eps")]
    pub batch_norm_eps: Option<f64>,
    /// Whether an nflows MADE without blocks is one with residual blocks (no activation between its two layers) or not.
    pub residual: Option<bool>,
}

impl Settings {
    fn activation(&self) -> Activation {
        self.activation.unwrap_or(Activation::Relu)
    }

    /// These, and where they are silent those of a file's metadata: entries of the same names, as JSON or plain text.
    fn or(&self, metadata: &BTreeMap<String, String>, file: &str) -> Result<Self, Error> {
        let mut known = serde_json::Map::new();
        for (key, text) in metadata {
            let value: serde_json::Value =
                serde_json::from_str(text).unwrap_or_else(|_| text.to_lowercase().into());
            let single = serde_json::Value::Object([(key.clone(), value.clone())].into_iter().collect());
            match serde_json::from_value::<Self>(single) {
                Ok(_) => {
                    known.insert(key.clone(), value);
                }
                // Metadata holds whatever its writer liked.
                Err(e) if e.to_string().starts_with("unknown field") => {}
                Err(e) => {
                    let problem = format!("metadata entry '{key}' = '{text}': {e}");
                    return Err(Error::Metadata { file: file.to_owned(), problem });
                }
            }
        }
        let of_file =
            |e: serde_json::Error| Error::Metadata { file: file.to_owned(), problem: e.to_string() };
        let other: Self = serde_json::from_value(known.into()).map_err(of_file)?;
        Ok(Self {
            bound: self.bound.or(other.bound),
            activation: self.activation.or(other.activation),
            slope: self.slope.or(other.slope),
            min_bin_width: self.min_bin_width.or(other.min_bin_width),
            min_bin_height: self.min_bin_height.or(other.min_bin_height),
            min_derivative: self.min_derivative.or(other.min_derivative),
            lu_eps: self.lu_eps.or(other.lu_eps),
            batch_norm_eps: self.batch_norm_eps.or(other.batch_norm_eps),
            residual: self.residual.or(other.residual),
        })
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
    /// A setting in the file's metadata that makes no sense.
    #[error("{file}: {problem}; give the setting with --config, or write the metadata again")]
    Metadata {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A file of another library than was said.
    #[error("{file}: this looks like {found}, not like weights of {asked}; {remedy}")]
    Library {
        /// The file.
        file: String,
        /// The library that was asked for.
        asked: &'static str,
        /// What the tensors' names look like.
        found: &'static str,
        /// What to do.
        remedy: &'static str,
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
    /// A parameter that is made of tensors and is beyond the precision.
    #[error(
        "{file}: parameter '{parameter}' of the model is not finite in {precision}; mend the tensors that it is made of, or save all as F64"
    )]
    NotFinite {
        /// The file.
        file: String,
        /// Name of the parameter.
        parameter: String,
        /// `f32` or `f64`.
        precision: &'static str,
    },
    /// The tensors make no flow.
    #[error("{file}: {error}; look at the settings given with --config")]
    Flow {
        /// The file.
        file: String,
        /// What is wrong.
        error: super::Error,
    },
    /// A model that is more than its layers, where the library's flows are not.
    #[error("the model's {part} has no counterpart in {library}; {remedy}")]
    Beyond {
        /// The library.
        library: &'static str,
        /// What there is beside the layers.
        part: &'static str,
        /// What to do.
        remedy: &'static str,
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
    let (found, remedy) = weights.origin();
    if found.is_some_and(|found| found != library.as_str()) {
        let found = found.unwrap_or_default();
        return Err(Error::Library { file: file.to_owned(), asked: library.as_str(), found, remedy });
    }
    let settings = settings.or(weights.metadata(), file)?;
    let parts = match library {
        Library::Zuko => zuko::parts(&mut weights, &settings)?,
        Library::Nflows => nflows::parts(&mut weights, &settings)?,
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
    check_finite(&flow, file)?;
    flow.check_parameters().map_err(wrong)?;
    let columns = (0..flow.dim()).map(|j| format!("c{j}")).collect();
    let record = serde_json::json!({ "imported": library.as_str(), "weights": file });
    let model = Model { flow, columns, record: Some(record) };
    if !weights.is_single() {
        return Ok(AnyModel::F64(model));
    }
    let single = model.cast();
    check_finite(&single.flow, file)?;
    Ok(AnyModel::F32(single))
}

/// That what was made of the tensors is finite, as they are.
fn check_finite<T: Real>(flow: &Flow<T>, file: &str) -> Result<(), Error> {
    match flow.parameters().iter().find(|p| p.data.iter().any(|v| !v.is_finite())) {
        None => Ok(()),
        Some(p) => {
            let parameter = p.name.clone();
            Err(Error::NotFinite { file: file.to_owned(), parameter, precision: T::NAME })
        }
    }
}
