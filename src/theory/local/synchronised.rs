//! C2: the signs of axes, and the certificate that none agree better.

use crate::components::{Synchronised, components, nearest_neighbours, synchronise};
use crate::flow::Error;
use crate::theory::tolerance::{gamma, larger};
use crate::theory::{Claim, Context, Outcome};
use eigenflow_linalg::Matrix;

/// C2: `max_t tᵀAt <= sᵀAs + n max(0, -λ_min(diag(s∘As) - A))`, with equality where no edge is frustrated.
pub struct SignSynchronisation;

/// Leading components that are looked at.
const LEADING: usize = 3;
/// Neighbours of a row.
const NEIGHBOURS: usize = 8;
/// Rows of the small graphs whose optimum is found by trying all signs.
const SMALL: usize = 12;

type Edge = (usize, usize, f64);

/// `Σ t_i A_ij t_j` over both orders of each edge.
fn agreement(signs: &[f64], edges: &[Edge]) -> f64 {
    2.0 * edges.iter().map(|&(i, j, a)| signs[i] * a * signs[j]).sum::<f64>()
}

/// The largest `tᵀAt` over all signs of `n` vertices: `2^{n-1}` trials.
///
/// # Panics
/// If there are more than 24 vertices.
///
/// ```
/// use eigenflow::theory::local::brute_force;
/// assert_eq!(brute_force(3, &[(0, 1, -1.0), (1, 2, 1.0), (0, 2, 1.0)]), 2.0);
/// ```
pub fn brute_force(n: usize, edges: &[Edge]) -> f64 {
    assert!(n <= 24, "2^{n} trials");
    let try_all = |code: u32| {
        let sign = |i: usize| if code >> i & 1 == 1 { -1.0 } else { 1.0 };
        2.0 * edges.iter().map(|&(i, j, a)| sign(i) * a * sign(j)).sum::<f64>()
    };
    // The last vertex keeps its sign: a global flip changes nothing.
    (0..1_u32 << n.saturating_sub(1)).map(try_all).fold(f64::NEG_INFINITY, f64::max)
}

/// By how much, in units of rounding, `found` contradicts the claim: other signs that agree better than its bound,
/// a better `optimum` where one is known, an objective that is not that of its signs, or a gap without frustration.
pub fn violation(found: &Synchronised, edges: &[Edge], others: &[f64], optimum: Option<f64>) -> f64 {
    let size: f64 = edges.iter().map(|e| 2.0 * e.2.abs()).sum();
    let unit = gamma(4 * (edges.len() + 1)) * size.max(f64::MIN_POSITIVE);
    let mut off = vec![(agreement(&found.signs, edges) - found.objective).abs()];
    off.extend(others.iter().map(|o| o - found.bound));
    if found.frustrated == 0 {
        off.push((found.bound - found.objective).abs());
        off.push(size - found.objective);
    }
    if let Some(optimum) = optimum {
        off.extend([optimum - found.bound, found.objective - optimum]);
    }
    let larger = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
    off.into_iter().fold(0.0, larger) / unit
}

/// The edges among the first vertices that are reached from `root`, renumbered.
fn around(root: usize, n: usize, edges: &[Edge]) -> (usize, Vec<Edge>) {
    let mut near: Vec<Vec<usize>> = vec![Vec::new(); n];
    for &(i, j, _) in edges {
        near[i].push(j);
        near[j].push(i);
    }
    let (mut place, mut reached, mut next) = (vec![usize::MAX; n], vec![root], 0);
    place[root] = 0;
    while next < reached.len() && reached.len() < SMALL {
        for &j in &near[reached[next]] {
            if place[j] == usize::MAX && reached.len() < SMALL {
                place[j] = reached.len();
                reached.push(j);
            }
        }
        next += 1;
    }
    let inside = |e: &&Edge| place[e.0] != usize::MAX && place[e.1] != usize::MAX;
    (reached.len(), edges.iter().filter(inside).map(|&(i, j, a)| (place[i], place[j], a)).collect())
}

impl SignSynchronisation {
    fn decide(cx: &Context<'_>) -> Result<Outcome, Error> {
        let d = cx.flow.dim();
        let (most, small) = if cx.quick { (400, 2) } else { (2000, 8) };
        let most = if d > 64 { most / 8 } else { most };
        let x = match cx.held_out.or(cx.training) {
            Some(x) if x.rows() > 0 && x.cols() == d => {
                let n = most.min(x.rows());
                Matrix::new(n, d, x.data()[..n * d].to_vec())
            }
            _ => cx.flow.sample(most, 1.0, cx.seed)?,
        };
        let top = d.min(LEADING);
        let found = components(cx.flow, &x, top)?;
        let pairs = nearest_neighbours(&x, NEIGHBOURS)?;
        let n = x.rows();
        let mut outcome = Outcome::undecided("C2", "");
        let (mut worst, mut frustration, mut gap, mut parts) = (0.0_f64, 0.0_f64, 0.0_f64, 0);
        for k in 0..top {
            let edges = found.agreements(k, &pairs);
            let signs = synchronise(n, &edges)?;
            // The rule by the largest entry, which the axes have.
            let rule = agreement(&vec![1.0; n], &edges);
            let mut seen = vec![violation(&signs, &edges, &[rule], None)];
            for at in 0..small {
                let (m, few) = around(at * n / small, n, &edges);
                seen.push(violation(&synchronise(m, &few)?, &few, &[], Some(brute_force(m, &few))));
            }
            worst = seen.into_iter().fold(worst, larger);
            let own = (signs.bound - signs.objective) / signs.bound.max(f64::MIN_POSITIVE);
            (frustration, gap) = (frustration.max(signs.frustration()), gap.max(own));
            parts = parts.max(signs.components);
            outcome = outcome
                .figure(&format!("frustration_{}", k + 1), signs.frustration())
                .figure(&format!("gap_{}", k + 1), own);
        }
        let decided = Outcome::decide("C2", worst, 1.0);
        outcome.verdict = decided.verdict;
        Ok(outcome
            .predicted("no signs agree better than sᵀAs + n max(0, -λ_min(Λ - A)); gap 0 without frustration")
            .measured(format!(
                "at most {:.2} % of edges frustrated, gap at most {gap:.1e}; {worst:.1e} of rounding off; {n} rows, {parts} pieces",
                100.0 * frustration
            ))
            .tolerance("rounding of the sum; the optimum of small pieces by trying all signs")
            .figure("error", worst)
            .figure("tolerance", 1.0)
            .figure("rows", n as f64)
            .figure("pieces", f64::from(u32::try_from(parts).unwrap_or(u32::MAX))))
    }
}

impl Claim for SignSynchronisation {
    fn id(&self) -> &'static str {
        "C2"
    }

    fn statement(&self) -> &'static str {
        "the signs of axes agree as well as a certificate allows, exactly so where nothing is frustrated"
    }

    fn formula(&self) -> &'static str {
        r"t^\top A t \le s^\top A s + n \max(0, -\lambda_{\min}(\Lambda - A)), \qquad \Lambda = \operatorname{diag}(s \circ A s)"
    }

    fn remedy(&self) -> &'static str {
        "A sign pattern that beats its certificate means that the bound on the least eigenvalue is wrong; a gap \
         without frustration means that the graph or its weights are."
    }

    fn check(&self, cx: &Context<'_>) -> Outcome {
        Self::decide(cx).unwrap_or_else(|e| Outcome::undecided("C2", format!("out of range: {e}")))
    }
}
