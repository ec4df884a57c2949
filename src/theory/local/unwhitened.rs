//! C1: un-whitened components do not depend on the latent gauge.

use super::point::data_rows;
use crate::components::components;
use crate::flow::bijections::{Affine, Form};
use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, jacobians};
use crate::random::generator;
use crate::theory::power::JacobianError;
use crate::theory::tolerance::larger;
use crate::theory::{Claim, Context, Outcome, Verdict};
use eigenflow_linalg::lu::Lu;
use eigenflow_linalg::svd::svd;
use eigenflow_linalg::{Matrix, qr};
use rand::RngExt;
use rand_distr::StandardNormal;

/// C1: `S⁻¹Uᵀf = VᵀJ⁻¹f`; unchanged by a latent rotation; signs from the data side.
pub struct Unwhitened;

/// Roundings per entry and layer in a product of Jacobians and in an SVD.
const ROUNDINGS: f64 = 32.0;
/// A bound above this part of the displacement says nothing.
const USELESS: f64 = 0.1;

/// What rounding can do to `J` of each row, in the spectral norm: `32 D L eps ‖|J_L| … |J_1|‖`, with the
/// entrywise magnitudes of the layers' Jacobians.
pub(super) fn jacobian_rounding(flow: &Flow<f64>, x: &Matrix<f64>) -> Result<Vec<f64>, Error> {
    let (d, layers) = (flow.dim(), flow.layers().len());
    let mut at = x.clone();
    let mut sizes: Vec<Matrix<f64>> = vec![Matrix::identity(d); x.rows()];
    for k in 0..layers {
        let layer = flow.part(k..k + 1)?;
        let own = jacobians(&layer, &at, Direction::Normalize, Route::Pull)?;
        for (n, size) in sizes.iter_mut().enumerate() {
            *size = own.matrix(n).map(f64::abs).mul(size);
        }
        at = layer.normalize(&at)?.0;
    }
    let unit = ROUNDINGS * (d * layers) as f64 * f64::EPSILON;
    Ok(sizes.iter().map(|size| unit * size.norm()).collect())
}

/// The largest error over its bound of given component `values` and `axes` (as
/// [`components`] gives them, all `D`) against `VᵀJ⁻¹f` with `J` pulled back and solved by LU.
///
/// The bound is `2 ‖J⁻¹‖ δ ‖J⁻¹f‖` with `δ` the rounding of `J`. `None` if no row has a useful bound.
///
/// # Errors
/// As [`Flow::normalize`].
pub fn displacement_error(
    flow: &Flow<f64>,
    x: &Matrix<f64>,
    values: &Matrix<f64>,
    axes: &eigenflow_linalg::Batch<f64>,
) -> Result<Option<f64>, Error> {
    compare(flow, x, values, axes, &JacobianError::NONE)
}

/// [`displacement_error`] with an error in the pulled Jacobians.
fn compare(
    flow: &Flow<f64>,
    x: &Matrix<f64>,
    values: &Matrix<f64>,
    axes: &eigenflow_linalg::Batch<f64>,
    error: &JacobianError,
) -> Result<Option<f64>, Error> {
    let (d, rounding) = (flow.dim(), jacobian_rounding(flow, x)?);
    let j = error.apply(jacobians(flow, x, Direction::Normalize, Route::Pull)?);
    let (z, _) = flow.normalize(x)?;
    let mut worst: Option<f64> = None;
    for row in 0..x.rows() {
        let matrix = j.matrix(row);
        let displacement = Lu::new(&matrix)?.solve(&Matrix::new(d, 1, z.row(row).to_vec()))?;
        let inverse = 1.0 / svd(&matrix)?.s[d - 1];
        let bound = 2.0 * inverse * rounding[row];
        if !(bound < USELESS) {
            continue;
        }
        let expected = axes.matrix(row).transpose().mul(&displacement);
        let error = (0..d).map(|k| (values[(row, k)] - expected.data()[k]).powi(2)).sum::<f64>().sqrt();
        // At the latent origin both are zero.
        let ratio = if error == 0.0 { 0.0 } else { error / (bound * displacement.norm()) };
        worst = Some(worst.map_or(ratio, |w| larger(w, ratio)));
    }
    Ok(worst)
}

