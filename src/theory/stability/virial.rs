//! S2: the virial identity of flows with an affine output layer.

use crate::flow::{Error, Flow};
use crate::jacobian::{Direction, Route, jacobians};
use crate::theory::power::JacobianError;
use crate::theory::tolerance::gamma;
use crate::theory::{Claim, Context, Outcome};
use crate::train::polish::{loss_gradient, output_affine, relative_gradient, weights};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::lu::inverse;
use eigenflow_linalg::product::{Accum, matmul};
use eigenflow_linalg::svd::{condition_number, norm2};

/// `G_W Wᵀ + G_b bᵀ = E[ffᵀ] + 2αE[JJᵀ] - I` for an affine output layer `f = W h + b`, at any parameters.
#[derive(Clone, Copy, Debug)]
pub struct S2a;

/// At a stationary point, on the training set and with no other regulariser, the right side of S2a is zero, and
/// so is `E f`.
#[derive(Clone, Copy, Debug)]
pub struct S2b;

/// Rows of S2a, which holds on any; fewer, but some, where their Jacobians would cost more than a tenth of [`WORK`].
const ROWS: usize = 2000;
const FEWEST: usize = 8;
/// Jacobians held at a time.
const CHUNK: usize = 256;
/// Multiply-adds that S2b may spend on the Jacobians of the whole training set.
pub(super) const WORK: f64 = 1e11;
/// Relative gradient below which the output layer counts as stationary.
pub(super) const STATIONARY: f64 = 1e-4;

/// Both sides of the identity on some rows.
#[derive(Clone, Debug)]
pub struct Moments {
    /// `E[ffᵀ] + 2αE[JJᵀ] - I`, from latents and exact Jacobians.
    pub direct: Matrix<f64>,
    /// `G_W Wᵀ + G_b bᵀ`, from the tape's gradient of the mean loss.
    pub tape: Matrix<f64>,
    /// `E f`.
    pub mean: Vec<f64>,
    /// Rounding of either side, in the spectral norm.
    pub rounding: f64,
    /// `‖G_W Wᵀ + G_b bᵀ‖₂ + ‖G_b‖`: the relative gradient of the output layer, by the tape.
    pub stationary: f64,
    /// Norm of the gradient of the output layer.
    pub gradient: f64,
    /// Rows.
    pub rows: usize,
}

impl Moments {
    /// Measures the core of a flow on rows in training units.
    ///
    /// A latent has the error `γ_D (|W||h| + |b|)`; the gradient sums `f hᵀ` over rows (`γ_N`) before `Wᵀ` is
    /// applied, the direct side after; `W⁻ᵀWᵀ` adds `γ_{4D} κ_F(W)`. `h` and its Jacobian are the same
    /// numbers on both sides: a row's result does not depend on other rows.
    ///
    /// # Errors
    /// As [`Flow::normalize`]; [`Error::Option`] without an affine output layer.
    pub fn measure(flow: &Flow<f64>, rows: &Matrix<f64>, alpha: f64) -> Result<Self, Error> {
        Self::measure_broken(flow, rows, alpha, &JacobianError::NONE)
    }

