//! The cases: each prepares its inputs and gives back the work to be counted. Small, since an emulator takes
//! a hundred times as long.

use eigenflow::flow::Flow;
use eigenflow::flow::presets::{Mask, Name, Nonlinearity, Preset};
use eigenflow::random::generator;
use eigenflow_autodiff::{Error, Program, Recorder, Var, push_jacobian};
use eigenflow_linalg::eigen::eigh_batch;
use eigenflow_linalg::elementary::{Exp, Function, Softplus, Tanh, map};
use eigenflow_linalg::lu::slogdet_batch;
use eigenflow_linalg::product::{Accum, matmul};
use eigenflow_linalg::svd::{SvdKind, svd_batch};
use eigenflow_linalg::{Batch, Matrix, Real};
use rand::RngExt;
use rand_distr::StandardNormal;
use std::hint::black_box;

/// Work that can be repeated.
pub type Work = Box<dyn FnMut()>;

pub struct Case {
    pub name: String,
    pub prepare: Box<dyn Fn() -> Work>,
}

/// Every case, in both precisions.
pub fn all() -> impl Iterator<Item = Case> {
    of::<f32>().into_iter().chain(of::<f64>())
}

fn of<T: Real>() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: String, prepare: Box<dyn Fn() -> Work>| {
        cases.push(Case { name: format!("{name}/{}", T::NAME), prepare });
    };
    for (rows, d) in [(64, 2), (64, 8), (8, 64)] {
        add(format!("jacobian/{rows}x{d}"), Box::new(move || jacobian::<T>(rows, d)));
    }
    for d in [2, 64] {
        add(format!("train_step/64x{d}"), Box::new(move || train_step::<T>(64, d)));
    }
    add("log_density/128x8".into(), Box::new(|| log_density::<T>(128, 8)));
    for (count, n) in [(16, 16), (2, 64)] {
        add(format!("eigh/{count}x{n}"), Box::new(move || eigh::<T>(count, n)));
        add(format!("svd/{count}x{n}"), Box::new(move || svd::<T>(count, n)));
    }
    // By panels, and divide and conquer.
    add("eigh/1x128".into(), Box::new(|| eigh::<T>(1, 128)));
    add("slogdet/16x16".into(), Box::new(|| slogdet::<T>(16, 16)));
    add("product/64".into(), Box::new(|| product::<T>(64)));
    add("exp/4096".into(), Box::new(|| elementwise::<Exp, T>(4096)));
    add("softplus/4096".into(), Box::new(|| elementwise::<Softplus, T>(4096)));
    add("tanh/4096".into(), Box::new(|| elementwise::<Tanh, T>(4096)));
    cases
}

fn normal<T: Real>(len: usize) -> Vec<T> {
    let mut random = generator(0, "bench", 0);
    (0..len).map(|_| T::of(random.sample::<f64, _>(StandardNormal))).collect()
}

/// Eight couplings of halves, reversal between, tanh conditioner 2 x 64, log-scale in ±1.
fn realnvp<T: Real>(dim: usize) -> Flow<T> {
    let preset = Preset {
        layers: Some(8),
        hidden: Some(vec![64, 64]),
        activation: Some(Nonlinearity::Tanh),
        scale_bound: Some(1.0),
        mask: Some(Mask::Halves),
        ..Preset::named(Name::Realnvp)
    };
    Flow::new(preset.layers(dim, 0).expect("a valid preset"), 0, 0).expect("a valid flow")
}

/// Replays what `record` makes of a flow's parameters and a batch; recording and planning are not counted.
fn replay<T: Real>(
    rows: usize,
    dim: usize,
    record: impl for<'r> Fn(
        &'r Recorder<T>,
        &Flow<T>,
        &[Var<'r, T>],
        Var<'r, T>,
    ) -> Result<Vec<Var<'r, T>>, Error>,
) -> Work {
    let flow = realnvp::<T>(dim);
    let program = Program::try_record(|r| {
        let (params, x) = (flow.declare(r), r.batch(dim));
        record(r, &flow, &params, x)
    })
    .expect("every layer has a derivative");
    let x = normal::<T>(rows * dim);
    let mut outputs: Vec<Vec<T>> =
        program.output_shapes().iter().map(|s| vec![T::ZERO; s.len(rows)]).collect();
    // The runner borrows its program, and the work outlives this function.
    let program: &'static Program<T> = Box::leak(Box::new(program));
    let mut runner = program.runner();
    Box::new(move || {
        let mut views: Vec<&mut [T]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        runner.run(rows, &[black_box(&x)], &flow.slices(), &mut views).expect("the buffers fit");
        black_box(&outputs);
    })
}

fn jacobian<T: Real>(rows: usize, dim: usize) -> Work {
    replay::<T>(rows, dim, |r, flow, params, x| {
        let z = flow.record_normalize(params, x, 0..flow.layers().len(), false).out;
        push_jacobian(r, z, x).map(|block| vec![block])
    })
}

fn train_step<T: Real>(rows: usize, dim: usize) -> Work {
    replay::<T>(rows, dim, move |r, flow, params, x| {
        let log_p = flow.record_log_density(params, x, 0..flow.layers().len());
        let loss = log_p.sum_all() * T::of(-1.0 / rows as f64);
        let mut out = vec![loss];
        out.extend(r.gradient(loss, params)?);
        Ok(out)
    })
}

fn log_density<T: Real>(rows: usize, dim: usize) -> Work {
    replay::<T>(rows, dim, |_, flow, params, x| {
        Ok(vec![flow.record_log_density(params, x, 0..flow.layers().len())])
    })
}

fn matrices<T: Real>(count: usize, n: usize) -> Batch<T> {
    Batch::new(count, n, n, normal(count * n * n))
}

fn eigh<T: Real>(count: usize, n: usize) -> Work {
    let mut a = matrices::<T>(count, n);
    for a in a.data_mut().chunks_exact_mut(n * n) {
        for (i, j) in (0..n).flat_map(|i| (0..i).map(move |j| (i, j))) {
            a[j * n + i] = a[i * n + j];
        }
    }
    Box::new(move || drop(black_box(eigh_batch(black_box(&a)).expect("finite symmetric matrices"))))
}

fn svd<T: Real>(count: usize, n: usize) -> Work {
    let a = matrices::<T>(count, n);
    Box::new(move || drop(black_box(svd_batch(black_box(&a), SvdKind::Thin).expect("finite matrices"))))
}

fn slogdet<T: Real>(count: usize, n: usize) -> Work {
    let a = matrices::<T>(count, n);
    Box::new(move || drop(black_box(slogdet_batch(black_box(&a)).expect("finite matrices"))))
}

fn product<T: Real>(n: usize) -> Work {
    let a = Matrix::<T>::new(n, n, normal(n * n));
    let mut c = Matrix::<T>::zeros(n, n);
    Box::new(move || {
        let a = black_box(&a);
        matmul(c.view_mut(), Accum::Replace, T::ONE, a.view(), a.view()).expect("the shapes fit");
        black_box(&c);
    })
}

fn elementwise<F: Function, T: Real>(len: usize) -> Work {
    let x = normal::<T>(len);
    let mut y = vec![T::ZERO; len];
    Box::new(move || {
        map::<F, T>(&mut y, black_box(&x));
        black_box(&y);
    })
}
