//! The cases that are timed, by name: one list for the criterion suites and for the comparison with
//! other libraries (`benches/peers`).
//!
//! `jacobian/realnvp/f32/4096x2` is 4096 rows of 2 columns; `eigh/f64/1000x16` is 1000 matrices of
//! 16 x 16; `product/f32/256` is one product of two 256 x 256 matrices; `floor/tanh/f32/8192x64` is the functions of 8192 tiles
//! of 64 x 64 numbers.

#![allow(dead_code, reason = "each bench takes its part of the list")]

pub mod covariance;
pub mod dense;
pub mod floor;
pub mod given;
pub mod replay;
pub mod suite;
pub mod training;

use eigenflow::data::Element;
use given::Given;
use std::fmt;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Exact Jacobians of `normalize`, by one push.
    Jacobian,
    /// Jacobians, then the SVD of each.
    CovarianceSvd,
    /// Jacobians, then `JᵀJ` and its eigendecomposition.
    CovarianceEigh,
    /// `jacobian::local_covariance` as a user calls it, recording and checks included.
    CovarianceCall,
    /// Symmetric eigendecomposition with vectors.
    Eigh,
    /// Singular value decomposition with both sides' vectors.
    Svd,
    /// Sign and logarithm of determinants.
    Slogdet,
    /// Log-density, gradient and update of a batch.
    TrainStep,
    /// `log p(x)` of rows.
    LogDensity,
    /// Latents drawn and taken to data.
    Sample,
    /// One product of two square matrices.
    Product,
    /// Products of one tile and one layer, by all threads.
    FloorProduct,
    /// Hyperbolic tangents of one tile, by all threads.
    FloorTanh,
}

const JACOBIANS: &[(usize, usize)] = &[(4096, 2), (1024, 8), (256, 64), (64, 256), (4, 784)];
const MATRICES: &[(usize, usize)] = &[(1000, 16), (100, 64), (4, 784)];
const STEPS: &[(usize, usize)] = &[(512, 2), (512, 8), (512, 64)];
const ROWS: &[(usize, usize)] = &[(4096, 2), (4096, 8), (4096, 64)];
const PRODUCTS: &[(usize, usize)] = &[(1, 256), (1, 1024), (1, 2048)];
// The second takes as long as a step: `limits`.
const FLOORS: &[(usize, usize)] = &[(8192, 64), (512, 64)];

impl Kind {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 13] = [
        Self::Jacobian,
        Self::CovarianceSvd,
        Self::CovarianceEigh,
        Self::CovarianceCall,
        Self::Eigh,
        Self::Svd,
        Self::Slogdet,
        Self::TrainStep,
        Self::LogDensity,
        Self::Sample,
        Self::Product,
        Self::FloorProduct,
        Self::FloorTanh,
    ];

    /// First part of a name.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Jacobian => "jacobian/realnvp",
            Self::CovarianceSvd => "local_covariance/svd",
            Self::CovarianceEigh => "local_covariance/eigh",
            Self::CovarianceCall => "local_covariance/call",
            Self::Eigh => "eigh",
            Self::Svd => "svd",
            Self::Slogdet => "slogdet",
            Self::TrainStep => "train_step/realnvp",
            Self::LogDensity => "log_density/realnvp",
            Self::Sample => "sample/realnvp",
            Self::Product => "product",
            Self::FloorProduct => "floor/product",
            Self::FloorTanh => "floor/tanh",
        }
    }

    /// Counts and dimensions.
    fn sizes(self) -> &'static [(usize, usize)] {
        match self {
            Self::Jacobian | Self::CovarianceSvd | Self::CovarianceEigh | Self::CovarianceCall => JACOBIANS,
            Self::Eigh | Self::Svd | Self::Slogdet => MATRICES,
            Self::TrainStep => STEPS,
            Self::LogDensity | Self::Sample => ROWS,
            Self::Product => PRODUCTS,
            Self::FloorProduct | Self::FloorTanh => FLOORS,
        }
    }
}

/// Work that has its data, and is done as often as is asked.
pub trait Work: Send {
    /// Does it once.
    fn call(&mut self);

    /// Does it `count` times, one after the other.
    fn calls(&mut self, count: u64) {
        (0..count).for_each(|_| self.call());
    }

    /// The numbers that it computes, for comparison with other libraries.
    fn answer(&mut self) -> Vec<f64>;
}

/// One row of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// What is done.
    pub kind: Kind,
    /// In `f64`; else in `f32`.
    pub double: bool,
    /// Rows or matrices.
    pub count: usize,
    /// Columns of rows, or of square matrices.
    pub dim: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, precision) = (self.kind.prefix(), if self.double { "f64" } else { "f32" });
        match self.kind {
            Kind::Product => write!(f, "{prefix}/{precision}/{}", self.dim),
            _ => write!(f, "{prefix}/{precision}/{}x{}", self.count, self.dim),
        }
    }
}

impl Case {
    /// The rows of these kinds.
    pub fn of(kinds: &[Kind]) -> Vec<Self> {
        let row = |kind: Kind, double| {
            kind.sizes().iter().map(move |&(count, dim)| Self { kind, double, count, dim })
        };
        kinds.iter().flat_map(|&kind| [false, true].into_iter().flat_map(move |d| row(kind, d))).collect()
    }

    /// The row of a name.
    pub fn find(name: &str) -> Option<Self> {
        Self::of(&Kind::ALL).into_iter().find(|case| case.to_string() == name)
    }

    /// Its work, on the model and the input that are given.
    ///
    /// # Errors
    /// Where they do not fit the case.
    pub fn prepare(self, given: &Given) -> Result<Box<dyn Work>, String> {
        if self.double { self.build::<f64>(given) } else { self.build::<f32>(given) }
    }

    fn build<T: Element>(self, given: &Given) -> Result<Box<dyn Work>, String> {
        Ok(match self.kind {
            Kind::Jacobian | Kind::LogDensity | Kind::Sample => {
                Box::new(replay::Replay::<T>::new(self, given)?)
            }
            Kind::CovarianceSvd | Kind::CovarianceEigh => Box::new(covariance::Kept::<T>::new(self, given)?),
            Kind::CovarianceCall => Box::new(covariance::Called::<T>::new(self, given)?),
            Kind::Eigh | Kind::Svd | Kind::Slogdet => Box::new(dense::Decomposition::<T>::new(self, given)?),
            Kind::Product => Box::new(dense::Product::<T>::new(self, given)?),
            Kind::FloorProduct | Kind::FloorTanh => Box::new(floor::Floor::<T>::new(self)),
            Kind::TrainStep => Box::new(training::TrainStep::<T>::new(self, given)?),
        })
    }
}
