//! Shards, lanes and phases: the right numbers, and the same bits for any number of threads.

use eigenflow_autodiff::{Error, Program, Runner, Var, push_jacobian};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

fn sample(len: usize, seed: u64) -> Vec<f64> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..len).map(|_| 2.0 * rng.random::<f64>() - 1.0).collect()
}

fn with_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

const D: usize = 3;
const H: usize = 16;

/// Loss, gradients, sums over rows and Jacobians of a network that is wide enough for small shards.
fn training() -> Program<f64> {
    Program::try_record(|r| {
        let (x, v, w) = (r.batch(D), r.shared(D, H), r.shared(H, D));
        let y = (0..4).fold(x, |x, _| x.matmul(v).tanh().matmul(w) + x);
        let loss = y.square().sum_all();
        let mut out = vec![loss, y.sum_rows(), push_jacobian(r, y, x)?, y];
        out.extend(r.gradient(loss, &[v, w, x])?);
        Ok::<_, Error>(out)
    })
    .unwrap()
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let program = training();
    let (v, w) = (sample(D * H, 1), sample(H * D, 2));
    for rows in [1, 7, 64, 500, 1999, 5000] {
        let x = sample(rows * D, 3);
        let run = || program.run(rows, &[&x], &[&v, &w]).unwrap();
        let bits = |out: Vec<Vec<f64>>| -> Vec<u64> { out.concat().iter().map(|x| x.to_bits()).collect() };
        let one = bits(with_threads(1, run));
        for threads in [2, 3] {
            assert!(one == bits(with_threads(threads, run)), "{rows} rows, {threads} threads");
        }
    }
    assert!(program.shard_rows() < 1000, "the rows above must span many shards");
}

/// What follows from fixed shared inputs alone is that of the first run; sums over rows and all that depends on rows is new in each.
#[test]
fn a_runner_keeps_what_follows_from_fixed_weights() {
    let program = training();
    let (v, w) = (sample(D * H, 1), sample(H * D, 2));
    let mut runner = program.runner().with_fixed_shared();
    for rows in [300, 5, 2000, 0, 300] {
        let x = sample(rows * D, rows as u64);
        let mut out: Vec<Vec<f64>> =
            program.output_shapes().iter().map(|s| vec![f64::NAN; s.len(rows)]).collect();
        let mut views: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        runner.run(rows, &[&x], &[&v, &w], &mut views).unwrap();
        assert_eq!(out, program.run(rows, &[&x], &[&v, &w]).unwrap(), "{rows} rows");
    }
    // The exponential of a weight is not taken again, though the promise is broken here.
    let program = Program::<f64>::record(|r| {
        let (x, w) = (r.batch(1), r.shared(1, 1));
        vec![x * w.exp()]
    });
    let twice = |mut runner: Runner<f64>| {
        [0.0, 1.0].map(|w| {
            let mut y = [0.0];
            runner.run(1, &[&[2.0]], &[&[w]], &mut [&mut y]).unwrap();
            y[0]
        })
    };
    let near = |y: [f64; 2], expected: [f64; 2]| y.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14);
    assert!(near(twice(program.runner().with_fixed_shared()), [2.0, 2.0]));
    assert!(near(twice(program.runner()), [2.0, 2.0 * std::f64::consts::E]));
}

