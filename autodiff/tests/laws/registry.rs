//! Every primitive, once: its name, the shapes it takes, where its inputs lie, and the call.

use super::equations::Tanh;
use eigenflow_autodiff::implicit::{Structure, solve};
use eigenflow_autodiff::primitives::diagonal::{
    BlockToDiagonal, DiagonalToBlock, RowDot, RowOuter, RowScale, Seeds,
};
use eigenflow_autodiff::primitives::extent::{PlaceTangents, TakeTangents};
use eigenflow_autodiff::primitives::row_product::RowProduct;
use eigenflow_autodiff::primitives::row_solve::RowSolve;
use eigenflow_autodiff::{Recorder, Shape, Var};
use eigenflow_linalg::Real;
use eigenflow_linalg::triangular::Triangular;
use rand::RngExt as _;
use rand_pcg::Pcg64;

/// Where the numbers of an input lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Domain {
    /// Uniform in an interval.
    In(f64, f64),
    /// Magnitudes in an interval, either sign.
    Away(f64, f64),
    /// `I + R/4`: condition numbers of a few units.
    Regular,
    /// `R Rᵀ + I`.
    Positive,
}

/// An input of a case.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    pub shape: Shape,
    pub domain: Domain,
}

pub type Call<T> = Box<dyn for<'t> Fn(&'t Recorder<T>, &[Var<'t, T>]) -> Var<'t, T>>;

type Operator<T> = for<'t> fn(Var<'t, T>, Var<'t, T>) -> Var<'t, T>;

pub struct Case<T> {
    pub name: &'static str,
    pub inputs: Vec<Input>,
    pub call: Call<T>,
}

impl Input {
    pub fn sample<T: Real>(&self, rows: usize, rng: &mut Pcg64) -> Vec<T> {
        let mut uniform = |lo: f64, hi: f64| lo + (hi - lo) * rng.random::<f64>();
        let (len, n) = (self.shape.len(rows), self.shape.cols());
        let x: Vec<f64> = match self.domain {
            Domain::In(lo, hi) => (0..len).map(|_| uniform(lo, hi)).collect(),
            Domain::Away(lo, hi) => {
                (0..len).map(|_| uniform(lo, hi) * if uniform(0.0, 1.0) < 0.5 { 1.0 } else { -1.0 }).collect()
            }
            Domain::Regular => {
                let eye = |k: usize| f64::from(u8::from(k / n % n == k % n));
                (0..len).map(|k| eye(k) + uniform(-0.25, 0.25)).collect()
            }
            Domain::Positive => {
                let r: Vec<f64> = (0..len).map(|_| uniform(-0.5, 0.5)).collect();
                let dot = |i: usize, j: usize| (0..n).map(|k| r[i * n + k] * r[j * n + k]).sum::<f64>();
                (0..len).map(|k| dot(k / n, k % n) + f64::from(u8::from(k / n == k % n))).collect()
            }
        };
        x.into_iter().map(T::of).collect()
    }
}

const ANY: Domain = Domain::In(-2.0, 2.0);

fn batch(cols: usize, domain: Domain) -> Input {
    Input { shape: Shape::batch(cols), domain }
}

fn block(tangents: usize, cols: usize) -> Input {
    Input { shape: Shape::block(tangents, cols), domain: ANY }
}

fn shared(rows: usize, cols: usize, domain: Domain) -> Input {
    Input { shape: Shape::shared(rows, cols), domain }
}

/// Two columns share the last of three seeds, and the second one moves nothing.
fn seeds() -> Seeds {
    Seeds::within(&[5, 3, 5], 3..6)
}

/// All primitives.
pub fn cases<T: Real>() -> Vec<Case<T>> {
    let mut all: Vec<Case<T>> = Vec::new();
    macro_rules! add {
        ($name:expr, [$($input:expr),*], |$r:pat_param, $x:ident| $call:expr) => {
            all.push(Case { name: $name, inputs: vec![$($input),*], call: Box::new(|$r, $x| $call) })
        };
    }
    macro_rules! unary {
        ($($name:literal in $domain:expr => |$x:ident| $call:expr;)*) => {
            $(
                add!($name, [batch(3, $domain)], |_, x| { let $x = x[0]; $call });
                add!(concat!($name, " (shared)"), [shared(2, 2, $domain)], |_, x| { let $x = x[0]; $call });
            )*
        };
    }
    let positive = Domain::In(0.3, 3.0);
    let away = Domain::Away(0.4, 2.0);
    unary! {
        "scale" in ANY => |x| x * T::of(1.7);
        "negate" in ANY => |x| -x;
        "offset" in ANY => |x| x - T::of(0.3);
        "divide by constant" in ANY => |x| x / T::of(3.0);
        "exp" in ANY => |x| x.exp();
        "exp_m1" in ANY => |x| x.exp_m1();
        "ln" in positive => |x| x.ln();
        "ln_1p" in Domain::In(-0.6, 2.0) => |x| x.ln_1p();
        "tanh" in ANY => |x| x.tanh();
        "sigmoid" in ANY => |x| x.sigmoid();
        "softplus" in ANY => |x| x.softplus();
        "sinh" in ANY => |x| x.sinh();
        "cosh" in ANY => |x| x.cosh();
        "asinh" in ANY => |x| x.asinh();
        "sin" in ANY => |x| x.sin();
        "cos" in ANY => |x| x.cos();
        "erf" in ANY => |x| x.erf();
        "normal_quantile" in Domain::In(0.1, 0.9) => |x| x.normal_quantile();
        "sqrt" in positive => |x| x.sqrt();
        "recip" in away => |x| x.recip();
        "square" in ANY => |x| x.square();
        "powi 0" in ANY => |x| x.powi(0) * x;
        "powi 5" in ANY => |x| x.powi(5);
        "powi -3" in away => |x| x.powi(-3);
        "powf" in positive => |x| x.powf(T::of(1.7));
        "powf 0" in ANY => |x| x.powf(T::ZERO) * x;
        "abs" in away => |x| x.abs();
    }

    // Every broadcast of two operands.
    let binary: [(&'static str, Domain, Operator<T>); 8] = [
        ("add", ANY, |a, b| a + b),
        ("sub", ANY, |a, b| a - b),
        ("mul", ANY, |a, b| a * b),
        ("div", away, |a, b| a / b),
        ("pow", positive, |a, b| a.pow(b)),
        ("max", ANY, |a, b| a.max(b)),
        ("min", ANY, |a, b| a.min(b)),
        ("chain", away, |a, b| a.chain(b)),
    ];
    let pairs = [
        (Shape::batch(3), Shape::batch(3)),
        (Shape::batch(3), Shape::batch(1)),
        (Shape::batch(1), Shape::batch(3)),
        (Shape::batch(3), Shape::shared(1, 3)),
        (Shape::shared(1, 3), Shape::batch(3)),
        (Shape::batch(3), Shape::shared(1, 1)),
        (Shape::shared(1, 3), Shape::batch(1)),
        (Shape::block(2, 3), Shape::batch(3)),
        (Shape::batch(1), Shape::block(2, 3)),
        (Shape::block(2, 1), Shape::batch(3)),
        (Shape::block(2, 3), Shape::shared(1, 3)),
        (Shape::shared(2, 3), Shape::shared(2, 3)),
        (Shape::shared(2, 1), Shape::shared(1, 3)),
        (Shape::shared(1, 1), Shape::shared(2, 3)),
    ];
    for (name, domain, call) in binary {
        for (a, b) in pairs {
            let inputs = vec![Input { shape: a, domain }, Input { shape: b, domain }];
            all.push(Case { name, inputs, call: Box::new(move |_, x| call(x[0], x[1])) });
        }
    }

    add!("select lt", [batch(3, ANY), batch(3, ANY), batch(1, ANY)], |_, x| x[0]
        .lt(x[1])
        .select(x[0].exp(), x[2]));
    add!("select ge, shared", [batch(3, ANY), shared(1, 3, ANY), shared(1, 1, ANY)], |_, x| {
        x[0].ge(x[2]).select(x[1], x[0].square())
    });
    add!("select, block", [batch(3, ANY), block(2, 3)], |_, x| x[0].gt(x[0].sin()).select(x[1], x[1].exp()));
    add!("masks and, or, not", [batch(3, ANY), batch(3, ANY)], |r, x| {
        let zero = r.scalar(T::ZERO);
        let (a, b) = (x[0].le(zero), x[1].gt(zero));
        a.and(b).select(x[0].exp(), a.or(b.not()).select(x[1].sin(), x[0] * x[1]))
    });

    add!("slice", [batch(5, ANY)], |_, x| x[0].slice(1..4));
    add!("slice, shared", [shared(2, 5, ANY)], |_, x| x[0].slice(2..5));
    add!("slice of nothing", [batch(3, ANY)], |_, x| Var::concat(&[x[0].slice(1..1), x[0].exp()]));
    add!("gather", [batch(4, ANY)], |_, x| x[0].gather(&[2, 0, 3, 1]));
    add!("gather with repeats", [batch(3, ANY)], |_, x| x[0].gather(&[2, 0, 2, 2, 1]));
    add!("gather, shared", [shared(2, 3, ANY)], |_, x| x[0].gather(&[1, 1]));
    add!("gather, block", [block(2, 3)], |_, x| x[0].gather(&[2, 0]));
    add!("concat", [batch(2, ANY), batch(1, ANY), batch(3, ANY)], |_, x| Var::concat(x));
    add!("concat of many", [batch(2, ANY)], |_, x| {
        let parts: Vec<_> = (0..7).map(|k| (x[0] * T::of(f64::from(k))).sin()).collect();
        Var::concat(&parts)
    });
    add!("concat, shared", [shared(2, 2, ANY), shared(2, 1, ANY)], |_, x| Var::concat(x));
    add!("concat, blocks", [block(2, 2), block(2, 1)], |_, x| Var::concat(x));
    add!("embed", [batch(5, ANY), batch(3, ANY)], |r, x| {
        r.vjp(&[(x[0].slice(1..4), x[1])], &[x[0]]).unwrap()[0].sin()
    });
    add!("scatter", [batch(3, ANY), batch(4, ANY)], |r, x| {
        r.vjp(&[(x[0].gather(&[2, 0, 2, 2]), x[1])], &[x[0]]).unwrap()[0].sin()
    });

    add!("sum_cols", [batch(3, ANY)], |_, x| x[0].sum_cols());
    add!("sum_cols, shared", [shared(2, 3, ANY)], |_, x| x[0].sum_cols());
    add!("sum_rows", [batch(3, ANY)], |_, x| x[0].sum_rows());
    add!("sum_rows, shared", [shared(2, 3, ANY)], |_, x| x[0].sum_rows());
    add!("sum_rows, block", [block(2, 3)], |_, x| x[0].sum_rows());
    add!("sum_all", [batch(3, ANY)], |_, x| x[0].sum_all());
    add!("sum_tangents", [block(3, 2)], |_, x| x[0].sum_tangents());
    add!("broadcast columns", [batch(1, ANY)], |_, x| x[0].broadcast_to(Shape::batch(3)));
    add!("broadcast a row", [shared(1, 3, ANY), batch(3, ANY)], |_, x| x[0].broadcast_to(x[1].shape())
        * x[1]);
    add!("broadcast tangents", [batch(2, ANY)], |_, x| x[0].broadcast_to(Shape::block(3, 2)));
    add!("broadcast, shared", [shared(2, 1, ANY)], |_, x| x[0].broadcast_to(Shape::shared(2, 3)));

    add!("matmul", [batch(3, ANY), shared(3, 2, ANY)], |_, x| x[0].matmul(x[1]));
    add!("matmul_t", [batch(3, ANY), shared(2, 3, ANY)], |_, x| x[0].matmul_t(x[1]));
    add!("matmul, block", [block(2, 3), shared(3, 4, ANY)], |_, x| x[0].matmul(x[1]));
    add!("matmul, shared", [shared(2, 3, ANY), shared(3, 4, ANY)], |_, x| x[0].matmul(x[1]));
    add!("matmul_t, shared", [shared(2, 3, ANY), shared(4, 3, ANY)], |_, x| x[0].matmul_t(x[1]));
    add!("outer", [batch(2, ANY), batch(3, ANY)], |_, x| x[0].outer(x[1]));
    add!("outer, block", [block(2, 2), block(2, 3)], |_, x| x[0].outer(x[1]));
    add!("outer, shared", [shared(4, 2, ANY), shared(4, 3, ANY)], |_, x| x[0].outer(x[1]));
    add!("transpose", [shared(2, 3, ANY)], |_, x| x[0].transpose());
    // Dot products, with whole vectors and remainders; columns just above their limit; single lines.
    for (lines, inner, cols) in [
        (batch(1, ANY), 1, 1),
        (batch(19, ANY), 19, 1),
        (block(3, 17), 17, 4),
        (batch(18, ANY), 18, 5),
        (shared(1, 7, ANY), 7, 6),
        (shared(1, 16, ANY), 16, 2),
    ] {
        let inputs = vec![lines, shared(cols, inner, ANY)];
        all.push(Case { name: "matmul_t, dots", inputs, call: Box::new(|_, x| x[0].matmul_t(x[1])) });
        let inputs = vec![lines, shared(inner, cols, ANY)];
        all.push(Case { name: "matmul, lines", inputs, call: Box::new(|_, x| x[0].matmul(x[1])) });
    }
    for flags in 0..4 {
        let (transpose_a, transpose_b) = (flags & 1 == 1, flags & 2 == 2);
        // Loops of their own for 2 and 4 columns, for any number, and the general product.
        for (m, k, n) in [(3, 2, 4), (1, 3, 2), (2, 4, 3), (2, 1, 1), (13, 13, 13)] {
            // The general product once: finite differences of its many inputs are slow.
            if m > 3 && flags != 3 {
                continue;
            }
            let of =
                |rows, cols, transpose: bool| if transpose { block(cols, rows) } else { block(rows, cols) };
            let inputs = vec![of(m, k, transpose_a), of(k, n, transpose_b)];
            let call: Call<T> = Box::new(move |r, x| r.apply(RowProduct { transpose_a, transpose_b }, x));
            all.push(Case { name: "row_product", inputs, call });
        }
    }
    add!("gather_rows", [shared(4, 2, ANY)], |_, x| x[0].gather_rows(&[2, 0, 3, 1]));
    add!("gather_rows with repeats", [shared(3, 2, ANY)], |_, x| x[0].gather_rows(&[2, 0, 2, 2]).sin());
    add!("gather_rows of nothing", [shared(3, 2, ANY)], |_, x| x[0].gather_rows(&[]).sum_rows()
        + x[0].sum_rows());
    add!("scatter_rows", [shared(3, 2, ANY), shared(4, 2, ANY)], |r, x| {
        r.vjp(&[(x[0].gather_rows(&[2, 0, 2, 2]), x[1])], &[x[0]]).unwrap()[0].sin()
    });

    add!("logsumexp", [batch(4, ANY)], |_, x| x[0].logsumexp());
    add!("logsumexp, shared", [shared(2, 3, ANY)], |_, x| x[0].logsumexp());
    add!("softmax", [batch(4, ANY)], |_, x| x[0].softmax());
    add!("softmax, block", [block(2, 3)], |_, x| x[0].softmax());
    add!("cumsum", [batch(4, ANY)], |_, x| x[0].cumsum());
    add!("cumsum from the right", [batch(4, ANY), batch(4, ANY)], |r, x| {
        r.vjp(&[(x[0].cumsum(), x[1])], &[x[0]]).unwrap()[0].sin()
    });

    let regular = Domain::Regular;
    add!("log_abs_det", [shared(3, 3, regular)], |_, x| x[0].log_abs_det());
    add!("inverse", [shared(3, 3, regular)], |_, x| x[0].inverse());
    add!("solve", [shared(3, 3, regular), shared(3, 2, ANY)], |_, x| x[0].solve(x[1]));
    add!("solve_lines", [shared(3, 3, regular), batch(3, ANY)], |_, x| x[0].solve_lines(x[1]));
    add!("solve_lines, shared", [shared(3, 3, regular), shared(2, 3, ANY)], |_, x| x[0].solve_lines(x[1]));
    add!("solve_lines, block", [shared(3, 3, regular), block(2, 3)], |_, x| x[0].solve_lines(x[1]));
    add!("solve with the transpose", [shared(3, 3, regular), batch(3, ANY), batch(3, ANY)], |r, x| {
        r.vjp(&[(x[0].solve_lines(x[1]), x[2])], &[x[1]]).unwrap()[0]
    });
    add!("cholesky", [shared(3, 3, Domain::Positive)], |_, x| x[0].cholesky());
    for half in [Triangular::LOWER, Triangular::UPPER, Triangular::UNIT_LOWER, Triangular::UNIT_UPPER] {
        for kind in [half, half.t()] {
            for lines in [batch(3, ANY), shared(2, 3, ANY), block(2, 3)] {
                let inputs = vec![shared(3, 3, regular), lines];
                let call: Call<T> = Box::new(move |_, x| x[0].solve_triangular(kind, x[1]));
                all.push(Case { name: "solve_triangular", inputs, call });
            }
        }
    }

    add!("diagonal to block", [batch(3, ANY)], |r, x| r.apply(DiagonalToBlock(seeds()), x));
    add!("block to diagonal", [block(3, 3)], |r, x| r.apply(BlockToDiagonal(seeds()), x));
    add!("row scale", [batch(3, ANY), shared(3, 2, ANY)], |r, x| r.apply(RowScale(seeds()), x));
    add!("row dot", [block(3, 2), shared(3, 2, ANY)], |r, x| r.apply(RowDot(seeds()), x));
    add!("row outer", [batch(3, ANY), block(3, 2)], |r, x| r.apply(RowOuter(seeds()), x));
    add!("place tangents", [block(2, 3)], |r, x| r.apply(PlaceTangents { at: 1, total: 4 }, x));
    add!("take tangents", [block(4, 2)], |r, x| r.apply(TakeTangents { at: 1, count: 2 }, x));

    for transpose in [false, true] {
        for lines in [1, 2] {
            let inputs = vec![Input { domain: regular, ..block(3, 3) }, block(lines, 3)];
            let call: Call<T> = Box::new(move |r, x| r.apply(RowSolve { transpose, order: None }, x));
            all.push(Case { name: "row_solve", inputs, call });
        }
        // Upper triangular, of a diagonal and entries above it.
        let inputs = vec![batch(3, Domain::In(0.7, 1.5)), batch(3, Domain::In(-0.3, 0.3)), block(2, 3)];
        let call: Call<T> = Box::new(move |r, x| {
            let placed = |seeds: [usize; 3], v| r.apply(DiagonalToBlock(Seeds::within(&seeds, 0..3)), &[v]);
            let matrix = placed([0, 1, 2], x[0]) + placed([0, 0, 1], x[1]);
            r.apply(RowSolve { transpose, order: Some([0, 1, 2].into()) }, &[matrix, x[2]])
        });
        all.push(Case { name: "row_solve, triangular", inputs, call });
    }
    add!("row_log_abs_det", [Input { domain: regular, ..block(3, 3) }], |_, x| x[0].row_log_abs_det());
    let small = Domain::In(-0.3, 0.3);
    add!("implicit, diagonal", [batch(3, ANY), shared(3, 3, small)], |_, x| solve(
        Tanh(Structure::Diagonal),
        x
    ));
    add!("implicit, triangular", [batch(3, ANY), shared(3, 3, small)], |_, x| solve(Tanh::triangular(), x));
    add!("implicit, dense", [batch(3, ANY), shared(3, 3, small)], |_, x| solve(Tanh(Structure::Dense), x));
    all
}
