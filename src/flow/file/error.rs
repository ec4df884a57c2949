//! What can be wrong with a model file.

use super::FORMAT_VERSION;

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
