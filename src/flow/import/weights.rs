//! A `state_dict`: tensors by name, each of which must be taken.

use super::Error;
use safetensors::tensor::{Dtype, SafeTensors};
use std::collections::BTreeMap;

/// A tensor as numbers.
struct Tensor {
    shape: Vec<usize>,
    data: Vec<f64>,
    is_single: bool,
    taken: bool,
}

/// The tensors of a file.
pub(super) struct Weights {
    file: String,
    tensors: BTreeMap<String, Tensor>,
    metadata: BTreeMap<String, String>,
}

impl Weights {
    pub fn read(bytes: &[u8], file: &str) -> Result<Self, Error> {
        let damaged =
            |e: safetensors::SafeTensorError| Error::Damaged { file: file.into(), problem: e.to_string() };
        let all = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        let mut tensors = BTreeMap::new();
        for (name, view) in all.tensors().into_iter().filter(|(name, _)| !is_foreign(name)) {
            let fail = |problem: String| Error::Tensor { file: file.into(), tensor: name.clone(), problem };
            let data = numbers(view.dtype(), view.data()).ok_or_else(|| {
                fail(format!("numbers of type {:?} are not read; save it as F32 or F64", view.dtype()))
            })?;
            if let Some(k) = data.iter().position(|v| !v.is_finite()) {
                return Err(fail(format!("entry {k} is not a finite number")));
            }
            let is_single = view.dtype() == Dtype::F32;
            tensors.insert(name, Tensor { shape: view.shape().to_vec(), data, is_single, taken: false });
        }
        Ok(Self { file: file.into(), tensors, metadata })
    }

    /// The text that the file's writer put beside the tensors.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Whose weights the names look like, if they look like somebody's, and what to do with them then.
    pub fn origin(&self) -> (Option<&'static str>, &'static str) {
        let any = |prefixes: &[&str]| prefixes.iter().any(|p| self.first_below(p).is_some());
        if any(&["layers.0."]) {
            return (Some("a model of eigenflow"), "it needs no import");
        }
        if any(&["transform.transforms.", "base.loc"]) {
            return (Some("zuko"), "import it as zuko");
        }
        if any(&["_transform.", "_distribution."]) {
            return (Some("nflows"), "import it as nflows");
        }
        (None, "")
    }

    /// An error at a tensor.
    pub fn fail<S>(&self, tensor: &str, problem: impl Into<String>) -> Result<S, Error> {
        Err(Error::Tensor { file: self.file.clone(), tensor: tensor.into(), problem: problem.into() })
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The shape of a tensor that must be there.
    pub fn shape(&self, name: &str) -> Result<&[usize], Error> {
        match self.tensors.get(name) {
            Some(t) => Ok(&t.shape),
            None => self.fail(name, "is missing"),
        }
    }

    /// The number of entries of a tensor with one axis that must be there.
    pub fn length(&self, name: &str) -> Result<usize, Error> {
        match *self.shape(name)? {
            [n] => Ok(n),
            ref shape => self.fail(name, format!("has shape {shape:?} where one axis is expected")),
        }
    }

    /// Takes a tensor of the given shape.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f64>, Error> {
        let given = self.shape(name)?;
        if given != shape {
            let problem = format!("has shape {given:?} where the others ask for {shape:?}");
            return self.fail(name, problem);
        }
        let data = self.tensors.get_mut(name).map(|t| {
            t.taken = true;
            t.data.clone()
        });
        Ok(data.unwrap_or_default())
    }

    /// Takes a tensor of whole numbers below `limit`.
    pub fn take_indices(&mut self, name: &str, limit: usize) -> Result<Vec<usize>, Error> {
        let n = self.length(name)?;
        let data = self.take(name, &[n])?;
        match data.iter().find(|v| v.fract() != 0.0 || **v < 0.0 || **v >= limit as f64) {
            None => Ok(data.into_iter().map(|v| v as usize).collect()),
            Some(v) => {
                self.fail(name, format!("{v} is no whole number from 0 to {}", limit.saturating_sub(1)))
            }
        }
    }

