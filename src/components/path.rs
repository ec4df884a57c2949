//! Path components: the local axes followed along the ray from the latent origin.

use super::Components;
use super::frame::{Continued, Frame};
use super::kronrod::{COUNT, node};
use crate::flow::{Error, Flow};
use crate::jacobian::{LocalCovariance, local_covariance};
use eigenflow_linalg::{Batch, Matrix, Real};
use rayon::prelude::*;

/// Numbers of frames held at a time.
const HELD: usize = 1 << 22;
/// First and least length of a step along a ray, which runs from 0 to 1.
const FIRST: f64 = 0.5;
const LEAST: f64 = 1.0 / 256.0;
/// Cosine of the largest turn of an axis between two nodes that counts as followed: 37°.
pub const FOLLOWED: f64 = 0.8;

/// The leading path components of each row.
#[derive(Clone, Debug)]
pub struct PathComponents<T> {
    /// `c(x)`, `[N, K]`; component `k` belongs to the axis that is the k-th at the latent origin.
    pub values: Matrix<T>,
    /// What the quadrature may be off by in a row, data units: Kronrod's sum against Gauss's over the steps, or, if that is more, how
    /// far the summed displacements miss `x - g(0)`.
    pub error: Vec<T>,
    /// The least cosine between an axis and the one it continues, over a row's path: below 0.8 an axis turned faster than the least step
    /// shows, and which one continues it there was a choice.
    pub overlap: Vec<T>,
    /// Local standard deviations of the followed axes at `x`, `[N, K]`.
    pub scales: Matrix<T>,
    /// The followed axes at `x`, `[N, D, K]`.
    pub axes: Batch<T>,
    /// `g(0)`, from where paths start.
    pub origin: Vec<T>,
    /// The axes there, `[D, K]`, and their scales: largest first, the entry of largest magnitude of each positive.
    pub origin_axes: Matrix<T>,
    /// Local standard deviations at the origin.
    pub origin_scales: Vec<T>,
}

impl<T: Real> PathComponents<T> {
    /// Values, scales and axes as components, without shares.
    pub fn as_components(&self) -> Components<T> {
        Components {
            values: self.values.clone(),
            scales: self.scales.clone(),
            axes: self.axes.clone(),
            significance: vec![T::ZERO; self.values.cols()],
        }
    }
}

