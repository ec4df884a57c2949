//! FLIPD: a dimension from the second derivatives of one model's log-density.

use super::effective::signs;
use crate::flow::{Error, Flow};
use eigenflow_autodiff::{Program, push_jacobian};
use eigenflow_linalg::Matrix;

/// How the trace of the Hessian of the log-density is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// From the whole Hessian, pushed as one block: cost a row as `D` gradients.
    Exact,
    /// `vᵀHv` along so many vectors of random signs a row (Hutchinson), whose mean is the trace.
    Estimated {
        /// Vectors a row, at least one.
        probes: usize,
    },
}

/// Most columns for which the trace is exact unless asked otherwise.
const EXACT_COLUMNS: usize = 128;
/// Vectors a row of the estimate.
const PROBES: usize = 4;
/// Numbers of a block of Hessians in flight.
const BLOCK: usize = 1 << 22;

impl Trace {
    /// Exact for up to 128 columns.
    pub fn of(dim: usize) -> Self {
        if dim <= EXACT_COLUMNS { Self::Exact } else { Self::Estimated { probes: PROBES } }
    }
}

/// Where a dimension is read off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Points {
    /// At the rows as they are: for data with much less noise than the scale.
    #[default]
    Data,
    /// At Tweedie's estimate `x + σ²∇ log p(x)` of what a row was before noise of that variance.
    Projected,
}

/// The log-density of rows with its derivatives.
#[derive(Clone, Debug)]
pub struct Derivatives {
    /// `log p`, nats.
    pub log_p: Vec<f64>,
    /// `∇ log p`, `[N, D]`.
    pub score: Matrix<f64>,
    /// `Δ log p`, or its estimate.
    pub laplacian: Vec<f64>,
}

/// Log-density, score and Laplacian of each row, from the tape.
///
/// At a kink of a piecewise smooth flow the derivative is one-sided, and what the kink itself would add to the Laplacian is
/// not seen.
///
/// # Errors
/// As [`Flow::log_density`].
pub fn derivatives(
    core: &Flow<f64>,
    rows: &Matrix<f64>,
    trace: Trace,
    seed: u64,
) -> Result<Derivatives, Error> {
    core.check_samples("data", rows)?;
    let (n, d) = rows.shape();
    let exact = trace == Trace::Exact;
    let all = 0..core.layers().len();
    let program = Program::try_record(|r| {
        let x = r.batch(d);
        let v = (!exact).then(|| r.batch(d));
        let params = core.declare(r);
        let log_p = core.record_log_density(&params, x, all.clone());
        let score = r.gradient(log_p, &[x])?[0];
        let second = match v {
            None => push_jacobian(r, score, x)?,
            Some(v) => (r.jvp(&[score], &[(x, v)])?[0] * v).sum_cols(),
        };
        Ok::<_, eigenflow_autodiff::Error>(vec![log_p, score, second])
    })?;
    let (mut log_p, mut score, mut laplacian) = (Vec::new(), Vec::new(), Vec::new());
    let chunk = if exact { (BLOCK / (d * d).max(1)).max(1) } else { n.max(1) };
    let passes = if let Trace::Estimated { probes } = trace { probes.max(1) } else { 1 };
    for from in (0..n).step_by(chunk) {
        let to = n.min(from + chunk);
        let x = &rows.data()[from * d..to * d];
        let mut sum = vec![0.0; to - from];
        for pass in 0..passes {
            let v = if exact { Vec::new() } else { signs(x.len(), seed, &format!("hessian-trace-{pass}")) };
            let inputs: Vec<&[f64]> = if exact { vec![x] } else { vec![x, &v] };
            let mut out = program.run(to - from, &inputs, &core.slices())?;
            let second = out.pop().unwrap_or_default();
            let size = if exact { d * d } else { 1 };
            for (sum, block) in sum.iter_mut().zip(second.chunks_exact(size)) {
                *sum += block.iter().step_by(if exact { d + 1 } else { 1 }).sum::<f64>() / passes as f64;
            }
            if pass + 1 == passes {
                score.extend(out.pop().unwrap_or_default());
                log_p.extend(out.pop().unwrap_or_default());
            }
        }
        laplacian.extend(sum);
    }
    let score = Matrix::new(n, d, score);
    core.check_result("normalize", rows, &score, &log_p)?;
    core.check_result("normalize", rows, &score, &laplacian)?;
    Ok(Derivatives { log_p, score, laplacian })
}

