//! A model from bytes, which may be anything.

use super::numbers::{dtype, from_le_bytes};
use super::{AnyModel, BESIDE, FORMAT_VERSION, FileError, Header, KEY, Model};
use crate::flow::bijection::Bijection;
use crate::flow::{Dequantize, Flow, Layer};
use eigenflow_linalg::Real;
use safetensors::tensor::SafeTensors;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::Path;

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
    let behind: &[Layer] = if let Dequantize::Variational { layers } = &dequantize { layers } else { &[] };
    for (part, own) in [("", &layers[..]), ("dequantiser's ", behind)] {
        if let Some((k, layer)) = own.iter().enumerate().find(|(_, layer)| layer.dim() != dim) {
            let (kind, given) = (layer.kind(), layer.dim());
            return Err(bad(format!("{part}layer {k} ({kind}) has {given} columns, dim is {dim}")));
        }
    }
    // Nothing is allocated for a header that promises more than the file holds.
    let held: u128 =
        tensors.iter().map(|(_, t)| t.shape().iter().map(|&n| n as u128).product::<u128>()).sum();
    let each = layers.iter().chain(behind).map(Bijection::least_entries);
    let promised = each.fold(base.least_entries(dim), u128::saturating_add);
    if promised > held {
        return Err(bad(format!(
            "its layers, base and dequantiser need at least {promised} numbers, the file holds {held}"
        )));
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
