//! L7: weight decay over a stack of linear layers.

use super::{fit, worst};
use crate::flow::bijections::{Affine, Form};
use crate::flow::{Error, Flow, Layer};
use crate::random::generator;
use crate::theory::tolerance::{gamma, larger};
use crate::theory::{Axis, Chart, Claim, Context, Outcome, Shape};
use eigenflow_autodiff::Program;
use eigenflow_linalg::Matrix;
use eigenflow_linalg::eigen::{Eigh, eigh};
use eigenflow_linalg::qr::qr;
use eigenflow_linalg::svd::singular_values;
use rand::RngExt;
use rand_distr::StandardNormal;

/// Under `α Σ_l ‖A_l‖²` over `L` linear layers every direction of variance `λ` has `λs² + 2α s^{2/L} = 1`.
#[derive(Clone, Copy, Debug)]
pub struct L7;

/// Numbers of layers.
const LAYERS: [usize; 4] = [1, 2, 3, 4];
/// Most principal axes of the data that are kept: layers of that many columns are trained.
const AXES: usize = 4;
/// Weights.
const ALPHAS: [f64; 2] = [1e-2, 1e-1];
/// Weight of the optimum that gives the spectrum of the data; any would do.
const SPECTRUM: f64 = 1e-1;
/// Newton steps, and the share of the largest curvature below which a direction is a rotation between layers.
const STEPS: usize = 200;
const FLAT: f64 = 1e-9;

/// A stack of linear layers trained by Newton's method on the tape's derivatives.
#[derive(Clone, Debug)]
pub struct Stack {
    /// Number of layers.
    pub layers: usize,
    /// Weight of the decay.
    pub alpha: f64,
    /// Variances of the data, descending.
    pub values: Vec<f64>,
    /// Singular values of the product, ascending.
    pub singular: Vec<f64>,
    /// Norm of the gradient in all weights.
    pub gradient: f64,
    /// Least curvature off the rotations, and the most negative one.
    pub curvature: [f64; 2],
    /// How far a singular value may be from that of the exact optimum.
    pub tolerance: f64,
}

/// Loss, gradient and Hessian-vector products in all weights.
struct Objective {
    flow: Flow<f64>,
    rows: Matrix<f64>,
    gradient: Program<f64>,
    product: Program<f64>,
}

impl Objective {
    /// `½ E|A_L…A_1 h|² - Σ log|det A_l| + α Σ ‖A_l‖²` up to a constant, by the flow's own log-density.
    fn new(flow: Flow<f64>, rows: Matrix<f64>, alpha: f64) -> Result<Self, Error> {
        let (n, d) = rows.shape();
        let record = |products: bool| {
            Program::try_record(|r| {
                let x = r.batch(d);
                let params = flow.declare(r);
                let weights: Vec<_> = params.iter().copied().step_by(2).collect();
                let log_p = flow.record_log_density(&params, x, 0..flow.layers().len());
                let decay = weights.iter().map(|w| w.square().sum_all()).reduce(|a, b| a + b);
                let mut loss = log_p.sum_rows() * -(n as f64).recip();
                if let Some(decay) = decay {
                    loss = loss + decay * alpha;
                }
                let gradient = r.gradient(loss, &weights)?;
                if !products {
                    return Ok::<_, Error>(std::iter::once(loss).chain(gradient).collect());
                }
                let moves: Vec<_> = weights.iter().map(|w| (*w, r.shared(d, d))).collect();
                Ok(r.jvp(&gradient, &moves)?)
            })
        };
        let (gradient, product) = (record(false)?, record(true)?);
        Ok(Self { flow, rows, gradient, product })
    }

    fn weights(&self) -> Vec<f64> {
        self.flow.parameters().iter().step_by(2).flat_map(|p| p.data.clone()).collect()
    }

    fn moved(&self, step: &[f64], by: f64) -> Vec<f64> {
        self.weights().iter().zip(step).map(|(w, s)| w + by * s).collect()
    }

    fn set(&mut self, weights: &[f64]) {
        let size = self.rows.cols().pow(2);
        for (p, w) in self.flow.parameters_mut().iter_mut().step_by(2).zip(weights.chunks(size)) {
            p.data.copy_from_slice(w);
        }
    }

    fn gradient(&self) -> Result<(f64, Vec<f64>), Error> {
        let out = self.gradient.run(self.rows.rows(), &[self.rows.data()], &self.flow.slices())?;
        Ok((out[0][0], out[1..].concat()))
    }

