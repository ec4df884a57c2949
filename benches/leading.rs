//! Sixteen leading local axes of many columns: products with Jacobians against the dense SVD.

use criterion::{Criterion, criterion_group, criterion_main};
use eigenflow::flow::bijections::{Affine, Form};
use eigenflow::flow::presets::{Name, Preset};
use eigenflow::flow::{Flow, Layer};
use eigenflow::jacobian::{leading_covariance, local_covariance};
use eigenflow::random::generator;
use eigenflow_linalg::Matrix;
use rand::RngExt;
use rand_distr::StandardNormal;
use std::hint::black_box;
use std::time::Duration;

/// A `RealNVP` of eight couplings, as initialised but for weights of order one at the end of its conditioners.
fn flow(dim: usize) -> Flow<f64> {
    perturbed(preset(dim))
}

/// The same behind a whitening of columns whose standard deviations fall like those of pictures' principal components, `k^-0.7`.
fn decaying(dim: usize) -> Flow<f64> {
    let mut layers = preset(dim);
    layers.insert(0, Affine::new(dim, Form::Full).into());
    let mut flow = perturbed(layers);
    let whitening = &mut flow.parameters_mut()[0].data;
    whitening.fill(0.0);
    (0..dim).for_each(|k| whitening[k * dim + k] = 1.0 / deviation(k));
    flow
}

fn deviation(k: usize) -> f64 {
    (1.0 + k as f64).powf(-0.7)
}

fn preset(dim: usize) -> Vec<Layer> {
    let preset = Preset { hidden: Some(vec![64, 64]), ..Preset::named(Name::Realnvp) };
    preset.layers(dim, 0).expect("a flow of these columns")
}

fn perturbed(layers: Vec<Layer>) -> Flow<f64> {
    let mut flow = Flow::new(layers, 0, 0).expect("its layers fit");
    let mut random = generator(0, "bench-leading", 0);
    for p in flow.parameters_mut().iter_mut().filter(|p| !p.name.contains("mask")) {
        let spread = 0.5 / (p.cols.max(1) as f64).sqrt();
        p.data.iter_mut().for_each(|x| *x += spread * (2.0 * random.random::<f64>() - 1.0));
    }
    flow
}

fn rows(count: usize, dim: usize) -> Matrix<f64> {
    let mut random = generator(0, "bench-leading-rows", 0);
    Matrix::from_fn(count, dim, |_, _| random.sample::<f64, _>(StandardNormal))
}

fn all(c: &mut Criterion) {
    let mut group = c.benchmark_group("leading_covariance");
    group.sample_size(10).measurement_time(Duration::from_secs(4));
    let (plain, falling) = (flow(784), decaying(784));
    for count in [4, 32] {
        let x = rows(count, 784);
        let y = Matrix::from_fn(count, 784, |i, j| deviation(j) * x[(i, j)]);
        for (name, flow, x) in [("flat", &plain, &x), ("decaying", &falling, &y)] {
            group.bench_function(format!("{count}x784/{name}/dense"), |b| {
                b.iter(|| local_covariance(black_box(flow), x, 16).expect("finite"));
            });
            for tolerance in [1e-6, 1e-4] {
                // How far the eigenvalues are from the dense ones: quadratic in the residual.
                let dense = local_covariance(flow, x, 16).expect("finite");
                let found = leading_covariance(flow, x, 16, tolerance, 0).expect("finite");
                let pairs = found.scales.data().iter().zip(dense.scales.data());
                let error = pairs.map(|(a, b)| (a * a / (b * b) - 1.0).abs()).fold(0.0, f64::max);
                println!(
                    "{count}x784/{name}: residuals within {tolerance:.0e}, eigenvalues within {error:.1e}"
                );
                group.bench_function(format!("{count}x784/{name}/16-leading/{tolerance:.0e}"), |b| {
                    b.iter(|| leading_covariance(black_box(flow), x, 16, tolerance, 0).expect("finite"));
                });
            }
        }
    }
    let (wide, x) = (flow(3072), rows(2, 3072));
    group.bench_function("2x3072/16-leading", |b| {
        b.iter(|| leading_covariance(black_box(&wide), &x, 16, 1e-6, 0).expect("finite"));
    });
    group.finish();
}

criterion_group!(benches, all);
criterion_main!(benches);
