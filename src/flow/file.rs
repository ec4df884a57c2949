//! Models in files: one `.safetensors` file, which opens in any language.
//!
//! Every parameter is a tensor `layers.K.NAME` of shape `[rows, cols]`, `F32` or `F64`. The metadata entry
//! `eigenflow` is one JSON object: format version, width, precision, the layers, how many of them are
//! preprocessing, the names of the columns and the record of training. A checkpoint of training is a model with further
//! tensors `training.NAME`, which do not belong to the model and are not read with it.
//! preprocessing, the names of the columns and the record of training; for a conditional flow the variables of its
//! context (tensors `context.mean`, `context.scale`), for one of whole numbers its dequantiser (tensors `dequantizer.layers.K.NAME`), for a base that is not standard normal its family (tensors `base.NAME`).

use super::bijection::Bijection;
use super::{Base, Dequantize, Flow, Layer, Variable};
use crate::data::atomic::write_whole;
use eigenflow_linalg::Real;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::Path;

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

/// What is wrong with a model file, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be opened or read.
    #[error("{file}: cannot be read: {error}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// No safetensors file, or a damaged one.
    #[error("{file}: {problem}; give a whole .safetensors file written by eigenflow")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A header entry that makes no sense.
    #[error("{file}: model header: {problem}")]
    Header {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A file of a later version.
    #[error(
        "{file}: model format {found} is newer than {FORMAT_VERSION}, which this version reads; update eigenflow"
    )]
    Newer {
        /// The file.
        file: String,
        /// Its format version.
        found: u64,
    },
    /// A tensor that is missing, superfluous, or not as the layers say.
    #[error("{file}: tensor '{tensor}': {problem}")]
    Tensor {
        /// The file.
        file: String,
        /// Name of the tensor.
        tensor: String,
        /// What is wrong.
        problem: String,
    },
}

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

    /// The bytes of the model's file: the same for the same model.
    ///
    /// # Errors
    /// A header beyond the 100 MB that the format allows.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileError> {
        self.to_bytes_with(&[])
    }

    /// [`Model::to_bytes`] with rows of numbers beside the model.
    fn to_bytes_with(&self, beside: &[(String, &[T])]) -> Result<Vec<u8>, FileError> {
        let (base, context) = (self.flow.base().clone(), self.flow.context().to_vec());
        let dequantize = self.flow.dequantize().clone();
        let plain = base.is_standard() && context.is_empty() && dequantize.is_none();
        let header = Header {
            format_version: if plain { PLAIN } else { FORMAT_VERSION },
            dim: self.flow.dim(),
            dtype: T::NAME.to_owned(),
            layers: self.flow.layers().to_vec(),
            preprocessing: self.flow.preprocessing(),
            columns: self.columns.clone(),
            record: self.record.clone(),
            base,
            context,
            dequantize,
        };
        let fail = |problem: String| FileError::Damaged { file: "model".into(), problem };
        let json = serde_json::to_string(&header).map_err(|e| fail(e.to_string()))?;
        let own =
            self.flow.parameters().iter().map(|p| (p.name.clone(), vec![p.rows, p.cols], p.data.as_slice()));
        let others = beside.iter().map(|(name, data)| (format!("{BESIDE}{name}"), vec![data.len()], *data));
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> =
            own.chain(others).map(|(name, shape, data)| (name, shape, to_le_bytes(data))).collect();
        let views = tensors
            .iter()
            .map(|(name, shape, bytes)| {
                Ok((name.as_str(), TensorView::new(dtype::<T>(), shape.clone(), bytes)?))
            })
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>();
        let metadata = HashMap::from([(KEY.to_owned(), json)]);
        views.and_then(|v| safetensors::serialize(v, Some(metadata))).map_err(|e| fail(e.to_string()))
    }

    /// Writes the model, whole or not at all.
    ///
    /// # Errors
    /// Where the file cannot be written; what was there before is untouched then.
    pub fn save(&self, path: &Path) -> Result<(), crate::data::Error> {
        self.save_with(path, &[])
    }

    /// Writes the model with rows of numbers beside it, named: what training needs to go on.
    ///
    /// # Errors
    /// As [`Model::save`].
    pub fn save_with(&self, path: &Path, beside: &[(String, &[T])]) -> Result<(), crate::data::Error> {
        write_whole(path, |out| out.write_all(&self.to_bytes_with(beside).map_err(std::io::Error::other)?))
    }
}

