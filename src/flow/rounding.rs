//! What one layer adds in rounding, from the operations it does.
//!
//! Every number is in units of `eps` and bounds, to first order, the error of one evaluation on exact
//! input: a sum of `n` products counts [`count`]`(n) Σ |a b|`, an elementwise function [`FUNCTION`] of its value
//! (the bound that the linear algebra promises and tests), an addition or product 1.

/// `c_n` with `|fl(Σ a_i b_i) - Σ a_i b_i| <= c_n eps Σ |a_i b_i|` for sums of `n` products, in any order.
///
/// The worst case is `n`; the probabilistic bound is `λ √n / 2` in units of `eps = 2u`, and with `λ = 8`
/// it fails with probability below `2 n exp(-32)` (N. J. Higham and T. Mary, *A new approach to
/// probabilistic rounding error analysis*, SIAM J. Sci. Comput. 41 (2019), theorem 2.4,
/// doi:10.1137/18M1226312).
///
/// ```
/// use eigenflow::flow::rounding::count;
/// assert_eq!((count(4), count(100)), (4.0, 40.0));
/// ```
pub fn count(n: usize) -> f64 {
    let n = n as f64;
    n.min(4.0 * n.sqrt())
}

/// Error of an elementwise function, in units of `eps`.
pub const FUNCTION: f64 = 4.0;

/// Rounding of one layer at one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounding {
    /// Of `normalize`, and of the backward error of `generate`, at each latent column.
    pub latent: Vec<f64>,
    /// Of `generate`, and of the backward error of `normalize`, at each data column.
    pub data: Vec<f64>,
    /// Of the layer's log-determinant; its Jacobian's diagonal, relative, sums to the same.
    pub log_det: f64,
}

/// The rounding of a layer with given parameters, at a row `x` that it takes to `z`.
pub type RoundingAt<'a> = Box<dyn Fn(&[f64], &[f64]) -> Rounding + 'a>;

impl Rounding {
    /// A layer of `dim` columns that rounds nothing but the sum of its log-determinant.
    pub fn none(dim: usize) -> Self {
        Self { latent: vec![0.0; dim], data: vec![0.0; dim], log_det: dim as f64 }
    }

    /// An elementwise layer: `f(j)` gives the latent's, the data's and the log-determinant's share of column `j`.
    pub fn columns(dim: usize, f: impl Fn(usize) -> (f64, f64, f64)) -> Self {
        let mut out = Self::none(dim);
        for j in 0..dim {
            let (latent, data, log_det) = f(j);
            (out.latent[j], out.data[j]) = (latent, data);
            out.log_det += log_det;
        }
        out
    }
}
