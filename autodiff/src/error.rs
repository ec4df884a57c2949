//! What can go wrong while a tape is recorded, differentiated or run.

use crate::Shape;

/// An error of this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Operands of an operation do not fit together.
    #[error("{op}: shapes {shapes:?} do not fit; {remedy}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// Shapes of all operands.
        shapes: Vec<Shape>,
        /// What would fit.
        remedy: &'static str,
    },
    /// An operation has no derivative of the kind that was asked for.
    #[error("{op} has no {kind} derivative here: {reason}")]
    NoDerivative {
        /// The operation.
        op: &'static str,
        /// `"forward"` or `"reverse"`.
        kind: &'static str,
        /// Why, and what to do instead.
        reason: &'static str,
    },
    /// A derivative rule is wrong, or the point is too close to a kink or a pole.
    #[error(
        "{rule}: the derivative is off by {excess:.3e} times its tolerance; check the rules, and \
             that the point is not next to a kink or a pole"
    )]
    Gradient {
        /// Which check failed: `"jvp"`, `"vjp"` or `"duality"`.
        rule: &'static str,
        /// The error in units of its tolerance.
        excess: f64,
    },
    /// A run was given the wrong number of inputs or outputs.
    #[error("the program takes {expected} {what}, {given} given")]
    Count {
        /// What is counted: batch inputs, shared inputs or outputs.
        what: &'static str,
        /// How many the program has.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// A run was given a buffer of the wrong length.
    #[error("{what} {index} of shape {shape:?} needs {expected} numbers, {given} given")]
    Length {
        /// What is measured: batch input, shared input or output.
        what: &'static str,
        /// Which one.
        index: usize,
        /// Its shape.
        shape: Shape,
        /// The length it should have.
        expected: usize,
        /// The length given.
        given: usize,
    },
}
