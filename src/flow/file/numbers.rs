//! Numbers as bytes.

use eigenflow_linalg::Real;
use safetensors::tensor::Dtype;

pub(super) fn dtype<T: Real>() -> Dtype {
    if size_of::<T>() == 4 { Dtype::F32 } else { Dtype::F64 }
}

/// Numbers as little-endian bytes. Going through `f64` keeps every bit of a finite `f32`.
pub(super) fn to_le_bytes<T: Real>(data: &[T]) -> Vec<u8> {
    match dtype::<T>() {
        Dtype::F32 => data.iter().flat_map(|x| (x.f64() as f32).to_le_bytes()).collect(),
        _ => data.iter().flat_map(|x| x.f64().to_le_bytes()).collect(),
    }
}

pub(super) fn from_le_bytes<T: Real>(bytes: &[u8]) -> Vec<T> {
    match dtype::<T>() {
        Dtype::F32 => {
            bytes.as_chunks::<4>().0.iter().map(|&b| T::of(f64::from(f32::from_le_bytes(b)))).collect()
        }
        _ => bytes.as_chunks::<8>().0.iter().map(|&b| T::of(f64::from_le_bytes(b))).collect(),
    }
}
