//! Walks along a leading component where there are too many columns for whole frames.

use super::path::FOLLOWED;
use super::traverse::{Traversal, Walk};
use crate::flow::{Error, Flow};
use crate::jacobian::leading_covariance;
use eigenflow_linalg::{Batch, Matrix};

/// First, largest and least step, in local standard deviations.
const FIRST: f64 = 0.1;
const LARGEST: f64 = 0.5;
const LEAST: f64 = 1.0 / 1024.0;
/// Allowed residual of an axis, relative to its eigenvalue; scales within ten times the error that this leaves are one cluster.
const RESIDUAL: f64 = 1e-6;
const CLUSTER: f64 = 1e-5;

/// Nodes of Bogacki and Shampine's pair of orders 3 and 2, and the weights of the solution of order 3 minus that of order 2.
const STAGES: [&[f64]; 3] = [&[0.5], &[0.0, 0.75], &[2.0 / 9.0, 1.0 / 3.0, 4.0 / 9.0]];
const DIFFERENCE: [f64; 4] = [-5.0 / 72.0, 1.0 / 12.0, 1.0 / 9.0, -1.0 / 8.0];

/// [`traverse`](super::traverse) from the `top` leading axes alone, matrix-free: memory `O(top · D)` a walk.
///
/// The walk is solved in the latents, `dz/dτ = u(z)`, where `u` is the latent axis of the component: it has length one, so that `τ` and the
/// error of a step count local standard deviations there. Bogacki and Shampine's pair of orders 3 and 2 (1989), the difference kept
/// below `walk.tolerance` times the step. The component is continued among the `top` ones by the largest overlap of axes in data space; one that
/// leaves them is lost, and the walk ends. Cost: three times [`leading_covariance`] a step and row.
///
/// # Errors
/// As [`leading_covariance`], for the rows themselves; a component that is not among the `top`.
///
/// ```
/// use eigenflow::components::{Walk, traverse_leading};
/// use eigenflow::flow::{Flow, bijections::SCurveTube};
/// use eigenflow_linalg::Matrix;
/// let flow = Flow::<f64>::new(vec![SCurveTube::new(1.4, 0.1).into()], 0, 0).unwrap();
/// let x = flow.generate(&Matrix::new(1, 3, vec![1.0, 0.5, 1.0])).unwrap();
/// let walk = Walk { component: 0, reach: 0.5, points: 1, tolerance: 1e-6 };
/// let t = traverse_leading(&flow, &x, &walk, 2, 0).unwrap();
/// // Along the arc, and nowhere else: the first latent changes by half a standard deviation.
/// let end = flow.normalize(&Matrix::new(1, 3, t.points.get(0)[6..].to_vec())).unwrap().0;
/// assert!(((end[(0, 0)] - 1.0).abs() - 0.5).abs() < 1e-5 && (end[(0, 1)] - 0.5).abs() < 1e-5);
/// ```
pub fn traverse_leading(
    flow: &Flow<f64>,
    x: &Matrix<f64>,
    walk: &Walk,
    top: usize,
    seed: u64,
) -> Result<Traversal<f64>, Error> {
    let (n, d, m) = (x.rows(), flow.dim(), walk.points);
    if walk.component >= top.min(d) {
        let (flow, option, reason) =
            ("traverse", "component", "must be among the leading axes that are computed");
        return Err(Error::Option { flow, option, reason });
    }
    let p = 2 * m + 1;
    let mut out = Traversal {
        positions: (0..p).map(|j| walk.reach * (j as f64 - m as f64) / m.max(1) as f64).collect(),
        points: Batch::new(n, p, d, vec![f64::NAN; n * p * d]),
        axes: Batch::new(n, p, d, vec![f64::NAN; n * p * d]),
        scales: Matrix::new(n, p, vec![f64::NAN; n * p]),
        error: Matrix::new(n, p, vec![f64::NAN; n * p]),
        reached: Matrix::zeros(n, 2),
    };
    let (z, _) = flow.normalize(x)?;
    let solver = Solver { flow, walk: *walk, top, seed };
    let local = leading_covariance(flow, x, top, RESIDUAL, seed)?;
    let mut walkers = Vec::new();
    for row in 0..n {
        for (way, sign) in [(0, -1.0), (1, 1.0)] {
            let own =
                |b: &Batch<f64>| (0..d).map(|i| sign * b.get(row)[i * top.min(d) + walk.component]).collect();
            let here = Here {
                x: x.row(row).to_vec(),
                axis: own(&local.axes),
                latent: own(&local.latent_axes),
                scale: local.scales[(row, walk.component)],
            };
            let z = z.row(row).to_vec();
            walkers.push(Walker {
                row,
                way,
                z,
                at: 0.0,
                step: FIRST,
                next: 1,
                error: 0.0,
                here,
                ended: m == 0,
            });
        }
    }
    walkers.iter().for_each(|w| w.write(&mut out, m, 0));
    loop {
        let going: Vec<usize> = (0..walkers.len()).filter(|&k| !walkers[k].ended).collect();
        if going.is_empty() {
            return Ok(out);
        }
        let tries = solver.attempt(&walkers, &going)?;
        for (&k, step) in going.iter().zip(tries) {
            let w = &mut walkers[k];
            if solver.advance(w, step) {
                w.write(&mut out, m, w.next);
                w.next += 1;
                w.ended = w.next > m;
            }
            out.reached[(w.row, w.way)] = w.at;
        }
    }
}