    /// The prefixes `PREFIX0.`, `PREFIX1.`, … that there are, in order and without a gap.
    pub fn numbered(&self, prefix: &str) -> Vec<String> {
        let there = |p: &String| self.tensors.keys().any(|name| name.starts_with(p.as_str()));
        // There are no more than tensors.
        (0..self.tensors.len()).map(|i| format!("{prefix}{i}.")).take_while(there).collect()
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// The first tensor below a prefix.
    pub fn first_below(&self, prefix: &str) -> Option<&str> {
        self.tensors.keys().find(|name| name.starts_with(prefix)).map(String::as_str)
    }

    /// The first tensor below a prefix that is below none of `names`.
    pub fn other_than(&self, prefix: &str, names: &[String]) -> Option<String> {
        let other =
            |name: &&String| name.starts_with(prefix) && !names.iter().any(|n| name.starts_with(n.as_str()));
        self.tensors.keys().find(other).cloned()
    }

    /// Whether all weights are single precision.
    pub fn is_single(&self) -> bool {
        self.tensors
            .iter()
            .filter(|(name, _)| name.ends_with("weight") || name.contains("phi."))
            .all(|(_, t)| t.is_single)
            && self.tensors.values().any(|t| t.is_single)
    }

    /// That every tensor was taken.
    pub fn finish(&self) -> Result<(), Error> {
        match self.tensors.iter().find(|(_, t)| !t.taken) {
            None => Ok(()),
            Some((name, _)) if name.contains("batch_norm") => {
                self.fail(name, "batch normalization inside a network is not read, only that between layers")
            }
            Some((name, _)) if name.contains("context_layer") => {
                self.fail(name, "conditional networks are not read")
            }
            Some((name, t)) => {
                self.fail(name, format!("of shape {:?} belongs to no layer that is understood", t.shape))
            }
        }
    }
}

/// No name of a library's parameter: `__name__`.
fn is_foreign(name: &str) -> bool {
    name.starts_with("__") && name.ends_with("__")
}

/// Numbers of a type that weights come in.
fn numbers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    Some(match dtype {
        Dtype::F64 => bytes.as_chunks::<8>().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
        Dtype::F32 => bytes.as_chunks::<4>().0.iter().map(|&b| f64::from(f32::from_le_bytes(b))).collect(),
        Dtype::I64 => bytes.as_chunks::<8>().0.iter().map(|&b| i64::from_le_bytes(b) as f64).collect(),
        Dtype::I32 => bytes.as_chunks::<4>().0.iter().map(|&b| f64::from(i32::from_le_bytes(b))).collect(),
        Dtype::BOOL | Dtype::U8 => bytes.iter().map(|&b| f64::from(b)).collect(),
        _ => return None,
    })
}

/// The rows of a last layer from column by column (`column * parameters + k`) to parameter by parameter
/// (`k * columns + column`), with parameter `k` taken from place `from[k]`.
pub(super) fn by_parameter(rows: &[f64], width: usize, columns: usize, from: &[usize]) -> Vec<f64> {
    let row = |k: usize, j: usize| {
        let at = (j * from.len() + from[k]) * width;
        &rows[at..at + width]
    };
    (0..from.len()).flat_map(|k| (0..columns).flat_map(move |j| row(k, j).iter().copied())).collect()
}

/// The inverse of [`by_parameter`].
pub(super) fn by_column(rows: &[f64], width: usize, columns: usize, from: &[usize]) -> Vec<f64> {
    let mut out = vec![0.0; rows.len()];
    for (k, &place) in from.iter().enumerate() {
        for j in 0..columns {
            let (to, at) = ((j * from.len() + place) * width, (k * columns + j) * width);
            out[to..to + width].copy_from_slice(&rows[at..at + width]);
        }
    }
    out
}
