//! A coupling as one operation against its expansion in basic ones: values, all derivatives, all structures.

use super::{Spec, coupling};
use crate::flow::conditioner::{Activation, Mlp};
use crate::random::generator;
use eigenflow_autodiff::{Error, Program, Recorder, Shape, Tangent, Var};
use eigenflow_linalg::Real;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::RngExt;

/// Seeds of pushed blocks: more than any tangent below reaches.
const SEEDS: usize = 64;

/// A coupling and what goes through it.
#[derive(Clone, Debug)]
struct Trial {
    spec: Spec,
    rows: usize,
    /// Tangents of the blocks that move `a` and `b`.
    tangents: [usize; 2],
    seed: u64,
}

/// The inputs of a program: data, directions, cotangents and tangents.
struct Inputs<'t, T> {
    a: Var<'t, T>,
    b: Var<'t, T>,
    params: Vec<Var<'t, T>>,
    /// Cotangents of `y` and `log|det|`.
    cotangents: [Var<'t, T>; 2],
    /// Directions, or rates, of `a` and `b`.
    rates: [Var<'t, T>; 2],
    blocks: [Var<'t, T>; 2],
}

impl<'t, T: Real> Inputs<'t, T> {
    /// `a`, `b` and all parameters.
    fn all(&self) -> Vec<Var<'t, T>> {
        [self.a, self.b].into_iter().chain(self.params.iter().copied()).collect()
    }
}

type Recorded<'t, T> = Result<Vec<Var<'t, T>>, Error>;

impl Trial {
    fn weights(&self) -> Vec<Shape> {
        let mut shapes = Vec::new();
        let mut inputs = self.spec.passed();
        for &outputs in self.spec.network.hidden.iter().chain([&(2 * self.spec.moved())]) {
            shapes.extend([Shape::shared(outputs, inputs), Shape::shared(1, outputs)]);
            inputs = outputs;
        }
        shapes
    }

    fn batches(&self) -> Vec<Shape> {
        let (p, m) = (self.spec.passed(), self.spec.moved());
        let [of_a, of_b] = self.tangents;
        let ordinary = [p, m, m, 1, p, m].map(Shape::batch);
        ordinary.into_iter().chain([Shape::block(of_a, p), Shape::block(of_b, m)]).collect()
    }

    /// Data of batch inputs and of weights. With ReLU all numbers are multiples of 1/4 and the values of
    /// hidden layers exact, in `f32` too, so that both routes are on the same side of every kink; many
    /// are exactly at one.
    fn data<T: Real>(&self) -> (Vec<Vec<T>>, Vec<Vec<T>>) {
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

    fn program<T: Real, F>(&self, fused: bool, record: F) -> Program<T>
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

    fn apply<'t, T: Real>(&self, fused: bool, x: &Inputs<'t, T>) -> [Var<'t, T>; 2] {
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
    fn tolerance<T: Real>(&self, order: i32, batch: &[Vec<T>], shared: &[Vec<T>]) -> f64 {
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
    fn agrees<T: Real, F>(&self, what: &str, order: i32, record: F)
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

fn trial() -> impl Strategy<Value = Trial> {
    let widths = (1..=20_usize, prop_oneof![1..=15_usize, 16..=20_usize]);
    let hidden = prop::collection::vec(1..=12_usize, 0..=3);
    let activation = prop_oneof![Just(Activation::Tanh), Just(Activation::Relu), Just(Activation::Silu)];
    let bound = prop_oneof![Just(1.0), Just(0.5), Just(1.5)];
    let rows = prop_oneof![1..=4_usize, 60..=70_usize, 1..=200_usize];
    let tangents = [1..=30_usize, 1..=30_usize];
    (widths, hidden, activation, bound, any::<bool>(), rows, tangents, any::<u64>()).prop_map(
        |((passed, moved), hidden, activation, bound, generate, rows, tangents, seed)| Trial {
            spec: Spec {
                network: Mlp { inputs: passed, hidden, outputs: 2 * moved, activation, residual: false },
                bound,
                generate,
            },
            rows,
            tangents,
            seed,
        },
    )
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        max_shrink_iters: 40,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(7),
        ..ProptestConfig::default()
    }
}

/// The second derivatives of larger ones are all arithmetic and no news.
fn small(mut trial: Trial) -> Trial {
    trial.rows = 1 + trial.rows % 67;
    trial
}

fn values<T: Real>(trial: &Trial) {
    trial.agrees::<T, _>("values", 0, |_, _, out| Ok(out.to_vec()));
}

/// Cotangents of both outputs and of either alone; everything wanted, and each thing by itself.
fn gradients<T: Real>(trial: &Trial) {
    trial.agrees::<T, _>("gradients", 1, |r, x, [y, log_det]| {
        let of_y = (y, x.cotangents[0]);
        let of_log_det = (log_det, x.cotangents[1]);
        let mut out = Vec::new();
        for given in [&[of_y, of_log_det][..], &[of_y], &[of_log_det]] {
            let all = x.all();
            let last = all.len() - 1;
            out.extend(r.vjp(given, &all)?);
            let some = [vec![0], vec![1], vec![0, 1], vec![2], vec![last], vec![1, last - 1], vec![0, last]];
            for some in some {
                out.extend(r.vjp(given, &some.iter().map(|&k| all[k]).collect::<Vec<_>>())?);
            }
        }
        Ok(out)
    });
}

/// Blocks of cotangents of `y` for `a`, for `b` and for both, and the derivatives of such a pull.
fn cotangents<T: Real>(trial: &Trial) {
    trial.agrees::<T, _>("blocks of cotangents", 1, |r, x, [y, _]| {
        let given = [(y, x.blocks[1])];
        let mut out = r.vjp(&given, &[x.a, x.b])?;
        out.extend(r.vjp(&given, &[x.a])?);
        out.extend(r.vjp(&given, &[x.b])?);
        Ok(out)
    });
}

/// The derivatives of a pulled block.
fn cotangents_again<T: Real>(trial: &Trial) {
    trial.agrees::<T, _>("derivatives of a pulled block", 3, |r, x, [y, _]| {
        let pulled = r.vjp(&[(y, x.blocks[1])], &[x.a, x.b])?;
        let mut inputs = x.all();
        inputs.push(x.blocks[1]);
        let mut out = r.gradient(pulled[0].square(), &inputs)?;
        out.extend(r.gradient(pulled[1].square(), &inputs)?);
        Ok(out)
    });
}

/// Tangents of `cols` columns with every structure there is; the first one is zero.
fn structures<'t, T: Real>(
    r: &'t Recorder<T>,
    cols: usize,
    rates: Var<'t, T>,
    block: Var<'t, T>,
) -> Vec<Tangent<'t, T>> {
    let scattered = |start: usize| (0..cols).map(|j| start + (7 * j + 3) % 11 + 2 * (j / 5)).collect();
    let reversed: Vec<usize> = (0..cols).rev().collect();
    let mut all = vec![
        Tangent::zero(cols),
        Tangent::identity(cols),
        Tangent::identity(cols).gather(r, Shape::batch(cols), &reversed),
        Tangent::diagonal(reversed.into(), rates),
        Tangent::diagonal(scattered(0), rates),
        Tangent::diagonal(scattered(9), rates),
        Tangent::dense(block),
        Tangent::dense_from(5, block),
        Tangent::dense(rates),
    ];
    if cols > 1 {
        // Pieces of several kinds.
        let first = Tangent::identity(1).scale_by(r, T::of(0.75));
        all.push(Tangent::concat(&[first, Tangent::dense_from(3, block.slice(1..cols))]));
        all.push(Tangent::concat(&[Tangent::zero(1), Tangent::identity(cols - 1)]));
    }
    all
}

/// The pushed blocks of `y` and of `log|det|`, for pairs of structures of which `keep` says yes.
fn blocks<'t, T: Real>(
    r: &'t Recorder<T>,
    x: &Inputs<'t, T>,
    [y, log_det]: [Var<'t, T>; 2],
    keep: impl Fn(usize, usize) -> bool,
) -> Recorded<'t, T> {
    let mut out = Vec::new();
    for (i, da) in structures(r, x.a.cols(), x.rates[0], x.blocks[0]).iter().enumerate() {
        for (j, db) in structures(r, x.b.cols(), x.rates[1], x.blocks[1]).iter().enumerate() {
            if !keep(i, j) {
                continue;
            }
            let pushed = r.push(&[y, log_det], &[(x.a, da.clone()), (x.b, db.clone())])?;
            for (tangent, value) in pushed.into_iter().zip([y, log_det]) {
                out.extend(tangent.into_block(r, value.shape(), SEEDS));
            }
        }
    }
    Ok(out)
}