/// Transposes that only operations on rows read are every thread's own. They are those of the weights of this run, in later phases too, and
/// in a runner whose weights stay a thread makes them once.
#[test]
fn what_threads_have_for_themselves_is_of_this_run() {
    let program = Program::<f64>::record(|r| {
        let (x, v) = (r.batch(D), r.shared(H, D));
        let y = x.matmul(v.transpose());
        // Read by an operation on shared values, hence there once; what follows from it is not.
        let w = (v.square().transpose() * y.sum_rows()).transpose();
        vec![y, y.matmul(w)]
    });
    let entry = |v: &[f64], h: usize, d: usize| v[h * D + d];
    let by_hand = |x: &[f64], v: &[f64]| -> Vec<f64> {
        let of = |row: &[f64], h: usize| (0..D).map(|d| row[d] * entry(v, h, d)).sum::<f64>();
        let y: Vec<Vec<f64>> = x.chunks(D).map(|row| (0..H).map(|h| of(row, h)).collect()).collect();
        let sums: Vec<f64> = (0..H).map(|h| y.iter().map(|y| y[h]).sum()).collect();
        let z = |y: &[f64], d: usize| (0..H).map(|h| y[h] * entry(v, h, d).powi(2) * sums[h]).sum::<f64>();
        y.concat().into_iter().chain(y.iter().flat_map(|y| (0..D).map(|d| z(y, d)))).collect()
    };
    for threads in [1, 2, 3] {
        with_threads(threads, || {
            let (mut varying, mut fixed) = (program.runner(), program.runner().with_fixed_shared());
            // Several shards, so that all threads have rows in every other turn; new weights in each.
            let shard = program.shard_rows();
            for (turn, rows) in [3 * shard + 1, 3, 4 * shard, 3 * shard].into_iter().enumerate() {
                let (x, first) = (sample(rows * D, rows as u64), sample(H * D, 0));
                let check = |runner: &mut Runner<f64>, v: &[f64], of: &[f64]| {
                    let (mut y, mut z) = (vec![f64::NAN; rows * H], vec![f64::NAN; rows * D]);
                    runner.run(rows, &[&x], &[v], &mut [&mut y, &mut z]).unwrap();
                    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-10 * (1.0 + b.abs());
                    let expected = by_hand(&x, of);
                    assert!(
                        [y, z].concat().iter().zip(&expected).all(near),
                        "{rows} rows, {threads} threads"
                    );
                };
                let v = sample(H * D, turn as u64);
                check(&mut varying, &v, &v);
                check(&mut fixed, &first, &first);
                check(&mut fixed.fork(), &first, &first);
                if threads == 1 {
                    // Not made again, though the promise is broken here; what follows from sums over rows is.
                    check(&mut fixed, &vec![f64::NAN; H * D], &first);
                }
            }
        });
    }
}

/// Late inputs alone are new: what a run in full gives, sums over rows and several threads included.
#[test]
fn a_run_again_is_a_run_with_other_late_inputs() {
    let program = Program::<f64>::record(|r| {
        let (x, v, w) = (r.batch(D), r.batch(D), r.shared(D, H));
        let moved = x.matmul(w).tanh() * v.matmul(w);
        vec![
            moved,
            v,
            x.exp(),
            moved.square().sum_rows() * w.sum_rows(),
            (moved / moved.sum_rows()).sum_cols(),
        ]
    });
    let (w, late) = (sample(D * H, 1), program.with_late_inputs(&[1]));
    assert_eq!(late.len(), program.len());
    for threads in [1, 3] {
        with_threads(threads, || {
            let mut runner = late.runner().with_fixed_shared();
            for rows in [300, 5, 2000, 0, 300] {
                let x = sample(rows * D, rows as u64);
                for turn in 0..3 {
                    let v = sample(rows * D, 100 + turn);
                    let mut out: Vec<Vec<f64>> =
                        program.output_shapes().iter().map(|s| vec![f64::NAN; s.len(rows)]).collect();
                    let mut views: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
                    // The first part keeps its values, whatever is given for what it reads.
                    let stale = vec![f64::NAN; rows * D];
                    match turn {
                        0 => runner.run(rows, &[&x, &v], &[&w], &mut views).unwrap(),
                        _ => runner.run_again(rows, &[&stale, &v], &[&w], &mut views).unwrap(),
                    }
                    let mut expected = late.run(rows, &[&x, &v], &[&w]).unwrap();
                    // Shards of another size add up in another order.
                    let plain = program.run(rows, &[&x, &v], &[&w]).unwrap().concat();
                    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
                    assert!(expected.concat().iter().zip(&plain).all(near), "{rows} rows, turn {turn}");
                    if turn > 0 {
                        // An output of the first part alone is not written again.
                        expected[2].fill(f64::NAN);
                    }
                    let bits = |out: &[Vec<f64>]| -> Vec<Vec<u64>> {
                        out.iter().map(|o| o.iter().map(|x| x.to_bits()).collect()).collect()
                    };
                    assert!(bits(&out) == bits(&expected), "{rows} rows, turn {turn}, {threads} threads");
                }
            }
        });
    }
    // Beyond an early sum over rows the early inputs are read again.
    let centred = Program::<f64>::record(|r| {
        let (x, v) = (r.batch(1), r.batch(1));
        vec![(x - x.sum_rows()).exp() * v]
    });
    let mut runner = centred.with_late_inputs(&[1]).runner();
    let mut y = [0.0; 2];
    for scale in [1.0, 3.0] {
        runner.run_again(2, &[&[0.5, -0.5], &[scale, scale]], &[], &mut [&mut y]).unwrap();
        let expected = [0.5_f64, -0.5].map(|x| scale * x.exp());
        assert!(y.iter().zip(expected).all(|(y, e)| (y - e).abs() < 1e-14), "{y:?}");
    }
    // Without late inputs, or after a run of other rows, it is a run in full.
    let (x, v) = (sample(2 * D, 7), sample(2 * D, 8));
    for program in [&program, &late] {
        let expected = program.run(2, &[&x, &v], &[&w]).unwrap();
        let mut out: Vec<Vec<f64>> = expected.iter().map(|s| vec![f64::NAN; s.len()]).collect();
        let mut views: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        program.runner().run_again(2, &[&x, &v], &[&w], &mut views).unwrap();
        assert_eq!(out, expected);
    }
}

