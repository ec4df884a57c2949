//! Operations with batch outputs and sums side by side, and derivatives by expansion.

use eigenflow_autodiff::primitive::{Cotangents, Eval, Primitive, Shapes, Tangents};
use eigenflow_autodiff::{Error, Program, Recorder, Shape, Tangent, Var, expand};

/// `(x, w) -> (x w, Σ_n x w²)` of a batch value and a row, defined by its expansion.
#[derive(Clone, Debug)]
struct Both;

impl Both {
    fn expand<'t>(x: &[Var<'t, f64>]) -> [Var<'t, f64>; 2] {
        [x[0] * x[1], (x[0] * x[1].square()).sum_rows()]
    }
}

impl Primitive<f64> for Both {
    fn name(&self) -> &'static str {
        "both"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        Ok([inputs[0], Shape::shared(1, inputs[0].cols())].into_iter().collect())
    }

    fn eval(&self, cx: &mut Eval<'_, '_, f64>) {
        let (x, w) = (cx.inputs[0], cx.inputs[1]);
        let [out, sum] = &mut *cx.outputs else { panic!("two outputs") };
        assert_eq!(out.len(), cx.rows * w.len());
        for (out, x) in out.chunks_exact_mut(w.len()).zip(x.chunks_exact(w.len())) {
            for j in 0..w.len() {
                out[j] = x[j] * w[j];
                sum[j] += x[j] * w[j] * w[j];
            }
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<f64>,
        x: &[Var<'t, f64>],
        _y: &[Var<'t, f64>],
        dx: &[Tangent<'t, f64>],
    ) -> Result<Tangents<'t, f64>, Error> {
        expand::push(r, &Self::expand(x), x, dx)
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<f64>,
        x: &[Var<'t, f64>],
        _y: &[Var<'t, f64>],
        dy: &[Option<Var<'t, f64>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, f64>, Error> {
        expand::pull(r, &Self::expand(x), x, dy, need)
    }
}

fn both<'t>(fused: bool, x: Var<'t, f64>, w: Var<'t, f64>) -> [Var<'t, f64>; 2] {
    if !fused {
        return Both::expand(&[x, w]);
    }
    let out = x.recorder().apply_all(Both, &[x, w]);
    [out[0], out[1]]
}

type Recorded<'t> = Result<Vec<Var<'t, f64>>, Error>;

/// Fused against expanded on many rows, and one thread against two.
fn agree<F>(what: &str, record: F)
where
    F: for<'t> Fn(&'t Recorder<f64>, [Var<'t, f64>; 2], bool) -> Recorded<'t>,
{
    let program =
        |fused| Program::<f64>::try_record(|r| record(r, [r.batch(3), r.shared(1, 3)], fused)).unwrap();
    let (fused, expanded) = (program(true), program(false));
    for rows in [0, 1, 5, 700, 5000] {
        let x: Vec<f64> = (0..3 * rows).map(|k| ((k * 37 + 11) % 101) as f64 / 50.0 - 1.0).collect();
        let w = [0.5, -1.25, 0.75];
        let run = |program: &Program<f64>, threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| program.run(rows, &[&x], &[&w]).unwrap())
        };
        let one = run(&fused, 1);
        assert_eq!(one, run(&fused, 2), "{what}, {rows} rows: bits of one and two threads");
        for (k, (a, b)) in one.iter().zip(&run(&expanded, 1)).enumerate() {
            let size = b.iter().fold(1.0_f64, |m, x| m.max(x.abs()));
            // Sums of `rows` numbers, nested twice at most, in another order.
            let allowed = 16.0 * (rows + 16) as f64 * f64::EPSILON * size;
            assert_eq!(a.len(), b.len());
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= allowed, "{what}, {rows} rows, output {k}: {a} {b}");
            }
        }
    }
    assert!(fused.shard_rows() < 5000, "several shards");
}

#[test]
fn batch_outputs_and_sums_stand_side_by_side() {
    agree("values", |_, [x, w], fused| {
        let [y, s] = both(fused, x, w);
        Ok(vec![y, s, y.sin() * w])
    });
}

#[test]
fn either_output_may_be_dead() {
    agree("rows alone", |_, [x, w], fused| Ok(vec![both(fused, x, w)[0].exp()]));
    agree("sum alone", |_, [x, w], fused| Ok(vec![both(fused, x, w)[1].exp()]));
}

/// The sum scales the rows of the next one: the rows are carried through three phases.
#[test]
fn phases_follow_on_each_other() {
    agree("phases", |_, [x, w], fused| {
        let [y, s] = both(fused, x, w);
        let [z, t] = both(fused, y + x, s.tanh());
        let [u, v] = both(fused, z * y, t.tanh() + w);
        // Slots of the last phase must not hold what was carried.
        let fill = (u * x).sin() + (u + y).cos();
        Ok(vec![u + y * z, v, s, fill, y])
    });
}

#[test]
fn derivatives_go_through_both() {
    agree("derivatives", |r, [x, w], fused| {
        let [y, s] = both(fused, x, w);
        let [z, t] = both(fused, y, s.tanh());
        let total = z.square().sum_all() + t.square().sum_all() + s.sin().sum_all();
        let g = r.gradient(total, &[x, w, y, s])?;
        let mut out = r.jvp(&[z, t, g[0], g[1]], &[(x, x), (w, w * 0.5)])?;
        out.extend(r.gradient(g[1].square(), &[w])?);
        out.extend(g);
        Ok(out)
    });
}

/// `(x, y) -> x y²` of two batch values, by expansion.
#[derive(Clone, Debug)]
struct Product;

impl Product {
    fn expand<'t>(x: &[Var<'t, f64>]) -> [Var<'t, f64>; 1] {
        [x[0] * x[1].square()]
    }
}

