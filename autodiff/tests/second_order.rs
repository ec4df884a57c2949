//! Derivatives to third order against dual numbers, an implementation of another kind.

use eigenflow_autodiff::{Error, Program, Recorder, Var, hessian, hvp};
use num_dual::{DualNum, second_derivative, second_partial_derivative, third_derivative};

/// First, second and third derivatives of a function of one column, by several nestings each.
fn orders<F>(f: F, x: &[f64]) -> Vec<(usize, Vec<f64>)>
where
    F: for<'t> FnOnce(&'t Recorder<f64>, Var<'t, f64>) -> Var<'t, f64>,
{
    let order = [0, 1, 1, 2, 2, 2, 3, 3];
    let program = Program::try_record(|r| {
        let x = r.batch(1);
        let one = r.full(x.shape(), 1.0);
        let push = |y| -> Result<Var<'_, f64>, Error> { Ok(r.jvp(&[y], &[(x, one)])?[0]) };
        let pull = |y| -> Result<Var<'_, f64>, Error> { Ok(r.gradient(y, &[x])?[0]) };
        let y = f(r, x);
        let (forward, reverse) = (push(y)?, pull(y)?);
        let mixed = push(reverse)?;
        let second = [pull(forward)?, mixed, push(forward)?];
        Ok::<_, Error>(
            [[y, forward, reverse].as_slice(), &second, &[pull(mixed)?, push(push(forward)?)?]].concat(),
        )
    });
    order.into_iter().zip(program.unwrap().run(x.len(), &[x], &[]).unwrap()).collect()
}

/// Rounding that a derivative of each order may have, relative to `max(1, |value|)`.
const TOLERANCE: [f64; 4] = [1e-15, 4e-15, 4e-14, 1e-12];

macro_rules! oracle {
    ($($name:ident in $points:expr => |$x:ident| $ours:expr, |$d:ident| $theirs:expr;)*) => {
        $(
            #[test]
            fn $name() {
                fn theirs<D: DualNum<Primitive = f64> + Copy>($d: D) -> D {
                    $theirs
                }
                let points: &[f64] = &$points;
                let ours = orders(|_, $x| $ours, points);
                for (k, &x) in points.iter().enumerate() {
                    let (f, d1, d2, d3) = third_derivative(theirs, x);
                    let expected = [f, d1, d2, d3];
                    for (order, values) in &ours {
                        let (a, b) = (values[k], expected[*order]);
                        let error = (a - b).abs() / b.abs().max(1.0);
                        assert!(error <= TOLERANCE[*order], "order {order} at {x}: {a} and {b}, {error:.1e}");
                    }
                }
            }
        )*
    };
}

oracle! {
    exp in [-2.0, 0.0, 1.3] => |x| x.exp(), |x| x.exp();
    exp_m1 in [-2.0, 1e-9, 1.3] => |x| x.exp_m1(), |x| x.exp_m1();
    ln in [0.4, 1.0, 7.0] => |x| x.ln(), |x| x.ln();
    ln_1p in [-0.6, 1e-9, 7.0] => |x| x.ln_1p(), |x| x.ln_1p();
    tanh in [-2.0, 0.0, 0.7] => |x| x.tanh(), |x| x.tanh();
    sigmoid in [-2.0, 0.0, 0.7] => |x| x.sigmoid(), |x| ((-x).exp() + 1.0).recip();
    softplus in [-2.0, 0.0, 0.7] => |x| x.softplus(), |x| x.exp().ln_1p();
    sinh in [-2.0, 0.0, 0.7] => |x| x.sinh(), |x| x.sinh();
    cosh in [-2.0, 0.0, 0.7] => |x| x.cosh(), |x| x.cosh();
    asinh in [-2.0, 0.0, 0.7] => |x| x.asinh(), |x| x.asinh();
    sin in [-2.0, 0.0, 0.7] => |x| x.sin(), |x| x.sin();
    cos in [-2.0, 0.0, 0.7] => |x| x.cos(), |x| x.cos();
    sqrt in [0.4, 1.0, 7.0] => |x| x.sqrt(), |x| x.sqrt();
    recip in [-2.0, 0.8, 3.0] => |x| x.recip(), |x| x.recip();
    square in [-2.0, 0.0, 3.0] => |x| x.square(), |x| x * x;
    powi in [-2.0, 0.8, 1.5] => |x| x.powi(5) + x.powi(-3) + x.powi(3), |x| x.powi(5) + x.powi(-3) + x.powi(3);
    powf in [0.4, 1.0, 3.0] => |x| x.powf(2.3) + x.powf(-0.7), |x| x.powf(2.3) + x.powf(-0.7);
    pow in [0.4, 1.0, 2.0] => |x| x.pow(x), |x| (x * x.ln()).exp();
    abs in [-2.0, 0.5] => |x| x.abs() * x, |x| if x < 0.0 { -x * x } else { x * x };
    quotient in [-2.0, 0.1, 1.0] => |x| x.sin() / (x.square() + 2.0), |x| x.sin() / (x * x + 2.0);
    affine in [-2.0, 0.1] => |x| -(x * 3.0 - 1.0) / 7.0 + x * x, |x| -(x * 3.0 - 1.0) / 7.0 + x * x;
    composite in [-1.0, 0.1, 0.9] => |x| (x.tanh() * x.exp()).asinh().softplus() - (x.cos() * x).ln_1p(),
        |x| (x.tanh() * x.exp()).asinh().exp().ln_1p() - (x.cos() * x).ln_1p();
    selection in [-1.0, 0.9] => |x| x.gt(x.square()).select((x + 0.2).ln(), x.sin()),
        |x| if x > x * x { (x + 0.2).ln() } else { x.sin() };
    maximum in [-1.0, 0.9] => |x| x.sin().max(x.powi(3)) * x.exp().min(x + 1.5),
        |x| {
            let (a, b) = (x.sin(), x.powi(3));
            let (c, d) = (x.exp(), x + 1.5);
            (if a > b { a } else { b }) * (if c < d { c } else { d })
        };
    logsumexp in [-1.0, 0.9] => |x| Var::concat(&[x, x.square(), x.sin()]).logsumexp(),
        |x| (x.exp() + (x * x).exp() + x.sin().exp()).ln();
    softmax in [-1.0, 0.9] => |x| Var::concat(&[x, x.square()]).softmax().slice(1..2),
        |x| (x * x).exp() / (x.exp() + (x * x).exp());
}

