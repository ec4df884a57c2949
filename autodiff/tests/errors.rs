//! An operation with no derivative is an error, never a silent zero.

use eigenflow_autodiff::primitive::{Cotangents, Eval, Primitive, Shapes, Tangents};
use eigenflow_autodiff::primitives::row_product::RowProduct;
use eigenflow_autodiff::primitives::row_solve::RowSolve;
use eigenflow_autodiff::{
    Error, Mode, Program, Recorder, Shape, Tangent, Var, gradcheck, hessian, jacobian, pull_jacobian,
    push_jacobian, vjp,
};

fn reason(error: Error) -> (&'static str, &'static str) {
    match error {
        Error::NoDerivative { op, kind, .. } => (op, kind),
        other => panic!("{other}"),
    }
}

/// `x` minus its mean over the batch: rows see each other.
fn centred<'t>(_: &'t Recorder<f64>, x: Var<'t, f64>) -> Var<'t, f64> {
    x - x.sum_rows() * 0.25
}

#[test]
fn the_jacobian_of_a_row_does_not_cross_a_sum_over_rows() {
    for cols in [1, 2] {
        let x = vec![1.0; 4 * cols];
        let forward = jacobian(centred, cols, &x, Mode::Forward).unwrap_err();
        assert_eq!(reason(forward), ("sum", "forward"));
        let reverse = jacobian(centred, cols, &x, Mode::Reverse).unwrap_err();
        assert_eq!(reason(reverse), ("sub", "reverse"));
        let seeds = 3;
        let many = vjp(centred, cols, &x, seeds, &vec![1.0; 4 * cols * seeds]).unwrap_err();
        assert_eq!(reason(many), ("sub", "reverse"));
    }
    let recorder = Recorder::<f64>::new();
    let x = recorder.batch(2);
    let y = x.matmul(x.outer(x));
    assert_eq!(reason(push_jacobian(&recorder, y, x).unwrap_err()), ("outer", "forward"));
    assert_eq!(reason(pull_jacobian(&recorder, y, x).unwrap_err()), ("matmul", "reverse"));
    // A Hessian across rows is refused too; one direction at a time is not.
    assert!(hessian(|_, x| x.sum_cols() * x.sum_all(), 2, &[1.0; 4]).is_err());
    assert!(recorder.jvp(&[y], &[(x, x)]).is_ok());
}

#[test]
fn blocks_of_tangents_are_not_nested() {
    let r = Recorder::<f64>::new();
    let x = r.batch(2);
    let j = push_jacobian(&r, x.sin(), x).unwrap();
    assert_eq!(reason(push_jacobian(&r, j.sum_tangents(), x).unwrap_err()), ("diagonal_to_block", "forward"));
    assert_eq!(reason(pull_jacobian(&r, j.sum_tangents(), x).unwrap_err()), ("sum", "reverse"));
    // One tangent, and one cotangent, at a time.
    assert!(r.jvp(&[j], &[(x, x)]).is_ok());
    assert!(r.gradient(j, &[x]).is_ok());
}

#[test]
fn tangents_and_cotangents_must_fit() {
    let r = Recorder::<f64>::new();
    let (x, w) = (r.batch(2), r.shared(2, 2));
    let y = x.matmul(w);
    let wrong = |e: Error| assert!(matches!(e, Error::Shape { .. }), "{e}");
    wrong(r.push(&[y], &[(w, Tangent::identity(2))]).unwrap_err());
    wrong(r.push(&[y], &[(x, Tangent::identity(3))]).unwrap_err());
    wrong(r.push(&[y], &[(x, Tangent::dense(w))]).unwrap_err());
    wrong(r.jvp(&[y], &[(x, w)]).unwrap_err());
    wrong(r.vjp(&[(y, w)], &[x]).unwrap_err());
    wrong(r.vjp(&[(y, r.batch(3))], &[x]).unwrap_err());
    let (two, three) = (r.batch_block(2, 2), r.batch_block(3, 2));
    wrong(r.vjp(&[(y, two), (y.exp(), three)], &[x]).unwrap_err());
    wrong(r.vjp(&[(y, two), (y.exp(), y)], &[x]).unwrap_err());
    assert_eq!(reason(r.vjp(&[(y, two)], &[w]).unwrap_err()), ("vjp", "reverse"));
    wrong(push_jacobian(&r, x.sum_rows(), x).unwrap_err());
    wrong(pull_jacobian(&r, w, x).unwrap_err());
    wrong(hessian(|_, x| x, 2, &[1.0, 2.0]).unwrap_err());
    wrong(jacobian(|r, _| r.scalar(1.0), 2, &[1.0, 2.0], Mode::Cheaper).unwrap_err());
}