    fn hessian(&self) -> Result<Eigh<f64>, Error> {
        let (size, total) = (self.rows.cols().pow(2), self.weights().len());
        let mut hessian = Matrix::zeros(total, total);
        for k in 0..total {
            let mut direction = vec![0.0; total];
            direction[k] = 1.0;
            let mut shared = self.flow.slices();
            shared.extend(direction.chunks(size));
            let out = self.product.run(self.rows.rows(), &[self.rows.data()], &shared)?;
            hessian.row_mut(k).copy_from_slice(&out.concat());
        }
        Ok(eigh(&Matrix::from_fn(total, total, |i, j| 0.5 * (hessian[(i, j)] + hessian[(j, i)])))?)
    }
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

impl Stack {
    /// Trains `layers` linear layers on data of the given variances (descending, at most a few) to a stationary point.
    ///
    /// Only second moments enter, so as many rows as columns stand for the data: `√(kλ_i) q_i` in a random frame. Newton's method
    /// with the magnitudes of the eigenvalues of the Hessian, which descends at saddles, halving steps that do not help.
    ///
    /// # Errors
    /// Those of the tape.
    pub fn train(values: &[f64], layers: usize, alpha: f64, seed: u64) -> Result<Self, Error> {
        let k = values.len();
        let mut random = generator(seed, "depth", layers as u64);
        let mut normal = || Matrix::from_fn(k, k, |_, _| random.sample::<f64, _>(StandardNormal));
        let frame = qr(&normal())?.q;
        let rows = Matrix::from_fn(k, k, |i, j| (k as f64 * values[i]).sqrt() * frame[(j, i)]);
        let all: Vec<Layer> = (0..layers).map(|_| Affine::new(k, Form::Full).into()).collect();
        let mut flow = Flow::new(all, 0, seed)?;
        for p in flow.parameters_mut().iter_mut().step_by(2) {
            let start = normal();
            p.data =
                Matrix::from_fn(k, k, |i, j| 0.1 * start[(i, j)] + f64::from(u8::from(i == j))).into_data();
        }
        let mut objective = Objective::new(flow, rows, alpha)?;
        let (mut loss, mut gradient) = objective.gradient()?;
        let mut curvature = objective.hessian()?;
        for _ in 0..STEPS {
            let e = &curvature;
            let largest = e.values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
            let mut step = vec![0.0; gradient.len()];
            for (c, value) in e.values.iter().enumerate().filter(|(_, v)| v.abs() > FLAT * largest) {
                let axis = e.vectors.col(c);
                let along: f64 = axis.iter().zip(&gradient).map(|(a, g)| a * g).sum();
                step.iter_mut().zip(&axis).for_each(|(s, a)| *s -= along / value.abs() * a);
            }
            let (from, mut taken) = (objective.weights(), false);
            for halving in 0..30 {
                objective.set(&from);
                let there = objective.moved(&step, (-f64::from(halving)).exp2());
                objective.set(&there);
                let (next, slope) = objective.gradient()?;
                // Near the optimum the loss is flat to rounding and the gradient decides.
                let flat = (next - loss).abs() <= 1e-12 * (1.0 + loss.abs());
                let better = if flat { norm(&slope) < 0.5 * norm(&gradient) } else { next < loss };
                if better {
                    (loss, gradient, taken) = (next, slope, true);
                    break;
                }
            }
            if !taken {
                objective.set(&from);
                break;
            }
            curvature = objective.hessian()?;
        }
        Self::read(&objective, values, alpha, &gradient, &curvature)
    }

    /// Singular values of the product, and how far they may be from the optimum's: the gradient over the least curvature off the
    /// rotations is the distance of the weights, and the product moves by at most `√L a^{L-1}` times that.
    fn read(
        objective: &Objective,
        values: &[f64],
        alpha: f64,
        gradient: &[f64],
        curvature: &Eigh<f64>,
    ) -> Result<Self, Error> {
        let (k, layers) = (values.len(), objective.flow.layers().len());
        let (mut product, mut largest, mut rounding) = (Matrix::identity(k), 0.0_f64, 0.0);
        for p in objective.flow.parameters().iter().step_by(2) {
            let a = Matrix::new(k, k, p.data.clone());
            let s = singular_values(&a)?;
            largest = largest.max(s[0]);
            // A⁻ᵀ with its condition, the decay, and the rows' part, which is of the size of A⁻ᵀ at the optimum.
            rounding += gamma(16 * k * layers) * (s[0] / (s[k - 1] * s[k - 1]) + 2.0 * alpha * s[0]);
            product = a.mul(&product);
        }
        let mut singular = singular_values(&product)?;
        singular.reverse();
        // L - 1 rotations between layers, and that of the latents.
        let flat = layers * k * (k - 1) / 2;
        let least = curvature.values[flat];
        let far = (norm(gradient) + rounding) / least;
        let (l, a) = (layers as f64, largest);
        let tolerance = 2.0 * l.sqrt() * a.powf(l - 1.0) * far + gamma(8 * k * layers) * a.powf(l);
        let curvature = [least, curvature.values[0]];
        let values = values.to_vec();
        Ok(Self { layers, alpha, values, singular, gradient: norm(gradient), curvature, tolerance })
    }
}

impl L7 {
    /// The root of `λs² + 2α s^{2/L} = 1`, by bisection of `log s`; the left side grows with `s`.
    ///
    /// ```
    /// use eigenflow::theory::linear::L7;
    /// // One layer: (λ + 2α)^{-1/2}. A null direction: (2α)^{-L/2}.
    /// assert!((L7::root(2.0, 1, 1.0) - 0.5).abs() < 1e-15);
    /// assert!((L7::root(0.0, 4, 0.25) - 4.0).abs() < 1e-14);
    /// ```
    pub fn root(lambda: f64, layers: usize, alpha: f64) -> f64 {
        let left = |log: f64| lambda * (2.0 * log).exp() + 2.0 * alpha * (2.0 * log / layers as f64).exp();
        let (mut low, mut high) = (-400.0, 300.0);
        for _ in 0..100 {
            let middle: f64 = 0.5 * (low + high);
            if left(middle) < 1.0 { low = middle } else { high = middle }
        }
        (0.5 * (low + high)).exp()
    }

