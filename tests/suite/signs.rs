//! Sign synchronisation: optimal where that can be known, certified elsewhere.

use eigenflow::components::{Components, components, nearest_neighbours, synchronise};
use eigenflow::flow::Flow;
use eigenflow::flow::presets::{Name, Preset};
use eigenflow::random::generator;
use eigenflow::theory::local::{SignSynchronisation, brute_force, violation};
use eigenflow::theory::{Claim, Context, Verdict};
use eigenflow_linalg::{Batch, Matrix};
use proptest::prelude::*;
use rand::RngExt;
use rand_distr::StandardNormal;
use std::f64::consts::PI;

type Edge = (usize, usize, f64);

/// Random edges; with `signs` frustration-free, otherwise with random signs.
fn random_edges(n: usize, share: f64, signs: Option<&[f64]>, seed: u64) -> Vec<Edge> {
    let mut random = generator(seed, "edges", n as u64);
    let mut edges = Vec::new();
    for i in 0..n {
        for j in 0..i {
            let size = random.random_range(0.01..1.0);
            let coin = if random.random::<bool>() { size } else { -size };
            if random.random::<f64>() < share {
                edges.push((j, i, signs.map_or(coin, |s| size * s[i] * s[j])));
            }
        }
    }
    edges
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against all 2^n signs: ours are never better, the bound is never below, and mostly ours are the optimum.
    #[test]
    fn brute_force_lies_between(n in 1_usize..14, share in 0.1..1.0_f64, seed: u64) {
        let edges = random_edges(n, share, None, seed);
        let found = synchronise(n, &edges).unwrap();
        let best = brute_force(n, &edges);
        let off = violation(&found, &edges, &[best, 0.0], Some(best));
        prop_assert!(off <= 1.0, "{off} {found:?} {best}");
        prop_assert!(found.objective <= found.bound && found.signs.iter().all(|s| s.powi(2).to_bits() == 1.0_f64.to_bits()));
    }

    /// Without frustration the signs come back, up to one flip a component, and the gap is nothing at all.
    #[test]
    fn frustration_free_graphs_are_solved(n in 2_usize..600, seed: u64) {
        let mut random = generator(seed, "planted", 0);
        let planted: Vec<f64> = (0..n).map(|_| if random.random::<bool>() { 1.0 } else { -1.0 }).collect();
        let edges = random_edges(n, 6.0 / n as f64, Some(&planted), seed);
        let found = synchronise(n, &edges).unwrap();
        prop_assert_eq!((found.frustrated, found.edges), (0, edges.len()));
        prop_assert_eq!(found.objective.to_bits(), found.bound.to_bits());
        prop_assert!(violation(&found, &edges, &[], None) <= 1.0);
        prop_assert!(edges.iter().all(|&(i, j, a)| found.signs[i] * a * found.signs[j] > 0.0));
    }
}

/// Random signs often agree less than ours; broken results are told apart.
#[test]
fn broken_results_are_seen() {
    let edges = random_edges(12, 0.6, None, 3);
    let good = synchronise(12, &edges).unwrap();
    let best = brute_force(12, &edges);
    let off = |found: &eigenflow::components::Synchronised| violation(found, &edges, &[best], Some(best));
    assert!(off(&good) <= 1.0);
    let mut bad = good.clone();
    bad.signs[3] *= -1.0;
    assert!(off(&bad) > 1.0);
    let mut bad = good.clone();
    bad.bound = best - 1e-9;
    assert!(off(&bad) > 1.0);
    let mut bad = good.clone();
    bad.objective = f64::NAN;
    assert!(!(off(&bad) <= 1.0));
    let mut bad = good;
    bad.frustrated = 0;
    assert!(off(&bad) > 1.0);
    assert!(synchronise(2, &[(0, 1, f64::NAN)]).is_err());
}

