//! Fused primitives of flows: whole layers as single operations of the tape.
//!
//! A coupling recorded with basic primitives is some twenty operations a layer; as one operation it reads and
//! writes each number once while it is in the cache, and its block of tangents is pushed in the order that
//! costs least. Each fused primitive is *defined* by its expansion in basic ones ([`expand`]); it has one
//! companion for each derivative that matters ([`pull`]: a gradient, [`push`]: a block of tangents), and
//! every other derivative, those of the companions included, is that of the expansion.

mod combine;
mod coupling;
mod fold;
mod lanes;
mod network;
mod pull;
mod push;
#[cfg(test)]
mod tests;
mod transform;

pub(crate) use coupling::{Spec, coupling};
pub(crate) use transform::transform;