fn pushes<T: Real>(trial: &Trial) {
    trial.agrees::<T, _>("pushed blocks", 1, |r, x, out| blocks(r, x, out, |_, _| true));
}

/// The gradient of `‖J‖²`: pulls through the push and through the sum of its parts.
fn penalties<T: Real>(trial: &Trial) {
    for j in [0, 1, 4, 6, 7] {
        trial.agrees::<T, _>("gradient of a pushed block", 3, |r, x, out| {
            let mut found = Vec::new();
            let mut inputs = x.all();
            inputs.extend(x.rates);
            inputs.extend(x.blocks);
            for block in blocks(r, x, out, |i, k| k == j && [1, 4, 6, 7].contains(&i))?.into_iter().step_by(2)
            {
                found.extend(r.gradient(block.square(), &inputs)?);
            }
            Ok(found)
        });
    }
}

/// Derivatives of the gradient of a log-density: by single tangents, by blocks, and by pulls.
fn second_order<T: Real>(trial: &Trial) {
    trial.agrees::<T, _>("derivatives of a gradient", 3, |r, x, [y, log_det]| {
        let total = y.square() * T::of(-0.5) + log_det;
        let all = x.all();
        let gradient = r.gradient(total, &all)?;
        let mut out = r.jvp(&gradient, &[(x.a, x.rates[0]), (x.b, x.rates[1])])?;
        // Along parameters as well.
        let moving: Vec<_> = all.iter().map(|&v| (v, v * T::of(0.5))).collect();
        out.extend(r.jvp(&gradient, &moving)?);
        out.extend(r.gradient(gradient[0].square(), &all)?);
        out.extend(r.gradient(gradient[1].square(), &all)?);
        out.extend(r.gradient(gradient[2].square(), &all)?);
        // A push of a push, a pull of a push.
        let along = [(x.a, x.rates[0]), (x.b, x.rates[1])];
        let once = r.jvp(&[y, log_det], &along)?;
        out.extend(r.jvp(&once, &along)?);
        out.extend(r.gradient(once[0].square(), &all)?);
        Ok(out)
    });
    trial.agrees::<T, _>("Hessians", 3, |r, x, [y, log_det]| {
        let total = y.square() * T::of(-0.5) + log_det;
        let gradient = r.gradient(total, &[x.a, x.b])?;
        let mut out = Vec::new();
        let seeds = [
            (x.a, Tangent::identity(x.a.cols())),
            (x.b, Tangent::diagonal((20..20 + x.b.cols()).collect(), x.rates[1])),
        ];
        for (tangent, value) in r.push(&gradient, &seeds)?.into_iter().zip(&gradient) {
            out.extend(tangent.into_block(r, value.shape(), SEEDS));
        }
        // Cotangents that carry blocks of seeds.
        let m = y.cols();
        let unit = r.push(&[x.b], &[(x.b, Tangent::identity(m))])?.swap_remove(0);
        let unit = unit.into_block(r, y.shape(), m).expect("not zero");
        out.extend(r.vjp(&[(y, unit)], &[x.a, x.b])?);
        Ok(out)
    });
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn values_and_gradients_are_those_of_the_expansion(trial in trial()) {
        values::<f64>(&trial);
        values::<f32>(&trial);
        gradients::<f64>(&trial);
        gradients::<f32>(&trial);
    }
}

