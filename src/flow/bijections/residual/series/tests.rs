//! The estimate and its gradient against the exact ones: means over draws, within their standard errors.

use super::log_det;
use crate::flow::bijections::Residual;
use crate::flow::bijections::residual::jacobian;
use crate::flow::conditioner::Activation;
use crate::random::generator;
use eigenflow_autodiff::{Program, Recorder, Var};
use rand::RngExt;

const ROWS: usize = 5;
const DRAWS: usize = 600;

struct Case {
    layer: Residual,
    params: Vec<Vec<f64>>,
    x: Vec<f64>,
}

impl Case {
    /// Weights near multiples of the identity, so that the network is about as steep as it may be: every term counts.
    fn new(dim: usize, activation: Activation) -> Self {
        let layer = Residual { dim, hidden: vec![dim + 3], activation };
        let mut random = generator(dim as u64, "series-test", 0);
        let mut params: Vec<Vec<f64>> =
            layer.network().declare(&mut random).into_iter().map(|d| d.initial).collect();
        for (k, width) in [(0, dim), (2, dim + 3)] {
            (0..dim).for_each(|j| params[k][j * width + j] += 2.0);
        }
        let x = (0..ROWS * dim).map(|_| 0.1 * (2.0 * random.random::<f64>() - 1.0)).collect();
        Self { layer, params, x }
    }

    /// Values and gradients in the row and all weights, of a function of the row, a draw's number and the contracted weights.
    fn run<F>(&self, draw: f64, record: F) -> Vec<f64>
    where
        F: for<'t> Fn(&'t Recorder<f64>, Var<'t, f64>, Var<'t, f64>, &[Var<'t, f64>]) -> Var<'t, f64>,
    {
        let widths = self.layer.network().widths();
        let program = Program::try_record(|r| {
            let x = r.batch(self.layer.dim);
            let of = |k: usize| {
                r.shared(if k.is_multiple_of(2) { widths[k / 2 + 1] } else { 1 }, widths[k / 2 + k % 2])
            };
            let params: Vec<_> = (0..self.params.len()).map(of).collect();
            let draw = r.shared(1, 1);
            let value = record(r, x, draw, &self.layer.contracted(&params));
            let wanted: Vec<_> = [x].into_iter().chain(params).collect();
            let mut out = vec![value];
            out.extend(r.gradient(value, &wanted)?);
            Ok::<_, eigenflow_autodiff::Error>(out)
        })
        .unwrap();
        let draw = [draw];
        let shared: Vec<&[f64]> = self.params.iter().map(Vec::as_slice).chain([&draw[..]]).collect();
        program.run(ROWS, &[&self.x], &shared).unwrap().concat()
    }

    fn exact(&self) -> Vec<f64> {
        self.run(0.0, |r, x, _, params| {
            let z = x + self.layer.network().record(r, params, x);
            jacobian(r, z, x).unwrap().row_log_abs_det()
        })
    }

    fn estimate(&self, draw: usize) -> Vec<f64> {
        self.run(draw as f64, |_, x, draw, params| log_det(&self.layer.network(), x, draw, params))
    }
}

/// Means over draws and their standard errors.
fn over_draws(all: &[Vec<f64>]) -> Vec<(f64, f64)> {
    let m = all.len() as f64;
    let of = |k: usize| {
        let mean = all.iter().map(|v| v[k]).sum::<f64>() / m;
        let square = all.iter().map(|v| (v[k] - mean).powi(2)).sum::<f64>() / (m - 1.0);
        (mean, (square / m).sqrt())
    };
    (0..all[0].len()).map(of).collect()
}

/// The largest distance in standard errors; what does not vary is equal to rounding.
fn worst(found: &[(f64, f64)], exact: &[f64]) -> f64 {
    let distance = |(&(mean, error), &exact): (&(f64, f64), &f64)| {
        (mean - exact).abs() / (error + 1e-11 * (1.0 + exact.abs()))
    };
    found.iter().zip(exact).map(distance).fold(0.0, f64::max)
}

#[test]
fn means_over_draws_are_the_determinant_and_its_gradient() {
    for (dim, activation) in
        [(1, Activation::Silu), (8, Activation::Tanh), (16, Activation::Silu), (32, Activation::Relu)]
    {
        let case = Case::new(dim, activation);
        let all: Vec<Vec<f64>> = (0..DRAWS).map(|draw| case.estimate(draw)).collect();
        let (found, exact) = (over_draws(&all), case.exact());
        // Five values; thousands of entries of the gradient, of which one in 3e6 is 5 standard errors off.
        let (values, gradients) =
            (worst(&found[..ROWS], &exact[..ROWS]), worst(&found[ROWS..], &exact[ROWS..]));
        assert!(values <= 4.0 && gradients <= 5.5, "D = {dim}: {values:.2}, {gradients:.2}");
        // The series matters: the trace alone, its first term, is no determinant within these errors.
        if dim > 1 {
            let trace = case.run(0.0, |r, x, _, params| {
                let g = case.layer.network().record(r, params, x);
                let one = |k: usize| if k / dim == k % dim { 1.0 } else { 0.0 };
                let identity = r.constant(dim, dim, &(0..dim * dim).map(one).collect::<Vec<f64>>());
                let rows: Vec<_> =
                    (0..dim).map(|k| r.full(x.shape(), 0.0) + identity.gather_rows(&[k])).collect();
                let traces = rows.iter().map(|&e| (r.jvp(&[g], &[(x, e)]).unwrap()[0] * e).sum_cols());
                traces.reduce(|a, b| a + b).unwrap()
            });
            let off = worst(&found[..ROWS], &trace[..ROWS]);
            assert!(off > 8.0, "D = {dim}: {off:.2}");
        }
    }
}

/// A row's estimate is its own, and another draw is another estimate.
#[test]
fn an_estimate_is_a_function_of_the_row_and_the_draw() {
    let mut case = Case::new(8, Activation::Silu);
    let (first, other) = (case.estimate(3), case.estimate(4));
    assert_ne!(first[..ROWS], other[..ROWS]);
    case.x.rotate_left(8);
    let turned = case.estimate(3);
    assert_eq!(first[1..ROWS], turned[..ROWS - 1]);
    assert_eq!(first[..1], turned[ROWS - 1..ROWS]);
}

/// A gradient of the gradient would not be what it says.
#[test]
fn there_is_no_second_derivative() {
    let case = Case::new(3, Activation::Tanh);
    let widths = case.layer.network().widths();
    let second = Program::<f64>::try_record(|r| {
        let x = r.batch(3);
        let params = [r.shared(widths[1], 3), r.shared(1, widths[1]), r.shared(3, widths[1]), r.shared(1, 3)];
        let value = log_det(&case.layer.network(), x, r.shared(1, 1), &params);
        let first = r.gradient(value, &[x])?[0];
        r.gradient(first.square().sum_cols(), &[x])
    });
    assert!(second.unwrap_err().to_string().contains("64 columns"));
}