/// The leading `top` path components of each row of `x`, `y = f(x)`:
///
/// `c(x) = ∫₀¹ V(ty)ᵀ J_g(ty) y dt`,
///
/// where `V(ty)` are the local axes at `g(ty)`, followed continuously from those at `g(0)` ([`Frame::continuing`]). The velocity
/// `J_g(ty) y` of the path `t ↦ g(ty)` is measured in the turning frame, so `∫ V dc = x - g(0)`: on a linear flow `c` are
/// the PCA scores, on a bent sheet with orthogonal columns they are lengths along it. Signs and order are those at the origin, the same for
/// all rows: nothing has to be aligned. Where two scales cross, axes keep their identity rather than their rank.
///
/// Adaptive Gauss-Kronrod quadrature of 15 nodes a step; a step is accepted where both rules agree to `tolerance` of the length
/// that it adds (at least `√eps` of the precision) and no axis turned by more than 37° between nodes. Steps are not shorter than
/// 1/256 of the ray; what is then left is in the errors. Where the scales at the origin coincide the first axes are
/// one choice out of many. Cost: a push of `D` tangents and an SVD for each node, 30 or more a row.
///
/// # Errors
/// As [`Flow::normalize`] and [`Flow::generate`]: a ray that leaves the support; a singular Jacobian.
///
/// ```
/// use eigenflow::components::path_components;
/// use eigenflow::flow::{Flow, bijections::SCurveTube};
/// use eigenflow_linalg::Matrix;
/// let flow = Flow::<f64>::new(vec![SCurveTube::new(1.4, 0.1).into()], 0, 0).unwrap();
/// let x = flow.generate(&Matrix::new(1, 3, vec![1.0, 0.5, 1.0])).unwrap();
/// let c = path_components(&flow, &x, 3, 1e-9).unwrap();
/// // Along the arc (stretched by 1 + t w), across it from the middle, and off it: 1.4 (1 + 0.1/2), 2Φ(0.5) - 1, 0.1.
/// assert!((c.values[(0, 0)].abs() - 1.47).abs() < 1e-8);
/// assert!((c.values[(0, 1)].abs() - 0.382_924_922_548).abs() < 1e-8);
/// assert!((c.values[(0, 2)].abs() - 0.1).abs() < 1e-8);
/// ```
pub fn path_components<T: Real>(
    flow: &Flow<T>,
    x: &Matrix<T>,
    top: usize,
    tolerance: f64,
) -> Result<PathComponents<T>, Error> {
    let (n, d) = (x.rows(), flow.dim());
    let k = top.min(d);
    let (y, _) = flow.normalize(x)?;
    let origin = flow.generate(&Matrix::zeros(1, d))?;
    let start = local_covariance(flow, &origin, d)?;
    let first = frame(&start, 0);
    if first.scales.iter().any(|s| !s.is_finite()) {
        return Err(singular(0));
    }
    let mut out = PathComponents {
        values: Matrix::zeros(n, k),
        error: vec![T::ZERO; n],
        overlap: vec![T::ONE; n],
        scales: Matrix::zeros(n, k),
        axes: Batch::zeros(n, d, k),
        origin_axes: Matrix::from_fn(d, k, |i, j| T::of(first.axes[(i, j)])),
        origin_scales: first.scales[..k].iter().map(|s| T::of(*s)).collect(),
        origin: origin.into_data(),
    };
    let walk = Walk { flow, tolerance: tolerance.max(T::EPS.f64().sqrt()), gap: T::EPS.f64().sqrt() };
    let chunk = (HELD / (COUNT * d * d)).max(1);
    for begin in (0..n).step_by(chunk) {
        let end = n.min(begin + chunk);
        let mut rays: Vec<Ray> = (begin..end).map(|row| Ray::new(row, y.row(row), &first)).collect();
        walk.to_the_end(&mut rays)?;
        let rows = Matrix::new(end - begin, d, x.data()[begin * d..end * d].to_vec());
        let local = local_covariance(flow, &rows, d).map_err(|e| e.after_rows(begin))?;
        for (at, ray) in rays.iter().enumerate() {
            let last = frame(&local, at).continuing(&ray.frame, walk.gap)?;
            let row = ray.row;
            let missed = (0..d).map(|i| ray.moved[i] - (x[(row, i)] - out.origin[i]).f64());
            let missed = missed.map(|v| v * v).sum::<f64>().sqrt();
            out.error[row] = T::of(ray.error.max(missed));
            out.overlap[row] = T::of(ray.overlap.min(last.overlap));
            for c in 0..k {
                out.values[(row, c)] = T::of(ray.sum[c]);
                out.scales[(row, c)] = T::of(last.frame.scales[c]);
                for i in 0..d {
                    out.axes.data_mut()[(row * d + i) * k + c] = T::of(last.frame.axes[(i, c)]);
                }
            }
        }
    }
    Ok(out)
}

fn singular(row: usize) -> Error {
    Error::Linalg(eigenflow_linalg::Error::NotFinite {
        op: "path components: a local scale",
        index: row,
        row: 0,
        col: 0,
    })
}

/// The frame of a row.
pub(super) fn frame<T: Real>(local: &LocalCovariance<T>, row: usize) -> Frame {
    let scales = local.scales.row(row).iter().map(|s| s.f64()).collect();
    Frame { axes: local.axes.matrix(row).cast(), scales }
}

/// A row on the way along its ray.
struct Ray {
    row: usize,
    y: Vec<f64>,
    /// Where it is, and the step that is tried next.
    t: f64,
    step: f64,
    frame: Frame,
    /// `∫ Vᵀ J_g y dt` and `∫ J_g y dt` so far.
    sum: Vec<f64>,
    moved: Vec<f64>,
    error: f64,
    overlap: f64,
}

/// What one step would add.
struct Step {
    frame: Frame,
    sum: Vec<f64>,
    moved: Vec<f64>,
    error: f64,
    length: f64,
    overlap: f64,
}

struct Walk<'a, T> {
    flow: &'a Flow<T>,
    tolerance: f64,
    gap: f64,
}

impl Ray {
    fn new<T: Real>(row: usize, y: &[T], first: &Frame) -> Self {
        let d = y.len();
        Self {
            row,
            y: y.iter().map(|v| v.f64()).collect(),
            t: 0.0,
            step: FIRST,
            frame: first.clone(),
            sum: vec![0.0; d],
            moved: vec![0.0; d],
            error: 0.0,
            overlap: 1.0,
        }
    }

    fn ended(&self) -> bool {
        self.t >= 1.0
    }