#[test]
fn a_runner_is_reused_for_any_number_of_rows() {
    let program = training();
    let (v, w) = (sample(D * H, 1), sample(H * D, 2));
    let mut runner = program.runner();
    for rows in [300, 5, 2000, 0, 300] {
        let x = sample(rows * D, rows as u64);
        let mut out: Vec<Vec<f64>> =
            program.output_shapes().iter().map(|s| vec![f64::NAN; s.len(rows)]).collect();
        let mut views: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        runner.run(rows, &[&x], &[&v, &w], &mut views).unwrap();
        assert_eq!(out, program.run(rows, &[&x], &[&v, &w]).unwrap(), "{rows} rows");
    }
}

/// `(x - mean) / sqrt(variance + ε)` over the batch, twice, with a product between.
fn normalised<'t>(x: Var<'t, f64>, w: Var<'t, f64>, rows: usize) -> Var<'t, f64> {
    let normalise = |x: Var<'t, f64>| {
        let centred = x - x.sum_rows() * (1.0 / rows as f64);
        centred / (centred.square().sum_rows() * (1.0 / rows as f64) + 1e-3).sqrt()
    };
    normalise(normalise(x).matmul(w).tanh())
}

/// The same on plain numbers.
fn normalised_directly(x: &[f64], w: &[f64], rows: usize) -> Vec<f64> {
    let normalise = |x: &mut [f64]| {
        for j in 0..D {
            let column: Vec<f64> = (0..rows).map(|n| x[n * D + j]).collect();
            let mean = column.iter().sum::<f64>() / rows as f64;
            let variance = column.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64;
            (0..rows).for_each(|n| x[n * D + j] = (x[n * D + j] - mean) / (variance + 1e-3).sqrt());
        }
    };
    let mut x = x.to_vec();
    normalise(&mut x);
    let mut y: Vec<f64> = (0..rows * D)
        .map(|k| (0..D).map(|i| x[k / D * D + i] * w[i * D + k % D]).sum::<f64>().tanh())
        .collect();
    normalise(&mut y);
    y
}