/// The ground state of large frustrated graphs: the certificate stays above what is planted and what is found.
#[test]
fn large_frustrated_graphs_are_certified() {
    let n = 3000;
    let planted = vec![1.0; n];
    let mut random = generator(4, "noise", 0);
    // A ring with chords to the eight next, 4 % of the edges flipped.
    let edges: Vec<Edge> = (0..n)
        .flat_map(|i| (1..9).map(move |k| (i, (i + k) % n)))
        .map(|(i, j)| (i, j, if random.random::<f64>() < 0.04 { -1.0 } else { 1.0 }))
        .collect();
    let found = synchronise(n, &edges).unwrap();
    let truth: f64 = 2.0 * edges.iter().map(|e| planted[e.0] * e.2 * planted[e.1]).sum::<f64>();
    assert!(found.objective >= truth && found.bound >= found.objective, "{truth} {}", found.objective);
    let gap = (found.bound - found.objective) / found.bound;
    println!("gap {gap:.3}, frustration {:.4}", found.frustration());
    assert!(gap < 0.5 && (found.frustration() - 0.04).abs() < 0.01);
    assert!(violation(&found, &edges, &[truth], None) <= 1.0);
}

/// Tangents of a band around a circle whose width axis turns by `half_turns · π` on the way: rows and axes.
fn band(half_turns: f64, n: usize) -> (Matrix<f64>, Vec<Vec<f64>>) {
    let angle = |i: usize| 2.0 * PI * i as f64 / n as f64;
    let x = Matrix::from_fn(n, 3, |i, j| [angle(i).cos(), angle(i).sin(), 0.0][j]);
    let axis = |i: usize| {
        let (t, turn) = (angle(i), 0.5 * half_turns * angle(i));
        let v = [turn.cos() * t.cos(), turn.cos() * t.sin(), turn.sin()];
        // The rule: the largest entry is positive.
        let largest = v.iter().fold(0.0_f64, |m, x| if x.abs() > m.abs() { *x } else { m });
        v.iter().map(|x| x * largest.signum()).collect()
    };
    (x, (0..n).map(axis).collect())
}

fn as_components(axes: &[Vec<f64>]) -> Components<f64> {
    let (n, d) = (axes.len(), axes[0].len());
    Components {
        values: Matrix::from_fn(n, 1, |_, _| 1.0),
        scales: Matrix::from_fn(n, 1, |_, _| 1.0),
        axes: Batch::new(n, d, 1, axes.concat()),
        significance: vec![1.0],
    }
}

/// A cylinder can be combed; a Möbius band keeps a seam.
#[test]
fn a_moebius_band_stays_frustrated() {
    for (half_turns, seam) in [(0.0, false), (2.0, false), (1.0, true), (3.0, true)] {
        for n in [16, 400] {
            let (x, axes) = band(half_turns, n);
            let mut c = as_components(&axes);
            let found = c.align(&x, 2).unwrap().remove(0);
            assert_eq!(found.components, 1);
            assert_eq!(found.frustrated > 0, seam, "{half_turns} {n}: {}", found.frustrated);
            assert!(seam || found.objective.to_bits() == found.bound.to_bits());
            let pairs = nearest_neighbours(&x, 2).unwrap();
            // The axes and values carry the signs now.
            let after = c.agreements(0, &pairs);
            let across = after.iter().filter(|e| e.2 < 0.0).count();
            assert_eq!(across, found.frustrated);
            assert!((0..n).all(|i| c.values[(i, 0)].to_bits() == found.signs[i].to_bits()));
            if n == 16 {
                let edges = as_components(&axes).agreements(0, &pairs);
                let best = brute_force(n, &edges);
                assert!(violation(&found, &edges, &[best], Some(best)) <= 1.0);
                assert!((found.objective - best).abs() < 1e-12, "{half_turns}: {} {best}", found.objective);
            }
        }
    }
}

/// Axes of the arc of an S: tangents turn by more than π/2, so the rule flips somewhere; aligned signs do not.
#[test]
fn an_s_curve_is_combed() {
    let n = 500;
    let mut random = generator(1, "s", 0);
    let t: Vec<f64> = (0..n).map(|_| random.random_range(-1.5 * PI..1.5 * PI)).collect();
    let x =
        Matrix::from_fn(n, 2, |i, j| if j == 0 { t[i].sin() } else { t[i].signum() * (t[i].cos() - 1.0) });
    let tangent = |t: f64| vec![t.cos(), -t.signum() * t.sin()];
    let axes: Vec<Vec<f64>> = t
        .iter()
        .map(|t| {
            let v = tangent(*t);
            let s = if v[0].abs() >= v[1].abs() { v[0].signum() } else { v[1].signum() };
            v.iter().map(|x| s * x).collect()
        })
        .collect();
    let mut c = as_components(&axes);
    let found = c.align(&x, 4).unwrap().remove(0);
    assert_eq!((found.frustrated, found.objective), (0, found.bound));
    let along = |i: usize| tangent(t[i]).iter().zip(c.axes.get(i)).map(|(a, b)| a * b).sum::<f64>();
    if found.components == 1 {
        assert!((0..n).all(|i| along(i) * along(0) > 0.9));
    }
}

