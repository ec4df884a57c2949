//! Polishing: the output affine layer of a flow brought to its exact optimum, with a certificate.
//!
//! For an output layer `f = W h + b` and the mean loss `E[-log p + α‖J‖²_F]` the *relative*
//! (equivariant) gradient is `R = G_W Wᵀ + G_b bᵀ = E[ffᵀ] + 2αE[JJᵀ] - I`: it does not know the scale
//! or the condition of `h`. With `A = I + R` (less the mean) the step `W ← A^{-1/2} W` is exact where
//! the moments of `h` are fixed, which they are here; repeating it removes rounding.

use super::objective::jacobian_norm;
use crate::flow::bijections::Form;
use crate::flow::{Error, Flow, Layer};
use eigenflow_autodiff::Program;
use eigenflow_linalg::Matrix;
use eigenflow_linalg::eigen::eigh;
use eigenflow_linalg::svd::norm2;

/// The residual at which polishing stops.
pub const GOAL: f64 = 1e-10;

/// Steps after which polishing gives up: each raises the smallest eigenvalue by six decades at least.
const STEPS: usize = 60;

/// Eigenvalues of `A` below this share of the largest are rounding: one step trusts them no further.
const FLOOR: f64 = 1e-12;

/// What polishing reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Certificate {
    /// `max(‖R‖₂, ‖E f‖)`, from the tape's own gradient.
    pub residual: f64,
    /// Euclidean norm of the gradient of the loss in `W` and `b`.
    pub gradient: f64,
    /// Steps taken.
    pub iterations: usize,
}

/// Mean loss of rows in training units, with gradients, from the tape.
#[derive(Clone, Debug)]
pub struct LossGradient {
    /// `E[-log p + α‖J‖²_F]` of the core.
    pub loss: f64,
    /// Gradients of the parameters that were asked for, in order.
    pub gradients: Vec<Matrix<f64>>,
}

impl LossGradient {
    /// Euclidean norm of all gradients together.
    pub fn norm(&self) -> f64 {
        self.gradients.iter().map(|g| g.norm().powi(2)).sum::<f64>().sqrt()
    }
}

/// Position of the output layer, if it is a full affine one that is trained.
///
/// ```
/// use eigenflow::flow::{Flow, bijections::{Affine, Form, Sinh}};
/// use eigenflow::train::polish::output_affine;
/// let affine = |form| Flow::<f64>::new(vec![Sinh { dim: 2 }.into(), Affine::new(2, form).into()], 0, 0).unwrap();
/// assert_eq!(output_affine(&affine(Form::Full)), Some(1));
/// assert_eq!(output_affine(&affine(Form::LowerTriangular)), None);
/// ```
pub fn output_affine(flow: &Flow<f64>) -> Option<usize> {
    let last = flow.core().last()?;
    match &flow.layers()[last] {
        Layer::Affine(a) if a.form == Form::Full && !a.frozen => Some(last),
        _ => None,
    }
}

/// Indices of the parameters of the core that are trained.
pub fn trained(flow: &Flow<f64>) -> Vec<usize> {
    let core = flow.core().flat_map(|k| flow.parameters_of(k));
    core.filter(|&k| flow.parameters()[k].role.is_trained()).collect()
}

/// `E[-log p + α‖J‖²_F]` of the core on rows in training units, and its gradients in the parameters
/// `wanted`. Running statistics are constants; the penalty is the exact one.
///
/// Where the core is one affine layer, `J` is the same for all rows and is pushed for one of them.
///
/// # Errors
/// As [`Flow::normalize`], and if no row is given.
pub fn loss_gradient(
    flow: &Flow<f64>,
    rows: &Matrix<f64>,
    alpha: f64,
    wanted: &[usize],
) -> Result<LossGradient, Error> {
    flow.check_rows("data", rows)?;
    let n = rows.rows().max(1) as f64;
    let record = |penalty: bool| {
        Program::try_record(|r| {
            let x = r.batch(flow.dim());
            let params = flow.declare(r);
            let recorded = flow.record_normalize(&params, x, flow.core(), false);
            let loss = if penalty {
                jacobian_norm(r, recorded.out, x)?
            } else {
                -(flow.record_base(&params, recorded.out) + recorded.log_det)
            };
            let vars: Vec<_> = wanted.iter().map(|&k| params[k]).collect();
            let mut out = vec![loss.sum_rows()];
            out.extend(r.gradient(loss, &vars)?);
            Ok::<_, eigenflow_autodiff::Error>(out)
        })
    };
    let mut total: Vec<Vec<f64>> = record(false)?.run(rows.rows(), &[rows.data()], &flow.slices())?;
    total.iter_mut().flatten().for_each(|v| *v /= n);
    if alpha > 0.0 && rows.rows() > 0 {
        let constant = flow.core().len() == 1 && output_affine(flow).is_some();
        let count = if constant { 1 } else { rows.rows() };
        let own = record(true)?.run(count, &[&rows.data()[..count * flow.dim()]], &flow.slices())?;
        for (t, o) in total.iter_mut().flatten().zip(own.iter().flatten()) {
            *t += alpha * o / count as f64;
        }
    }
    let mut total = total.into_iter();
    let loss = total.next().map_or(f64::NAN, |v| v[0]);
    let shape = |k: usize| (flow.parameters()[k].rows, flow.parameters()[k].cols);
    let gradients = wanted.iter().zip(total).map(|(&k, g)| Matrix::new(shape(k).0, shape(k).1, g)).collect();
    Ok(LossGradient { loss, gradients })
}