#[test]
fn structural_zeros_have_the_shape_of_their_input() {
    let r = Recorder::<f64>::new();
    let (x, z) = (r.batch(2), r.batch(3));
    let block = r.batch_block(4, 2);
    // A block is an ordinary value here, not a block of seeds.
    assert_eq!(r.vjp(&[(block, block)], &[z]).unwrap()[0].shape(), Shape::batch(3));
    assert_eq!(r.vjp(&[(x, block)], &[z]).unwrap()[0].shape(), Shape::block(4, 3));
    assert_eq!(r.jvp(&[z], &[(x, x)]).unwrap()[0].shape(), Shape::batch(3));
}

#[test]
fn a_singular_matrix_gives_nan_and_an_infinite_logarithm() {
    let program = Program::<f64>::try_record(|r| {
        let (w, x) = (r.shared(2, 2), r.batch(2));
        let (log, solved) = (w.log_abs_det(), w.solve_lines(x));
        let mut out = vec![log, solved, w.inverse(), w.cholesky()];
        out.extend(r.gradient(log, &[w])?);
        Ok::<_, Error>(out)
    })
    .unwrap();
    let out = program.run(1, &[&[1.0, 1.0]], &[&[1.0, 2.0, 2.0, 4.0]]).unwrap();
    assert_eq!(out[0], [f64::NEG_INFINITY]);
    assert!(out[1..].iter().flatten().all(|x| x.is_nan()), "{out:?}");
    let out = program.run(1, &[&[1.0, 1.0]], &[&[1.0, f64::NAN, 2.0, 4.0]]).unwrap();
    assert!(out[0][0].is_nan() && out[4].iter().any(|x| x.is_nan()));
}

#[test]
fn wrong_numbers_and_lengths_are_named() {
    let program = Program::<f64>::record(|r| vec![r.batch(2).matmul(r.shared(2, 2))]);
    let w = [1.0; 4];
    let count = program.run(1, &[], &[&w]).unwrap_err();
    assert_eq!(count.to_string(), "the program takes 1 batch input, 0 given");
    let length = program.run(3, &[&[1.0; 4]], &[&w]).unwrap_err();
    assert_eq!(
        length.to_string(),
        "batch input 0 of shape Batch { tangents: 1, cols: 2 } needs 6 numbers, 4 given"
    );
    assert!(matches!(program.run(1, &[&[1.0; 2]], &[&w, &w]).unwrap_err(), Error::Count { .. }));
    let mut short = [0.0; 3];
    let run = program.runner().run(2, &[&[1.0; 4]], &[&w], &mut [&mut short]);
    assert!(matches!(run.unwrap_err(), Error::Length { what: "output", .. }));
    assert!(jacobian(|_, x| x.exp(), 3, &[1.0; 4], Mode::Forward).is_err());
}

#[test]
fn gradcheck_finds_a_wrong_rule() {
    // The kink of |x| inside the step: finite differences see neither slope.
    let at_kink = gradcheck(|_, x| x[0].abs(), 1, &[(Shape::batch(1), &[0.0_f64])]);
    assert!(matches!(at_kink, Err(Error::Gradient { .. })), "{at_kink:?}");
    // A pole: NaN is not a pass.
    let at_pole = gradcheck(|_, x| x[0].ln(), 1, &[(Shape::batch(1), &[0.0_f64])]);
    assert!(matches!(at_pole, Err(Error::Gradient { .. })), "{at_pole:?}");
    let check = |wrong: Wrong| {
        gradcheck(move |r, x| r.apply(wrong, x), 2, &[(Shape::batch(2), &[0.3, -1.2, 0.7, 2.0])])
    };
    let rule = |result: Result<_, Error>| match result {
        Err(Error::Gradient { rule, .. }) => rule,
        other => panic!("{other:?}"),
    };
    let right = Wrong { jvp: 1.0, vjp: 1.0 };
    assert!(check(right).is_ok());
    assert_eq!(rule(check(Wrong { jvp: 1.0 + 1e-6, ..right })), "jvp");
    assert_eq!(rule(check(Wrong { vjp: 1.0 + 1e-6, ..right })), "vjp");
    assert_eq!(rule(check(Wrong { vjp: 1.0 + 1e-12, ..right })), "duality");
}

