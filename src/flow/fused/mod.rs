//! Fused primitives of flows: whole layers as single operations of the tape.
//!
//! A coupling recorded with basic primitives is some twenty operations a layer; as one operation it reads and
//! writes each number once while it is in the cache, and its block of tangents is pushed in the order that
//! costs least. Each fused primitive is *defined* by its expansion in basic ones ([`expand`]); it has one
//! companion for each derivative that matters ([`pull`]: a gradient, [`push`]: a block of tangents), and
//! every other derivative, those of the companions included, is that of the expansion.

/// `f(m)`, compiled once more for each of the smallest `m`, which the compiler then knows: loops over the columns of a row
/// unroll, and that over the rows becomes vector code. In a kernel whose columns are few, the loops would else take longer than
/// what they do.
macro_rules! unrolled {
    ($m:expr, |$name:ident| $f:expr) => {
        match $m {
            1 => {
                let $name = 1;
                $f
            }
            2 => {
                let $name = 2;
                $f
            }
            3 => {
                let $name = 3;
                $f
            }
            4 => {
                let $name = 4;
                $f
            }
            $name => $f,
        }
    };
}

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