    /// The step that the local covariances of the nodes `at ..` show.
    fn attempt<T: Real>(&self, local: &LocalCovariance<T>, at: usize, gap: f64) -> Result<Step, Error> {
        let d = self.y.len();
        let mut out = Step {
            frame: self.frame.clone(),
            sum: vec![0.0; d],
            moved: vec![0.0; d],
            error: 0.0,
            length: 0.0,
            overlap: 1.0,
        };
        let mut difference = vec![0.0; d];
        for k in 0..COUNT {
            let (row, (_, [kronrod, gauss])) = (at + k, node(k));
            let own = frame(local, row);
            if own.scales.iter().any(|s| !s.is_finite()) {
                return Err(singular(self.row));
            }
            // J_g y = V S⁻¹ Uᵀ y
            let latent = local.latent_axes.get(row);
            let along: Vec<f64> = (0..d)
                .map(|c| own.scales[c] * (0..d).map(|i| latent[i * d + c].f64() * self.y[i]).sum::<f64>())
                .collect();
            let velocity: Vec<f64> =
                (0..d).map(|i| (0..d).map(|c| own.axes[(i, c)] * along[c]).sum()).collect();
            let Continued { frame, overlap } = own.continuing(&out.frame, gap)?;
            out.frame = frame;
            out.overlap = out.overlap.min(overlap);
            for c in 0..d {
                let rate: f64 = (0..d).map(|i| out.frame.axes[(i, c)] * velocity[i]).sum();
                out.sum[c] += self.step * kronrod * rate;
                difference[c] += self.step * (kronrod - gauss) * rate;
                out.moved[c] += self.step * kronrod * velocity[c];
            }
            out.length += self.step * kronrod * velocity.iter().map(|v| v * v).sum::<f64>().sqrt();
        }
        out.error = difference.iter().map(|v| v * v).sum::<f64>().sqrt();
        Ok(out)
    }

    /// Takes the step, or halves it.
    fn advance(&mut self, step: Step, tolerance: f64) {
        let good = step.error <= tolerance * step.length && step.overlap >= FOLLOWED;
        if !good && self.step > LEAST {
            self.step = (0.5 * self.step).max(LEAST).min(1.0 - self.t);
            return;
        }
        self.t += self.step;
        self.frame = step.frame;
        self.error += step.error;
        self.overlap = self.overlap.min(step.overlap);
        for (to, from) in [(&mut self.sum, step.sum), (&mut self.moved, step.moved)] {
            to.iter_mut().zip(from).for_each(|(a, b)| *a += b);
        }
        let left = 1.0 - self.t;
        // What is left and would be shorter than the least step is rounding.
        if left < 0.5 * LEAST {
            self.t = 1.0;
            return;
        }
        // An easy step is followed by one twice as long.
        let next = if good { 2.0 * self.step } else { self.step };
        self.step = if left < 1.5 * next { left } else { next };
    }
}

impl<T: Real> Walk<'_, T> {
    /// Walks all rays in rounds: each takes or halves one step in each.
    fn to_the_end(&self, rays: &mut [Ray]) -> Result<(), Error> {
        let d = self.flow.dim();
        loop {
            let going: Vec<usize> = (0..rays.len()).filter(|&k| !rays[k].ended()).collect();
            if going.is_empty() {
                return Ok(());
            }
            let mut latents = Vec::with_capacity(going.len() * COUNT * d);
            for &k in &going {
                let ray = &rays[k];
                for at in 0..COUNT {
                    let t = ray.t + ray.step * node(at).0;
                    latents.extend(ray.y.iter().map(|v| T::of(t * v)));
                }
            }
            let latents = Matrix::new(going.len() * COUNT, d, latents);
            let of_row = |error: Error| match error {
                Error::OutOfRange { direction, row, layer, kind, column, precision } => {
                    let row = rays[going[row / COUNT]].row;
                    Error::OutOfRange { direction, row, layer, kind, column, precision }
                }
                other => other,
            };
            let x = self.flow.generate(&latents).map_err(of_row)?;
            let local = local_covariance(self.flow, &x, d).map_err(of_row)?;
            let steps = going
                .par_iter()
                .enumerate()
                .map(|(at, &k)| rays[k].attempt(&local, at * COUNT, self.gap))
                .collect::<Result<Vec<Step>, Error>>()?;
            for (&k, step) in going.iter().zip(steps) {
                rays[k].advance(step, self.tolerance);
            }
        }
    }
}