/// `x²`, with derivatives that are off by a factor.
#[derive(Clone, Copy, Debug)]
struct Wrong {
    jvp: f64,
    vjp: f64,
}

impl Primitive<f64> for Wrong {
    fn name(&self) -> &'static str {
        "wrong square"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        Ok(inputs.iter().copied().collect())
    }

    fn eval(&self, cx: &mut Eval<'_, '_, f64>) {
        cx.outputs[0].iter_mut().zip(cx.inputs[0]).for_each(|(y, x)| *y = x * x);
    }

    fn jvp<'t>(
        &self,
        _r: &'t Recorder<f64>,
        x: &[Var<'t, f64>],
        _y: &[Var<'t, f64>],
        dx: &[Tangent<'t, f64>],
    ) -> Result<Tangents<'t, f64>, Error> {
        Ok([dx[0].scale(x[0] * (2.0 * self.jvp))].into_iter().collect())
    }

    fn vjp<'t>(
        &self,
        _r: &'t Recorder<f64>,
        x: &[Var<'t, f64>],
        _y: &[Var<'t, f64>],
        dy: &[Option<Var<'t, f64>>],
        _need: &[bool],
    ) -> Result<Cotangents<'t, f64>, Error> {
        Ok([dy[0].map(|dy| dy.chain(x[0] * (2.0 * self.vjp)))].into_iter().collect())
    }
}

fn pair(x: Var<'_, f64>) -> Var<'_, f64> {
    x.slice(0..1) * x.slice(1..2)
}

/// Blocks that are multiplied, solved or placed have a tangent axis of their own, also where it has one entry: many seeds at once would take its
/// place. One seed at a time is fine.
#[test]
fn operations_on_blocks_refuse_many_seeds() {
    let x = [2.0, 5.0, 0.5];
    let refused = |result: Result<Vec<f64>, Error>, op: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(op) && message.contains("at a time"), "{op}: {message}");
    };
    refused(jacobian(|_, x| pair(x).row_log_abs_det(), 2, &x[..2], Mode::Forward), "row_log_abs_det");
    let one_seed = jacobian(|_, x| pair(x).row_log_abs_det(), 2, &x[..2], Mode::Reverse).unwrap();
    assert!((one_seed[0] - 0.5).abs() < 1e-15 && (one_seed[1] - 0.2).abs() < 1e-15);
    let dot = RowProduct { transpose_a: false, transpose_b: true };
    refused(jacobian(|r, x| r.apply(dot, &[x, x]), 3, &x, Mode::Forward), "row_product");
    let solve = || RowSolve { transpose: false, order: None };
    let solved = |mode| jacobian(|r, x| r.apply(solve(), &[x.slice(0..1), x.slice(1..2)]), 2, &x[..2], mode);
    refused(solved(Mode::Forward), "row_solve");
    let plain = RowProduct { transpose_a: false, transpose_b: false };
    let scaled = |mode| jacobian(|r, x| r.apply(plain, &[x.slice(0..1), x.slice(1..3)]), 3, &x, mode);
    refused(scaled(Mode::Reverse), "row_product");
    let inner = jacobian(
        |r, x| {
            let u = pair(x);
            push_jacobian(r, u.tanh(), u).unwrap()
        },
        2,
        &x[..2],
        Mode::Forward,
    );
    refused(inner, "at a time");
}

/// Two single tangents of two seeds are a block: a sum over rows would add them up.
#[test]
fn tangents_of_several_seeds_do_not_cross_a_sum_over_rows() {
    Program::<f64>::record(|r| {
        let [x, y, dx, dy] = [(); 4].map(|()| r.batch(1));
        let pushed = |first, second| {
            let seeds = [(x, Tangent::dense_from(first, dx)), (y, Tangent::dense_from(second, dy))];
            r.push(&[(x + y).sum_rows()], &seeds)
        };
        assert!(pushed(0, 0).is_ok());
        assert!(pushed(0, 1).unwrap_err().to_string().contains("sum over rows"));
        vec![x]
    });
}

#[test]
fn derivatives_at_the_ends_of_what_there_is() {
    let power = |x: f64| jacobian(|_, x| x.powi(i32::MIN), 1, &[x], Mode::Reverse).unwrap()[0];
    assert!(power(2.0).abs() < 1e-300 && (power(-1.0) + f64::from(i32::MIN)).abs() < 1e-6);
    for mode in [Mode::Forward, Mode::Reverse, Mode::Cheaper] {
        assert!(jacobian(|_, x| x.slice(0..0), 2, &[1.0, 2.0], mode).unwrap().is_empty());
    }
}