proptest! {
    #![proptest_config(config(24))]

    #[test]
    fn pushed_blocks_are_those_of_the_expansion(trial in trial()) {
        pushes::<f64>(&trial);
        pushes::<f32>(&trial);
        cotangents::<f64>(&trial);
        cotangents::<f32>(&trial);
    }
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn second_derivatives_are_those_of_the_expansion(trial in trial().prop_map(small)) {
        penalties::<f64>(&trial);
        penalties::<f32>(&trial);
        cotangents_again::<f64>(&trial);
        cotangents_again::<f32>(&trial);
        second_order::<f64>(&trial);
        second_order::<f32>(&trial);
    }
}

/// A spec for tests of single facts.
fn fixed(passed: usize, moved: usize, hidden: &[usize], activation: Activation, generate: bool) -> Trial {
    let network =
        Mlp { inputs: passed, hidden: hidden.to_vec(), outputs: 2 * moved, activation, residual: false };
    Trial { spec: Spec { network, bound: 1.25, generate }, rows: 150, tangents: [9, 17], seed: 3 }
}

const ACTIVATIONS: [Activation; 3] = [Activation::Tanh, Activation::Relu, Activation::Silu];

/// Specs that take every path: few and many columns, no hidden layers and some.
fn every_path() -> Vec<Trial> {
    let mut all = Vec::new();
    for (k, activation) in ACTIVATIONS.into_iter().enumerate() {
        for (passed, moved, hidden) in [
            (1, 1, &[][..]),
            (3, 2, &[5]),
            (2, 17, &[8, 3]),
            (20, 18, &[]),
            (5, 16, &[7]),
            (13, 3, &[20, 4, 2]),
        ] {
            all.push(fixed(passed, moved, hidden, activation, (k + passed) % 2 == 0));
        }
    }
    all
}