#[test]
fn sums_over_rows_feed_back_into_rows_across_shards() {
    let w = sample(D * D, 5);
    for rows in [2, 40, 3000] {
        let (x, u, v) = (sample(rows * D, 6), sample(rows * D, 7), sample(rows * D, 8));
        let program = Program::try_record(|r| {
            let (x, u, v, w) = (r.batch(D), r.batch(D), r.batch(D), r.shared(D, D));
            let y = normalised(x, w, rows);
            let pulled = r.vjp(&[(y, u)], &[x, w])?;
            // The gradient of a function of the gradient: phases of phases.
            let twice = r.gradient(pulled[0].square().sum_all(), &[x])?[0];
            Ok::<_, Error>(vec![y, pulled[0], pulled[1], r.jvp(&[y], &[(x, v)])?[0], twice])
        })
        .unwrap();
        let run = |x: &[f64]| program.run(rows, &[x, &u, &v], &[&w]).unwrap();
        let out = with_threads(2, || run(&x));
        assert_eq!(out, with_threads(1, || run(&x)), "{rows} rows");
        let close = |a: f64, b: f64, scale: f64| assert!((a - b).abs() <= scale, "{rows} rows: {a} {b}");
        for (&a, b) in out[0].iter().zip(normalised_directly(&x, &w, rows)) {
            close(a, b, 1e-11);
        }
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        close(dot(&u, &out[3]), dot(&out[1], &v), 1e-10);
        let h = 1e-6;
        let moved = |h: f64| -> Vec<f64> { x.iter().zip(&v).map(|(x, v)| x + h * v).collect() };
        let (ahead, behind) = (run(&moved(h)), run(&moved(-h)));
        for ((a, b), jv) in ahead[0].iter().zip(&behind[0]).zip(&out[3]) {
            close((a - b) / (2.0 * h), *jv, 1e-7);
        }
        let penalty = |out: &[Vec<f64>]| dot(&out[1], &out[1]);
        let slope = (penalty(&ahead) - penalty(&behind)) / (2.0 * h);
        let expected = dot(&out[4], &v);
        close(slope, expected, 1e-6 * expected.abs().max(penalty(&out)));
    }
}

/// A carried value lives on while later phases use slots of their own.
#[test]
fn carried_values_do_not_lose_their_slots() {
    let program = Program::record(|r| {
        let x = r.batch(2);
        let a = x.exp();
        let total = a.sum_rows();
        // In the second phase: `a` is read last here, while `b` and `c` are alive.
        let b = x * total;
        let c = a * b;
        let d = x - total;
        let e = d.sin() + c;
        vec![(b * c) + (d * e), e.sum_rows(), c]
    });
    let rows = 700;
    let x = sample(rows * 2, 9);
    let out = program.run(rows, &[&x], &[]).unwrap();
    let total = [0, 1].map(|j| (0..rows).map(|n| x[2 * n + j].exp()).sum::<f64>());
    for (k, &x) in x.iter().enumerate() {
        let (a, total) = (x.exp(), total[k % 2]);
        let (b, d) = (x * total, x - total);
        let c = a * b;
        let expected = b * c + d * (d.sin() + c);
        assert!((out[0][k] - expected).abs() <= 1e-10 * expected.abs().max(1.0));
        assert!((out[2][k] - c).abs() <= 1e-12 * c.abs().max(1.0));
    }
}

/// Programs of inputs alone, outputs that repeat, and outputs of every kind.
#[test]
fn outputs_of_every_kind() {
    let program = Program::record(|r| {
        let (x, w) = (r.batch(2), r.shared(1, 2));
        let y = x * w;
        vec![x, w, y, y, y.sum_rows(), w.exp(), r.row(&[4.0]), x]
    });
    let out = program.run(2, &[&[1.0, 2.0, 3.0, 4.0]], &[&[0.0, 2.0]]).unwrap();
    let expected: [&[f64]; 8] = [
        &[1.0, 2.0, 3.0, 4.0],
        &[0.0, 2.0],
        &[0.0, 4.0, 0.0, 8.0],
        &[0.0, 4.0, 0.0, 8.0],
        &[0.0, 12.0],
        &[1.0, 2.0_f64.exp()],
        &[4.0],
        &[1.0, 2.0, 3.0, 4.0],
    ];
    assert_eq!(out, expected);
    assert!(Program::<f64>::record(|r| vec![r.batch(1)]).is_empty());
}

