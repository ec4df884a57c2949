//! The contract of a bijection, on one page.
//!
//! A bijection is written once: it *records* `normalize` (data to latent, with its
//! log-determinant) and `generate` (latent to data) on a tape. Densities, sampling, training,
//! Jacobians and the theorem checks all run that one definition; nobody writes a Jacobian beside it.

use super::rounding::RoundingAt;
use eigenflow_autodiff::{Recorder, Var};
use eigenflow_linalg::{Matrix, Real};
use rand_pcg::Pcg64;
use serde::Serialize;

/// A parameter matrix as a bijection declares it.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    /// Name within the layer, e.g. `weight`.
    pub name: String,
    /// Rows of the matrix.
    pub rows: usize,
    /// Columns of the matrix.
    pub cols: usize,
    /// Initial value, row by row.
    pub initial: Vec<f64>,
    /// What training does with it.
    pub role: Role,
}

/// What training does with a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Trained, and counted by the weight penalty.
    Weight,
    /// Trained, not penalised.
    Bias,
    /// Set from data, not trained.
    Frozen,
    /// The number of the draw of an estimate: another one in every training step.
    Draw,
}

impl Role {
    /// Whether training moves it by a gradient.
    pub fn is_trained(self) -> bool {
        matches!(self, Self::Weight | Self::Bias)
    }
}

impl Declaration {
    /// A declaration from its parts.
    pub fn new(name: &str, rows: usize, cols: usize, initial: Vec<f64>, role: Role) -> Self {
        debug_assert_eq!(initial.len(), rows * cols);
        Self { name: name.to_owned(), rows, cols, initial, role }
    }

    /// A row of zeros that is trained and not penalised.
    pub fn bias(name: &str, cols: usize) -> Self {
        Self::new(name, 1, cols, vec![0.0; cols], Role::Bias)
    }
}

/// How smooth `normalize` and `generate` are: what the convergence claims need to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Smoothness {
    /// Continuous with jumps of the Jacobian on a set of measure zero (`PReLU`, ReLU conditioners).
    Piecewise,
    /// Infinitely differentiable.
    Smooth,
}

/// How fast `generate` grows: whether moments of `g(z)`, `z` normal, are finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Growth {
    /// At most linear: composing keeps all moments finite.
    Linear,
    /// At most a polynomial of a linear function: all moments finite.
    Polynomial,
    /// Exponential: one such layer has finite moments, two stacked ones have none.
    Exponential,
}

/// How a direction of a layer is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// By a formula.
    ClosedForm,
    /// One place of an order after the other: at most `D` passes of the other direction.
    Sequential,
    /// By solving an equation, to a few roundings.
    Numeric,
}

/// Where a layer records: its parameters, and whether this is training.
pub struct Scope<'a, 't, T> {
    /// The tape.
    pub recorder: &'t Recorder<T>,
    /// The layer's parameters, in the order of [`Bijection::declare`].
    pub params: &'a [Var<'t, T>],
    /// The standardised context of each row, in a conditional flow.
    pub context: Option<Var<'t, T>>,
    /// Whether batch statistics are used where a layer has them (only in a training step).
    pub training: bool,
    /// New values for frozen parameters after a training step: index within the layer, and value.
    pub updates: Vec<(usize, Var<'t, T>)>,
}

/// Latents to data, rows by rows.
pub type Values<'a, T> = Box<dyn Fn(&Matrix<T>) -> Result<Matrix<T>, eigenflow_autodiff::Error> + 'a>;

/// An invertible map of `R^D` (or of a region of it) with a tractable log-determinant.
///
/// `z, l = normalize(x)` with `l = log|det dz/dx|` per row: a batch value of one column, or a shared
/// `1 x 1` where it is the same for all rows. `x = generate(z)` inverts it. Every bijection is
/// listed once in the registry and goes through the same laws there.
pub trait Bijection {
    /// Number of columns `D`.
    fn dim(&self) -> usize;

    /// Parameters with their initial values.
    fn declare(&self, random: &mut Pcg64) -> Vec<Declaration>;

    /// Records data to latent: `(z, log|det dz/dx|)`.
    fn normalize<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, x: Var<'t, T>)
    -> (Var<'t, T>, Var<'t, T>);

    /// Records latent to data.
    fn generate<'t, T: Real>(&self, scope: &mut Scope<'_, 't, T>, z: Var<'t, T>) -> Var<'t, T>;

    /// The values of [`Bijection::generate`] alone, with the parameters in the order of [`Bijection::declare`], where there is a way to
    /// them that asks for less than running what it records.
    fn values<'a, T: Real>(&'a self, parameters: &'a [&'a [T]]) -> Option<Values<'a, T>> {
        let _ = parameters;
        None
    }

    /// Instances of about `dim` columns, for the laws that run over every bijection.
    fn examples(dim: usize) -> Vec<Self>
    where
        Self: Sized;

    /// What one evaluation in each direction rounds, with the given parameters: claim S6 derives its tolerance
    /// from this. What is the same for all rows is worked out once, before the function is given.
    fn rounding<'a>(&'a self, parameters: &'a [&'a [f64]]) -> RoundingAt<'a>;

    /// A lower bound of the number of parameter entries, a quarter of them or more but for a few, found without allocating them: a file that
    /// holds fewer is refused before anything is.
    fn least_entries(&self) -> u128 {
        0
    }

    /// What is wrong with the parameters, given in the order of [`Bijection::declare`], beyond their shapes.
    ///
    /// # Errors
    /// With the reason.
    fn check_parameters(&self, parameters: &[&[f64]]) -> Result<(), &'static str> {
        let _ = parameters;
        Ok(())
    }

    /// What is wrong with the fields, if they come from a file that was tampered with.
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }

    /// How `normalize` and `generate` are computed.
    fn ways(&self) -> [Way; 2] {
        [Way::ClosedForm; 2]
    }

    /// How smooth the map is.
    fn smoothness(&self) -> Smoothness {
        Smoothness::Smooth
    }

    /// How fast `generate` grows.
    fn growth(&self) -> Growth {
        Growth::Linear
    }
}
