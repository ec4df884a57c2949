//! Sign synchronisation: which of the two signs each row's axis takes, so that neighbours agree.
//!
//! An axis is known up to its sign. With `A_ij = <v_i, v_j>` on a graph of neighbours the signs `s` that agree best maximise
//! `sᵀAs`: Z₂ synchronisation, an Ising ground state. A spanning tree solves it exactly where the graph is free of frustration;
//! elsewhere (a Möbius band) some edges cannot be satisfied, and a certificate says how far from the optimum the signs may be.

use super::lanczos::Lanczos;
use crate::random::generator;
use eigenflow_linalg::eigen::eigvalsh;
use eigenflow_linalg::{Error, Matrix};
use rand::RngExt;
use rand_distr::StandardNormal;
use std::collections::{BTreeMap, VecDeque};

/// Up to this many vertices the least eigenvalue comes from the dense matrix.
const DENSE: usize = 400;
/// Products with the matrix for the certificate of a larger one.
const STEPS: usize = 400;
/// Basis of the spectral start.
const START: usize = 40;
/// Chance that the random start of the Lanczos iteration makes its bound wrong.
const MISSED: f64 = 1e-12;
/// Most rounds of flips of domains.
const CYCLES: usize = 16;
/// Flips gain more than this part of a vertex's weights.
const GAIN: f64 = 1e-12;

/// Signs, what they reach, and what is at most to be reached.
#[derive(Clone, Debug)]
pub struct Synchronised {
    /// 1 or -1, one a vertex.
    pub signs: Vec<f64>,
    /// `sᵀAs`.
    pub objective: f64,
    /// An upper bound of `sᵀAs` over all signs.
    pub bound: f64,
    /// Edges with `s_i A_ij s_j < 0`.
    pub frustrated: usize,
    /// Edges of non-zero weight.
    pub edges: usize,
    /// Connected components; the sign of each as a whole is free.
    pub components: usize,
}

impl Synchronised {
    /// Share of frustrated edges; 0 without edges.
    pub fn frustration(&self) -> f64 {
        if self.edges == 0 { 0.0 } else { self.frustrated as f64 / self.edges as f64 }
    }
}

/// A connected component with its adjacency lists.
struct Component {
    vertices: Vec<usize>,
    /// Neighbours and weights of each vertex, by place in `vertices`.
    near: Vec<Vec<(usize, f64)>>,
}