    /// The same with an error in the Jacobians of the direct side.
    ///
    /// # Errors
    /// As [`Moments::measure`].
    pub fn measure_broken(
        flow: &Flow<f64>,
        rows: &Matrix<f64>,
        alpha: f64,
        error: &JacobianError,
    ) -> Result<Self, Error> {
        let missing = Error::Option { flow: "S2", option: "--output-affine", reason: "is needed" };
        let last = output_affine(flow).ok_or(missing)?;
        let core = flow.part(flow.core())?;
        let at = last - flow.core().start;
        let (n, d) = rows.shape();
        let own: Vec<usize> = core.parameters_of(at).collect();
        let gradient = loss_gradient(&core, rows, alpha, &own)?;
        let tape = relative_gradient(&core, at, &gradient.gradients);
        let (w, b) = weights(&core, at);

        let f = core.normalize(rows)?.0;
        let h = if at == 0 { rows.clone() } else { core.part(0..at)?.normalize(rows)?.0 };
        let scale = (n.max(1) as f64).recip();
        let mut direct = Matrix::zeros(d, d);
        matmul(direct.view_mut(), Accum::Replace, scale, f.view().transpose(), f.view())?;
        // E‖J_h‖²_F, the Jacobian before the layer: W⁻¹J.
        let inverse = inverse(&w)?;
        let mut before = if at == 0 { d as f64 } else { 0.0 };
        if alpha > 0.0 {
            for start in (0..n).step_by(CHUNK) {
                let count = CHUNK.min(n - start);
                let some = Matrix::new(count, d, rows.data()[start * d..(start + count) * d].to_vec());
                let j = error.apply(jacobians(&core, &some, Direction::Normalize, Route::Push)?);
                for i in 0..count {
                    let factor = 2.0 * alpha * scale;
                    matmul(direct.view_mut(), Accum::Add, factor, j.view(i), j.view(i).transpose())?;
                }
                if at > 0 {
                    for i in 0..count {
                        before += scale * inverse.mul(&j.matrix(i)).norm().powi(2);
                    }
                }
            }
        }
        for i in 0..d {
            direct[(i, i)] -= 1.0;
        }
        let mean = (0..d).map(|j| f.col(j).iter().sum::<f64>() * scale).collect();

        let magnitude = h.map(f64::abs).mul(&w.map(f64::abs).transpose());
        let work: f64 = (0..n)
            .flat_map(|i| (0..d).map(move |j| (i, j)))
            .map(|(i, j)| (magnitude[(i, j)] + b[(0, j)].abs()).powi(2))
            .sum();
        let latent = f.norm() * scale.sqrt();
        let moments = 4.0 * gamma(n + 2 * d) * latent.max(1.0) * (work * scale).sqrt();
        let penalty = 4.0 * alpha * gamma(n + 4 * d) * w.norm().powi(2) * before;
        let of_inverse = gamma(4 * d) * (d as f64).sqrt() * condition_number(&w)?;
        let stationary = spectral(&tape)? + gradient.gradients[1].norm();
        Ok(Self {
            direct,
            tape,
            mean,
            rounding: moments + penalty + of_inverse,
            stationary,
            gradient: gradient.norm(),
            rows: n,
        })
    }

    /// Whether the output layer is certified to be stationary.
    pub fn is_stationary(&self) -> bool {
        self.stationary <= STATIONARY
    }

    fn gap(&self) -> Result<f64, eigenflow_linalg::Error> {
        let d = self.direct.rows();
        spectral(&Matrix::from_fn(d, d, |i, j| self.tape[(i, j)] - self.direct[(i, j)]))
    }

    /// `max(‖E[ffᵀ] + 2αE[JJᵀ] - I‖₂, |E f|)`.
    fn residual(&self) -> Result<f64, eigenflow_linalg::Error> {
        let mean = self.mean.iter().map(|v| v * v).sum::<f64>().sqrt();
        Ok(norm2(&self.direct)?.max(mean))
    }
}

/// The spectral norm; NaN where an entry is not finite, so that a broken gradient fails the claim.
fn spectral(a: &Matrix<f64>) -> Result<f64, eigenflow_linalg::Error> {
    if a.check_finite("S2").is_err() { Ok(f64::NAN) } else { norm2(a) }
}

impl S2a {
    /// The verdict on both sides.
    pub fn judge(moments: &Moments) -> Outcome {
        match moments.gap() {
            Err(e) => Outcome::undecided("S2a", format!("out of range: {e}")),
            Ok(_) if !moments.rounding.is_finite() => {
                Outcome::undecided("S2a", "out of range: latents whose squares overflow")
            }
            Ok(gap) => Outcome::decide("S2a", gap, moments.rounding)
                .resolving(moments.rounding, 1.0)
                .predicted("G_W Wᵀ + G_b bᵀ = E[ffᵀ] + 2αE[JJᵀ] - I")
                .measured(format!("apart by {gap:.1e} on {} rows", moments.rows))
                .tolerance(format!("{:.1e}: rounding", moments.rounding)),
        }
    }
}

impl S2b {
    /// The verdict on moments over the training set.
    pub fn judge(moments: &Moments) -> Outcome {
        let residual = match moments.residual() {
            Ok(residual) => residual,
            Err(e) => return Outcome::undecided("S2b", format!("out of range: {e}")),
        };
        let tolerance = moments.stationary + moments.rounding;
        let outcome = if moments.is_stationary() {
            Outcome::decide("S2b", residual, tolerance).resolving(tolerance, 1.0)
        } else {
            let reason = format!("not stationary: virial residual {residual:.2e}");
            Outcome::undecided("S2b", reason).figure("error", residual).figure("tolerance", tolerance)
        };
        outcome
            .predicted("E[ffᵀ] + 2αE[JJᵀ] = I, E f = 0")
            .measured(format!("off by {residual:.2e} on {} rows", moments.rows))
            .tolerance(format!("{tolerance:.1e}: gradient of the output layer, rounding"))
            .figure("gradient", moments.gradient)
    }
}