impl Derivatives {
    /// `Δ log p + ‖∇ log p‖² = Δp / p` of each row.
    pub fn curvature(&self) -> Vec<f64> {
        let square = |i: usize| self.score.row(i).iter().map(|v| v * v).sum::<f64>();
        self.laplacian.iter().enumerate().map(|(i, l)| l + square(i)).collect()
    }
}

/// Tweedie's estimate `x + σ²∇ log p(x)` of each row, `σ²` the variance of the noise that the model's density contains.
///
/// # Errors
/// As [`Flow::log_density`].
pub fn projected(core: &Flow<f64>, rows: &Matrix<f64>, variance: f64) -> Result<Matrix<f64>, Error> {
    core.check_samples("data", rows)?;
    let (n, d) = rows.shape();
    let all = 0..core.layers().len();
    let program = Program::try_record(|r| {
        let params = core.declare(r);
        let x = r.batch(d);
        let log_p = core.record_log_density(&params, x, all.clone());
        r.gradient(log_p, &[x])
    })?;
    let score = program.run(n, &[rows.data()], &core.slices())?.pop().unwrap_or_default();
    let score = Matrix::new(n, d, score);
    core.check_result("normalize", rows, &score, &[])?;
    Ok(Matrix::from_fn(n, d, |i, j| rows[(i, j)] + variance * score[(i, j)]))
}

/// `D + σ²(Δ log p + ‖∇ log p‖²)` at each row, or at its projection (Kamkari and others 2024).
///
/// The density `p` of data with noise `σ` obeys the heat equation, so that this is `D + d log p/d log σ`, the slope that LIDL
/// measures with several models. **Averaged over draws from `p` itself it is `D` for every density**: `E_p[Δp/p] = ∫Δp = 0`. So rows have to be
/// much less noisy than the scale, or be projected.
///
/// # Errors
/// As [`Flow::log_density`].
///
/// ```
/// use eigenflow::dimension::{Points, Trace, flipd};
/// use eigenflow::flow::{Flow, bijections::{Affine, Form}};
/// use eigenflow_linalg::Matrix;
/// let mut flow = Flow::<f64>::new(vec![Affine::new(2, Form::Full).into()], 0, 0).unwrap();
/// // N(0, diag(1, σ²)) with σ = 0.1: a line with noise. At x = (1, 0): Δ log p = -1 - 100, ∇ log p = (-1, 0).
/// flow.parameters_mut()[0].data.copy_from_slice(&[1.0, 0.0, 0.0, 10.0]);
/// let d = flipd(&flow, &Matrix::new(1, 2, vec![1.0, 0.0]), 0.01, Points::Data, Trace::Exact, 0).unwrap();
/// assert!((d[0] - 1.0).abs() < 1e-12); // 2 + 0.01 (-101 + 1)
/// ```
pub fn flipd(
    core: &Flow<f64>,
    rows: &Matrix<f64>,
    variance: f64,
    points: Points,
    trace: Trace,
    seed: u64,
) -> Result<Vec<f64>, Error> {
    let at = match points {
        Points::Data => rows.clone(),
        Points::Projected => projected(core, rows, variance)?,
    };
    let d = core.dim() as f64;
    let found = derivatives(core, &at, trace, seed)?;
    Ok(found.curvature().into_iter().map(|c| d + variance * c).collect())
}
