//! Signs by a relaxed Markov random field, the method of the paper, for comparison.

use crate::random::generator;
use rand::RngExt;
use rand_distr::StandardNormal;

/// Passes over the edges, and edges a step.
const EPOCHS: usize = 20;
const BATCH: usize = 1000;
/// Adam: the rate (the paper's code leaves TensorFlow's 1e-3, with which the beliefs of large graphs hardly move), and its decays.
const RATE: f64 = 0.05;
const DECAYS: [f64; 2] = [0.9, 0.999];

/// Signs by the Markov random field of Feinman and Parthasarathy's code: beliefs `σ(θ_i)` that the sign of vertex `i` is kept, from the minimum
/// of `-mean s_i A_ij s_j` over the relaxed signs `s_i = 2σ(θ_i) - 1`, from a random start, by Adam in 20 passes over the edges in random
/// order; a belief below a half turns the sign.
///
/// Not convex, with a saddle at zero beliefs, and nothing says how far from the optimum it ends:
/// [`super::synchronise`] reaches more and bounds what is left. Here it runs on the same graph of neighbours.
pub fn mrf_signs(n: usize, edges: &[(usize, usize, f64)], seed: u64) -> Vec<f64> {
    let mut random = generator(seed, "mrf", 0);
    let mut theta: Vec<f64> = (0..n).map(|_| random.sample(StandardNormal)).collect();
    let (mut first, mut second) = (vec![0.0; n], vec![0.0; n]);
    let mut order: Vec<usize> = (0..edges.len()).collect();
    let belief = |t: f64| 1.0 / (1.0 + (-t).exp());
    let mut gradient = vec![0.0; n];
    let mut step = 0;
    for _ in 0..EPOCHS {
        for i in (1..order.len()).rev() {
            order.swap(i, random.random_range(0..=i as u64) as usize);
        }
        for batch in order.chunks(BATCH) {
            gradient.fill(0.0);
            for &e in batch {
                let (i, j, a) = edges[e];
                let (p, q) = (belief(theta[i]), belief(theta[j]));
                let weight = -a / batch.len() as f64;
                gradient[i] += weight * 2.0 * p * (1.0 - p) * (2.0 * q - 1.0);
                gradient[j] += weight * 2.0 * q * (1.0 - q) * (2.0 * p - 1.0);
            }
            step += 1;
            let correct = DECAYS.map(|b| 1.0 - b.powi(step));
            for k in 0..n {
                first[k] = DECAYS[0] * first[k] + (1.0 - DECAYS[0]) * gradient[k];
                second[k] = DECAYS[1] * second[k] + (1.0 - DECAYS[1]) * gradient[k] * gradient[k];
                theta[k] -= RATE * (first[k] / correct[0]) / ((second[k] / correct[1]).sqrt() + 1e-7);
            }
        }
    }
    theta.iter().map(|&t| if belief(t) < 0.5 { -1.0 } else { 1.0 }).collect()
}

/// `sᵀAs` and the number of frustrated edges of given signs.
pub fn agreement(signs: &[f64], edges: &[(usize, usize, f64)]) -> (f64, usize) {
    let of = |&(i, j, a): &(usize, usize, f64)| signs[i] * a * signs[j];
    (2.0 * edges.iter().map(of).sum::<f64>(), edges.iter().filter(|e| of(e) < 0.0).count())
}