/// What a walk follows at a point.
#[derive(Clone)]
struct Here {
    x: Vec<f64>,
    axis: Vec<f64>,
    latent: Vec<f64>,
    scale: f64,
}

/// One walk in one direction.
struct Walker {
    row: usize,
    way: usize,
    z: Vec<f64>,
    /// How far it has come, and the step that is tried next.
    at: f64,
    step: f64,
    /// The point that is written next, counted from the row.
    next: usize,
    error: f64,
    here: Here,
    ended: bool,
}

impl Walker {
    /// Writes where it is as its point `k`.
    fn write(&self, out: &mut Traversal<f64>, middle: usize, k: usize) {
        let (p, d) = (out.points.rows(), self.z.len());
        let (j, sign) = if self.way == 0 { (middle - k, -1.0) } else { (middle + k, 1.0) };
        let first = (self.row * p + j) * d;
        out.points.data_mut()[first..first + d].copy_from_slice(&self.here.x);
        let axes = &mut out.axes.data_mut()[first..first + d];
        axes.iter_mut().zip(&self.here.axis).for_each(|(a, v)| *a = sign * v);
        out.scales[(self.row, j)] = self.here.scale;
        out.error[(self.row, j)] = self.error;
    }
}

/// What a step leads to: the latents, what is there, the error, the least overlap.
struct Reached {
    z: Vec<f64>,
    here: Here,
    error: f64,
    overlap: f64,
}

struct Solver<'a> {
    flow: &'a Flow<f64>,
    walk: Walk,
    top: usize,
    seed: u64,
}