#[test]
fn neighbours_in_every_situation() {
    // Duplicates, constant columns, fewer rows than neighbours, none at all.
    let same = Matrix::new(5, 2, vec![1.0; 10]);
    assert_eq!(nearest_neighbours(&same, 2).unwrap().iter().filter(|p| p.0 == p.1).count(), 0);
    assert_eq!(nearest_neighbours(&Matrix::new(2, 1, vec![0.0, 1.0]), 9).unwrap(), [(0, 1)]);
    assert!(nearest_neighbours(&Matrix::zeros(0, 3), 2).unwrap().is_empty());
    assert!(nearest_neighbours(&Matrix::new(1, 1, vec![f64::NAN]), 2).is_err());
    let huge = Matrix::new(3, 1, vec![1e308, -1e308, 9e307]);
    // 0 and 2 are near each other, and 2 is the nearer one to 1.
    assert_eq!(nearest_neighbours(&huge, 1).unwrap(), [(0, 2), (1, 2)]);
    // Against all distances, standardised columns.
    let mut random = generator(2, "rows", 0);
    let x = Matrix::from_fn(300, 3, |_, j| 10_f64.powi(j as i32) * random.sample::<f64, _>(StandardNormal));
    let pairs = nearest_neighbours(&x, 3).unwrap();
    let deviation: Vec<f64> = (0..3)
        .map(|j| {
            let c = x.col(j);
            let m = c.iter().sum::<f64>() / 300.0;
            (c.iter().map(|v| (v - m).powi(2)).sum::<f64>() / 300.0).sqrt()
        })
        .collect();
    let distance =
        |i: usize, k: usize| (0..3).map(|j| ((x[(i, j)] - x[(k, j)]) / deviation[j]).powi(2)).sum::<f64>();
    let mut expected = Vec::new();
    for i in 0..300 {
        let mut all: Vec<usize> = (0..300).filter(|k| *k != i).collect();
        all.sort_by(|a, b| distance(i, *a).total_cmp(&distance(i, *b)));
        expected.extend(all[..3].iter().map(|&k| (i.min(k), i.max(k))));
    }
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(pairs, expected);
}

#[test]
fn the_claim_holds_on_flows_and_threads_change_nothing() {
    for (name, d) in [(Name::Affine, 1), (Name::Affine, 4), (Name::Realnvp, 3), (Name::Realnvp, 6)] {
        let preset = Preset { layers: (name == Name::Realnvp).then_some(3), ..Preset::named(name) };
        let mut flow: Flow<f64> = Flow::new(preset.layers(d, 3).unwrap(), 0, 3).unwrap();
        let mut random = generator(3, "moved", 0);
        for p in flow.parameters_mut() {
            p.data.iter_mut().for_each(|x| *x += 0.3 * random.random_range(-1.0..1.0));
        }
        let cx = Context {
            flow: &flow,
            training: None,
            held_out: None,
            alpha: 0.0,
            other_regularisers: false,
            seed: 1,
            quick: true,
        };
        let o = SignSynchronisation.check(&cx);
        println!("{name:?} {d}: {}", o.measured);
        assert_eq!(o.verdict, Verdict::Holds, "{o:#?}");
        if name == Name::Affine {
            assert_eq!(o.figures["frustration_1"].as_f64(), Some(0.0));
        }
        let x = flow.sample(200, 1.0, 1).unwrap();
        let run = || {
            let mut c = components(&flow, &x, d).unwrap();
            c.align(&x, 5).unwrap();
            (c.values, c.axes)
        };
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        let (one, three) = (pool(1).install(run), pool(3).install(run));
        assert_eq!(one.0, three.0);
        assert_eq!(one.1.data(), three.1.data());
    }
}