/// `erf' = 2/√π exp(-x²)`; the quantile's are those of an inverse function.
#[test]
fn functions_that_the_oracle_lacks() {
    let points = [-1.0, 0.2, 0.9];
    for (order, values) in orders(|_, x| x.erf(), &points) {
        for (value, x) in values.iter().zip(points) {
            let d = std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp();
            let expected = [*value, d, -2.0 * x * d, (4.0 * x * x - 2.0) * d][order];
            assert!((value - expected).abs() <= TOLERANCE[order], "{order} {x}");
        }
    }
    let points = [0.1, 0.5, 0.8];
    let ours = orders(|_, x| x.normal_quantile(), &points);
    let z = ours[0].1.clone();
    for (order, values) in ours {
        for (value, z) in values.iter().zip(&z) {
            let d = (0.5 * z * z).exp() * (2.0 * std::f64::consts::PI).sqrt();
            let expected = [*value, d, z * d * d, (1.0 + 2.0 * z * z) * d * d * d][order];
            assert!((value - expected).abs() <= TOLERANCE[order] * expected.abs().max(1.0), "{order} {z}");
        }
    }
}

const X: [f64; 3] = [0.7, -0.4, 1.2];
const W: [f64; 9] = [0.5, -1.0, 0.3, 0.8, 0.2, -0.6, -0.1, 0.9, 0.4];

/// A small network with a quadratic form: every pair of inputs interacts.
fn network<'t>(r: &'t Recorder<f64>, x: Var<'t, f64>) -> Var<'t, f64> {
    let w = r.constant(3, 3, &W);
    let h = (x.matmul(w) + r.row(&[0.1, 0.2, 0.3])).tanh();
    let g = Var::concat(&[h.slice(1..3), x.slice(0..1).exp()]).gather(&[2, 0, 0, 1]);
    g.logsumexp() + (x * x.matmul_t(w)).sum_cols() / (x.square().sum_cols() + 1.0)
}

fn network_dual<D: DualNum<Primitive = f64> + Copy>(x: [D; 3]) -> D {
    let h = |j: usize| {
        let product = (0..3).fold(D::from(0.1 * (j as f64 + 1.0)), |s, i| s + x[i] * W[3 * i + j]);
        product.tanh()
    };
    let g = [x[0].exp(), h(1), h(1), h(2)];
    let norm = x[0] * x[0] + x[1] * x[1] + x[2] * x[2] + 1.0;
    let mut form = D::from(0.0);
    for i in 0..3 {
        for j in 0..3 {
            form += x[i] * x[j] * W[3 * i + j];
        }
    }
    g.iter().fold(D::from(0.0), |s, g| s + g.exp()).ln() + form / norm
}

/// `x` with another coordinate `i`.
fn with<D>(mut x: [D; 3], i: usize, value: D) -> [D; 3] {
    x[i] = value;
    x
}

#[test]
fn hessians_and_their_products_against_the_oracle() {
    let expected = |i: usize, j: usize| {
        if i == j {
            return second_derivative(|x| network_dual(with(X.map(From::from), i, x)), X[i]).2;
        }
        let pair = |(x, y)| network_dual(with(with(X.map(From::from), i, x), j, y));
        second_partial_derivative(pair, (X[i], X[j])).3
    };
    let ours = hessian(network, 3, &X).unwrap();
    let v = [0.3, -2.0, 0.5];
    let product = hvp(network, 3, &X, &v).unwrap();
    for i in 0..3 {
        for j in 0..3 {
            assert!((ours[3 * i + j] - expected(i, j)).abs() < 1e-14);
        }
        let row: f64 = (0..3).map(|j| expected(i, j) * v[j]).sum();
        assert!((product[i] - row).abs() < 1e-14);
    }
}
