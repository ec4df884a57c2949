//! Every registered bijection and every preset with all its options, with randomised parameters.

use eigenflow::flow::bijection::{Bijection, Smoothness};
use eigenflow::flow::presets::{Mask, Name, Nonlinearity, Preset};
use eigenflow::flow::{Flow, Layer, Role};
use eigenflow::jacobian::{Direction, Route, jacobians};
use eigenflow::random::generator;
use eigenflow_linalg::svd::norm2;
use eigenflow_linalg::{Batch, Matrix, Real, lu};
use rand::RngExt;
use rand_distr::StandardNormal;

/// Widths at which everything is tried.
pub const DIMS: [usize; 4] = [1, 2, 3, 8];

/// A flow and what it is called.
pub struct Case {
    pub name: String,
    pub flow: Flow<f64>,
}

impl Case {
    pub fn is_smooth(&self) -> bool {
        self.flow.smoothness() == Smoothness::Smooth
    }
}

/// Moves every parameter away from where it was initialised; frozen ones to statistics that could
/// come from data. Linear maps stay well-conditioned.
pub fn randomise(flow: &mut Flow<f64>, seed: u64) {
    let mut random = generator(seed, "zoo", 0);
    for p in flow.parameters_mut() {
        let spread = match p.role {
            Role::Weight => 0.5 / (p.cols.max(1) as f64).sqrt(),
            Role::Bias => 0.4,
            Role::Frozen => 0.0,
            Role::Draw => continue,
        };
        if p.name.contains("mask") {
            continue;
        }
        for x in &mut p.data {
            let u = 2.0 * random.random::<f64>() - 1.0;
            *x = match p.role {
                _ if p.name.ends_with("variance") || p.name.ends_with("scale") => (0.7 * u).exp(),
                Role::Frozen => u,
                _ => *x + spread * u,
            };
        }
    }
}

fn case(name: &str, layers: Vec<Layer>, trained: bool) -> Case {
    let mut flow = Flow::new(layers, 0, 3).unwrap();
    if trained {
        randomise(&mut flow, 5);
    }
    Case { name: format!("{name}{}", if trained { "" } else { ", fresh" }), flow }
}

/// A flow of one layer for each example of each bijection.
pub fn single_layers(dim: usize) -> Vec<Case> {
    let all = Layer::examples(dim).into_iter().enumerate();
    all.map(|(k, layer)| case(&format!("{} {k}, D = {dim}", layer.kind()), vec![layer], true)).collect()
}

/// Every preset with every combination of options.
fn options() -> Vec<Preset> {
    let named = Preset::named;
    let mut all = vec![named(Name::Affine)];
    for flow in [Name::Paper, Name::PaperTril] {
        for activation in [Nonlinearity::Prelu, Nonlinearity::Sinh, Nonlinearity::Asinh] {
            for batch_norm in [0, 1, 2] {
                all.push(Preset {
                    layers: Some(2),
                    activation: Some(activation),
                    batch_norm: Some(batch_norm),
                    ..named(flow)
                });
            }
        }
    }
    for mask in [Mask::Halves, Mask::Alternating, Mask::Random] {
        for activation in [Nonlinearity::Tanh, Nonlinearity::Relu, Nonlinearity::Silu] {
            for hidden in [vec![], vec![6], vec![6, 5], vec![6, 5, 4]] {
                for output_affine in [false, true] {
                    all.push(Preset {
                        layers: Some(3),
                        hidden: Some(hidden.clone()),
                        activation: Some(activation),
                        scale_bound: if output_affine { Some(1.0) } else { None },
                        mask: Some(mask),
                        output_affine,
                        ..named(Name::Realnvp)
                    });
                }
            }
        }
    }
    let others = [Name::Planar, Name::Radial, Name::Residual, Name::Sylvester];
    let conditioned = [Name::Nice, Name::Glow, Name::Maf, Name::Iaf, Name::Nsf, Name::NsfAr];
    for flow in conditioned.into_iter().chain(others) {
        for (mask, activation) in [(Mask::Halves, Nonlinearity::Tanh), (Mask::Random, Nonlinearity::Silu)] {
            all.push(Preset {
                layers: Some(2),
                hidden: Some(vec![6, 5]),
                activation: Some(activation),
                bins: Some(4),
                mask: Some(mask),
                batch_norm: (mask == Mask::Halves).then_some(1),
                output_affine: mask == Mask::Random,
                ..named(flow)
            });
        }
    }
    for flow in [Name::Realnvp, Name::Glow, Name::Maf] {
        all.push(Preset {
            layers: Some(4),
            hidden: Some(vec![6; 3]),
            residual: true,
            mask: Some(Mask::Mixed),
            ..named(flow)
        });
    }
    all
}

fn describe(p: &Preset, dim: usize) -> String {
    format!(
        "{} D = {dim} {:?} {:?} {:?} batch-norm {:?} output-affine {}",
        p.flow.as_str(),
        p.mask,
        p.activation,
        p.hidden,
        p.batch_norm,
        p.output_affine
    )
}

/// Presets, trained or freshly initialised.
pub fn presets(dim: usize, trained: bool) -> Vec<Case> {
    let all = options();
    all.iter().map(|p| case(&describe(p, dim), p.layers(dim, 11).unwrap(), trained)).collect()
}

