//! The extreme eigenvalues of a large sparse symmetric matrix, from products with it.

use eigenflow_linalg::eigen::{Eigh, eigh};
use eigenflow_linalg::{Error, Matrix};

/// What the Lanczos iteration leaves: a tridiagonal matrix, and its basis if it was kept.
pub(super) struct Lanczos {
    diagonal: Vec<f64>,
    beside: Vec<f64>,
    basis: Vec<Vec<f64>>,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Lanczos {
    /// At most `steps` products from the vector `start`. With `keep` the basis is held, and kept orthogonal.
    pub fn run(apply: impl Fn(&[f64], &mut [f64]), start: Vec<f64>, steps: usize, keep: bool) -> Self {
        let n = start.len();
        let mut out = Self { diagonal: Vec::new(), beside: Vec::new(), basis: Vec::new() };
        let (mut before, mut v, mut w) = (vec![0.0; n], start, vec![0.0; n]);
        let norm = dot(&v, &v).sqrt();
        v.iter_mut().for_each(|v| *v /= norm);
        let mut size = 0.0_f64;
        for _ in 0..steps.min(n) {
            apply(&v, &mut w);
            let a = dot(&v, &w);
            let b = out.beside.last().copied().unwrap_or(0.0);
            for ((w, v), u) in w.iter_mut().zip(&v).zip(&before) {
                *w -= a * v + b * u;
            }
            if keep {
                out.basis.push(v.clone());
                for u in &out.basis {
                    let c = dot(u, &w);
                    w.iter_mut().zip(u).for_each(|(w, u)| *w -= c * u);
                }
            }
            out.diagonal.push(a);
            let next = dot(&w, &w).sqrt();
            size = size.max(a.abs() + next);
            // An invariant subspace: nothing is left but rounding.
            if !(next > 1e-14 * size) {
                break;
            }
            out.beside.push(next);
            before.clone_from(&v);
            v.iter_mut().zip(&w).for_each(|(v, w)| *v = w / next);
        }
        out
    }

    fn spectrum(&self) -> Result<Eigh<f64>, Error> {
        let k = self.diagonal.len();
        eigh(&Matrix::from_fn(k, k, |i, j| match i.abs_diff(j) {
            0 => self.diagonal[i],
            1 => self.beside[i.min(j)],
            _ => 0.0,
        }))
    }

    /// The least Ritz value, an upper bound of the least eigenvalue, and the number of steps.
    pub fn least(&self) -> Result<(f64, usize), Error> {
        Ok((self.spectrum()?.values.first().copied().unwrap_or(0.0), self.diagonal.len()))
    }

    /// The Ritz vector of the largest Ritz value; needs the basis.
    pub fn leading_vector(&self) -> Result<Vec<f64>, Error> {
        let spectrum = self.spectrum()?;
        let (k, n) = (self.diagonal.len(), self.basis.first().map_or(0, Vec::len));
        let mut out = vec![0.0; n];
        for (i, u) in self.basis.iter().enumerate() {
            let c = spectrum.vectors[(i, k - 1)];
            out.iter_mut().zip(u).for_each(|(o, u)| *o += c * u);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The path Laplacian of `n` vertices has the eigenvalues `2 - 2 cos(πk/n)`.
    #[test]
    fn extremes_of_a_path() {
        let n = 60;
        let apply = |v: &[f64], w: &mut [f64]| {
            for i in 0..n {
                let (left, right) =
                    (if i > 0 { v[i - 1] } else { v[i] }, if i + 1 < n { v[i + 1] } else { v[i] });
                w[i] = 2.0 * v[i] - left - right;
            }
        };
        let start: Vec<f64> = (0..n).map(|i| (i as f64 * 1.7).sin() + 0.3).collect();
        let found = Lanczos::run(apply, start.clone(), n, true);
        assert!(found.least().unwrap().0.abs() < 1e-10);
        let v = found.leading_vector().unwrap();
        let mut w = vec![0.0; n];
        apply(&v, &mut w);
        let top = 2.0 - 2.0 * (std::f64::consts::PI * (n - 1) as f64 / n as f64).cos();
        assert!(w.iter().zip(&v).all(|(w, v)| (w - top * v).abs() < 1e-9));
        // Without orthogonality the least value still converges, from above.
        let (least, _) = Lanczos::run(apply, start, 50, false).least().unwrap();
        assert!((-1e-12..1e-2).contains(&least), "{least}");
    }
}
