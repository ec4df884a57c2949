//! Data: tables of numbers from files and from built-in sets, and arrays back into files.
//!
//! [`source::Source`] reads the word `DATA` of every command (a path, or `builtin:NAME?key=value`),
//! [`table::Table`] is what comes of it, [`output`] writes results, whole or not at all.
//!
//! ```
//! use eigenflow::data::{Selection, Source};
//! let source: Source = "builtin:s-curve?n=100&noise=0.1&seed=7".parse()?;
//! let table = source.load(&Selection::default())?;
//! assert_eq!(table.values.shape(), (100, 3));
//! assert_eq!(table.names, ["x", "y", "z"]);
//! # Ok::<(), eigenflow::data::Error>(())
//! ```

pub mod atomic;
pub mod builtin;
pub mod discrete;
pub mod error;
pub mod formats;
pub mod output;
pub mod select;
pub mod source;
pub mod split;
pub mod statistics;
pub mod table;

pub use error::Error;
pub use output::{Array, Element};
pub use select::{Selection, columns_of};
pub use source::Source;
pub use table::{Dtype, Labels, Table};