/// The signs that make `Σ s_i A_ij s_j` largest over the undirected `edges` `(i, j, A_ij)` of `n` vertices.
///
/// For each connected component: signs along the maximum-|A| spanning tree; if an edge is then frustrated, also those of the leading
/// eigenvector. Both are improved by flips of single vertices as long as one gains, and the better by flips of domains: neighbours
/// that agree are merged in pairs, weights between groups add up, and the groups are synchronised first, coarse to fine. As a whole
/// each component has the sign in which most vertices keep theirs.
///
/// `bound` is `sᵀAs + n max(0, -λ_min(Λ - A))` with `Λ = diag(s∘As)`, added over components: for any signs `t`,
/// `tᵀAt = tr Λ - tᵀ(Λ - A)t`. It is exact where nothing is frustrated, by Gershgorin. `λ_min` is bounded from below: densely up to 400
/// vertices; above, from 400 Lanczos steps off a random start, whose Ritz value exceeds `λ_min` by at most
/// `(log(1.648 √n / p) / (2k - 1))²` of the spectrum's width, but for a chance `p = 1e-12` of the start (J. Kuczyński and
/// H. Woźniakowski, SIAM J. Matrix Anal. Appl. 13, 1992, theorem 4.2). Deterministic. Cost `O(E log E)`, and
/// `O(E)` a Lanczos step.
///
/// # Errors
/// If a weight is not finite, or an eigensolver does not converge.
///
/// # Panics
/// If an edge names a vertex that is not there.
///
/// ```
/// use eigenflow::components::synchronise;
/// // 0 and 1 disagree, 1 and 2 agree: flip 0.
/// let found = synchronise(3, &[(0, 1, -1.0), (1, 2, 0.5)]).unwrap();
/// assert_eq!(found.signs, [-1.0, 1.0, 1.0]);
/// assert_eq!((found.objective, found.bound, found.frustrated), (3.0, 3.0, 0));
/// // A triangle with one negative edge: one edge stays frustrated.
/// let odd = synchronise(3, &[(0, 1, -1.0), (1, 2, 1.0), (0, 2, 1.0)]).unwrap();
/// assert_eq!((odd.objective, odd.frustrated), (2.0, 1));
/// assert!((odd.bound - 5.0).abs() < 1e-9); // λ_min = -1: here the certificate is not tight
/// ```
pub fn synchronise(n: usize, edges: &[(usize, usize, f64)]) -> Result<Synchronised, Error> {
    if let Some(&(row, col, _)) = edges.iter().find(|e| !e.2.is_finite()) {
        return Err(Error::NotFinite { op: "synchronise", index: 0, row, col });
    }
    let parts = split(n, edges);
    let mut out = Synchronised {
        signs: vec![1.0; n],
        objective: 0.0,
        bound: 0.0,
        frustrated: 0,
        edges: 0,
        components: parts.len(),
    };
    for part in &parts {
        let mut signs = part.along_tree();
        part.flip(&mut signs);
        if part.frustrated(&signs) > 0 {
            let mut other = part.spectral()?;
            part.flip(&mut other);
            if part.objective(&other) > part.objective(&signs) {
                signs = other;
            }
            for _ in 0..CYCLES {
                let domains = part.seen_from(&signs).merged();
                let mut other: Vec<f64> = signs.iter().zip(domains).map(|(s, t)| s * t).collect();
                part.flip(&mut other);
                if part.objective(&other) <= part.objective(&signs) {
                    break;
                }
                signs = other;
            }
        }
        if 2 * signs.iter().filter(|s| **s < 0.0).count() > signs.len() {
            signs.iter_mut().for_each(|s| *s = -*s);
        }
        let objective = part.objective(&signs);
        out.objective += objective;
        out.bound += objective + signs.len() as f64 * (-part.least_eigenvalue(&signs)?).max(0.0);
        out.frustrated += part.frustrated(&signs);
        out.edges += part.near.iter().map(Vec::len).sum::<usize>() / 2;
        for (at, s) in part.vertices.iter().zip(&signs) {
            out.signs[*at] = *s;
        }
    }
    Ok(out)
}

/// Connected components, by edges of non-zero weight.
fn split(n: usize, edges: &[(usize, usize, f64)]) -> Vec<Component> {
    let mut near: Vec<Vec<(usize, f64)>> = vec![Vec::new(); n];
    for &(i, j, a) in edges.iter().filter(|e| e.2 != 0.0 && e.0 != e.1) {
        near[i].push((j, a));
        near[j].push((i, a));
    }
    let (mut place, mut parts) = (vec![usize::MAX; n], Vec::new());
    for root in 0..n {
        if place[root] != usize::MAX {
            continue;
        }
        let mut vertices = vec![root];
        place[root] = 0;
        let mut next = 0;
        while next < vertices.len() {
            for &(j, _) in &near[vertices[next]] {
                if place[j] == usize::MAX {
                    place[j] = vertices.len();
                    vertices.push(j);
                }
            }
            next += 1;
        }
        let local = |v: &usize| near[*v].iter().map(|&(j, a)| (place[j], a)).collect();
        parts.push(Component { near: vertices.iter().map(local).collect(), vertices });
    }
    parts
}

impl Component {
    /// `s_i Σ_j A_ij s_j` of a vertex.
    fn field(&self, signs: &[f64], i: usize) -> f64 {
        self.near[i].iter().map(|&(j, a)| signs[i] * a * signs[j]).sum()
    }

