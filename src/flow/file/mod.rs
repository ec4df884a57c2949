//! Models in files: one `.safetensors` file, which opens in any language.
//!
//! Every parameter is a tensor `layers.K.NAME` of shape `[rows, cols]`, `F32` or `F64`. The metadata entry
//! `eigenflow` is one JSON object: format version, width, precision, the layers, how many of them are
//! preprocessing, the names of the columns and the record of training; for a conditional flow the variables of its
//! context (tensors `context.mean`, `context.scale`), for one of whole numbers its dequantiser (tensors `dequantizer.layers.K.NAME`), for a base that
//! is not standard normal its family (tensors `base.NAME`). A checkpoint of training is a model with further
//! tensors `training.NAME`, which do not belong to the model and are not read with it.

mod error;
mod numbers;
mod read;
mod write;

pub use self::error::FileError;
pub use self::read::beside;

use super::bijections::Support;
use super::{Base, Dequantize, Flow, Layer, Variable};
use eigenflow_linalg::Real;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of the model format that is written; older ones are read.
pub const FORMAT_VERSION: u32 = 2;

/// Version of files without a context and with the standard normal base: what older readers know.
const PLAIN: u32 = 1;

/// Key of the metadata entry.
const KEY: &str = "eigenflow";
/// What names of tensors begin with that stand beside the model.
const BESIDE: &str = "training.";

/// A flow with what is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Model<T> {
    /// The flow.
    pub flow: Flow<T>,
    /// Names of the data's columns, one a column of the flow.
    pub columns: Vec<String>,
    /// How it was trained, if it was.
    pub record: Option<Value>,
}

/// A model of either precision, as it comes from a file.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyModel {
    /// Single precision.
    F32(Model<f32>),
    /// Double precision.
    F64(Model<f64>),
}

/// What stands in the metadata.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format_version: u32,
    dim: usize,
    dtype: String,
    layers: Vec<Layer>,
    preprocessing: usize,
    columns: Vec<String>,
    record: Option<Value>,
    #[serde(default, skip_serializing_if = "Base::is_standard")]
    base: Base,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    context: Vec<Variable>,
    #[serde(default, skip_serializing_if = "Dequantize::is_none")]
    dequantize: Dequantize,
}

impl<T: Real> Model<T> {
    /// The same model with other scalars.
    pub fn cast<U: Real>(&self) -> Model<U> {
        Model { flow: self.flow.cast(), columns: self.columns.clone(), record: self.record.clone() }
    }
}

impl AnyModel {
    /// `"f32"` or `"f64"`.
    pub fn dtype(&self) -> &'static str {
        match self {
            Self::F32(_) => f32::NAME,
            Self::F64(_) => f64::NAME,
        }
    }

    /// How it was trained, if it was.
    pub fn record(&self) -> Option<&Value> {
        match self {
            Self::F32(model) => model.record.as_ref(),
            Self::F64(model) => model.record.as_ref(),
        }
    }

    /// Names of the columns.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::F32(model) => &model.columns,
            Self::F64(model) => &model.columns,
        }
    }

    /// Whether it is one of dequantised whole numbers.
    pub fn is_of_whole_numbers(&self) -> bool {
        match self {
            Self::F32(model) => !model.flow.dequantize().is_none(),
            Self::F64(model) => !model.flow.dequantize().is_none(),
        }
    }

    /// Variables of the context; none for a model that takes none.
    pub fn context(&self) -> &[Variable] {
        match self {
            Self::F32(model) => model.flow.context(),
            Self::F64(model) => model.flow.context(),
        }
    }

    /// Where its data may lie, if not everywhere.
    pub fn support(&self) -> Option<&Support> {
        let layers = match self {
            Self::F32(model) => model.flow.layers(),
            Self::F64(model) => model.flow.layers(),
        };
        layers.iter().find_map(|layer| match layer {
            Layer::Support(support) => Some(support),
            _ => None,
        })
    }

    /// The model in the precision asked for. From `f32` to `f64` it is exact.
    pub fn cast<T: Real>(&self) -> Model<T> {
        match self {
            Self::F32(model) => model.cast(),
            Self::F64(model) => model.cast(),
        }
    }
}

#[cfg(test)]
mod tests;