/// An input that is two inputs of one operation: the cotangent of `y` and that of `log|det|`, of `y` and `a`.
#[test]
fn one_value_as_two_inputs_counts_once() {
    for generate in [false, true] {
        let trial = fixed(1, 1, &[3], Activation::Tanh, generate);
        trial.agrees::<f64, _>("one value twice", 3, |r, x, [y, log_det]| {
            let all = x.all();
            let mut out = Vec::new();
            // The same weight for both outputs.
            let w = x.cotangents[1];
            let g = r.vjp(&[(y, w), (log_det, w)], &all)?;
            out.extend(r.gradient(g[0].square(), &[w, x.a, x.b])?);
            out.extend(r.jvp(&g, &[(w, x.rates[0])])?);
            // A cotangent that is an input too.
            for v in [x.a, x.b] {
                let g = r.vjp(&[(y, v), (log_det, v)], &all)?;
                out.extend(r.gradient(g[0].square(), &all)?);
                out.extend(r.gradient(g[2], &all)?);
                out.extend(r.jvp(&g, &[(v, x.rates[0])])?);
            }
            // Rates that are an input too.
            for v in [x.a, x.b] {
                let seeds =
                    [(x.a, Tangent::diagonal([0].into(), v)), (x.b, Tangent::diagonal([1].into(), v))];
                let block = r.push(&[y], &seeds)?.swap_remove(0).into_block(r, y.shape(), 2).expect("moves");
                out.extend(r.gradient(block.square(), &all)?);
            }
            Ok(out)
        });
    }
}

/// Layers on each other: what a gradient of a gradient records does not double with each layer.
#[test]
fn records_grow_with_a_small_power_of_the_number_of_layers() {
    let count = |layers: usize| {
        let trial = fixed(2, 2, &[3], Activation::Tanh, false);
        let r = Recorder::<f64>::new();
        let params: Vec<_> = trial.weights().iter().map(|&s| r.input(s)).collect();
        let (mut a, mut b) = (r.batch(2), r.batch(2));
        let inputs = [a, b];
        let mut total = r.full(Shape::batch(1), 0.0);
        for _ in 0..layers {
            let [y, log_det] = coupling(trial.spec.clone(), a, b, &params);
            (a, b, total) = (y, a, total + log_det);
        }
        total = total - a.square().sum_cols() - b.square().sum_cols();
        let g = r.gradient(total, &inputs).unwrap();
        let seeds = inputs.map(|x| (x, x));
        r.jvp(&g, &seeds).unwrap();
        r.gradient(g[0].square(), &inputs).unwrap();
        let wide = inputs.map(|x| (x, Tangent::identity(2)));
        r.push(&g, &wide).unwrap();
        let block = r.push(&[a], &wide).unwrap().swap_remove(0).into_block(&r, a.shape(), 2).unwrap();
        r.gradient(block.square(), &inputs).unwrap();
        r.len()
    };
    let (few, many) = (count(4), count(8));
    assert!(many < 5 * few, "{few} operations for 4 layers, {many} for 8");
}

impl Trial {
    /// Values, gradients and pushed blocks of the fused coupling at these data.
    fn everything(&self, rows: usize, batch: &[Vec<f64>], shared: &[Vec<f64>], fused: bool) -> Vec<Vec<f64>> {
        let program = self.program::<f64, _>(fused, |r, x, [y, log_det]| {
            let mut out = vec![y, log_det];
            out.extend(blocks(r, x, [y, log_det], |i, j| [1, 4, 6].contains(&i) && [0, 1, 7].contains(&j))?);
            out.extend(r.vjp(&[(y, x.blocks[1])], &[x.a, x.b])?);
            out.extend(r.vjp(&[(y, x.cotangents[0]), (log_det, x.cotangents[1])], &x.all())?);
            Ok(out)
        });
        let batch: Vec<&[f64]> = batch.iter().map(Vec::as_slice).collect();
        let shared: Vec<&[f64]> = shared.iter().map(Vec::as_slice).collect();
        program.run(rows, &batch, &shared).unwrap()
    }
}

