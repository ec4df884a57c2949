//! One row's way through a flow, with the exact sensitivities behind every layer and what rounding makes of it.

use crate::flow::rounding::Rounding;
use crate::flow::{Bijection, Error, Flow, Layer};
use crate::jacobian::{Direction, Route, jacobians};
use crate::theory::Context;
use crate::theory::tolerance::count;
use eigenflow_autodiff::Program;
use eigenflow_linalg::{Matrix, Real};

/// Multiply-adds that the sensitivities of all rows may cost; rows are taken until it is spent.
const WORK: usize = 400_000_000;
/// Most rows for which Jacobians are looked at.
const ROWS: usize = 2000;
/// Fewest.
const LEAST: usize = 8;

/// Bounds of a row's rounding, in units of `eps`.
#[derive(Clone, Debug)]
pub struct Passage {
    /// Of the round trip `‖x - g(f(x))‖₂`: `‖Σ_l |∂x/∂h_l| w_l‖` with the layers' working magnitudes `w_l`.
    pub round_trip: f64,
    /// Of the log-determinant routes.
    pub log_det: f64,
    /// `κ_F(J) = ‖J‖_F ‖J⁻¹‖_F`.
    pub condition: f64,
}

/// Rows that are looked at: data, draws of the model, and the data 10 and 100 times as far out.
///
/// About a quarter each; `quick` takes a quarter of all. Deterministic in the context's seed.
pub fn points(cx: &Context<'_>) -> Vec<(&'static str, Matrix<f64>)> {
    let d = cx.flow.dim();
    let per_row = cx.flow.layers().len() * 4 * d * d * d;
    let rows = (WORK / per_row.max(1)).clamp(LEAST, ROWS) / if cx.quick { 4 } else { 1 };
    let each = (rows / 4).max(2);
    let some = |x: &Matrix<f64>| {
        let n = x.rows().min(each);
        Matrix::new(n, d, x.data()[..n * d].to_vec())
    };
    let mut out: Vec<(&'static str, Matrix<f64>)> = Vec::new();
    if let Some(x) = cx.held_out.or(cx.training) {
        out.push(("data", some(x)));
    }
    // Draws that overflow are left out, row by row.
    let z = cx.flow.draw_latents(each, 1.0, cx.seed);
    let all = 0..cx.flow.layers().len();
    if let Ok(mut drawn) =
        cx.flow.run(&z, |params, z| vec![cx.flow.record_generate(params, z, all.clone()).out])
    {
        let data = drawn.pop().unwrap_or_default();
        let finite: Vec<f64> =
            data.chunks(d).filter(|r| r.iter().all(|v| v.is_finite())).flatten().copied().collect();
        out.push(("samples", Matrix::new(finite.len() / d, d, finite)));
    }
    let near = out.iter().find(|(_, x)| x.rows() > 0).map(|(_, x)| x.clone());
    if let Some(near) = near {
        let mean: Vec<f64> = (0..d).map(|j| near.col(j).iter().sum::<f64>() / near.rows() as f64).collect();
        for (name, factor) in [("10x out", 10.0), ("100x out", 100.0)] {
            let far = Matrix::from_fn(near.rows(), d, |i, j| mean[j] + factor * (near[(i, j)] - mean[j]));
            out.push((name, far));
        }
    }
    out
}

/// The rows whose log-densities are finite, in the given precision, and whose latents are well inside the box that the flow ends in, if it does.
pub(super) fn in_range<T: Real>(flow: &Flow<T>, x: &Matrix<T>) -> Result<Matrix<T>, Error> {
    let all = 0..flow.layers().len();
    let d = flow.dim();
    let out = flow.run(x, |params, x| {
        let recorded = flow.record_normalize(params, x, all.clone(), false);
        vec![recorded.out, recorded.log_det]
    })?;
    // Near the edges of a box that a flow ends in, first-order analysis of the way back ends: the sigmoid saturates.
    let margin = T::EPS.f64().sqrt();
    let inside = |v: f64| match flow.layers().last() {
        Some(Layer::Squash(s)) => {
            let edge = margin * (s.high - s.low);
            s.low + edge < v && v < s.high - edge
        }
        _ => true,
    };
    let finite = |i: usize| {
        let z = &out[0][i * d..(i + 1) * d];
        let square: T = z.iter().map(|&v| v * v).sum();
        square.is_finite() && out[1][i].is_finite() && z.iter().all(|v| inside(v.f64()))
    };
    let kept: Vec<T> = (0..x.rows()).filter(|&i| finite(i)).flat_map(|i| x.row(i).to_vec()).collect();
    Ok(Matrix::new(kept.len() / d, d, kept))
}

/// The passages of the rows of `x`.
///
/// `normalize` rounds by `w_l` at `h_l`, which `generate` carries back by `∂x/∂h_l`; `generate` rounds by `w'_l` at
/// `h_{l-1}`. The routes to `log|det J|` differ by the layers' own rounding, by that of the products
/// (`tr J⁻¹δJ` with `|δJ| <= c_D |J_l||J_{<l}|`), and by that of the final LU and SVD, `6 c_D √D κ_F(J)`.
///
/// # Errors
/// As [`Flow::normalize`].
pub fn passages(flow: &Flow<f64>, x: &Matrix<f64>) -> Result<Vec<Passage>, Error> {
    let (n, d) = x.shape();
    let layers = flow.layers().len();
    let mut bound = vec![vec![0.0; d]; n];
    let mut log_det = vec![0.0; n];
    // ∂x/∂h_l and ∂h_l/∂x of each row.
    let mut back: Vec<Matrix<f64>> = vec![Matrix::identity(d); n];
    let mut forth = back.clone();
    let mut h = x.clone();
    let c = count(d);
    for k in 0..layers {
        let layer = flow.part(k..k + 1)?;
        let next = layer.normalize(&h)?.0;
        let own = layer.slices();
        let rounding = layer.layers()[0].rounding(&own[layer.parameters_of(0)]);
        let down = jacobians(&layer, &next, Direction::Generate, Route::Push)?;
        let up = jacobians(&layer, &h, Direction::Normalize, Route::Push)?;
        for i in 0..n {
            let Rounding { latent, data, log_det: own } = rounding(h.row(i), next.row(i));
            add(&mut bound[i], &back[i], &data);
            back[i] = back[i].mul(&down.matrix(i));
            add(&mut bound[i], &back[i], &latent);
            let j = up.matrix(i);
            let spread = j.map(f64::abs).mul(&forth[i].map(f64::abs));
            forth[i] = j.mul(&forth[i]);
            // tr(|∂x/∂h_l| |J_l| |J_{<l}|)
            let trace: f64 = (0..d)
                .flat_map(|a| (0..d).map(move |b| (a, b)))
                .map(|(a, b)| back[i][(a, b)].abs() * spread[(b, a)])
                .sum();
            log_det[i] += 2.0 * own + c * trace;
        }
        h = next;
    }
    let finish = |i: usize| {
        let condition = forth[i].norm() * back[i].norm();
        let round_trip = bound[i].iter().copied().fold(0.0, f64::hypot);
        Passage { round_trip, log_det: log_det[i] + 6.0 * c * (d as f64).sqrt() * condition, condition }
    };
    Ok((0..n).map(finish).collect())
}

/// `bound += |m| w`.
fn add(bound: &mut [f64], m: &Matrix<f64>, w: &[f64]) {
    for (i, b) in bound.iter_mut().enumerate() {
        *b += m.row(i).iter().zip(w).map(|(m, w)| m.abs() * w).sum::<f64>();
    }
}

/// What rounding may make of each row's log-density: `eps Σ_l (|∂ log p/∂h_l| w_l + w_l^{det})`, absolute.
///
/// # Errors
/// As [`Flow::normalize`].
pub fn log_density_error(flow: &Flow<f64>, x: &Matrix<f64>) -> Result<Vec<f64>, Error> {
    let (n, d) = x.shape();
    let layers = flow.layers().len();
    let mut out = vec![0.0; n];
    let mut h = x.clone();
    for k in 0..layers {
        let layer = flow.part(k..k + 1)?;
        let next = layer.normalize(&h)?.0;
        let own = layer.slices();
        let rounding = layer.layers()[0].rounding(&own[layer.parameters_of(0)]);
        // ∂ log p/∂h_{k+1}, through the layers behind.
        let program = Program::try_record(|r| {
            let params = flow.declare(r);
            let input = r.batch(d);
            let recorded = flow.record_normalize(&params, input, k + 1..layers, false);
            let log_p = flow.record_base(&params, recorded.out) + recorded.log_det;
            r.gradient(log_p, &[input])
        })?;
        let gradient = program.run(n, &[next.data()], &flow.slices())?.pop().unwrap_or_default();
        for i in 0..n {
            let own = rounding(h.row(i), next.row(i));
            let carried: f64 =
                gradient[i * d..(i + 1) * d].iter().zip(&own.latent).map(|(g, w)| g.abs() * w).sum();
            out[i] += f64::EPSILON * (carried + own.log_det);
        }
        h = next;
    }
    for (i, out) in out.iter_mut().enumerate() {
        let square: f64 = h.row(i).iter().map(|v| v * v).sum();
        *out += f64::EPSILON * count(d + layers + 2) * (square + d as f64);
    }
    Ok(out)
}