    fn objective(&self, signs: &[f64]) -> f64 {
        (0..signs.len()).map(|i| self.field(signs, i)).sum()
    }

    fn frustrated(&self, signs: &[f64]) -> usize {
        let of = |i: usize| self.near[i].iter().filter(|(j, a)| signs[i] * a * signs[*j] < 0.0).count();
        (0..signs.len()).map(of).sum::<usize>() / 2
    }

    /// Signs along the spanning tree of largest weights (Kruskal), from the first vertex on.
    fn along_tree(&self) -> Vec<f64> {
        let n = self.vertices.len();
        let mut all: Vec<(usize, usize, f64)> = (0..n)
            .flat_map(|i| self.near[i].iter().filter(move |e| i < e.0).map(move |&(j, a)| (i, j, a)))
            .collect();
        all.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()).then((a.0, a.1).cmp(&(b.0, b.1))));
        let mut parent: Vec<usize> = (0..n).collect();
        let mut tree: Vec<Vec<(usize, f64)>> = vec![Vec::new(); n];
        for (i, j, a) in all {
            let (p, q) = (root(&mut parent, i), root(&mut parent, j));
            if p != q {
                parent[p] = q;
                tree[i].push((j, a));
                tree[j].push((i, a));
            }
        }
        let mut signs = vec![0.0; n];
        for first in 0..n {
            if signs[first] != 0.0 {
                continue;
            }
            signs[first] = 1.0;
            let mut waiting = VecDeque::from([first]);
            while let Some(i) = waiting.pop_front() {
                for &(j, a) in &tree[i] {
                    if signs[j] == 0.0 {
                        signs[j] = signs[i] * a.signum();
                        waiting.push_back(j);
                    }
                }
            }
        }
        signs
    }

    /// The same graph after the change of signs: weights `s_i A_ij s_j`.
    fn seen_from(&self, signs: &[f64]) -> Self {
        let of = |(i, near): (usize, &Vec<(usize, f64)>)| {
            near.iter().map(|&(j, a)| (j, signs[i] * a * signs[j])).collect()
        };
        Self { vertices: self.vertices.clone(), near: self.near.iter().enumerate().map(of).collect() }
    }

    /// Each vertex with the group it is merged into, and its sign relative to the group: with its free neighbour of largest
    /// positive weight (negative where there is none), or into that neighbour's group if none is free. Every group has two vertices
    /// at least, isolated ones aside.
    fn groups(&self) -> (Vec<(usize, f64)>, usize) {
        let mut group: Vec<Option<(usize, f64)>> = vec![None; self.near.len()];
        let mut count = 0;
        for i in 0..self.near.len() {
            if group[i].is_some() {
                continue;
            }
            let heaviest = |free: bool| {
                let near = self.near[i].iter().filter(|e| !free || group[e.0].is_none());
                let rank = |a: f64, b: f64| (a > 0.0).cmp(&(b > 0.0)).then(a.abs().total_cmp(&b.abs()));
                near.copied().max_by(|a, b| rank(a.1, b.1).then(b.0.cmp(&a.0)))
            };
            let (at, other) = (heaviest(true), heaviest(false));
            if let Some((j, a)) = at {
                (group[i], group[j]) = (Some((count, 1.0)), Some((count, a.signum())));
                count += 1;
            } else if let Some((g, s, a)) = other.and_then(|(j, a)| group[j].map(|(g, s)| (g, s, a))) {
                group[i] = Some((g, s * a.signum()));
            } else {
                group[i] = Some((count, 1.0));
                count += 1;
            }
        }
        (group.into_iter().flatten().collect(), count)
    }

    /// Signs by merging, coarse to fine.
    fn merged(&self) -> Vec<f64> {
        let (group, count) = self.groups();
        if count <= 1 || count == group.len() {
            return self.along_tree();
        }
        let mut between: Vec<BTreeMap<usize, f64>> = vec![BTreeMap::new(); count];
        for (i, near) in self.near.iter().enumerate() {
            let (g, s) = group[i];
            for &(j, a) in near {
                let (h, t) = group[j];
                if g != h {
                    *between[g].entry(h).or_insert(0.0) += s * a * t;
                }
            }
        }
        let near = between.into_iter().map(|b| b.into_iter().filter(|e| e.1 != 0.0).collect()).collect();
        let coarse = Self { vertices: (0..count).collect(), near };
        let mut of_groups = coarse.merged();
        coarse.flip(&mut of_groups);
        group.iter().map(|&(g, s)| s * of_groups[g]).collect()
    }

    /// Signs of the leading eigenvector of `A`.
    fn spectral(&self) -> Result<Vec<f64>, Error> {
        let apply = |v: &[f64], w: &mut [f64]| {
            for (w, near) in w.iter_mut().zip(&self.near) {
                *w = near.iter().map(|&(j, a)| a * v[j]).sum();
            }
        };
        let found = Lanczos::run(apply, start(self.vertices.len(), "spectral"), START, true);
        Ok(found.leading_vector()?.iter().map(|v| if *v < 0.0 { -1.0 } else { 1.0 }).collect())
    }

    /// Flips single vertices as long as one gains.
    fn flip(&self, signs: &mut [f64]) {
        let mut waiting: VecDeque<usize> = (0..signs.len()).collect();
        let mut queued = vec![true; signs.len()];
        while let Some(i) = waiting.pop_front() {
            queued[i] = false;
            let size: f64 = self.near[i].iter().map(|e| e.1.abs()).sum();
            if self.field(signs, i) < -GAIN * size {
                signs[i] = -signs[i];
                for &(j, _) in &self.near[i] {
                    if !queued[j] {
                        queued[j] = true;
                        waiting.push_back(j);
                    }
                }
            }
        }
    }

    /// A lower bound of the least eigenvalue of `diag(s∘As) - A`.
    fn least_eigenvalue(&self, signs: &[f64]) -> Result<f64, Error> {
        let n = signs.len();
        let fields: Vec<f64> = (0..n).map(|i| self.field(signs, i)).collect();
        let sizes: Vec<f64> = self.near.iter().map(|near| near.iter().map(|e| e.1.abs()).sum()).collect();
        let discs = fields.iter().zip(&sizes);
        let low = discs.clone().map(|(f, s)| f - s).fold(f64::INFINITY, f64::min);
        let high = discs.map(|(f, s)| f + s).fold(f64::NEG_INFINITY, f64::max);
        if low >= 0.0 || n < 2 {
            return Ok(low);
        }
        if n <= DENSE {
            let mut dense = Matrix::diagonal(&fields);
            for i in 0..n {
                self.near[i].iter().for_each(|&(j, a)| dense[(i, j)] -= a);
            }
            // The solver is backward stable.
            let rounding = 16.0 * n as f64 * f64::EPSILON * dense.norm();
            return Ok(low.max(eigvalsh(&dense)?[0] - rounding));
        }
        let apply = |v: &[f64], w: &mut [f64]| {
            for (i, w) in w.iter_mut().enumerate() {
                *w = fields[i] * v[i] - self.near[i].iter().map(|&(j, a)| a * v[j]).sum::<f64>();
            }
        };
        let (ritz, steps) = Lanczos::run(apply, start(n, "certificate"), STEPS, false).least()?;
        let missed = (1.648 * (n as f64).sqrt() / MISSED).ln() / (2 * steps - 1) as f64;
        let rounding = 16.0 * steps as f64 * f64::EPSILON;
        Ok(low.max(ritz - (missed * missed + rounding) * (high - low)))
    }
}

fn root(parent: &mut [usize], mut i: usize) -> usize {
    while parent[i] != i {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    i
}

/// A random direction, the same for the same size and purpose.
fn start(n: usize, purpose: &str) -> Vec<f64> {
    let mut random = generator(0, purpose, n as u64);
    (0..n).map(|_| random.sample(StandardNormal)).collect()
}
