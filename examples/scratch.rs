use eigenflow::flow::Flow;
use eigenflow::flow::presets::{Mask, Name, Nonlinearity, Preset};
use eigenflow::random::generator;
use eigenflow_autodiff::{Program, push_jacobian};
use eigenflow_linalg::Real;
use rand::RngExt;
use rand_distr::StandardNormal;
use std::time::Instant;
fn realnvp<T: Real>(dim: usize) -> Flow<T> {
    let preset = Preset { layers: Some(8), hidden: Some(vec![64, 64]), activation: Some(Nonlinearity::Tanh), scale_bound: Some(1.0), mask: Some(Mask::Halves), ..Preset::named(Name::Realnvp) };
    Flow::new(preset.layers(dim, 0).unwrap(), 0, 0).unwrap()
}
fn normal<T: Real>(len: usize) -> Vec<T> {
    let mut random = generator(0, "bench", 0);
    (0..len).map(|_| T::of(random.sample::<f64, _>(StandardNormal))).collect()
}
fn time<T: Real>(name: &str, n: usize, d: usize, flow: &Flow<T>, program: &Program<T>) {
    if let Ok(f) = std::env::var("ONLY") { if !format!("{name} {}", T::NAME).contains(&f) { return; } }
    let x = normal::<T>(n * d);
    let mut outputs: Vec<Vec<T>> = program.output_shapes().iter().map(|s| vec![T::ZERO; s.len(n)]).collect();
    let mut runner = program.runner();
    let parameters = flow.slices();
    let mut times = vec![];
    let begin = Instant::now();
    while times.len() < 5 || (begin.elapsed().as_secs_f64() < 0.5 && times.len() < 1000) {
        let mut views: Vec<&mut [T]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        let t = Instant::now();
        runner.run(n, &[&x], &parameters, &mut views).unwrap();
        times.push(t.elapsed().as_secs_f64() * 1e3);
    }
    if std::env::var("PROF").is_ok() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| {
            for k in 0..6 {
                if k == 1 { eigenflow_autodiff::profile_take(); }
                let mut views: Vec<&mut [T]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
                let t = Instant::now();
                runner.run(n, &[&x], &parameters, &mut views).unwrap();
                if k == 5 { println!("one thread {:.3} ms", t.elapsed().as_secs_f64() * 1e3); }
            }
            for (name, s, c) in eigenflow_autodiff::profile_take() { println!("   {name:24} {:.3} ms, {} calls", s / 5.0 * 1e3, c / 5); }
        });
    }
    times.sort_by(f64::total_cmp);
    println!("{name} {} {n}x{d}: median {:.3} ms, min {:.3}; {} ops, {} rows a shard, {} KB", T::NAME, times[times.len() / 2], times[0], program.len(), program.shard_rows(), program.workspace_bytes() / 1024);
}
fn all<T: Real>() {
    for (n, d) in [(4096, 2), (1024, 8), (256, 64), (64, 256), (4, 784)] {
        let flow = realnvp::<T>(d);
        let program = Program::try_record(|r| {
            let (params, x) = (flow.declare(r), r.batch(d));
            let z = flow.record_normalize(&params, x, 0..flow.layers().len(), false).out;
            push_jacobian(r, z, x).map(|block| vec![block])
        }).unwrap();
        time("jacobian", n, d, &flow, &program);
    }
    for d in [2, 8, 64] {
        let flow = realnvp::<T>(d);
        let program = Program::try_record(|r| {
            let (params, x) = (flow.declare(r), r.batch(d));
            let log_p = flow.record_log_density(&params, x, 0..flow.layers().len());
            let loss = log_p.sum_all() * T::of(-1.0 / 512.0);
            let mut out = vec![loss];
            out.extend(r.gradient(loss, &params)?);
            Ok::<_, eigenflow_autodiff::Error>(out)
        }).unwrap();
        time("train", 512, d, &flow, &program);
        let program = Program::record(|r| { let (params, x) = (flow.declare(r), r.batch(d)); vec![flow.record_log_density(&params, x, 0..flow.layers().len())] });
        time("logp", 4096, d, &flow, &program);
        let program = Program::record(|r| { let (params, x) = (flow.declare(r), r.batch(d)); vec![flow.record_generate(&params, x, 0..flow.layers().len()).out] });
        time("sample", 4096, d, &flow, &program);
    }
}
fn main() { all::<f32>(); all::<f64>(); }