/// Shared operations that read nothing of each other go to several threads: the inverses of matrices, what is computed from pairs of
/// them, and that again with a sum over rows between.
#[test]
fn threads_share_operations_on_shared_values() {
    const N: usize = 48;
    let program = Program::<f64>::record(|r| {
        let matrices: Vec<_> = (0..12).map(|_| r.shared(N, N)).collect();
        let x = r.batch(N);
        let inverses: Vec<_> = matrices.iter().map(|m| m.inverse()).collect();
        let products: Vec<_> = inverses.iter().zip(&matrices[1..]).map(|(a, b)| a.matmul(*b)).collect();
        let sum = x.square().sum_rows();
        let again: Vec<_> = products.iter().map(|p| sum.matmul(*p)).collect();
        let last = again.iter().zip(&products).fold(sum, |s, (a, p)| s + a.tanh().matmul(*p));
        [inverses, products, again, vec![last]].concat()
    });
    let matrices: Vec<Vec<f64>> = (0..12)
        .map(|k| {
            let mut m = sample(N * N, k);
            m.iter_mut().step_by(N + 1).for_each(|x| *x += 20.0);
            m
        })
        .collect();
    let shared: Vec<&[f64]> = matrices.iter().map(Vec::as_slice).collect();
    let x = sample(100 * N, 77);
    let run = |rows: usize| program.run(rows, &[&x[..rows * N]], &shared).unwrap();
    let one = with_threads(1, || run(100));
    for threads in [2, 3] {
        assert!(one == with_threads(threads, || run(100)), "{threads} threads");
    }
    assert!(one == run(100), "a thread from outside of the pool");
    // The first product is A₀⁻¹ A₁, so A₀ times it is A₁.
    let product = &one[12];
    for i in 0..N {
        for j in 0..N {
            let back: f64 = (0..N).map(|k| matrices[0][i * N + k] * product[k * N + j]).sum();
            assert!((back - matrices[1][i * N + j]).abs() <= 1e-12, "{i} {j}");
        }
    }
    let none = with_threads(2, || run(0));
    assert!(none[..23] == one[..23] && none[23].iter().all(|x| *x == 0.0), "a sum over no rows is zero");
}

/// Sums of more numbers than one thread adds alone, by hand too: whole numbers, so no order of the additions matters to that.
#[test]
fn threads_share_large_sums() {
    const N: usize = 130;
    let program = Program::<f64>::try_record(|r| {
        let (x, a, b) = (r.batch(N), r.shared(N, N), r.shared(N, N));
        let both = (x.matmul(a) + x.square().matmul(b)).sum_all();
        let gradients = r.gradient(both, &[a, b])?;
        Ok::<_, Error>([vec![both, x.sum_rows()], gradients].concat())
    })
    .unwrap();
    // Several lanes have rows.
    let rows = 3 * program.shard_rows() + 1;
    let x: Vec<f64> = (0..rows * N).map(|i| ((i * 37 + 11) % 101) as f64 - 50.0).collect();
    let (a, b) = (vec![1.0; N * N], vec![-2.0; N * N]);
    let run = || program.run(rows, &[&x], &[&a, &b]).unwrap();
    let one = with_threads(1, run);
    for threads in [2, 3] {
        assert!(one == with_threads(threads, run), "{threads} threads");
    }
    assert!(one == run(), "a thread from outside of the pool");
    // Squares of the totals too, by whoever added them up; those of a run of fewer lanes are not those of the run before.
    for rows in [rows, program.shard_rows(), 1] {
        let squares = || {
            let mut runner = program.runner();
            for rows in [rows / 2 + 1, rows] {
                runner.run_in_place(rows, &[&x[..rows * N]], &[&a, &b]).unwrap();
            }
            let squares: Vec<f64> = (0..4).map(|k| runner.square(k)).collect();
            for (k, found) in squares.iter().enumerate() {
                let square: f64 = runner.output(k).iter().map(|x| x * x).sum();
                assert!((found - square).abs() <= 1e-13 * square, "output {k}, {rows} rows");
            }
            squares
        };
        let one = with_threads(1, squares);
        assert!([2, 3].into_iter().all(|threads| one == with_threads(threads, squares)), "{rows} rows");
    }
    for i in 0..N {
        let of = |f: fn(f64) -> f64| x.iter().skip(i).step_by(N).map(|&x| f(x)).sum::<f64>();
        let row = i * N..(i + 1) * N;
        assert_eq!([&one[2][row.clone()], &one[3][row]], [vec![of(|x| x); N], vec![of(|x| x * x); N]], "{i}");
    }
}

