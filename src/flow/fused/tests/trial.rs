//! A coupling and what goes through it, fused and expanded.

use crate::flow::conditioner::{Activation, Mlp};
use crate::flow::fused::{Spec, coupling};
use crate::random::generator;
use eigenflow_autodiff::{Error, Program, Recorder, Shape, Var};
use eigenflow_linalg::Real;
use rand::RngExt;

/// Seeds of pushed blocks: more than any tangent below reaches.
pub const SEEDS: usize = 64;

/// A coupling and what goes through it.
#[derive(Clone, Debug)]
pub struct Trial {
    pub spec: Spec,
    pub rows: usize,
    /// Tangents of the blocks that move `a` and `b`.
    pub tangents: [usize; 2],
    pub seed: u64,
}

/// The inputs of a program: data, directions, cotangents and tangents.
pub struct Inputs<'t, T> {
    pub a: Var<'t, T>,
    pub b: Var<'t, T>,
    pub params: Vec<Var<'t, T>>,
    /// Cotangents of `y` and `log|det|`.
    pub cotangents: [Var<'t, T>; 2],
    /// Directions, or rates, of `a` and `b`.
    pub rates: [Var<'t, T>; 2],
    pub blocks: [Var<'t, T>; 2],
}

impl<'t, T: Real> Inputs<'t, T> {
    /// `a`, `b` and all parameters.
    pub fn all(&self) -> Vec<Var<'t, T>> {
        [self.a, self.b].into_iter().chain(self.params.iter().copied()).collect()
    }
}

pub type Recorded<'t, T> = Result<Vec<Var<'t, T>>, Error>;

impl Trial {
    pub fn weights(&self) -> Vec<Shape> {
        let mut shapes = Vec::new();
        let mut inputs = self.spec.passed();
        for &outputs in self.spec.network.hidden.iter().chain([&(2 * self.spec.moved())]) {
            shapes.extend([Shape::shared(outputs, inputs), Shape::shared(1, outputs)]);
            inputs = outputs;
        }
        shapes
    }

    pub fn batches(&self) -> Vec<Shape> {
        let (p, m) = (self.spec.passed(), self.spec.moved());
        let [of_a, of_b] = self.tangents;
        let ordinary = [p, m, m, 1, p, m].map(Shape::batch);
        ordinary.into_iter().chain([Shape::block(of_a, p), Shape::block(of_b, m)]).collect()
    }

    /// Data of batch inputs and of weights. With ReLU all numbers are multiples of 1/4 and the values of
    /// hidden layers exact, in `f32` too, so that both routes are on the same side of every kink; many
    /// are exactly at one.
    pub fn data<T: Real>(&self) -> (Vec<Vec<T>>, Vec<Vec<T>>) {
        let mut random = generator(self.seed, "fused", 0);
        let exact = self.spec.network.activation == Activation::Relu;
        let mut uniform = |size: f64| {
            let x = 2.0 * random.random::<f64>() - 1.0;
            T::of(if exact { (x * 4.0).round() / 4.0 * size.log2().round().exp2() } else { x * size })
        };
        let batches = self.batches();
        let batch = batches.iter().map(|s| (0..s.len(self.rows)).map(|_| uniform(2.0)).collect()).collect();
        let last = self.weights().len() - 2;
        let weights = self.weights();
        let shared = weights.iter().enumerate().map(|(k, s)| {
            let size = match (exact, k >= last) {
                (false, _) => 1.0 / (s.cols() as f64).sqrt(),
                (true, false) => 1.0,
                (true, true) => 1.0 / 16.0,
            };
            (0..s.unit()).map(|_| uniform(size)).collect()
        });
        (batch, shared.collect())
    }

    pub fn program<T: Real, F>(&self, fused: bool, record: F) -> Program<T>
    where
        F: for<'t> Fn(&'t Recorder<T>, &Inputs<'t, T>, [Var<'t, T>; 2]) -> Recorded<'t, T>,
    {
        let program = Program::try_record(|r| {
            let x: Vec<Var<'_, T>> = self.batches().iter().map(|&s| r.input(s)).collect();
            let inputs = Inputs {
                a: x[0],
                b: x[1],
                params: self.weights().iter().map(|&s| r.input(s)).collect(),
                cotangents: [x[2], x[3]],
                rates: [x[4], x[5]],
                blocks: [x[6], x[7]],
            };
            let out = self.apply(fused, &inputs);
            record(r, &inputs, out)
        });
        program.unwrap()
    }

    pub fn apply<'t, T: Real>(&self, fused: bool, x: &Inputs<'t, T>) -> [Var<'t, T>; 2] {
        if fused {
            return coupling(self.spec.clone(), x.a, x.b, &x.params);
        }
        let [y, log_det, ..] = self.spec.expand(x.a, x.b, &x.params);
        [y, log_det]
    }

    /// What two routes to a derivative of order `order` may differ by, in the 2-norm of a whole result.
    ///
    /// To first order in eps: a path from an input to a result passes every layer `order + 1` times, in
    /// either direction, and each pass rounds as often as its sum has terms and some 16 times more in its
    /// elementwise part; sums over rows and seeds add their number. A rounding error at one place is
    /// `eps ‖|W|‖ ‖v‖ <= eps ‖W‖_F ‖v‖` and is carried on by factors `‖W_k‖_F`, by slopes (and theirs)
    /// of at most 2 and by `e^l <= e^c` and the values of the inputs. So the bound is
    /// `2 eps · roundings · (∏ max(1, ‖W_k‖_F) e^c)^(order + 1) · ‖inputs‖`, 2 for two routes.
    pub fn tolerance<T: Real>(&self, order: i32, batch: &[Vec<T>], shared: &[Vec<T>]) -> f64 {
        let norm = |x: &[T]| x.iter().map(|x| x.f64().powi(2)).sum::<f64>().sqrt();
        let passes = f64::from(order + 1);
        let layers: usize = shared
            .iter()
            .step_by(2)
            .zip(shared.iter().skip(1).step_by(2))
            .map(|(w, b)| w.len() / b.len() + 16)
            .sum();
        let roundings = passes * layers as f64 + (self.rows + SEEDS) as f64;
        let gain: f64 = shared.iter().step_by(2).map(|w| norm(w).max(1.0)).product();
        let inputs: f64 = batch.iter().map(|x| norm(x)).sum();
        2.0 * T::EPS.f64() * roundings * (gain * self.spec.bound.exp()).powf(passes) * inputs
    }

    /// Fused against expanded.
    pub fn agrees<T: Real, F>(&self, what: &str, order: i32, record: F)
    where
        F: for<'t> Fn(&'t Recorder<T>, &Inputs<'t, T>, [Var<'t, T>; 2]) -> Recorded<'t, T>,
    {
        let (batch, shared) = self.data::<T>();
        let views = |x: &[Vec<T>]| -> Vec<Vec<T>> { x.to_vec() };
        let (b, s) = (views(&batch), views(&shared));
        let batch_views: Vec<&[T]> = b.iter().map(Vec::as_slice).collect();
        let shared_views: Vec<&[T]> = s.iter().map(Vec::as_slice).collect();
        let run = |fused| self.program(fused, &record).run(self.rows, &batch_views, &shared_views).unwrap();
        let (fused, expanded) = (run(true), run(false));
        let tolerance = self.tolerance(order, &batch, &shared);
        assert_eq!(fused.len(), expanded.len());
        for (k, (x, y)) in fused.iter().zip(&expanded).enumerate() {
            assert_eq!(x.len(), y.len(), "{what}, output {k}");
            let error = x.iter().zip(y).map(|(x, y)| (x.f64() - y.f64()).powi(2)).sum::<f64>().sqrt();
            let size = y.iter().map(|y| y.f64().powi(2)).sum::<f64>().sqrt();
            if std::env::var("SHOW").is_ok() {
                println!(
                    "{} {what} {k}: {:.1e} of bound, {:.1e} of size {size:.1e}, bound/size {:.1e}",
                    T::NAME,
                    error / tolerance,
                    error / size,
                    tolerance / size
                );
            }
            assert!(error <= tolerance, "{what}, output {k}, {self:?}: {error:e} above {tolerance:e}");
        }
    }
}

/// A spec for tests of single facts.
pub fn fixed(passed: usize, moved: usize, hidden: &[usize], activation: Activation, generate: bool) -> Trial {
    let network =
        Mlp { inputs: passed, hidden: hidden.to_vec(), outputs: 2 * moved, activation, residual: false };
    Trial { spec: Spec { network, bound: 1.25, generate }, rows: 150, tangents: [9, 17], seed: 3 }
}

pub const ACTIVATIONS: [Activation; 3] = [Activation::Tanh, Activation::Relu, Activation::Silu];

/// Specs that take every path: few and many columns, no hidden layers and some.
pub fn every_path() -> Vec<Trial> {
    let mut all = Vec::new();
    for (k, activation) in ACTIVATIONS.into_iter().enumerate() {
        for (passed, moved, hidden) in [
            (1, 1, &[][..]),
            (3, 2, &[5]),
            (2, 17, &[8, 3]),
            (20, 18, &[]),
            (5, 16, &[7]),
            (13, 3, &[20, 4, 2]),
            (4, 16, &[16, 24]),
        ] {
            all.push(fixed(passed, moved, hidden, activation, (k + passed) % 2 == 0));
        }
    }
    all
}