/// The numbers that [`Model::save_with`] wrote beside a model, by name; those of another precision are left out.
///
/// # Errors
/// A file that cannot be read or is no safetensors file.
pub fn beside<T: Real>(path: &Path) -> Result<HashMap<String, Vec<T>>, FileError> {
    let file = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| FileError::Read { file: file.clone(), error })?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|e| FileError::Damaged { file, problem: format!("no sound safetensors file ({e})") })?;
    let own = tensors.iter().filter(|(_, t)| t.dtype() == dtype::<T>());
    let named =
        own.filter_map(|(name, t)| Some((name.strip_prefix(BESIDE)?.to_owned(), from_le_bytes(t.data()))));
    Ok(named.collect())
}

impl AnyModel {
    /// Reads a model file.
    ///
    /// # Errors
    /// Whatever is wrong with the file, with its place: see [`FileError`].
    pub fn load(path: &Path) -> Result<Self, FileError> {
        let file = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| FileError::Read { file: file.clone(), error })?;
        Self::from_bytes(&bytes, &file)
    }

    /// Reads a model from the bytes of a file; `file` is its name in messages.
    ///
    /// # Errors
    /// As [`AnyModel::load`].
    pub fn from_bytes(bytes: &[u8], file: &str) -> Result<Self, FileError> {
        let damaged = |problem: String| FileError::Damaged { file: file.into(), problem };
        let bad = |problem: String| FileError::Header { file: file.into(), problem };
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|e| damaged(format!("no sound safetensors file ({e})")))?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.to_string()))?;
        let json = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
        let json =
            json.ok_or_else(|| damaged(format!("has no '{KEY}' entry in its metadata: no eigenflow model")))?;
        // The version first: later versions may have other fields.
        let value: Value = serde_json::from_str(json).map_err(|e| bad(e.to_string()))?;
        match value.get("format_version").and_then(Value::as_u64) {
            None => return Err(bad("format_version must be a whole number".into())),
            Some(found) if found > u64::from(FORMAT_VERSION) => {
                return Err(FileError::Newer { file: file.into(), found });
            }
            Some(_) => {}
        }
        let header: Header = serde_json::from_value(value).map_err(|e| bad(e.to_string()))?;
        match header.dtype.as_str() {
            "f32" => fill(header, &tensors, file).map(Self::F32),
            "f64" => fill(header, &tensors, file).map(Self::F64),
            other => Err(bad(format!("dtype '{other}' is none of f32, f64"))),
        }
    }

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

    /// Variables of the context; none for a model that takes none.
    pub fn context(&self) -> &[Variable] {
        match self {
            Self::F32(model) => model.flow.context(),
            Self::F64(model) => model.flow.context(),
        }
    }

    /// The model in the precision asked for. From `f32` to `f64` it is exact.
    pub fn cast<T: Real>(&self) -> Model<T> {
        match self {
            Self::F32(model) => model.cast(),
            Self::F64(model) => model.cast(),
        }
    }
}