/// What a run in place leaves is what a run copies: sums, what follows from them, constants and shared inputs themselves.
#[test]
fn a_run_in_place_has_the_outputs_of_a_run() {
    let program = Program::<f64>::record(|r| {
        let (x, w) = (r.batch(2), r.shared(1, 2));
        let sum = (x * w).sum_rows();
        vec![sum, sum.exp() + w, w, r.row(&[4.0]), x.square().sum_all(), w]
    });
    let mut runner = program.runner();
    for rows in [2, 300, 0, 2] {
        let (x, w) = (sample(rows * 2, rows as u64), sample(2, 7 + rows as u64));
        let expected = program.run(rows, &[&x], &[&w]).unwrap();
        runner.run_in_place(rows, &[&x], &[&w]).unwrap();
        for (k, expected) in expected.iter().enumerate() {
            assert_eq!(runner.output(k), expected, "output {k} of {rows} rows");
            let square: f64 = expected.iter().map(|x| x * x).sum();
            assert!((runner.square(k) - square).abs() <= 1e-14 * square, "square of {k}, {rows} rows");
        }
    }
    // Squares of sums of both phases, whose accumulators lie in another order than the phases.
    let program = Program::<f64>::record(|r| {
        let x = r.batch(2);
        let late = (x - x.sum_rows()).sum_rows();
        vec![x.sum_rows(), late, x.square().sum_rows()]
    });
    let mut runner_of_two = program.runner();
    for rows in [1, program.shard_rows() * 3, 5] {
        runner_of_two.run_in_place(rows, &[&sample(rows * 2, rows as u64)], &[]).unwrap();
        for k in 0..3 {
            let square: f64 = runner_of_two.output(k).iter().map(|x| x * x).sum();
            assert!((runner_of_two.square(k) - square).abs() <= 1e-14 * square, "square of {k}, {rows} rows");
        }
    }
    let wrong = runner.run_in_place(2, &[&[1.0]], &[&[1.0, 1.0]]);
    assert!(matches!(wrong, Err(Error::Length { what: "batch input", given: 1, .. })));
    // Copies come from the same place.
    let mut outputs = vec![vec![f64::NAN; 2]; 6];
    (outputs[3], outputs[4]) = (vec![0.0], vec![0.0]);
    let mut views: Vec<&mut [f64]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
    runner.run(1, &[&[1.0, 2.0]], &[&[3.0, 5.0]], &mut views).unwrap();
    assert_eq!((outputs[0].as_slice(), outputs[4].as_slice()), (&[3.0, 10.0][..], &[5.0][..]));
}

#[test]
#[should_panic(expected = "outputs of a run in place are shared values")]
fn rows_are_no_outputs_in_place() {
    let program = Program::<f64>::record(|r| vec![r.batch(1).exp()]);
    let _ = program.runner().run_in_place(1, &[&[1.0]], &[]);
}

/// What a copying run wrote is not taken for what a run in place left.
#[test]
#[should_panic(expected = "a run in place before")]
fn a_run_that_copies_leaves_no_output() {
    let program = Program::<f64>::record(|r| vec![r.batch(1).sum_rows()]);
    let mut runner = program.runner();
    runner.run_in_place(1, &[&[1.0]], &[]).unwrap();
    assert_eq!(runner.output(0), [1.0]);
    runner.run(1, &[&[2.0]], &[], &mut [&mut [0.0]]).unwrap();
    let _ = runner.output(0);
}
