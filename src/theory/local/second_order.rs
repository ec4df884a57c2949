//! Directional derivatives up to the third order, and the second-order term `K`, from the tape.

use super::map::Map;
use crate::flow::Error;
use eigenflow_autodiff::Program;
use eigenflow_linalg::Matrix;

/// Derivatives of a map at one point along pairs of directions `(a, b)`, one pair a row.
///
/// All `[rows, n]`: `g'a`, `g''(a, a)`, `g''(a, b)` and `g'''(a, a, b)`.
pub struct Directional {
    /// `g' a`.
    pub first: Matrix<f64>,
    /// `g''(a, a)`.
    pub second: Matrix<f64>,
    /// `g''(a, b)`.
    pub mixed: Matrix<f64>,
    /// `g'''(a, a, b)`.
    pub third: Matrix<f64>,
}

/// Exact directional derivatives at `y`: nested forward mode, one tangent at a time, never differences.
///
/// # Errors
/// If an operation of the map has no such derivative.
pub fn directional(map: &dyn Map, y: &[f64], a: &Matrix<f64>, b: &Matrix<f64>) -> Result<Directional, Error> {
    let d = map.inputs();
    let program = Program::try_record(|r| {
        let (z, a, b) = (r.batch(d), r.batch(d), r.batch(d));
        let g = map.record(r, z);
        let first = r.jvp(&[g], &[(z, a)])?[0];
        let second = r.jvp(&[first], &[(z, a)])?[0];
        let mixed = r.jvp(&[first], &[(z, b)])?[0];
        let third = r.jvp(&[second], &[(z, b)])?[0];
        Ok::<_, Error>(vec![first, second, mixed, third])
    })?;
    let rows = a.rows();
    let at: Vec<f64> = (0..rows).flat_map(|_| y.iter().copied()).collect();
    let out = program.run(rows, &[&at, a.data(), b.data()], &map.shared())?;
    let cols = program.output_shapes()[0].cols();
    let mut out = out.into_iter().map(|data| Matrix::new(rows, cols, data));
    let mut next = || out.next().unwrap_or_else(|| Matrix::zeros(rows, cols));
    Ok(Directional { first: next(), second: next(), mixed: next(), third: next() })
}

/// What the local covariance is made of up to second order, along `m` latent directions.
pub struct SecondOrder {
    /// `J_g P`, `[n, m]`.
    pub jacobian: Matrix<f64>,
    /// `½ <H_i, H_j>`, `[n, n]`: what the quadratic part of the map spreads.
    pub spread: Matrix<f64>,
    /// Laplacians along the directions, `n` numbers.
    pub laplacian: Vec<f64>,
    /// `½ [∇g_i · ∇Δg_j + ∇g_j · ∇Δg_i]`, `[n, n]`: linear against cubic part.
    pub cross: Matrix<f64>,
}

impl SecondOrder {
    /// Derivatives at `y` along the rows of `directions`, `[m, D]`, which are orthonormal.
    ///
    /// `m²` rows through one third-order program.
    ///
    /// # Errors
    /// If an operation of the map has no such derivative.
    pub fn new(map: &dyn Map, y: &[f64], directions: &Matrix<f64>) -> Result<Self, Error> {
        let (m, d) = directions.shape();
        // Row i m + k: a = the i-th direction, b = the k-th.
        let pick =
            |of: fn(usize, usize) -> usize| Matrix::from_fn(m * m, d, |row, j| directions[(of(row, m), j)]);
        let all = directional(map, y, &pick(|row, m| row / m), &pick(|row, m| row % m))?;
        let n = all.first.cols();
        let jacobian = Matrix::from_fn(n, m, |o, i| all.first[(i * m, o)]);
        let laplacian = (0..n).map(|o| (0..m).map(|i| all.second[(i * m, o)]).sum()).collect();
        let slope = Matrix::from_fn(n, m, |o, k| (0..m).map(|i| all.third[(i * m + k, o)]).sum());
        let spread = all.mixed.transpose().mul(&all.mixed).map(|x| 0.5 * x);
        let product = jacobian.mul(&slope.transpose());
        let cross = Matrix::from_fn(n, n, |i, j| 0.5 * (product[(i, j)] + product[(j, i)]));
        Ok(Self { jacobian, spread, laplacian, cross })
    }

    /// The second-order term for neighbourhoods `ξ` with `E ξξᵀ = I` and
    /// `E ξ_i ξ_j ξ_k ξ_l = c (δ_ij δ_kl + δ_ik δ_jl + δ_il δ_jk)`:
    /// `K = c [½<H_i, H_j> + ½(∇g_i·∇Δg_j + ∇g_j·∇Δg_i)] - ¼ (1 - c) Δg_i Δg_j`.
    ///
    /// `c = 1` is the normal neighbourhood, `c = (m+2)/(m+4)` the uniform ball.
    pub fn k(&self, c: f64) -> Matrix<f64> {
        let n = self.spread.rows();
        Matrix::from_fn(n, n, |i, j| {
            c * (self.spread[(i, j)] + self.cross[(i, j)])
                - 0.25 * (1.0 - c) * self.laplacian[i] * self.laplacian[j]
        })
    }
}
