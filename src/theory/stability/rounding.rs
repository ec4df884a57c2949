//! What one layer adds in rounding, layer by layer, from the operations it does.
//!
//! Every number is in units of `eps` and bounds, to first order, the error of one evaluation on exact
//! input: a sum of `n` products counts [`count`]`(n) Σ |a b|`, an elementwise function `F = 4` of its value (the
//! bound that the linear algebra promises and tests), an addition or product 1.

use crate::flow::conditioner::Activation;
use crate::flow::{Flow, Layer, bijections::Form};
use crate::theory::tolerance::count;
use eigenflow_linalg::Matrix;
use eigenflow_linalg::svd::condition_number;

/// Error of an elementwise function, in units of eps.
const F: f64 = 4.0;

/// Rounding of one layer at one row.
#[derive(Clone, Debug)]
pub(super) struct Rounding {
    /// Of `normalize`, and of the backward error of `generate`, at each latent column.
    pub latent: Vec<f64>,
    /// Of `generate` at each data column.
    pub data: Vec<f64>,
    /// Of the layer's log-determinant; its Jacobian's diagonal, relative, sums to the same.
    pub log_det: f64,
}

/// What is the same for all rows: `κ(W)` of a full affine layer, 1 for others. Cost `O(D³)`.
pub(super) fn condition(flow: &Flow<f64>, k: usize) -> f64 {
    match &flow.layers()[k] {
        Layer::Affine(a) if a.form == Form::Full => {
            let w = &flow.parameters()[flow.parameters_of(k).start];
            condition_number(&Matrix::new(w.rows, w.cols, w.data.clone())).unwrap_or(f64::INFINITY)
        }
        _ => 1.0,
    }
}

