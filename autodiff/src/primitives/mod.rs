//! The primitives, one family a file. Each has three rules: [`crate::Primitive`].

pub mod binary;
pub mod columns;
pub mod diagonal;
pub mod extent;
pub(crate) mod linear;
pub mod mask;
pub mod matrix;
pub mod product;
pub mod row_product;
pub mod row_solve;
pub(crate) mod rows;
pub mod scan;
pub mod unary;

use crate::primitive::{Cotangents, Key};
use crate::{Recorder, Tangent, Var};
use eigenflow_linalg::Real;
use smallvec::smallvec;
use std::any::TypeId;

/// Key of a primitive without parameters beyond `a` and `b`.
pub(crate) fn key<P: 'static>(a: u64, b: u64) -> Key {
    (TypeId::of::<P>(), a, b)
}

/// The single cotangent of a primitive with one input, where it is wanted and not zero.
pub(crate) fn cotangent<'t, T>(
    dy: &[Option<Var<'t, T>>],
    need: &[bool],
    rule: impl FnOnce(Var<'t, T>) -> Var<'t, T>,
) -> Cotangents<'t, T> {
    smallvec![if need[0] { dy[0].map(rule) } else { None }]
}

/// The single tangent of an input, if not zero.
pub(crate) fn single<'t, T: Real>(
    r: &'t Recorder<T>,
    x: Var<'t, T>,
    dx: &Tangent<'t, T>,
) -> Option<Var<'t, T>> {
    dx.to_dense(r, x.shape()).map(|(_, block)| block)
}
