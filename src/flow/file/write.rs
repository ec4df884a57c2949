//! A model to bytes.

use super::numbers::{dtype, to_le_bytes};
use super::{BESIDE, FORMAT_VERSION, FileError, Header, KEY, Model, PLAIN};
use crate::data::atomic::write_whole;
use eigenflow_linalg::Real;
use safetensors::tensor::TensorView;
use std::collections::HashMap;
use std::path::Path;

impl<T: Real> Model<T> {
    /// The version of the format that the model's file has: the oldest that can hold it.
    pub fn format_version(&self) -> u32 {
        let flow = &self.flow;
        let plain = flow.base().is_standard() && flow.context().is_empty() && flow.dequantize().is_none();
        if plain { PLAIN } else { FORMAT_VERSION }
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
        let header = Header {
            format_version: self.format_version(),
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