/// Rounding of layer `k` of a flow that takes the row `x` to `z`, with its [`condition`]. Cost `O(D²)`.
pub(super) fn rounding(flow: &Flow<f64>, k: usize, kappa: f64, x: &[f64], z: &[f64]) -> Rounding {
    let p = |i: usize| flow.parameters()[flow.parameters_of(k).start + i].data.as_slice();
    let columns = |f: &dyn Fn(usize) -> (f64, f64, f64)| {
        let mut out = Rounding { latent: Vec::new(), data: Vec::new(), log_det: x.len() as f64 };
        for j in 0..x.len() {
            let (latent, data, log_det) = f(j);
            out.latent.push(latent);
            out.data.push(data);
            out.log_det += log_det;
        }
        out
    };
    match &flow.layers()[k] {
        Layer::Affine(a) => affine(a.form, kappa, p(0), p(1), x),
        Layer::Permutation(_) => columns(&|_| (0.0, 0.0, 0.0)),
        Layer::Standardize(_) => columns(&|j| {
            let (m, s) = (p(0)[j], p(1)[j]);
            (2.0 * (x[j].abs() + m.abs()) / s, 2.0 * ((z[j] * s).abs() + m.abs()), F * s.ln().abs())
        }),
        Layer::BatchNorm(b) => columns(&|j| {
            let (log_gamma, beta, m) = (p(0)[j], p(1)[j], p(2)[j]);
            let deviation = (p(3)[j] + b.epsilon).sqrt();
            let scale = log_gamma.exp() / deviation;
            // The exponent's own error is the relative error of the scale.
            let relative = 2.0 * F + F * (log_gamma.abs() + deviation.ln().abs());
            let latent = (x[j].abs() + m.abs()) * scale * (1.0 + relative) + beta.abs() + z[j].abs();
            let data = (z[j].abs() + beta.abs()) / scale * (1.0 + relative) + m.abs() + x[j].abs();
            (latent, data, relative)
        }),
        Layer::Prelu(_) => columns(&|j| {
            let slope = p(0)[j].exp().ln_1p();
            (3.0 * F * z[j].abs(), 3.0 * F * x[j].abs(), 2.0 * F * (1.0 + slope.ln().abs()))
        }),
        // ln cosh u = softplus(2u) - u - ln 2, whose terms are at most 3|u| + 1.4.
        Layer::Sinh(_) => columns(&|j| (F * z[j].abs(), F * x[j].abs(), 2.0 * F * (3.0 * z[j].abs() + 2.0))),
        Layer::Asinh(_) => columns(&|j| (F * z[j].abs(), F * x[j].abs(), 2.0 * F * (3.0 * x[j].abs() + 2.0))),
        Layer::SoftTail(_) => columns(&|j| {
            let knee = p(0)[j].exp();
            let u = z[j] / knee;
            // dx = cosh(u) dz: the argument's error passes through the function.
            let inner = z[j].abs() * u.cosh();
            (4.0 * F * z[j].abs(), 2.0 * F * (x[j].abs() + inner), 2.0 * F * (3.0 * u.abs() + 2.0))
        }),
        Layer::Banana(_) => columns(&|j| {
            if j == 0 {
                return (0.0, 0.0, 0.0);
            }
            let bend = 4.0 * p(0)[j - 1].abs() * (x[0] * x[0] + 1.0);
            (bend + x[j].abs() + z[j].abs(), bend + x[j].abs() + z[j].abs(), 0.0)
        }),
        Layer::SinhArcsinh(_) => columns(&|j| {
            let (skew, log_tail) = (p(0)[j], p(1)[j]);
            let (a, tail) = (x[j].asinh(), log_tail.exp());
            let u = a * tail - skew;
            // Errors of the arguments of the outer functions, which pass with slope cosh.
            let of_u = (a * tail).abs() * (2.0 * F + log_tail.abs() + 1.0) + skew.abs() + u.abs();
            let of_a = (a.abs() * (2.0 * F + log_tail.abs() + 1.0)) + (F * u.abs() + skew.abs()) / tail;
            let log_det = 2.0 * F * (3.0 * (u.abs() + a.abs()) + 4.0) + of_u + F * a.abs() + log_tail.abs();
            (F * z[j].abs() + u.cosh() * of_u, F * x[j].abs() + a.cosh() * of_a, log_det)
        }),
        Layer::Logit(l) => columns(&|j| {
            let slope = (1.0 - 2.0 * l.margin) / (l.high - l.low);
            let u = (x[j] - l.low) * slope + l.margin;
            let argument = 3.0 * (x[j].abs() + l.low.abs()) * slope + l.margin;
            let (a, b) = (u.ln().abs(), (-u).ln_1p().abs());
            let inner = argument / (u * (1.0 - u)).abs();
            let data = 2.0 * F / slope + l.low.abs() + x[j].abs();
            (inner + F * (a + b) + z[j].abs(), data, inner + F * (a + b) + F * slope.ln().abs())
        }),
        Layer::PolarShear(_) => columns(&|j| {
            if j > 1 || x.len() < 2 {
                return (0.0, 0.0, 0.0);
            }
            // The angle's own error turns the plane.
            let r = x[0].hypot(x[1]);
            let turned = r * (2.0 * F + 6.0 * p(0)[0].abs() * r * r);
            (turned, turned, 0.0)
        }),
        Layer::SCurveTube(l) => {
            let (log_arc, log_noise) = (p(0)[0], p(1)[0]);
            let (t, w) = (z[0] * log_arc.exp(), z[2] * log_noise.exp());
            let stretch = 1.0 + t.signum() * w / l.radius;
            let place = F * (x[0].abs() + x[2].abs() + 2.0 * l.radius);
            let along = place / stretch + F * t.abs();
            let relative = F * (1.0 + log_arc.abs());
            let noise = F * (1.0 + log_noise.abs());
            let (v, generated, across) = uniform(l.low, l.high, F * (x[1].abs() + l.low.abs()), z[1]);
            let data = place + stretch * t.abs() * relative + w.abs() * noise;
            let log_det = F * (stretch.ln().abs() + log_arc.abs() + log_noise.abs() + 3.0)
                + (place + w.abs() * noise) / (l.radius * stretch)
                + across;
            Rounding {
                latent: vec![
                    along / log_arc.exp() + z[0].abs() * relative,
                    v,
                    place / log_noise.exp() + z[2].abs() * noise,
                ],
                data: vec![data, generated, data],
                log_det,
            }
        }
        Layer::SwissRoll(l) => {
            let (pitch, log_noise) = (l.pitch, p(0)[0]);
            let t =
                l.from + 0.5 * (l.to - l.from) * (1.0 + libm::erf(z[0] * std::f64::consts::FRAC_1_SQRT_2));
            let w = z[2] * log_noise.exp();
            let bend = (2.0 + t * t) / (1.0 + t * t);
            let stretch = pitch * t.hypot(1.0) - w * bend;
            let place = F * (x[0].abs() + x[2].abs() + l.axis[0].abs() + l.axis[1].abs() + pitch * t);
            let along = place / stretch + F * t;
            let noise = F * (1.0 + log_noise.abs());
            let (u, turned, length) = uniform(l.from, l.to, along + F * l.from, z[0]);
            let (v, generated, across) = uniform(l.low, l.high, F * (x[1].abs() + l.low.abs()), z[1]);
            let data = place + stretch * (turned + F * t) + w.abs() * noise;
            let log_det = F * (stretch.ln().abs() + log_noise.abs() + 3.0)
                + (bend * (place + w.abs() * noise) + 2.0 * pitch * along) / stretch
                + length
                + across;
            Rounding {
                latent: vec![u, v, place / log_noise.exp() + z[2].abs() * noise],
                data: vec![data, generated, data],
                log_det,
            }
        }
        Layer::Coupling(c) => coupling(c, &flow.parameters()[flow.parameters_of(k)], x, z),
    }
}

