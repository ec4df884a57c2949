//! Walks along a component.

use super::path::{FOLLOWED, frame};
use crate::flow::{Error, Flow};
use crate::jacobian::local_covariance;
use eigenflow_linalg::{Batch, Matrix, Real};

/// First, largest and least step, in local standard deviations.
const FIRST: f64 = 0.1;
const LARGEST: f64 = 0.5;
const LEAST: f64 = 1.0 / 4096.0;

/// Walks from rows along one of their components, in both directions.
#[derive(Clone, Debug)]
pub struct Traversal<T> {
    /// Where along the walk, in local standard deviations; `P` numbers, 0 in the middle.
    pub positions: Vec<T>,
    /// Points, `[N, P, D]`; NaN where a walk did not get so far.
    pub points: Batch<T>,
    /// The axis at each point, `[N, P, D]`.
    pub axes: Batch<T>,
    /// Local standard deviation along it, `[N, P]`.
    pub scales: Matrix<T>,
    /// Estimated error of each point, in local standard deviations, `[N, P]`.
    pub error: Matrix<T>,
    /// How far each row got backwards and forwards, in local standard deviations, `[N, 2]`: both are the reach asked for unless the
    /// walk came to the edge of the support or lost its axis.
    pub reached: Matrix<T>,
}

/// Options of a walk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Walk {
    /// Which component, counted from 0, largest local standard deviation first.
    pub component: usize,
    /// How far in each direction, in local standard deviations.
    pub reach: f64,
    /// Points in each direction, beside the row itself.
    pub points: usize,
    /// Allowed error per local standard deviation of the way.
    pub tolerance: f64,
}

/// Walks from each row of `x` along component `k`: solves `dx/dτ = v(x)/s(x)`, `x(0) = x`, where `v` is the local axis that
/// continues the row's `k`-th one and `1/s` its local standard deviation. `τ` counts local standard deviations: in the latents the
/// walk has speed one, `dz/dτ = J v / s = u`.
///
/// Dormand and Prince's pair of orders 5 and 4; the difference of the two, in local standard deviations `‖J δ‖`, is kept below
/// `tolerance` times the step. The axis is continued by the largest overlap with that of the step's beginning, within a cluster of equal
/// scales by projection; a step over which it turns by more than 37° is made shorter. A walk ends early where the map ends, or
/// where an axis turns faster than steps of 1/4096 can follow. On a linear flow `x(τ) = x + τ σ_k v_k`. Cost: 6 pushes of `D`
/// tangents and SVDs a step.
///
/// # Errors
/// As [`Flow::normalize`], for the rows themselves; a singular Jacobian.
///
/// ```
/// use eigenflow::components::{Walk, traverse};
/// use eigenflow::flow::{Flow, bijections::SCurveTube};
/// use eigenflow_linalg::Matrix;
/// let flow = Flow::<f64>::new(vec![SCurveTube::new(1.4, 0.1).into()], 0, 0).unwrap();
/// let x = flow.generate(&Matrix::new(1, 3, vec![1.0, 0.5, 1.0])).unwrap();
/// let walk = Walk { component: 0, reach: 0.5, points: 1, tolerance: 1e-9 };
/// let t = traverse(&flow, &x, &walk).unwrap();
/// // Along the arc, and nowhere else: the first latent changes by half a standard deviation.
/// let end = flow.normalize(&Matrix::new(1, 3, t.points.get(0)[6..].to_vec())).unwrap().0;
/// assert!(((end[(0, 0)] - 1.0).abs() - 0.5).abs() < 1e-7);
/// assert!((end[(0, 1)] - 0.5).abs() < 1e-7 && (end[(0, 2)] - 1.0).abs() < 1e-7);
/// ```
pub fn traverse<T: Real>(flow: &Flow<T>, x: &Matrix<T>, walk: &Walk) -> Result<Traversal<T>, Error> {
    let (n, d, m) = (x.rows(), flow.dim(), walk.points);
    let p = 2 * m + 1;
    let local = local_covariance(flow, x, d)?;
    let at = |j: usize| walk.reach * (j as f64 - m as f64) / m.max(1) as f64;
    let mut out = Traversal {
        positions: (0..p).map(|j| T::of(at(j))).collect(),
        points: Batch::new(n, p, d, vec![T::NAN; n * p * d]),
        axes: Batch::new(n, p, d, vec![T::NAN; n * p * d]),
        scales: Matrix::new(n, p, vec![T::NAN; n * p]),
        error: Matrix::new(n, p, vec![T::NAN; n * p]),
        reached: Matrix::zeros(n, 2),
    };
    let mut walkers = Vec::new();
    for row in 0..n {
        let own = frame(&local, row);
        if own.scales.iter().any(|s| !s.is_finite()) {
            let op = "traverse: a local scale";
            return Err(Error::Linalg(eigenflow_linalg::Error::NotFinite { op, index: row, row: 0, col: 0 }));
        }
        for (way, sign) in [(0, -1.0), (1, 1.0)] {
            let axis: Vec<f64> = (0..d).map(|i| sign * own.axes[(i, walk.component)]).collect();
            let field = Field {
                velocity: axis.iter().map(|v| v * own.scales[walk.component]).collect(),
                scale: own.scales[walk.component],
                metric: metric(&own.axes, &own.scales),
                axis,
            };
            walkers.push(Walker {
                row,
                way,
                x: x.row(row)[..d].iter().map(|v| v.f64()).collect(),
                at: 0.0,
                step: FIRST,
                next: 1,
                error: 0.0,
                field,
                ended: m == 0,
            });
        }
    }
    for w in &walkers {
        w.write(&mut out, m, 0);
    }
    let solver = Solver { flow, contexts: flow.contexts(x), walk: *walk, gap: T::EPS.f64().sqrt() };
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
            out.reached[(w.row, w.way)] = T::of(w.at);
        }
    }
}

