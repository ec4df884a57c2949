//! Adam, in place.

use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::vectorize;

/// Adam with bias correction (D. Kingma and J. Ba, *Adam: a method for stochastic optimization*,
/// 2015, algorithm 1), `β₁ = 0.9`, `β₂ = 0.999`, `ε = 1e-8`.
#[derive(Clone, Debug)]
pub(crate) struct Adam<T> {
    moments: Vec<(Vec<T>, Vec<T>)>,
    steps: i32,
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

impl<T: Real> Adam<T> {
    /// Moments for parameters of these sizes.
    pub fn new(sizes: impl Iterator<Item = usize>) -> Self {
        Self { moments: sizes.map(|n| (vec![T::ZERO; n], vec![T::ZERO; n])).collect(), steps: 0 }
    }

    /// Begins a step: what follows updates each parameter once.
    pub fn begin(&mut self) {
        self.steps += 1;
    }

    /// Updates parameter `k` in place, with its gradient scaled by `scale`.
    pub fn update(&mut self, k: usize, parameter: &mut [T], gradient: &[T], scale: f64, rate: f64) {
        let correct1 = 1.0 - BETA1.powi(self.steps);
        let correct2 = 1.0 - BETA2.powi(self.steps);
        let (b1, b2) = (T::of(BETA1), T::of(BETA2));
        let (c1, c2) = (T::of(1.0 - BETA1), T::of(1.0 - BETA2));
        let step = T::of(rate / correct1);
        let root = T::of(correct2.sqrt().recip());
        let (epsilon, scale) = (T::of(EPSILON), T::of(scale));
        let (m, v) = &mut self.moments[k];
        vectorize(|| {
            for (((p, &g), m), v) in parameter.iter_mut().zip(gradient).zip(m).zip(v) {
                let g = g * scale;
                *m = b1 * *m + c1 * g;
                *v = b2 * *v + c2 * g * g;
                *p -= step * *m / (v.sqrt() * root + epsilon);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first step is `-lr · sign(g)` up to `ε`, whatever the size of the gradient.
    #[test]
    fn first_step_has_the_size_of_the_rate() {
        let mut adam = Adam::<f64>::new([2].into_iter());
        let mut p = [1.0, -1.0];
        adam.begin();
        adam.update(0, &mut p, &[1e3, -1e-3], 1.0, 0.1);
        assert!((p[0] - 0.9).abs() < 1e-6 && (p[1] + 0.9).abs() < 1e-5);
    }
}