/// Layers and presets with randomised parameters.
pub fn everything(dim: usize) -> Vec<Case> {
    single_layers(dim).into_iter().chain(presets(dim, true)).collect()
}

/// Every layer, and a handful of presets that between them have every kind of layer.
pub fn selection(dim: usize) -> Vec<Case> {
    single_layers(dim).into_iter().chain(presets(dim, true).into_iter().step_by(7)).collect()
}

/// Rows of standard normal numbers.
pub fn rows<T: Real>(n: usize, dim: usize, seed: u64) -> Matrix<T> {
    let mut random = generator(seed, "zoo-rows", dim as u64);
    Matrix::from_fn(n, dim, |_, _| T::of(random.sample::<f64, _>(StandardNormal)))
}

/// One row of a matrix.
pub fn row<T: Real>(x: &Matrix<T>, i: usize) -> Matrix<T> {
    Matrix::new(1, x.cols(), x.row(i).to_vec())
}

/// What first-order error analysis needs to know of a flow at one row, in `f64`.
pub struct Anatomy {
    /// Values `v_0 = x, v_1, …`, one matrix of one row for each.
    pub values: Vec<Matrix<f64>>,
    /// Jacobian of each layer at the value that reaches it.
    pub layers: Vec<Matrix<f64>>,
    /// The inverse of each.
    pub inverses: Vec<Matrix<f64>>,
}

impl Anatomy {
    pub fn of(flow: &Flow<f64>, x: &Matrix<f64>) -> Self {
        assert_eq!(x.rows(), 1);
        let (mut values, mut layers) = (vec![x.clone()], Vec::new());
        for k in 0..flow.layers().len() {
            let layer = flow.part(k..k + 1).unwrap();
            let at = values.last().unwrap().clone();
            layers.push(jacobians(&layer, &at, Direction::Normalize, Route::Pull).unwrap().matrix(0));
            values.push(layer.normalize(&at).unwrap().0);
        }
        let inverses = layers.iter().map(|j| lu::inverse(j).unwrap()).collect();
        Self { values, layers, inverses }
    }

    /// `∏ ‖J_l‖₂`.
    pub fn norms(&self) -> f64 {
        self.layers.iter().map(|j| norm2(j).unwrap()).product()
    }

    /// `∏ ‖J_l⁻¹‖₂`.
    pub fn inverse_norms(&self) -> f64 {
        self.inverses.iter().map(|j| norm2(j).unwrap()).product()
    }

    /// By how much unit relative rounding errors in each layer, in both directions, are magnified in
    /// data (`at_data`) or in latents, to first order: `Σ_k ‖path from k‖ · magnitudes at k`.
    pub fn magnification(&self, at_data: bool) -> f64 {
        let count = self.layers.len();
        let d = self.values[0].cols();
        // A path is the Jacobian from the value after layer k to the end that is asked for.
        let mut path = Matrix::identity(d);
        let mut total = 0.0;
        let order: Vec<usize> = if at_data { (0..count).collect() } else { (0..count).rev().collect() };
        for k in order {
            let (j, inverse) = (&self.layers[k], &self.inverses[k]);
            let size = |v: &Matrix<f64>| 1.0 + v.norm();
            let (before, after) = (size(&self.values[k]), size(&self.values[k + 1]));
            let forth = after + j.norm() * before;
            let back = before + inverse.norm() * after;
            if at_data {
                let beyond = path.mul(inverse);
                total += beyond.norm() * forth + path.norm() * back * j.norm().max(1.0);
                path = beyond;
            } else {
                let beyond = path.mul(j);
                total += beyond.norm() * back + path.norm() * forth * inverse.norm().max(1.0);
                path = beyond;
            }
        }
        total
    }
}

/// The Jacobians of one row as matrices, one for each route.
pub fn by_routes<T: Real>(flow: &Flow<T>, x: &Matrix<T>, direction: Direction) -> [Batch<T>; 3] {
    [Route::Push, Route::Pull, Route::Layers].map(|route| jacobians(flow, x, direction, route).unwrap())
}

/// `‖A - B‖_F` in `f64`.
pub fn distance<T: Real>(a: &Matrix<T>, b: &Matrix<T>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    a.data().iter().zip(b.data()).map(|(a, b)| (a.f64() - b.f64()).powi(2)).sum::<f64>().sqrt()
}

/// The largest ratio of an error to its bound, with what it belongs to.
#[derive(Default)]
pub struct Worst {
    ratio: f64,
    what: String,
}

impl Worst {
    /// Fails if `error > bound`, and remembers the ratio.
    #[track_caller]
    pub fn check(&mut self, what: impl std::fmt::Display, error: f64, bound: f64) {
        assert!(error <= bound, "{what}: error {error:e} above its bound {bound:e}");
        if error > self.ratio * bound {
            (self.ratio, self.what) = (error / bound, what.to_string());
        }
    }

    /// Prints the largest ratio (shown with `--nocapture`).
    pub fn report(&self, law: &str) {
        println!("{law}: at most {:.2e} of its bound ({})", self.ratio, self.what);
    }
}