impl Solver<'_> {
    /// One step of each walker of `going`; `None` where the map has no value on the way.
    fn attempt(&self, walkers: &[Walker], going: &[usize]) -> Result<Vec<Option<Reached>>, Error> {
        let d = self.flow.dim();
        let mut stages: Vec<Vec<Here>> = going.iter().map(|&k| vec![walkers[k].here.clone()]).collect();
        let mut overlaps = vec![1.0_f64; going.len()];
        let mut ends: Vec<Vec<f64>> = going.iter().map(|&k| walkers[k].z.clone()).collect();
        let mut alive = vec![true; going.len()];
        let along = |stages: &[Here], weights: &[f64], i: usize| -> f64 {
            stages.iter().zip(weights).map(|(s, w)| w * s.latent[i]).sum()
        };
        for weights in STAGES {
            for (a, &k) in going.iter().enumerate() {
                let h = self.length(&walkers[k]);
                ends[a] = (0..d).map(|i| walkers[k].z[i] + h * along(&stages[a], weights, i)).collect();
            }
            let mut places: Vec<usize> = (0..going.len()).filter(|&a| alive[a]).collect();
            let found = loop {
                let z = places.iter().flat_map(|&a| ends[a].iter().copied()).collect();
                let z = Matrix::new(places.len(), d, z);
                let x = self.flow.generate(&z);
                let both = x
                    .and_then(|x| Ok((leading_covariance(self.flow, &x, self.top, RESIDUAL, self.seed)?, x)));
                match both {
                    Ok(found) => break found,
                    // Beyond the edge: that walker shortens its step, the others go on.
                    Err(Error::OutOfRange { row, .. } | Error::NotFinite { row, .. })
                        if row < places.len() =>
                    {
                        alive[places.remove(row)] = false;
                    }
                    Err(other) => return Err(other),
                }
            };
            let (local, x) = found;
            for (row, &a) in places.iter().enumerate() {
                let before = &walkers[going[a]].here.axis;
                let (axes, latent) = (local.axes.get(row), local.latent_axes.get(row));
                let (here, overlap) = follow(axes, latent, local.scales.row(row), before, x.row(row));
                overlaps[a] = overlaps[a].min(overlap);
                stages[a].push(here);
            }
        }
        let end = |a: usize| {
            if !alive[a] {
                return None;
            }
            let h = self.length(&walkers[going[a]]);
            let square: f64 = (0..d).map(|i| (h * along(&stages[a], &DIFFERENCE, i)).powi(2)).sum();
            let here = stages[a].last()?.clone();
            Some(Reached { z: ends[a].clone(), here, error: square.sqrt(), overlap: overlaps[a] })
        };
        Ok((0..going.len()).map(end).collect())
    }

    /// The position of a walker's next point.
    fn target(&self, w: &Walker) -> f64 {
        self.walk.reach * w.next as f64 / self.walk.points.max(1) as f64
    }

    fn length(&self, w: &Walker) -> f64 {
        w.step.min(self.target(w) - w.at)
    }

    /// Takes the step or shortens it; whether the walker has come to its next point.
    fn advance(&self, w: &mut Walker, step: Option<Reached>) -> bool {
        let (target, length) = (self.target(w), self.length(w));
        let allowed = self.walk.tolerance * length;
        let factor = |error: f64| if error > 0.0 { 0.9 * (allowed / error).cbrt() } else { 4.0 };
        let taken = match step {
            Some(step) if step.overlap >= FOLLOWED && (step.error <= allowed || length <= LEAST) => step,
            Some(step) if step.overlap >= FOLLOWED => {
                w.step = (factor(step.error).clamp(0.1, 0.9) * length).max(LEAST);
                return false;
            }
            _ => {
                w.ended = length <= LEAST;
                w.step = (0.25 * length).max(LEAST);
                return false;
            }
        };
        // A step that was cut at a point says nothing against longer ones.
        w.step =
            (factor(taken.error).clamp(0.2, 4.0) * length).max(w.step.min(LARGEST)).clamp(LEAST, LARGEST);
        (w.z, w.here) = (taken.z, taken.here);
        w.error += taken.error;
        w.at += length;
        let arrived = target - w.at <= 1e-12 * target;
        if arrived {
            w.at = target;
        }
        arrived
    }
}

/// The axis that continues `before`, within its cluster of equal scales by projection, and its overlap.
fn follow(axes: &[f64], latent: &[f64], scales: &[f64], before: &[f64], x: &[f64]) -> (Here, f64) {
    let (d, k) = (before.len(), scales.len());
    let cosine: Vec<f64> = (0..k).map(|c| (0..d).map(|i| axes[i * k + c] * before[i]).sum()).collect();
    let best = (0..k).max_by(|&a, &b| cosine[a].abs().total_cmp(&cosine[b].abs())).unwrap_or(0);
    let near = |c: &usize| (scales[*c] - scales[best]).abs() <= CLUSTER * scales[best];
    let cluster: Vec<usize> = (0..k).filter(near).collect();
    let norm = cluster.iter().map(|&c| cosine[c] * cosine[c]).sum::<f64>().sqrt();
    let turned = |of: &[f64]| {
        (0..d).map(|i| cluster.iter().map(|&c| cosine[c] / norm * of[i * k + c]).sum()).collect::<Vec<f64>>()
    };
    let here = Here { x: x.to_vec(), axis: turned(axes), latent: turned(latent), scale: scales[best] };
    (here, norm.min(1.0))
}