impl Primitive<f64> for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn shapes(&self, inputs: &[Shape]) -> Result<Shapes, Error> {
        Ok([inputs[0]].into_iter().collect())
    }

    fn eval(&self, cx: &mut Eval<'_, '_, f64>) {
        for (k, out) in cx.outputs[0].iter_mut().enumerate() {
            *out = cx.inputs[0][k] * cx.inputs[1][k] * cx.inputs[1][k];
        }
    }

    fn jvp<'t>(
        &self,
        r: &'t Recorder<f64>,
        x: &[Var<'t, f64>],
        _y: &[Var<'t, f64>],
        dx: &[Tangent<'t, f64>],
    ) -> Result<Tangents<'t, f64>, Error> {
        expand::push(r, &Self::expand(x), x, dx)
    }

    fn vjp<'t>(
        &self,
        r: &'t Recorder<f64>,
        x: &[Var<'t, f64>],
        _y: &[Var<'t, f64>],
        dy: &[Option<Var<'t, f64>>],
        need: &[bool],
    ) -> Result<Cotangents<'t, f64>, Error> {
        expand::pull(r, &Self::expand(x), x, dy, need)
    }
}

fn product<'t>(a: Var<'t, f64>, b: Var<'t, f64>) -> Var<'t, f64> {
    a.recorder().apply(Product, &[a, b])
}

/// All derivatives of `f(x)` to second order, by both modes: `[f', f', f'', f'', f'', f'']`.
fn derivatives(f: impl for<'t> Fn(&'t Recorder<f64>, Var<'t, f64>) -> Var<'t, f64>, at: f64) -> Vec<f64> {
    let program = Program::<f64>::try_record(|r| {
        let x = r.batch(1);
        let one = r.full(x.shape(), 1.0);
        let y = f(r, x);
        let pushed = r.jvp(&[y], &[(x, one)])?[0];
        let pulled = r.gradient(y, &[x])?[0];
        let mut out = vec![pushed, pulled];
        for first in [pushed, pulled] {
            out.extend(r.jvp(&[first], &[(x, one)])?);
            out.extend(r.gradient(first, &[x])?);
        }
        Ok::<_, Error>(out)
    });
    program.unwrap().run(1, &[&[at]], &[]).unwrap().concat()
}

/// Powers of 2 and small integers: all arithmetic below is exact.
#[test]
fn partial_derivatives_do_not_pass_from_input_to_input() {
    let check = |name: &str, found: Vec<f64>, [first, second]: [f64; 2]| {
        assert_eq!(found, [first, first, second, second, second, second], "{name}");
    };
    // One input is a function of the other: x (x²)² = x⁵, x² x² = x⁴.
    check("x, x²", derivatives(|_, x| product(x, x * x), 2.0), [80.0, 160.0]);
    check("x², x", derivatives(|_, x| product(x * x, x), 2.0), [32.0, 48.0]);
    // The same value twice: x³; and of a value that is a product itself: (x³)³ = x⁹.
    check("x, x", derivatives(|_, x| product(x, x), 2.0), [12.0, 12.0]);
    check(
        "y, y",
        derivatives(
            |_, x| {
                let y = product(x, x);
                product(y, y)
            },
            2.0,
        ),
        [2304.0, 9216.0],
    );
    // What is seeded stands: an input that does not move, though what it depends on does.
    let program = Program::<f64>::record(|r| {
        let x = r.batch(1);
        let y = x * x;
        let z = product(x, y);
        let seeds = [(x, Tangent::identity(1)), (y, Tangent::zero(1))];
        let pushed = r.push(&[z], &seeds).unwrap().swap_remove(0);
        vec![pushed.into_block(r, z.shape(), 1).unwrap()]
    });
    assert_eq!(program.run(1, &[&[2.0]], &[]).unwrap(), [[16.0]]);
}

/// A diagonal with repeats and gaps, rates of rows, and blocks that start late.
#[test]
fn tangents_from_parts() {
    let program = Program::<f64>::try_record(|r| {
        let (x, rates, block) = (r.batch(3), r.batch(3), r.batch_block(2, 3));
        let diagonal = Tangent::diagonal([4, 1, 4].into(), rates);
        let (seeds, found) = diagonal.as_diagonal().expect("one piece");
        assert_eq!(*seeds, [4, 1, 4]);
        assert!(found.is_some() && diagonal.support() == (1..5) && diagonal.is_wider_than(x.shape()));
        let (seeds, found) = Tangent::<f64>::identity(2).as_diagonal().expect("a diagonal");
        assert!(*seeds == [0, 1] && found.is_none());
        let dense = Tangent::dense_from(3, block);
        assert!(dense.as_diagonal().is_none() && dense.support() == (3..5));
        assert!(Tangent::<f64>::zero(3).as_diagonal().is_none());
        let pieces = Tangent::<f64>::concat(&[Tangent::identity(1), Tangent::identity(2)]);
        assert!(pieces.as_diagonal().is_none(), "two pieces");
        // Elementwise maps keep the diagonal; a sum with a block that starts elsewhere does not.
        let pushed = r.push(&[x.square()], &[(x, diagonal.clone())])?.swap_remove(0);
        assert!(pushed.as_diagonal().is_some());
        let sum = diagonal.add(dense, r, x.shape());
        let of = |t: Tangent<'_, f64>| t.support();
        assert_eq!(of(sum.clone()), 1..5);
        let out = [pushed, sum].map(|t| t.into_block(r, x.shape(), 6).expect("moves"));
        Ok::<_, Error>(out.to_vec())
    });
    let x = [1.0, 2.0, 3.0];
    let rates = [10.0, 20.0, 30.0];
    let block = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let out = program.unwrap().run(1, &[&x, &rates, &block], &[]).unwrap();
    let zero = [0.0; 3];
    let lines = |lines: [[f64; 3]; 6]| lines.concat();
    assert_eq!(out[0], lines([zero, [0.0, 80.0, 0.0], zero, zero, [20.0, 0.0, 180.0], zero]));
    assert_eq!(out[1], lines([zero, [0.0, 20.0, 0.0], zero, [1.0, 2.0, 3.0], [14.0, 5.0, 36.0], zero]));
}