    /// The verdict on a trained stack.
    pub fn judge(stack: &Stack) -> Outcome {
        let predicted: Vec<f64> =
            stack.values.iter().map(|l| Self::root(*l, stack.layers, stack.alpha)).collect();
        let off = stack.singular.iter().zip(&predicted).map(|(s, p)| (s - p).abs());
        let [least, lowest] = stack.curvature;
        if !(least > 0.0 && -lowest < FLAT.sqrt() * least) {
            return Outcome::undecided("L7", format!("not stationary: gradient {:.1e}", stack.gradient));
        }
        let error = off.fold(0.0, larger);
        let smallest = predicted.iter().copied().fold(f64::INFINITY, f64::min);
        Outcome::decide("L7", error, stack.tolerance)
            .resolving(stack.tolerance, smallest)
            .predicted(format!("λs² + 2α s^{{2/{}}} = 1 at α = {:.0e}", stack.layers, stack.alpha))
            .measured(format!("{} singular values off by {error:.1e}", predicted.len()))
            .tolerance(format!("{:.1e}: gradient over curvature, rounding", stack.tolerance))
            .figure("alpha", stack.alpha)
            .figure("layers", stack.layers as f64)
            .figure("gradient", stack.gradient)
            .figure("curvature", least)
    }
}

/// Measured singular values against the law, at one weight.
fn chart(stacks: &[Stack], alpha: f64) -> Chart {
    let mut chart = Chart::new(
        "Weight decay over L linear layers",
        Axis::log("variance λ of the data"),
        Axis::log("singular value s of the product"),
    )
    .described(format!(
        "Singular values of stacks of 1 to {} linear layers trained under weight decay α = {alpha:.0e}, against the roots of \
         λs² + 2α s^(2/L) = 1. More layers shrink less where λ is small.",
        LAYERS[LAYERS.len() - 1]
    ));
    for stack in stacks.iter().filter(|s| s.alpha.total_cmp(&alpha).is_eq()) {
        let (l, top) = (stack.layers, stack.values[0]);
        let grid: Vec<f64> = (0..=40).map(|k| top * 10_f64.powf(-f64::from(k) / 10.0)).collect();
        let law = grid.iter().map(|v| L7::root(*v, l, alpha)).collect();
        chart = chart.mark(&format!("L = {l}"), Shape::Dashed, grid, law).mark(
            &format!("L = {l}"),
            Shape::Points,
            stack.values.clone(),
            stack.singular.clone(),
        );
    }
    chart
}

impl Claim for L7 {
    fn id(&self) -> &'static str {
        "L7"
    }

    fn statement(&self) -> &'static str {
        "weight decay over L linear layers: λs² + 2α s^{2/L} = 1 in every direction"
    }

    fn formula(&self) -> &'static str {
        r"\lambda s^2 + 2\alpha\, s^{2/L} = 1"
    }

    fn remedy(&self) -> &'static str {
        "The optimum of the stack is certified by its own gradient, so a failure is in the weight penalty or in \
         the Hessian behind the last Newton steps."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        let optimum = match fit("L7", cx, SPECTRUM) {
            Ok(optimum) => optimum,
            Err(undecided) => return *undecided,
        };
        let all = &optimum.spectrum.values;
        let (d, k) = (all.len(), all.len().min(AXES));
        // The first and the last, and some between.
        let values: Vec<f64> = (0..k).map(|i| all[if k > 1 { i * (d - 1) / (k - 1) } else { 0 }]).collect();
        let alphas = if cx.quick { &ALPHAS[..1] } else { &ALPHAS };
        let cases = alphas.iter().flat_map(|&alpha| LAYERS.map(|layers| (layers, alpha)));
        let stacks: Result<Vec<Stack>, Error> =
            cases.map(|(layers, alpha)| Stack::train(&values, layers, alpha, cx.seed)).collect();
        match stacks {
            Err(e) => Outcome::undecided("L7", format!("out of range: {e}")),
            Ok(stacks) => {
                worst("L7", stacks.iter().map(Self::judge).collect()).chart(chart(&stacks, alphas[0]))
            }
        }
    }
}