/// The training rows (held-out ones or draws where there are none and any will do), in training units.
pub(super) fn rows(cx: &Context<'_>, any: bool) -> Result<Option<Matrix<f64>>, Error> {
    let d = cx.flow.dim();
    let given = if any { cx.training.or(cx.held_out) } else { cx.training };
    let affordable = (0.1 * WORK / jacobian_work(cx.flow, 1)) as usize;
    let most = if cx.alpha > 0.0 { affordable.clamp(FEWEST, ROWS) } else { ROWS };
    let x = match given {
        Some(x) if any && x.rows() > most => Matrix::new(most, d, x.data()[..most * d].to_vec()),
        Some(x) => x.clone(),
        None if any => cx.flow.sample(most, 1.0, cx.seed)?,
        None => return Ok(None),
    };
    if x.rows() == 0 {
        return Ok(None);
    }
    in_training_units(cx.flow, x).map(Some)
}

/// Rows behind the preprocessing, with their contexts if they have any.
pub(super) fn in_training_units(flow: &Flow<f64>, x: Matrix<f64>) -> Result<Matrix<f64>, Error> {
    if flow.preprocessing() == 0 {
        return Ok(x);
    }
    flow.with_contexts_of(flow.part(0..flow.preprocessing())?.normalize(&x)?.0, &x)
}

/// Multiply-adds of the Jacobians of `rows` rows with their gradient.
pub(super) fn jacobian_work(flow: &Flow<f64>, rows: usize) -> f64 {
    let d = flow.dim() as f64;
    rows as f64 * d * (flow.trained() as f64 + d * flow.core().len() as f64)
}

/// Whether the Jacobians of so many rows cost more than S2b may spend.
pub(super) fn is_costly(cx: &Context<'_>, rows: usize) -> bool {
    jacobian_work(cx.flow, rows) > WORK
}

fn check(
    id: &str,
    cx: &Context<'_>,
    any: bool,
    judge: fn(&Moments) -> Outcome,
    error: &JacobianError,
) -> Outcome {
    if output_affine(cx.flow).is_none() {
        return Outcome::undecided(id, "requires an output affine layer");
    }
    let run = || {
        let Some(x) = rows(cx, any)? else { return Ok(Outcome::undecided(id, "requires data")) };
        if !any && cx.alpha > 0.0 && is_costly(cx, x.rows()) {
            let reason = "requires Jacobians of the whole training set, which are too many";
            return Ok(Outcome::undecided(id, reason));
        }
        Ok::<_, Error>(judge(&Moments::measure_broken(cx.flow, &x, cx.alpha, error)?))
    };
    run().unwrap_or_else(|e| Outcome::undecided(id, format!("out of range: {e}")))
}

impl Claim for S2a {
    fn id(&self) -> &'static str {
        "S2a"
    }

    fn statement(&self) -> &'static str {
        "the gradient of an affine output layer is G_W Wᵀ + G_b bᵀ = E[ffᵀ] + 2αE[JJᵀ] - I"
    }

    fn formula(&self) -> &'static str {
        r"G_W W^\top + G_b b^\top = \mathbb{E}[f f^\top] + 2\alpha\, \mathbb{E}[J J^\top] - I"
    }

    fn remedy(&self) -> &'static str {
        "The identity holds at any parameters: the tape's gradient of the output layer is wrong (try α = \
         0 to tell the likelihood from the penalty), or the Jacobians are."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        check("S2a", cx, true, Self::judge, &JacobianError::NONE)
    }

    fn check_broken(&self, cx: &Context<'_>, error: &JacobianError) -> Option<Outcome> {
        Some(check("S2a", cx, true, Self::judge, error))
    }
}

impl Claim for S2b {
    fn id(&self) -> &'static str {
        "S2b"
    }

    fn statement(&self) -> &'static str {
        "at a stationary point E[ffᵀ] + 2αE[JJᵀ] = I and E f = 0 (virial identity)"
    }

    fn formula(&self) -> &'static str {
        r"\mathbb{E}[f f^\top] + 2\alpha\, \mathbb{E}[J J^\top] = I, \qquad \mathbb{E} f = 0"
    }

    fn remedy(&self) -> &'static str {
        "The gradient by the tape is small and the identity is still broken: then that gradient is wrong, and S2a should fail \
         too. Where it is undecided, train longer or polish the output layer; with other rows or another α than those of the \
         training it cannot be stationary."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        if cx.other_regularisers {
            return Outcome::undecided("S2b", "requires training without other regularisers");
        }
        check("S2b", cx, false, Self::judge, &JacobianError::NONE)
    }
}
