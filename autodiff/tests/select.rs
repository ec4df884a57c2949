//! A branch that is not taken is never differentiated, to any order.

use eigenflow_autodiff::{Program, Recorder, Var, push_jacobian};

type F = for<'t> fn(&'t Recorder<f64>, Var<'t, f64>) -> Var<'t, f64>;

/// First to third derivatives of a function of one column, at each point: reverse, forward over
/// reverse and by a push, reverse over reverse, and forward over both.
fn derivatives(f: F, x: &[f64]) -> Vec<Vec<f64>> {
    let program = Program::try_record(|r| {
        let x = r.batch(1);
        let one = r.full(x.shape(), 1.0);
        let y = f(r, x);
        let g = r.gradient(y, &[x])?[0];
        let second = r.gradient(g, &[x])?[0];
        Ok::<_, eigenflow_autodiff::Error>(vec![
            g,
            push_jacobian(r, y, x)?,
            second,
            r.jvp(&[g], &[(x, one)])?[0],
            push_jacobian(r, g, x)?,
            r.jvp(&[second], &[(x, one)])?[0],
            r.gradient(second, &[x])?[0],
        ])
    })
    .unwrap();
    program.run(x.len(), &[x], &[]).unwrap()
}

/// `f` is partial; where `x <= 0` the smooth branch `x²` is taken.
fn guarded(f: F) -> impl for<'t> Fn(&'t Recorder<f64>, Var<'t, f64>) -> Var<'t, f64> {
    move |r, x| x.gt(r.scalar(0.0)).select(f(r, x), x.square())
}

#[test]
fn partial_functions_do_no_harm_where_they_are_not_taken() {
    let partial: [(&str, F); 14] = [
        ("ln", |_, x| x.ln()),
        ("sqrt", |_, x| x.sqrt()),
        ("recip", |_, x| x.recip()),
        ("powf", |_, x| x.powf(0.5)),
        ("powi", |_, x| x.powi(-2)),
        ("division", |r, x| r.full(x.shape(), 1.0) / x),
        ("division of itself", |_, x| x / x),
        ("total of partial", |_, x| x.ln().tanh().sigmoid()),
        ("product with infinity", |_, x| x * (x.recip() * -1000.0).exp()),
        ("square of partial", |_, x| x.ln().square()),
        ("logsumexp", |_, x| Var::concat(&[x.ln(), x]).logsumexp()),
        ("softmax", |_, x| Var::concat(&[x.ln(), x]).softmax().slice(0..1)),
        ("max", |_, x| x.ln().max(x.sqrt())),
        ("variable power", |_, x| x.pow(x)),
    ];
    for (name, f) in partial {
        let program = |x: &[f64]| {
            // The same measurements through a closure that captures.
            let g = guarded(f);
            let program = Program::try_record(|r| {
                let x = r.batch(1);
                let one = r.full(x.shape(), 1.0);
                let y = g(r, x);
                let first = r.gradient(y, &[x])?[0];
                let second = r.gradient(first, &[x])?[0];
                Ok::<_, eigenflow_autodiff::Error>(vec![
                    first,
                    push_jacobian(r, y, x)?,
                    second,
                    r.jvp(&[first], &[(x, one)])?[0],
                    push_jacobian(r, first, x)?,
                    r.gradient(second, &[x])?[0],
                    r.jvp(&[second], &[(x, one)])?[0],
                ])
            });
            program.unwrap().run(x.len(), &[x], &[]).unwrap()
        };
        for x in [-1.5, 0.0] {
            let d: Vec<f64> = program(&[x]).concat();
            assert_eq!(d, [2.0 * x, 2.0 * x, 2.0, 2.0, 2.0, 0.0, 0.0], "{name} at {x}");
        }
        // Where it is taken, it is differentiated.
        let (a, b) = (program(&[0.7]), derivatives(f, &[0.7]));
        assert_eq!((a[0][0], a[2][0]), (b[0][0], b[2][0]), "{name}");
    }
}

#[test]
fn nested_selections() {
    // ln x for x > 1, sqrt x for 0 < x <= 1, and x³ below.
    let f: F = |r, x| {
        let (zero, one) = (r.scalar(0.0), r.scalar(1.0));
        let inner = x.gt(one).select(x.ln(), x.sqrt());
        x.gt(zero).select(inner, x.powi(3))
    };
    let d = derivatives(f, &[-2.0, 0.0, 0.25, 2.0]);
    for first in &d[..2] {
        assert_eq!(first[..], [12.0, 0.0, 1.0, 0.5]);
    }
    for second in &d[2..5] {
        assert_eq!(second[..], [-12.0, 0.0, -2.0, -0.25]);
    }
    for third in &d[5..] {
        assert_eq!(third[..], [6.0, 6.0, 12.0, 0.25]);
    }
}

#[test]
fn a_selection_over_a_gradient_that_is_infinite() {
    // d/dx sqrt x is infinite at 0 and NaN below; it is used only above.
    let f: F = |r, x| {
        let zero = r.scalar(0.0);
        let root = x.gt(zero).select(x.sqrt(), zero);
        let slope = r.gradient(x.sqrt(), &[x]).unwrap()[0];
        x.gt(zero).select(slope * root, zero)
    };
    // sqrt' sqrt = 1/2, so every derivative is zero.
    for d in derivatives(f, &[-1.0, 0.0, 4.0]) {
        assert!(d.iter().all(|d| d.abs() < 1e-16), "{d:?}");
    }
}

#[test]
fn kinks_take_the_documented_side() {
    let at_zero = |f: F| derivatives(f, &[0.0])[..2].concat();
    assert_eq!(at_zero(|_, x| x.abs()), [1.0, 1.0]);
    assert_eq!(at_zero(|r, x| x.max(r.scalar(0.0))), [1.0, 1.0]);
    assert_eq!(at_zero(|r, x| r.scalar(0.0).max(x)), [0.0, 0.0]);
    assert_eq!(at_zero(|r, x| x.min(r.scalar(0.0))), [0.0, 0.0]);
    assert_eq!(at_zero(|_, x| x.powf(0.0)), [0.0, 0.0]);
    assert_eq!(at_zero(|_, x| x.powf(1.0)), [1.0, 1.0]);
    assert_eq!(at_zero(|_, x| x.powf(3.0)), [0.0, 0.0]);
}