/// The largest error over its bound when the latents are rotated by `rotation`: each component whose
/// axis is separated, by Wedin's bound, from the others, and whose sign is not a tie.
///
/// # Errors
/// As [`Flow::normalize`].
pub fn rotation_error(
    flow: &Flow<f64>,
    x: &Matrix<f64>,
    rotation: &Matrix<f64>,
) -> Result<Option<f64>, Error> {
    let d = flow.dim();
    let mut rotated = flow.followed_by(Affine::new(d, Form::Full).into())?;
    let weight = rotated.parameters_of(flow.layers().len()).start;
    rotated.parameters_mut()[weight].data.copy_from_slice(rotation.data());
    let (a, b) = (components(flow, x, d)?, components(&rotated, x, d)?);
    let rounding = jacobian_rounding(&rotated, x)?;
    let mut worst: Option<f64> = None;
    for (row, rounding) in rounding.into_iter().enumerate() {
        let s: Vec<f64> = (0..d).map(|k| 1.0 / a.scales[(row, k)]).collect();
        let displacement = a.values.row(row).iter().map(|v| v * v).sum::<f64>().sqrt();
        let solved = 2.0 / s[0] * rounding;
        for k in 0..d {
            let others = (0..d).filter(|&i| i != k);
            let gap = others.fold(f64::INFINITY, |g, i| g.min((s[i] - s[k]).abs()));
            let turned = 2.0 * rounding / gap;
            let mut sizes: Vec<f64> = (0..d).map(|i| a.axes.get(row)[i * d + k].abs()).collect();
            sizes.sort_by(|a, b| b.total_cmp(a));
            let tie = d > 1 && sizes[0] - sizes[1] <= 2.0 * turned;
            if tie || !(solved + turned < USELESS) {
                continue;
            }
            let error = (a.values[(row, k)] - b.values[(row, k)]).abs();
            let bound = 2.0 * (solved + turned) * displacement;
            let ratio = if error == 0.0 { 0.0 } else { error / bound };
            worst = Some(worst.map_or(ratio, |w| larger(w, ratio)));
        }
    }
    Ok(worst)
}

impl Unwhitened {
    fn decide(cx: &Context<'_>, error: &JacobianError) -> Result<Outcome, Error> {
        let d = cx.flow.dim();
        let most = if d > 64 || cx.quick { 4 } else { 64 };
        let x = data_rows(cx, most)?;
        let mut random = generator(cx.seed, "rotation", d as u64);
        let rotation = qr::qr(&Matrix::from_fn(d, d, |_, _| random.sample(StandardNormal)))?.q;
        let c = components(cx.flow, &x, d)?;
        let solved = compare(cx.flow, &x, &c.values, &c.axes, error)?;
        let turned = rotation_error(cx.flow, &x, &rotation)?;
        let mut outcome = Outcome::undecided("C1", "")
            .predicted("S⁻¹Uᵀf = VᵀJ⁻¹f, and the same after a random rotation of the latents")
            .measured(format!(
                "{:.2e} and {:.2e} of the bounds, {} rows",
                solved.unwrap_or(f64::NAN),
                turned.unwrap_or(f64::NAN),
                x.rows()
            ))
            .tolerance("rounding of J by its layers, times ‖J⁻¹‖ (and over the gap for single axes)")
            .figure("displacement", solved.unwrap_or(f64::NAN))
            .figure("rotation", turned.unwrap_or(f64::NAN))
            .figure("rows", x.rows() as f64);
        // Two statements: it holds where both do.
        outcome.verdict = match (solved, turned) {
            (Some(a), Some(b)) if a <= 1.0 && b <= 1.0 => Verdict::Holds,
            (Some(a), None) | (None, Some(a)) if a <= 1.0 => Verdict::Undecided(
                "requires, at one row at least, a condition number and gaps between scales that rounding does not blur"
                    .to_owned(),
            ),
            (None, None) => {
                Verdict::Undecided("requires condition numbers below the reach of rounding".to_owned())
            }
            _ => Verdict::Fails,
        };
        Ok(outcome)
    }
}

impl Unwhitened {
    fn run(cx: &Context<'_>, error: &JacobianError) -> Outcome {
        Self::decide(cx, error).unwrap_or_else(|error| Outcome::undecided("C1", error.to_string()))
    }
}

impl Claim for Unwhitened {
    fn id(&self) -> &'static str {
        "C1"
    }

    fn statement(&self) -> &'static str {
        "components S⁻¹Uᵀf = VᵀJ⁻¹f do not depend on a constant rotation of the latents"
    }

    fn formula(&self) -> &'static str {
        r"\hat y = S^{-1} U^\top f = V^\top J^{-1} f, \qquad f \mapsto R f \ \Rightarrow\ \hat y \mapsto \hat y"
    }

    fn remedy(&self) -> &'static str {
        "The first figure alone: the SVD or the solve of J. The second alone: signs or order depend on \
         the latent side; they must come from V only."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        Self::run(cx, &JacobianError::NONE)
    }

    fn check_broken(&self, cx: &Context<'_>, error: &JacobianError) -> Option<Outcome> {
        Some(Self::run(cx, error))
    }
}
