//! scratch
use eigenflow::flow::presets::{Name, Preset};
use eigenflow::flow::{Flow, Layer};
use eigenflow::jacobian::*;
use eigenflow::random::generator;
use eigenflow_linalg::Matrix;
use rand::RngExt;
use rand_distr::StandardNormal;

fn flow(dim: usize) -> Flow<f64> {
    let preset = Preset { hidden: Some(vec![64, 64]), ..Preset::named(Name::Realnvp) };
    let layers: Vec<Layer> = preset.layers(dim, 0).expect("a flow of these columns");
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
fn main() {
    let what = std::env::args().nth(1).unwrap();
    let times: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let w: usize = std::env::args().nth(3).map_or(16, |v| v.parse().unwrap());
    let n: usize = std::env::args().nth(4).map_or(4, |v| v.parse().unwrap());
    let (f, x) = (flow(784), rows(n, 784));
    match what.as_str() {
        "dense" => {
            for _ in 0..times {
                std::hint::black_box(local_covariance(&f, &x, 16).unwrap());
            }
        }
        "lead" => {
            for _ in 0..times {
                std::hint::black_box(leading_covariance(&f, &x, 16, 1e-6, 0).unwrap());
            }
        }
        "cond" => {
            for _ in 0..times {
                std::hint::black_box(leading_condition_numbers(&f, &x, 1e-6, 0).unwrap());
            }
        }
        "push" | "pull" => {
            let mut p = JacobianProducts::new(&f, Direction::Generate, w).unwrap();
            let z = f.normalize(&x).unwrap().0;
            let v = rows(n * w, 784);
            for _ in 0..times {
                if what == "push" {
                    p.push(&z, v.data()).unwrap();
                } else {
                    p.pull(&z, v.data()).unwrap();
                }
            }
        }
        "adj" => {
            let z = f.normalize(&x).unwrap().0;
            let j = jacobians(&f, &z, Direction::Generate, Route::Push).unwrap();
            for w in [1, 4, 8, 15, 16, 20] {
                let mut p = JacobianProducts::new(&f, Direction::Generate, w).unwrap();
                let n = x.rows();
                let v = rows(n * w, 784);
                let u = rows(n * w, 784);
                let a = p.push(&z, v.data()).unwrap();
                let b = p.pull(&z, u.data()).unwrap();
                let mut ea = 0f64;
                let mut eb = 0f64;
                for r in 0..n {
                    let m = j.matrix(r);
                    let vv = Matrix::new(w, 784, v.data()[r * w * 784..(r + 1) * w * 784].to_vec());
                    let ta = vv.mul(&m.transpose());
                    for i in 0..w * 784 {
                        ea = ea.max((ta.data()[i] - a[r * w * 784 + i]).abs());
                    }
                    let uu = Matrix::new(w, 784, u.data()[r * w * 784..(r + 1) * w * 784].to_vec());
                    let tb = uu.mul(&m);
                    for i in 0..w * 784 {
                        eb = eb.max((tb.data()[i] - b[r * w * 784 + i]).abs());
                    }
                }
                println!("{w}: push {ea:e} pull {eb:e}");
            }
        }
        "check" => {
            let dense = local_covariance(&f, &x, 784).unwrap();
            let e = dense.eigenvalues();
            for n in 0..x.rows() {
                let r = e.row(n);
                println!(
                    "row {n}: top {:?}\n  16..24 {:?} mid {:?} last {:?} cond {}",
                    r[..16].iter().map(|v| (v * 1e4).round() / 1e4).collect::<Vec<_>>(),
                    r[16..24].iter().map(|v| (v * 1e4).round() / 1e4).collect::<Vec<_>>(),
                    r[392],
                    r[783],
                    dense.condition[n]
                );
            }
            let l = leading_covariance(&f, &x, 16, 1e-6, 0).unwrap();
            let mut worst = 0f64;
            let mut worst_res = 0f64;
            let mut signed = 0f64;
            for n in 0..x.rows() {
                for k in 0..16 {
                    let v = l.scales[(n, k)].powi(2);
                    let rel = (v / e[(n, k)] - 1.0).abs();
                    if rel > worst {
                        worst = rel;
                        signed = v / e[(n, k)] - 1.0;
                    }
                    worst_res = worst_res.max(l.residuals[(n, k)] / v);
                }
            }
            println!("worst rel error {worst:e} ({signed:e}), worst relative residual {worst_res:e}");
        }
        _ => {}
    }
}
