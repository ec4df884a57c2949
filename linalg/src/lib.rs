//! Batched dense linear algebra on [faer](https://docs.rs/faer), and SIMD elementwise functions.
//!
//! Everything is generic over [`Real`] (`f32` and `f64`), takes row-major matrices and batches of
//! them, returns typed errors for wrong shapes and non-finite input, and gives the same bits for
//! any number of threads.

mod aligned;
mod awake;
mod basis;
pub mod bounds;
pub mod cholesky;
pub mod each;
pub mod eigen;
pub mod elementary;
pub mod error;
mod finite;
mod join;
pub mod krylov;
pub mod lines;
pub mod lu;
pub mod matrix;
mod parallel;
pub mod polar;
mod probe;
pub mod product;
pub mod qr;
pub mod scalar;
mod scale;
mod small;
pub mod subspace;
pub mod svd;
mod take_off;
mod transpose;
pub mod triangular;

pub use aligned::Aligned;
pub use awake::awake;
pub use error::Error;
pub use join::join;
pub use matrix::{Batch, Matrix};
pub use parallel::{halfway, share};
pub use scalar::Real;
pub use transpose::transpose;
