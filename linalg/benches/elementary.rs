//! The slice forms against a loop over the standard library, 4096 numbers in cache.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::{
    Asinh, Cosh, Erf, Erfc, Exp, ExpM1, Function, Ln, Ln1p, Quantile, Sigmoid, Sinh, Softplus, Tanh, map,
};

const LEN: usize = 4096;

/// `LEN` numbers evenly over an interval.
fn grid<T: Real>(low: f64, high: f64) -> Vec<T> {
    (0..LEN).map(|i| T::of(low + (high - low) * (i as f64 + 0.5) / LEN as f64)).collect()
}

/// `elementary/{f32,f64}/{name}`.
fn slice<F: Function, T: Real>(c: &mut Criterion, low: f64, high: f64) {
    let src = grid::<T>(low, high);
    let mut dst = vec![T::ZERO; LEN];
    let mut group = c.benchmark_group(format!("elementary/{}", T::NAME));
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::from_parameter(F::NAME), |b| {
        b.iter(|| map::<F, T>(black_box(&mut dst), black_box(&src)));
    });
}

/// `elementary/{f32,f64}/std-{name}`: a loop over the standard library.
fn std<T: Real>(c: &mut Criterion, name: &str, low: f64, high: f64, f: fn(T) -> T) {
    let src = grid::<T>(low, high);
    let mut dst = vec![T::ZERO; LEN];
    let mut group = c.benchmark_group(format!("elementary/{}", T::NAME));
    group.throughput(Throughput::Elements(LEN as u64));
    group.bench_function(BenchmarkId::from_parameter(format!("std-{name}")), |b| {
        b.iter(|| {
            for (d, &x) in black_box(&mut dst).iter_mut().zip(black_box(&src)) {
                *d = f(x);
            }
        });
    });
}

/// Both precisions of one function.
fn both<F: Function>(c: &mut Criterion, low: f64, high: f64) {
    slice::<F, f64>(c, low, high);
    slice::<F, f32>(c, low, high);
}

fn elementary(c: &mut Criterion) {
    both::<Exp>(c, -10.0, 10.0);
    both::<ExpM1>(c, -10.0, 10.0);
    both::<Ln>(c, 0.0, 10.0);
    both::<Ln1p>(c, -1.0, 10.0);
    both::<Sinh>(c, -10.0, 10.0);
    both::<Cosh>(c, -10.0, 10.0);
    both::<Tanh>(c, -5.0, 5.0);
    both::<Asinh>(c, -10.0, 10.0);
    both::<Sigmoid>(c, -10.0, 10.0);
    both::<Softplus>(c, -10.0, 10.0);
    both::<Erf>(c, -4.0, 4.0);
    both::<Erfc>(c, -4.0, 10.0);
    both::<Quantile>(c, 0.0, 1.0);
    std::<f64>(c, "exp", -10.0, 10.0, f64::exp);
    std::<f32>(c, "exp", -10.0, 10.0, f32::exp);
    std::<f64>(c, "exp_m1", -10.0, 10.0, f64::exp_m1);
    std::<f64>(c, "ln", 0.0, 10.0, f64::ln);
    std::<f32>(c, "ln", 0.0, 10.0, f32::ln);
    std::<f64>(c, "ln_1p", -1.0, 10.0, f64::ln_1p);
    std::<f64>(c, "sinh", -10.0, 10.0, f64::sinh);
    std::<f64>(c, "tanh", -5.0, 5.0, f64::tanh);
    std::<f32>(c, "tanh", -5.0, 5.0, f32::tanh);
    std::<f64>(c, "asinh", -10.0, 10.0, f64::asinh);
    std::<f64>(c, "sigmoid", -10.0, 10.0, |x| 1.0 / (1.0 + (-x).exp()));
    std::<f64>(c, "softplus", -10.0, 10.0, |x| x.max(0.0) + (-x.abs()).exp().ln_1p());
    std::<f64>(c, "erf", -4.0, 4.0, libm::erf);
    std::<f64>(c, "erfc", -4.0, 10.0, libm::erfc);
}

criterion_group!(benches, elementary);
criterion_main!(benches);