/// The flow that a header describes, with the tensors as its parameters.
fn fill<T: Real>(header: Header, tensors: &SafeTensors<'_>, file: &str) -> Result<Model<T>, FileError> {
    let bad = |problem: String| FileError::Header { file: file.into(), problem };
    let Header { dim, layers, preprocessing, columns, record, base, context, dequantize, .. } = header;
    if columns.len() != dim {
        return Err(bad(format!("{} names of columns where dim is {dim}", columns.len())));
    }
    if preprocessing > layers.len() {
        return Err(bad(format!("{preprocessing} preprocessing layers of {} layers", layers.len())));
    }
    if let Some(k) = layers.iter().position(|layer| layer.dim() != dim) {
        return Err(bad(format!(
            "layer {k} ({}) has {} columns, dim is {dim}",
            layers[k].kind(),
            layers[k].dim()
        )));
    }
    // Nothing is allocated for a header that promises more than the file holds.
    let held: u128 =
        tensors.iter().map(|(_, t)| t.shape().iter().map(|&n| n as u128).product::<u128>()).sum();
    let promised = layers.iter().fold(0_u128, |n, layer| n.saturating_add(layer.least_entries()));
    if promised > held {
        return Err(bad(format!("its layers need at least {promised} numbers, the file holds {held}")));
    }
    let behind: &[Layer] = if let Dequantize::Variational { layers } = &dequantize { layers } else { &[] };
    let promised = behind.iter().fold(0_u128, |n, layer| n.saturating_add(layer.least_entries()));
    if promised > held {
        return Err(bad(format!("its dequantiser needs at least {promised} numbers, the file holds {held}")));
    }
    if let Some(layer) = layers.iter().chain(behind).find(|layer| layer.context() as u128 > held) {
        return Err(bad(format!("{} columns of context, the file holds {held} numbers", layer.context())));
    }
    let flow = Flow::<T>::new(layers, preprocessing, 0).and_then(|flow| flow.with_context(context));
    let flow = flow.and_then(|flow| flow.with_base(base, 0));
    let flow = flow.and_then(|flow| flow.with_dequantizer(dequantize, 0));
    let mut flow = flow.map_err(|e| bad(e.to_string()))?;
    let known: HashSet<String> = flow.parameters().iter().map(|p| p.name.clone()).collect();
    let wrong = |tensor: &str, problem: String| FileError::Tensor {
        file: file.into(),
        tensor: tensor.into(),
        problem,
    };
    let mut names = tensors.names();
    names.sort_unstable();
    if let Some(name) = names.into_iter().find(|&name| !known.contains(name) && !name.starts_with(BESIDE)) {
        return Err(wrong(name, "belongs to no layer".into()));
    }
    for p in flow.parameters_mut() {
        let tensor = tensors.tensor(&p.name).map_err(|_| wrong(&p.name, "is missing".into()))?;
        if tensor.dtype() != dtype::<T>() || tensor.shape() != [p.rows, p.cols] {
            let (found, shape) = (tensor.dtype(), tensor.shape());
            let expected = format!("{:?} {:?}", dtype::<T>(), [p.rows, p.cols]);
            return Err(wrong(&p.name, format!("is {found:?} {shape:?}, the layer needs {expected}")));
        }
        p.data = from_le_bytes(tensor.data());
        if let Some(k) = p.data.iter().position(|x| !x.is_finite()) {
            return Err(wrong(
                &p.name,
                format!("entry [{}, {}] is not a finite number", k / p.cols, k % p.cols),
            ));
        }
    }
    flow.check_parameters().map_err(|e| bad(e.to_string()))?;
    Ok(Model { flow, columns, record })
}

fn dtype<T: Real>() -> Dtype {
    if size_of::<T>() == 4 { Dtype::F32 } else { Dtype::F64 }
}

/// Numbers as little-endian bytes. Going through `f64` keeps every bit of a finite `f32`.
fn to_le_bytes<T: Real>(data: &[T]) -> Vec<u8> {
    match dtype::<T>() {
        Dtype::F32 => data.iter().flat_map(|x| (x.f64() as f32).to_le_bytes()).collect(),
        _ => data.iter().flat_map(|x| x.f64().to_le_bytes()).collect(),
    }
}

