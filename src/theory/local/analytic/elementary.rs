//! Closed forms of maps that are affine, quadratic, or act on each column.

use super::{Case, Closed};
use crate::flow::bijections::{Affine, Banana, Form, SinhArcsinh};
use crate::flow::{Error, Flow};
use eigenflow_linalg::Matrix;
use eigenflow_linalg::lu::Lu;
use rand::RngExt;
use rand_pcg::Pcg64;

impl Case {
    /// A random affine map: `J_g = W⁻¹`, `K = 0`.
    ///
    /// # Errors
    /// If the matrix is singular.
    pub fn affine(d: usize, random: &mut Pcg64) -> Result<Self, Error> {
        let mut flow = Flow::new(vec![Affine::new(d, Form::Full).into()], 0, 0)?;
        let w = Matrix::from_fn(d, d, |i, j| random.random_range(-0.5..0.5) + if i == j { 2.0 } else { 0.0 });
        let b: Vec<f64> = (0..d).map(|_| random.random_range(-1.0..1.0)).collect();
        flow.parameters_mut()[0].data.copy_from_slice(w.data());
        flow.parameters_mut()[1].data.copy_from_slice(&b);
        let y: Vec<f64> = (0..d).map(|_| random.random_range(-2.0..2.0)).collect();
        let lu = Lu::new(&w)?;
        let jacobian = lu.inverse()?;
        let centred = Matrix::from_fn(d, 1, |i, _| y[i] - b[i]);
        let x = jacobian.mul(&centred).into_data();
        let closed = Closed { x, jacobian, log_det: lu.slogdet().1, k: Matrix::zeros(d, d), exact: true };
        Ok(Self { name: "affine", flow, y, closed })
    }

    /// A random banana: `J_g = I + 2 y_1 b e_1ᵀ`, `K = 2 b bᵀ`, `log|det| = 0`.
    ///
    /// # Errors
    /// If `d` is 0.
    pub fn banana(d: usize, random: &mut Pcg64) -> Result<Self, Error> {
        let mut flow = Flow::new(vec![Banana { dim: d }.into()], 0, 0)?;
        let mut b = vec![0.0; d];
        b[1..].iter_mut().for_each(|b| *b = random.random_range(-1.5..1.5));
        if let Some(bend) = flow.parameters_mut().first_mut() {
            bend.data.copy_from_slice(&b[1..]);
        }
        let y: Vec<f64> = (0..d).map(|_| random.random_range(-2.0..2.0)).collect();
        let x = (0..d).map(|i| y[i] + b[i] * (y[0] * y[0] - 1.0)).collect();
        let slope = |i: usize, j: usize| if j == 0 { 2.0 * y[0] * b[i] } else { 0.0 };
        let jacobian = Matrix::from_fn(d, d, |i, j| slope(i, j) + f64::from(u8::from(i == j)));
        let k = Matrix::from_fn(d, d, |i, j| 2.0 * b[i] * b[j]);
        let closed = Closed { x, jacobian, log_det: 0.0, k, exact: true };
        Ok(Self { name: "banana", flow, y, closed })
    }

    /// A random sinh-arcsinh. With `q = 1 + y²` and `u = (asinh y + ε)/δ`, for each column
    /// `g' = cosh u / (δ√q)`, `g'' = sinh u / (δ² q) - y cosh u / (δ q^{3/2})`,
    /// `g''' = cosh u (δ⁻³ - δ⁻¹) q^{-3/2} - 3 y sinh u δ⁻² q⁻² + 3 y² cosh u δ⁻¹ q^{-5/2}`, and
    /// `K_ii = ½ g''² + g' g'''`. Off the diagonal `K` is zero.
    ///
    /// # Errors
    /// If `d` is 0.
    pub fn sinh_arcsinh(d: usize, random: &mut Pcg64) -> Result<Self, Error> {
        let mut flow = Flow::new(vec![SinhArcsinh { dim: d, skew: 0.0, tail: 1.0 }.into()], 0, 0)?;
        let mut draw = |low, high| (0..d).map(|_| random.random_range(low..high)).collect::<Vec<f64>>();
        let (skew, log_tail, y) = (draw(-0.7, 0.7), draw(-0.5, 0.5), draw(-2.0, 2.0));
        flow.parameters_mut()[0].data.copy_from_slice(&skew);
        flow.parameters_mut()[1].data.copy_from_slice(&log_tail);
        let (mut x, mut first, mut k) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..d {
            let (y, tail) = (y[i], log_tail[i].exp());
            let (q, u) = (1.0 + y * y, (y.asinh() + skew[i]) / tail);
            let (sinh, cosh) = (u.sinh(), u.cosh());
            let g1 = cosh / (tail * q.sqrt());
            let g2 = sinh / (tail * tail * q) - y * cosh / (tail * q.powf(1.5));
            let g3 = cosh * (tail.powi(-3) - 1.0 / tail) * q.powf(-1.5) - 3.0 * y * sinh / (tail * q).powi(2)
                + 3.0 * y * y * cosh / tail * q.powf(-2.5);
            x.push(sinh);
            first.push(g1);
            k.push(0.5 * g2 * g2 + g1 * g3);
        }
        let log_det = -first.iter().map(|g| g.ln()).sum::<f64>();
        let (jacobian, k) = (Matrix::diagonal(&first), Matrix::diagonal(&k));
        Ok(Self { name: "sinh-arcsinh", flow, y, closed: Closed { x, jacobian, log_det, k, exact: false } })
    }
}