/// `S Vᵀ`, whose product with a displacement is its length in local standard deviations.
fn metric(axes: &Matrix<f64>, scales: &[f64]) -> Matrix<f64> {
    let d = scales.len();
    Matrix::from_fn(d, d, |k, i| axes[(i, k)] / scales[k])
}

/// What a walk follows at a point.
#[derive(Clone, Debug)]
struct Field {
    /// `v / s`.
    velocity: Vec<f64>,
    axis: Vec<f64>,
    scale: f64,
    metric: Matrix<f64>,
}

/// One walk in one direction.
struct Walker {
    row: usize,
    way: usize,
    x: Vec<f64>,
    /// How far it has come, and the step that is tried next.
    at: f64,
    step: f64,
    /// The point that is written next, counted from the row.
    next: usize,
    error: f64,
    field: Field,
    ended: bool,
}

impl Walker {
    /// Writes where it is as its point `k`.
    fn write<T: Real>(&self, out: &mut Traversal<T>, middle: usize, k: usize) {
        let (p, d) = (out.points.rows(), self.x.len());
        let j = if self.way == 0 { middle - k } else { middle + k };
        let first = (self.row * p + j) * d;
        let sign = if self.way == 0 { -1.0 } else { 1.0 };
        for i in 0..d {
            out.points.data_mut()[first + i] = T::of(self.x[i]);
            out.axes.data_mut()[first + i] = T::of(sign * self.field.axis[i]);
        }
        out.scales[(self.row, j)] = T::of(self.field.scale);
        out.error[(self.row, j)] = T::of(self.error);
    }
}

/// What a step would lead to; `None` where the map has no value on the way.
type Step = Option<Reached>;

struct Reached {
    x: Vec<f64>,
    field: Field,
    error: f64,
    overlap: f64,
}

struct Solver<'a, T> {
    flow: &'a Flow<T>,
    /// Of the rows: it stays as it is along a walk.
    contexts: Matrix<T>,
    walk: Walk,
    gap: f64,
}

/// Dormand and Prince's coefficients of stages 2 to 7; the last row is the solution of order 5.
const STAGES: [&[f64]; 6] = [
    &[1.0 / 5.0],
    &[3.0 / 40.0, 9.0 / 40.0],
    &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
    &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
    &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
    &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
];
/// That solution minus the one of order 4.
const DIFFERENCE: [f64; 7] =
    [71.0 / 57600.0, 0.0, -71.0 / 16695.0, 71.0 / 1920.0, -17253.0 / 339_200.0, 22.0 / 525.0, -1.0 / 40.0];