fn from_le_bytes<T: Real>(bytes: &[u8]) -> Vec<T> {
    match dtype::<T>() {
        Dtype::F32 => {
            bytes.as_chunks::<4>().0.iter().map(|&b| T::of(f64::from(f32::from_le_bytes(b)))).collect()
        }
        _ => bytes.as_chunks::<8>().0.iter().map(|&b| T::of(f64::from_le_bytes(b))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::bijections::{Affine, Form, Sinh, Standardize};
    use crate::flow::presets::{Name, Preset};
    use serde_json::json;

    fn model<T: Real>() -> Model<T> {
        let mut layers = vec![Standardize { dim: 3 }.into()];
        layers.extend(Preset { hidden: Some(vec![4]), ..Preset::named(Name::Realnvp) }.layers(3, 0).unwrap());
        let flow = Flow::new(layers, 1, 5).unwrap();
        Model { flow, columns: vec!["a".into(), "b".into(), "c".into()], record: Some(json!({"alpha": 0.1})) }
    }

    /// The file with its header changed by `f`.
    fn tampered(f: impl FnOnce(&mut Value)) -> FileError {
        let bytes = small().to_bytes().unwrap();
        let n = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
        let mut header: Value = serde_json::from_slice(&bytes[8..8 + n]).unwrap();
        let mut inner: Value = serde_json::from_str(header["__metadata__"][KEY].as_str().unwrap()).unwrap();
        f(&mut inner);
        header["__metadata__"][KEY] = inner.to_string().into();
        rebuilt(&header, &bytes[8 + n..])
    }

    fn rebuilt(header: &Value, data: &[u8]) -> FileError {
        let text = header.to_string();
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes.extend(data);
        AnyModel::from_bytes(&bytes, "m.safetensors").unwrap_err()
    }

    fn small() -> Model<f64> {
        let flow = Flow::new(vec![Affine::new(2, Form::Full).into(), Sinh { dim: 2 }.into()], 0, 1).unwrap();
        Model { flow, columns: vec!["a".into(), "b".into()], record: None }
    }

    #[test]
    fn round_trips_to_the_bit_in_both_precisions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        let single = model::<f32>();
        single.save(&path).unwrap();
        assert_eq!(AnyModel::load(&path).unwrap(), AnyModel::F32(single));
        let mut double = model::<f64>();
        double.flow.parameters_mut()[2].data[0] = -0.0;
        double.flow.parameters_mut()[2].data[1] = f64::from_bits(1);
        double.save(&path).unwrap();
        let AnyModel::F64(back) = AnyModel::load(&path).unwrap() else { panic!("precision") };
        assert_eq!(back, double);
        assert!(back.flow.parameters()[2].data[0].is_sign_negative());
        assert_eq!(back.to_bytes().unwrap(), double.to_bytes().unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn hostile_headers_are_typed_errors() {
        let says = |error: FileError, part: &str| {
            let text = error.to_string();
            assert!(text.starts_with("m.safetensors: ") && text.contains(part), "{text}");
        };
        says(tampered(|h| h["format_version"] = json!(3)), "newer than 2");
        says(tampered(|h| h["format_version"] = json!("x")), "format_version");
        says(tampered(|h| h["layers"][1]["kind"] = json!("warp")), "unknown variant `warp`");
        says(tampered(|h| h["surprise"] = json!(1)), "unknown field `surprise`");
        says(tampered(|h| h["dtype"] = json!("f16")), "none of f32, f64");
        says(tampered(|h| h["dtype"] = json!("f32")), "the layer needs F32");
        says(tampered(|h| h["preprocessing"] = json!(9)), "9 preprocessing layers of 2");
        says(tampered(|h| h["columns"] = json!(["a"])), "1 names of columns");
        says(tampered(|h| h["layers"][1]["dim"] = json!(3)), "layer 1 (sinh) has 3 columns");
        says(tampered(|h| h["layers"] = json!([])), "at least one column");
        says(tampered(|h| h["layers"] = json!([{"kind": "sinh", "dim": 2}])), "belongs to no layer");
        let affine = json!({"kind": "affine", "dim": 2, "form": "full"});
        says(
            tampered(|h| h["layers"] = json!([affine, affine])),
            "need at least 8 numbers, the file holds 6",
        );
        let coupling = json!({"kind": "coupling", "dim": 2, "moved": [1], "hidden": [1_u64 << 60, 1_u64 << 60],
            "activation": "tanh", "bound": 1.0});
        says(tampered(|h| h["layers"] = json!([coupling])), "need at least");
        let wide = json!({"kind": "permutation", "indices": [0, 0]});
        says(tampered(|h| h["layers"][1] = wide), "every column must occur exactly once");
        says(
            tampered(|h| {
                h["layers"][1] = json!({"kind": "batch-norm", "dim": 2, "momentum": 0.1, "epsilon": 1e-5});
            }),
            "is missing",
        );
    }

    #[test]
    fn damaged_bytes_are_typed_errors() {
        let bytes = small().to_bytes().unwrap();
        for cut in 0..bytes.len() {
            assert!(
                matches!(AnyModel::from_bytes(&bytes[..cut], "m"), Err(FileError::Damaged { .. })),
                "{cut}"
            );
        }
        // Any one byte changed: an error or another model, never a panic.
        for k in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[k] ^= 0x15;
            let _ = AnyModel::from_bytes(&changed, "m");
        }
        let mut huge = bytes.clone();
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(AnyModel::from_bytes(&huge, "m"), Err(FileError::Damaged { .. })));
        let mut nan = small();
        nan.flow.parameters_mut()[0].data[3] = f64::NAN;
        let error = AnyModel::from_bytes(&nan.to_bytes().unwrap(), "m").unwrap_err();
        assert_eq!(error.to_string(), "m: tensor 'layers.0.weight': entry [1, 1] is not a finite number");
        assert!(matches!(AnyModel::load(Path::new("missing.safetensors")), Err(FileError::Read { .. })));
    }
}