/// Bits of values, pushed blocks and cotangents of rows: alone, among others, in tiles and shards.
#[test]
fn rows_do_not_depend_on_other_rows() {
    for trial in every_path() {
        let (batch, shared) = trial.data::<f64>();
        let shapes = trial.batches();
        let all = trial.everything(trial.rows, &batch, &shared, true);
        for ids in [&[0][..], &[149], &[149, 3], &(60..130).collect::<Vec<_>>()] {
            let part = batch.iter().zip(&shapes).map(|(x, s)| {
                ids.iter().flat_map(|&n| x[n * s.unit()..(n + 1) * s.unit()].to_vec()).collect()
            });
            let some = trial.everything(ids.len(), &part.collect::<Vec<_>>(), &shared, true);
            // The last outputs are sums over rows.
            for (k, (all, some)) in all.iter().zip(&some).take(all.len() - shared.len()).enumerate() {
                let unit = all.len() / trial.rows;
                for (at, &n) in ids.iter().enumerate() {
                    let (all, some) = (&all[n * unit..(n + 1) * unit], &some[at * unit..(at + 1) * unit]);
                    assert!(all == some, "{trial:?}: output {k}, row {n} among {}", ids.len());
                }
            }
        }
    }
}

#[test]
fn threads_change_no_bit() {
    for mut trial in every_path() {
        trial.rows = 500;
        let (batch, shared) = trial.data::<f64>();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| trial.everything(trial.rows, &batch, &shared, true))
        };
        assert!(run(1) == run(2), "{trial:?}");
    }
}

/// A selection of other rows gives cotangents of exactly zero: they stay zero where the value is no number.
#[test]
fn zero_cotangents_stay_zero_at_infinity() {
    for trial in every_path() {
        let (mut batch, shared) = trial.data::<f64>();
        let (m, seeds) = (trial.spec.moved(), trial.tangents[1]);
        for (n, bad) in [(0, f64::INFINITY), (70, f64::NAN), (149, f64::NEG_INFINITY)] {
            batch[1][n * m..(n + 1) * m].fill(bad);
            batch[2][n * m..(n + 1) * m].fill(0.0);
            batch[3][n] = 0.0;
            batch[7][n * seeds * m..(n + 1) * seeds * m].fill(0.0);
        }
        let fused = trial.everything(trial.rows, &batch, &shared, true);
        // Two pulled blocks, and the gradients of both inputs and all parameters.
        let first = fused.len() - 4 - shared.len();
        assert!(fused[first..].iter().flatten().all(|x| x.is_finite()), "{trial:?}");
        let p = trial.spec.passed();
        for n in [0, 70, 149] {
            for (fused, unit) in fused[first..].iter().zip([seeds * p, seeds * m, p, m]) {
                assert!(fused[n * unit..(n + 1) * unit].iter().all(|&x| x == 0.0), "{trial:?}");
            }
        }
    }
}

/// The same where it is the passed columns, and so the slopes of the hidden layers, that are no number.
#[test]
fn zero_cotangents_stay_zero_behind_slopes_that_are_no_number() {
    for trial in every_path() {
        let (mut batch, shared) = trial.data::<f64>();
        let (p, m) = (trial.spec.passed(), trial.spec.moved());
        batch[0][70 * p..71 * p].fill(f64::NAN);
        batch[2][70 * m..71 * m].fill(0.0);
        batch[3][70] = 0.0;
        let seeds = trial.tangents[1];
        batch[7][70 * seeds * m..71 * seeds * m].fill(0.0);
        let fused = trial.everything(trial.rows, &batch, &shared, true);
        let of_a = &fused[fused.len() - 2 - shared.len()][70 * p..71 * p];
        let block = &fused[fused.len() - 4 - shared.len()][70 * seeds * p..71 * seeds * p];
        assert!(of_a.iter().chain(block).all(|&x| x == 0.0), "{trial:?}");
    }
}

/// NaN in a row is NaN in its results and in no other row's.
#[test]
fn not_a_number_stays_in_its_row() {
    for trial in every_path() {
        let (mut batch, shared) = trial.data::<f64>();
        let (p, m) = (trial.spec.passed(), trial.spec.moved());
        let clean = trial.everything(trial.rows, &batch, &shared, true);
        batch[0][65 * p..66 * p].fill(f64::NAN);
        let spoiled = trial.everything(trial.rows, &batch, &shared, true);
        for (k, (clean, spoiled)) in clean.iter().zip(&spoiled).take(2).enumerate() {
            let unit = [m, 1][k];
            for n in 0..trial.rows {
                let (a, b) = (&clean[n * unit..(n + 1) * unit], &spoiled[n * unit..(n + 1) * unit]);
                assert!(if n == 65 { b.iter().all(|x| x.is_nan()) } else { a == b }, "{trial:?}, row {n}");
            }
        }
        // A weight of NaN spoils everything, and nothing panics.
        let spoiled: Vec<Vec<f64>> = shared.iter().map(|w| vec![f64::NAN; w.len()]).collect();
        let out = trial.everything(trial.rows, &batch, &spoiled, true);
        assert!(out[..2].iter().flatten().all(|x| x.is_nan()), "{trial:?}");
    }
}
