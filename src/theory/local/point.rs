//! Everything the local claims need at one latent.

use super::map::Map;
use super::noise::rounding;
use super::second_order::SecondOrder;
use super::series::{Cubature, Series, radii, series};
use crate::flow::{Error, Flow};
use crate::random::generator;
use crate::theory::Context;
use eigenflow_autodiff::{Program, push_jacobian};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::qr;
use rand::RngExt;
use rand_distr::StandardNormal;

/// A latent with the derivatives of the map there and the measured `S(ε)`.
pub struct Point {
    /// `J_g P`, `[n, m]`, by the library's push.
    pub jacobian: Matrix<f64>,
    /// The second-order term, `[n, n]`.
    pub k: Matrix<f64>,
    /// Units of the data columns: the norms of the rows of `J_g P`.
    pub scale: Vec<f64>,
    /// `S(ε)` in those units.
    pub series: Series,
}

impl Point {
    /// Measures `map` at `y` along the rows of `directions`.
    ///
    /// # Errors
    /// Those of the tape; a value or derivative that is not finite gives an empty series.
    pub fn measure(
        map: &dyn Map,
        y: &[f64],
        directions: &Matrix<f64>,
        cubature: Cubature,
    ) -> Result<Self, Error> {
        let jacobian = jacobian(map, y)?.mul(&directions.transpose());
        let second = SecondOrder::new(map, y, directions)?;
        let k = second.k(cubature.fourth(directions.rows()));
        let scale = units(&jacobian);
        let finite = jacobian.data().iter().chain(k.data()).all(|x| x.is_finite());
        let noise = if finite { jacobian_noise(map, y, directions, &scale)? } else { None };
        let series = match noise {
            Some(noise) => series(map, y, directions, cubature, &scale, noise, &radii())?,
            None => Series { eps: vec![], s: vec![], floor: vec![], usable: vec![] },
        };
        Ok(Self { jacobian, k, scale, series })
    }
}

/// `J_g` at `y`, `[n, D]`, by one push.
pub(super) fn jacobian(map: &dyn Map, y: &[f64]) -> Result<Matrix<f64>, Error> {
    let program = Program::try_record(|r| {
        let z = r.batch(map.inputs());
        let x = map.record(r, z);
        Ok::<_, Error>(vec![push_jacobian(r, x, z)?])
    })?;
    let block = program.run(1, &[y], &map.shared())?.pop().unwrap_or_default();
    Ok(Matrix::new(y.len(), block.len() / y.len(), block).transpose())
}

/// Norms of the rows; 1 for a row of zeros.
pub(super) fn units(jacobian: &Matrix<f64>) -> Vec<f64> {
    let norm = |i| jacobian.row(i).iter().fold(0.0_f64, |m, x| m.hypot(*x));
    (0..jacobian.rows()).map(|i| Some(norm(i)).filter(|n| *n > 0.0).unwrap_or(1.0)).collect()
}

/// `J_g P` at every row of `z`, `[rows, m n]`: column `k n + i` is `∂_k g_i`.
pub(super) fn along(
    map: &dyn Map,
    z: &Matrix<f64>,
    directions: &Matrix<f64>,
) -> Result<Option<Matrix<f64>>, Error> {
    let program = Program::try_record(|r| {
        let (z, a) = (r.batch(map.inputs()), r.batch(map.inputs()));
        let x = map.record(r, z);
        r.jvp(&[x], &[(z, a)])
    })?;
    let n = program.output_shapes()[0].cols();
    let mut out = Matrix::zeros(z.rows(), directions.rows() * n);
    for k in 0..directions.rows() {
        let a = directions.row(k).repeat(z.rows());
        let one = program.run(z.rows(), &[z.data(), &a], &map.shared())?.pop().unwrap_or_default();
        if one.iter().any(|x| !x.is_finite()) {
            return Ok(None);
        }
        for (to, from) in (0..z.rows()).zip(one.chunks_exact(n)) {
            out.row_mut(to)[k * n..(k + 1) * n].copy_from_slice(from);
        }
    }
    Ok(Some(out))
}

/// Standard deviation of rounding in `J_g P`, Frobenius norm in units of `scale`.
pub(super) fn jacobian_noise(
    map: &dyn Map,
    y: &[f64],
    directions: &Matrix<f64>,
    scale: &[f64],
) -> Result<Option<f64>, Error> {
    let noise = rounding(y, |z| along(map, z, directions))?;
    let square = |(k, x): (usize, &f64)| (x / scale[k % scale.len()]).powi(2);
    Ok(noise.map(|noise| noise.iter().enumerate().map(square).sum::<f64>().sqrt()))
}

/// `m` random orthonormal rows of `d` columns; all of them are the axes if `m = d`.
///
/// # Errors
/// Those of the QR factorisation.
pub fn random_directions(m: usize, d: usize, seed: u64) -> Result<Matrix<f64>, Error> {
    if m >= d {
        return Ok(Matrix::identity(d));
    }
    let mut random = generator(seed, "directions", d as u64);
    let normal = Matrix::from_fn(d, m, |_, _| random.sample(StandardNormal));
    Ok(qr::qr(&normal)?.q.transpose())
}

/// `count` rows: the first held-out or training ones, or draws where there are none.
///
/// # Errors
/// As [`Flow::generate`].
pub fn data_rows(cx: &Context<'_>, count: usize) -> Result<Matrix<f64>, Error> {
    let d = cx.flow.dim();
    match cx.held_out.or(cx.training) {
        Some(x) if x.rows() > 0 && x.cols() == d => {
            let n = count.min(x.rows());
            Ok(Matrix::new(n, d, x.data()[..n * d].to_vec()))
        }
        _ => cx.flow.sample(count, 1.0, cx.seed),
    }
}

/// `count` latents: those of the first held-out rows, or draws where there are none.
///
/// # Errors
/// As [`Flow::normalize`].
pub fn latents(cx: &Context<'_>, count: usize) -> Result<Matrix<f64>, Error> {
    let flow: &Flow<f64> = cx.flow;
    let d = flow.dim();
    match cx.held_out {
        Some(x) if x.rows() > 0 && x.cols() == d => {
            let n = count.min(x.rows());
            Ok(flow.normalize(&Matrix::new(n, d, x.data()[..n * d].to_vec()))?.0)
        }
        _ => Ok(flow.draw_latents(count, 1.0, cx.seed)),
    }
}