/// `R = G_W Wᵀ + G_b bᵀ` of the output layer, from its gradients: `(G_W, G_b)` of [`loss_gradient`].
pub fn relative_gradient(flow: &Flow<f64>, layer: usize, gradients: &[Matrix<f64>]) -> Matrix<f64> {
    let (w, b) = weights(flow, layer);
    let gw = gradients[0].mul(&w.transpose());
    let gb = &gradients[1];
    Matrix::from_fn(flow.dim(), flow.dim(), |i, j| gw[(i, j)] + gb[(0, i)] * b[(0, j)])
}

/// `W` and `b` of an affine layer.
pub fn weights(flow: &Flow<f64>, layer: usize) -> (Matrix<f64>, Matrix<f64>) {
    let at = flow.parameters_of(layer).start;
    let matrix = |k: usize| {
        let p = &flow.parameters()[k];
        Matrix::new(p.rows, p.cols, p.data.clone())
    };
    (matrix(at), matrix(at + 1))
}

/// Replaces the output layer by its optimum on `rows` (training units), all other layers fixed.
///
/// Full batch, in `f64`, until `max(‖R‖₂, ‖E f‖) <=` [`GOAL`] or until steps stop helping; the best
/// parameters met are kept. The certificate says what was reached: where no optimum exists (rank
/// deficient moments at `α = 0`) the residual stays large. Cost a step: one gradient and `O(D³)`.
///
/// # Errors
/// As [`loss_gradient`]; a flow whose last layer is not a trained full affine layer is an
/// [`Error::Option`].
///
/// ```
/// use eigenflow::flow::{Flow, bijections::{Affine, Form}};
/// use eigenflow::train::polish::polish;
/// use eigenflow_linalg::Matrix;
/// let mut flow = Flow::new(vec![Affine::new(1, Form::Full).into()], 0, 0).unwrap();
/// // mean 3, variance 4: z = (x - 3) / 2
/// let rows = Matrix::new(2, 1, vec![1.0, 5.0]);
/// let certificate = polish(&mut flow, &rows, 0.0).unwrap();
/// assert!(certificate.residual <= 1e-10);
/// assert!((flow.parameters()[0].data[0] - 0.5).abs() < 1e-10);
/// assert!((flow.parameters()[1].data[0] + 1.5).abs() < 1e-10);
/// ```
pub fn polish(flow: &mut Flow<f64>, rows: &Matrix<f64>, alpha: f64) -> Result<Certificate, Error> {
    if !flow.base().is_standard() {
        let reason = "is polished for the standard normal base alone";
        return Err(Error::Base { family: flow.base().as_str(), reason });
    }
    let missing = Error::Option { flow: "polish", option: "--output-affine", reason: "is needed" };
    let layer = output_affine(flow).ok_or(missing)?;
    let own: Vec<usize> = flow.parameters_of(layer).collect();
    let mut best: Option<(Certificate, Flow<f64>)> = None;
    let mut stale = 0;
    for iterations in 0..STEPS {
        let gradient = loss_gradient(flow, rows, alpha, &own)?;
        let relative = relative_gradient(flow, layer, &gradient.gradients);
        if relative.check_finite("polish").is_err() {
            break;
        }
        let mean = &gradient.gradients[1];
        let residual = norm2(&relative)?.max(mean.norm());
        let here = Certificate { residual, gradient: gradient.norm(), iterations };
        // Far from the optimum a step may raise the residual; near it, steps that do not halve it are rounding.
        stale = if best.as_ref().is_some_and(|(b, _)| residual > 0.5 * b.residual) { stale + 1 } else { 0 };
        if best.as_ref().is_none_or(|(b, _)| residual < b.residual) {
            best = Some((here, flow.clone()));
        }
        if residual <= 0.01 * GOAL || stale >= 4 {
            break;
        }
        step(flow, layer, &relative, mean)?;
    }
    let (certificate, polished) =
        best.ok_or(eigenflow_linalg::Error::NoConvergence { op: "polish", index: 0 })?;
    *flow = polished;
    Ok(certificate)
}

/// `f ← A^{-1/2} (f - E f)` with `A = I + R - (E f)(E f)ᵀ`, its smallest eigenvalues guarded.
fn step(flow: &mut Flow<f64>, layer: usize, relative: &Matrix<f64>, mean: &Matrix<f64>) -> Result<(), Error> {
    let d = flow.dim();
    let (w, b) = weights(flow, layer);
    let moments = Matrix::from_fn(d, d, |i, j| {
        let one = f64::from(u8::from(i == j));
        let symmetric = 0.5 * (relative[(i, j)] + relative[(j, i)]);
        one + symmetric - mean[(0, i)] * mean[(0, j)]
    });
    let e = eigh(&moments)?;
    let largest = e.values[d - 1].abs().max(e.values[0].abs());
    let root = |k: usize| e.values[k].max(FLOOR * largest).max(f64::MIN_POSITIVE).sqrt().recip();
    let scaled = Matrix::from_fn(d, d, |i, k| e.vectors[(i, k)] * root(k));
    let a = scaled.mul(&e.vectors.transpose());
    let centred = Matrix::from_fn(d, 1, |i, _| b[(0, i)] - mean[(0, i)]);
    let at = flow.parameters_of(layer).start;
    flow.parameters_mut()[at].data = a.mul(&w).into_data();
    flow.parameters_mut()[at + 1].data = a.mul(&centred).into_data();
    Ok(())
}