impl<T: Real> Solver<'_, T> {
    /// One step of each walker of `going`.
    fn attempt(&self, walkers: &[Walker], going: &[usize]) -> Result<Vec<Step>, Error> {
        let d = self.flow.dim();
        let step = |k: usize| {
            let w = &walkers[k];
            w.step.min(self.target(w) - w.at)
        };
        let mut fields: Vec<Vec<Field>> = going.iter().map(|&k| vec![walkers[k].field.clone()]).collect();
        let mut overlaps = vec![1.0_f64; going.len()];
        let mut alive = vec![true; going.len()];
        let mut ends: Vec<Vec<f64>> = going.iter().map(|&k| walkers[k].x.clone()).collect();
        for stage in STAGES {
            let mut places: Vec<usize> = (0..going.len()).filter(|&a| alive[a]).collect();
            for &a in &places {
                let w = &walkers[going[a]];
                let h = step(going[a]);
                ends[a] = (0..d)
                    .map(|i| {
                        w.x[i] + h * stage.iter().zip(&fields[a]).map(|(c, f)| c * f.velocity[i]).sum::<f64>()
                    })
                    .collect();
            }
            let found = loop {
                let context = |a: usize| self.contexts.row(walkers[going[a]].row).iter().copied();
                let row = |a: usize| ends[a].iter().map(|v| T::of(*v)).chain(context(a));
                let rows: Vec<T> = places.iter().flat_map(|&a| row(a)).collect();
                match local_covariance(
                    self.flow,
                    &Matrix::new(places.len(), d + self.contexts.cols(), rows),
                    d,
                ) {
                    Ok(found) => break found,
                    // Beyond the edge: that walker shortens its step, the others go on.
                    Err(Error::OutOfRange { row, .. } | Error::NotFinite { row, .. }) => {
                        alive[places.remove(row)] = false;
                    }
                    Err(other) => return Err(other),
                }
            };
            for (at, &a) in places.iter().enumerate() {
                let own = frame(&found, at);
                match self.follow(&own.axes, &own.scales, &walkers[going[a]].field.axis) {
                    Some((field, overlap)) => {
                        fields[a].push(field);
                        overlaps[a] = overlaps[a].min(overlap);
                    }
                    None => alive[a] = false,
                }
            }
        }
        let end = |a: usize| {
            if !alive[a] {
                return None;
            }
            let w = &walkers[going[a]];
            let h = step(going[a]);
            let delta: Vec<f64> = (0..d)
                .map(|i| h * DIFFERENCE.iter().zip(&fields[a]).map(|(c, f)| c * f.velocity[i]).sum::<f64>())
                .collect();
            let length = w.field.metric.mul(&Matrix::new(d, 1, delta)).norm();
            let (x, field) = (ends[a].clone(), fields[a].pop()?);
            Some(Reached { x, field, error: length, overlap: overlaps[a] })
        };
        Ok((0..going.len()).map(end).collect())
    }

    /// The position of a walker's next point.
    fn target(&self, w: &Walker) -> f64 {
        self.walk.reach * w.next as f64 / self.walk.points.max(1) as f64
    }

    /// The axis that continues `before`, its cluster's projection of it; `None` where a scale is not finite.
    fn follow(&self, axes: &Matrix<f64>, scales: &[f64], before: &[f64]) -> Option<(Field, f64)> {
        let d = before.len();
        if scales.iter().any(|s| !s.is_finite()) {
            return None;
        }
        let cosine = |k: usize| (0..d).map(|i| axes[(i, k)] * before[i]).sum::<f64>();
        let best = (0..d).max_by(|&a, &b| cosine(a).abs().total_cmp(&cosine(b).abs()))?;
        let near = |k: &usize| (scales[*k] - scales[best]).abs() <= self.gap * scales[best];
        let cluster: Vec<usize> = (0..d).filter(near).collect();
        let mut axis = vec![0.0; d];
        for &k in &cluster {
            let c = cosine(k);
            (0..d).for_each(|i| axis[i] += c * axes[(i, k)]);
        }
        let norm = axis.iter().map(|v| v * v).sum::<f64>().sqrt();
        axis.iter_mut().for_each(|v| *v /= norm);
        let velocity = axis.iter().map(|v| v * scales[best]).collect();
        let field = Field { velocity, scale: scales[best], metric: metric(axes, scales), axis };
        Some((field, norm.min(1.0)))
    }

    /// Takes the step or shortens it; whether the walker has come to its next point.
    fn advance(&self, w: &mut Walker, step: Step) -> bool {
        let (target, length) = (self.target(w), w.step.min(self.target(w) - w.at));
        let Some(step) = step else {
            w.ended = length <= LEAST;
            w.step = 0.25 * length;
            return false;
        };
        let lost = !(step.overlap >= FOLLOWED);
        let allowed = self.walk.tolerance * length;
        if (lost || !(step.error <= allowed)) && length > LEAST {
            let shorter = if lost { 0.25 } else { (0.9 * (allowed / step.error).powf(0.25)).clamp(0.1, 0.9) };
            w.step = (shorter * length).max(LEAST);
            return false;
        }
        if lost {
            w.ended = true;
            return false;
        }
        let longer = if step.error > 0.0 { 0.9 * (allowed / step.error).powf(0.25) } else { 4.0 };
        // A step that was cut at a point says nothing against longer ones.
        w.step = (longer.clamp(0.2, 4.0) * length).max(w.step.min(LARGEST)).clamp(LEAST, LARGEST);
        w.x = step.x;
        w.field = step.field;
        w.error += step.error;
        w.at += length;
        let arrived = target - w.at <= 1e-12 * target;
        if arrived {
            w.at = target;
        }
        arrived
    }
}