/// A uniform column taken to the normal `z`, where its value is off by `inner`: errors of `z`, of the value that is generated,
/// and of the log-determinant `z²/2 + …`.
fn uniform(low: f64, high: f64, inner: f64, z: f64) -> (f64, f64, f64) {
    let density = (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
    let latent = (inner / (high - low) + F) / density + F * z.abs();
    let data = F * (high - low + low.abs() + high.abs());
    (latent, data, F * (z * z + (high - low).ln().abs() + 3.0) + z.abs() * latent)
}

/// `Wx + b` componentwise; its generate solves `(W + δW) x = z - b` with `|δW| <= 3 c_D ‖W‖_F` (LU with partial
/// pivoting, growth as in practice), or componentwise where `W` is triangular.
fn affine(form: Form, kappa: f64, w: &[f64], b: &[f64], x: &[f64]) -> Rounding {
    let d = x.len();
    let lower = form == Form::LowerTriangular;
    let w = Matrix::from_fn(d, d, |i, j| if lower && j > i { 0.0 } else { w[i * d + j] });
    let c = count(d + 2);
    let length = x.iter().map(|v| v * v).sum::<f64>().sqrt();
    let solve = if lower { 0.0 } else { 3.0 * c * w.norm() * length };
    let row = |i: usize| (0..d).map(|j| (w[(i, j)] * x[j]).abs()).sum::<f64>() + b[i].abs();
    let latent = (0..d).map(|i| 2.0 * c * row(i) + solve).collect();
    let log_det = if lower {
        (0..d).map(|i| F * w[(i, i)].abs().ln().abs() + 1.0).sum::<f64>()
    } else {
        // δ log|det W| = tr W⁻¹δW
        let terms = w.max_abs().ln().abs() + kappa.ln();
        3.0 * c * (d as f64).sqrt() * kappa + F * d as f64 * terms
    };
    Rounding { latent, data: vec![0.0; d], log_det }
}

/// `b' = b e^l + t`, with the running error of the network that gives `l` and `t`.
fn coupling(
    c: &crate::flow::bijections::Coupling,
    parameters: &[crate::flow::Parameter<f64>],
    x: &[f64],
    z: &[f64],
) -> Rounding {
    let d = x.len();
    let mut a: Vec<f64> = (0..d).filter(|j| !c.moved.contains(j)).map(|j| x[j]).collect();
    let mut error = vec![0.0; a.len()];
    let layers = parameters.len() / 2;
    for k in 0..layers {
        let (w, b) = (&parameters[2 * k], &parameters[2 * k + 1]);
        let mut next = Vec::with_capacity(w.rows);
        let mut carried = Vec::with_capacity(w.rows);
        for i in 0..w.rows {
            let row = w.data[i * w.cols..(i + 1) * w.cols].iter();
            let (mut value, mut size, mut passed) = (b.data[i], b.data[i].abs(), 0.0);
            for ((w, a), e) in row.zip(&a).zip(&error) {
                value += w * a;
                size += (w * a).abs();
                passed += w.abs() * e;
            }
            let own = passed + count(w.cols + 1) * size;
            if k + 1 == layers {
                next.push(value);
                carried.push(own);
            } else {
                let (out, slope) = match c.activation {
                    Activation::Tanh => (value.tanh(), 1.0),
                    Activation::Relu => (value.max(0.0), 1.0),
                    // |d silu| <= 1.0999
                    Activation::Silu => (value / (1.0 + (-value).exp()), 1.1),
                };
                next.push(out);
                carried.push(slope * own + 2.0 * F * out.abs());
            }
        }
        (a, error) = (next, carried);
    }
    let m = c.moved.len();
    let mut out = Rounding { latent: vec![0.0; d], data: vec![0.0; d], log_det: d as f64 };
    for (i, &j) in c.moved.iter().enumerate() {
        let log_scale = c.bound * (a[i] / c.bound).tanh();
        // tanh has slope at most 1: errors of the raw scale pass it undiminished.
        let of_scale = error[i] + 2.0 * F * log_scale.abs();
        let relative = of_scale + F + 1.0;
        let (t, of_shift) = (a[m + i].abs(), error[m + i]);
        let moved = x[j].abs() * log_scale.exp();
        out.latent[j] = moved * relative + of_shift + t + z[j].abs();
        out.data[j] = x[j].abs() * relative + (of_shift + t + z[j].abs()) * (-log_scale).exp();
        out.log_det += of_scale + log_scale.abs();
    }
    out
}
