//! Rules of fused primitives by expansion.
//!
//! A fused primitive is *defined* by an expansion: the same outputs, recorded with basic primitives. Where
//! it has no companion for a derivative, the derivative of its expansion is recorded instead, so that it is
//! closed under differentiation like any other.

use crate::primitive::{Cotangents, Tangents};
use crate::{Error, Recorder, Tangent, Var};
use eigenflow_linalg::Real;
use smallvec::smallvec;

/// The tangents of the expanded outputs when the inputs `x` move with `dx`: what flows into the inputs from
/// elsewhere on the tape does not count. A value that is several inputs has one tangent.
///
/// # Errors
/// As [`Recorder::push`].
pub fn push<'t, T: Real>(
    r: &'t Recorder<T>,
    expanded: &[Var<'t, T>],
    x: &[Var<'t, T>],
    dx: &[Tangent<'t, T>],
) -> Result<Tangents<'t, T>, Error> {
    // One that does not move is seeded with zero: an input may depend on another one.
    let seeds: Vec<_> = x.iter().zip(dx).map(|(&x, dx)| (x, dx.clone())).collect();
    Ok(r.push(expanded, &seeds)?.into_iter().collect())
}

/// The cotangents of those inputs `x` that are wanted, from those of the expanded outputs: partial derivatives,
/// which do not pass through one input to another. Of a value that is several inputs, the first has the sum.
///
/// # Errors
/// As [`Recorder::pull`].
pub fn pull<'t, T: Real>(
    r: &'t Recorder<T>,
    expanded: &[Var<'t, T>],
    x: &[Var<'t, T>],
    dy: &[Option<Var<'t, T>>],
    need: &[bool],
) -> Result<Cotangents<'t, T>, Error> {
    let mut found: Cotangents<'t, T> = smallvec![None; x.len()];
    let outputs: Vec<_> = expanded.iter().zip(dy).filter_map(|(&y, dy)| Some((y, (*dy)?))).collect();
    // A value that is several inputs is pulled once, for all of them together.
    let again = |k: usize| x[..k].iter().any(|earlier| earlier.id() == x[k].id());
    let wanted: Vec<usize> = (0..x.len()).filter(|&k| need[k] && !again(k)).collect();
    if outputs.is_empty() || wanted.is_empty() {
        return Ok(found);
    }
    let inputs: Vec<Var<'t, T>> = wanted.iter().map(|&k| x[k]).collect();
    for (k, dx) in wanted.into_iter().zip(r.pull_partial(&outputs, &inputs, x)?) {
        found[k] = dx;
    }
    Ok(found)
}
