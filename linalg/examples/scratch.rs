use eigenflow_linalg::Real;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use std::time::Instant;
fn bench<T: Real>(m: usize, k: usize, n: usize, kind: char) {
    let x = vec![T::of(0.5); m * k];
    let w = vec![T::of(0.25); n * k];
    let mut y = vec![T::ZERO; m * n];
    let mut best = f64::MAX;
    for _ in 0..20 {
        let reps = (2_000_000 / (m * k * n)).max(1);
        let t = Instant::now();
        for _ in 0..reps {
            match kind {
                't' => matmul(MatMut::from_row_major_slice_mut(&mut y, m, n), Accum::Replace, MatRef::from_row_major_slice(&x, m, k), MatRef::from_row_major_slice(&w, n, k).transpose(), T::ONE, Par::Seq),
                'n' => matmul(MatMut::from_row_major_slice_mut(&mut y, m, n), Accum::Replace, MatRef::from_row_major_slice(&x, m, k), MatRef::from_row_major_slice(&w, k, n), T::ONE, Par::Seq),
                _ => matmul(MatMut::from_row_major_slice_mut(&mut y, m, n), Accum::Add, MatRef::from_row_major_slice(&x, k, m).transpose(), MatRef::from_row_major_slice(&w, k, n), T::ONE, Par::Seq),
            }
            std::hint::black_box(&mut y);
        }
        best = best.min(t.elapsed().as_secs_f64() / reps as f64);
    }
    println!("{} {kind} {m}x{k}x{n}: {:.2} us, {:.1} GF/s", T::NAME, best * 1e6, 2.0 * (m * k * n) as f64 / best / 1e9);
}
fn all<T: Real>() {
    for (m, k, n, c) in [(64,64,64,'t'),(64,64,64,'n'),(64,64,64,'o'),(32,64,64,'t'),(128,64,64,'t'),(512,64,64,'t'),(512,64,64,'n'),(128,1,64,'t'),(128,4,64,'t'),(128,64,2,'t'),(128,64,8,'t'),(128,2,64,'n'),(128,64,1,'n'),(64,128,64,'o'),(64,128,1,'o'),(2,128,64,'o'),(128,32,64,'t'),(128,64,32,'t'),(1024,64,64,'t'),(256,128,64,'t'),(256,64,128,'t'),(256,64,256,'t'),(784,392,64,'t'),(784,64,392,'t'),(784,64,784,'t'),(32,64,32,'n'),(64,32,32,'n'),(4,4,4,'n'),(1024,1024,1024,'n')] { bench::<T>(m,k,n,c); }
}
fn main() { all::<f32>(); all::<f64>(); }
