//! Adam with decoupled weight decay, in place.

use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::{Kernel, dispatch};

/// `AdamW` (I. Loshchilov and F. Hutter, *Decoupled weight decay regularization*, 2019, algorithm 2): Adam with bias
/// correction (D. Kingma and J. Ba, 2015, algorithm 1), `β₁ = 0.9`, `β₂ = 0.999`, `ε = 1e-8`, and
/// `w ← w - η (m̂ / (√v̂ + ε) + λ w)`. With `λ = 0` it is Adam, to the bit.
#[derive(Clone, Debug)]
pub(crate) struct Adam<T> {
    /// First and second moments of each parameter.
    pub moments: [Vec<Vec<T>>; 2],
    /// Steps behind it.
    pub steps: usize,
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

impl<T: Real> Adam<T> {
    /// Moments for parameters of these sizes.
    pub fn new(sizes: impl Iterator<Item = usize>) -> Self {
        let zeros: Vec<Vec<T>> = sizes.map(|n| vec![T::ZERO; n]).collect();
        Self { moments: [zeros.clone(), zeros], steps: 0 }
    }

    /// Begins a step: what follows updates each parameter once.
    pub fn begin(&mut self) {
        self.steps += 1;
    }

    /// Updates parameter `k` in place, with its gradient scaled by `scale`, at the rate `rate` and the decay `decay`.
    pub fn update(
        &mut self,
        k: usize,
        parameter: &mut [T],
        gradient: &[T],
        scale: f64,
        rate: f64,
        decay: f64,
    ) {
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let correct1 = 1.0 - BETA1.powi(steps);
        let correct2 = 1.0 - BETA2.powi(steps);
        let [m, v] = &mut self.moments;
        dispatch(Step {
            parameter,
            gradient,
            moments: [&mut m[k], &mut v[k]],
            scale: T::of(scale),
            rate: T::of(rate / correct1),
            root: T::of(correct2.sqrt().recip()),
            keep: T::of(1.0 - rate * decay),
        });
    }
}

/// One step of one parameter, with its corrections.
struct Step<'a, T> {
    parameter: &'a mut [T],
    gradient: &'a [T],
    moments: [&'a mut [T]; 2],
    scale: T,
    rate: T,
    root: T,
    keep: T,
}

impl<T: Real> Kernel for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let (b1, b2, epsilon) = (T::of(BETA1), T::of(BETA2), T::of(EPSILON));
        let (c1, c2) = (T::of(1.0 - BETA1), T::of(1.0 - BETA2));
        let Self { parameter, gradient, moments: [m, v], scale, rate, root, keep } = self;
        for (((p, &g), m), v) in parameter.iter_mut().zip(gradient).zip(m).zip(v) {
            let g = g * scale;
            *m = b1 * *m + c1 * g;
            *v = b2 * *v + c2 * g * g;
            *p = keep * *p - rate * *m / (v.sqrt() * root + epsilon);
        }
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
        adam.update(0, &mut p, &[1e3, -1e-3], 1.0, 0.1, 0.0);
        assert!((p[0] - 0.9).abs() < 1e-6 && (p[1] + 0.9).abs() < 1e-5);
    }

    /// Three steps from 2 with gradients 1, -1, 3 at rate 0.1 and decay 0.5. Moments: m = 0.1, -0.01, 0.291;
    /// v = 0.001, 0.001999, 0.010997001; corrections 0.1, 0.19, 0.271 and 0.001, 0.001999, 0.002997001. So m̂/√v̂ = 1,
    /// -0.01/0.19/1, 0.291/0.271/√(0.010997001/0.002997001), and each step first keeps 0.95 of the weight.
    #[test]
    fn decay_does_not_pass_through_the_moments() {
        let mut adam = Adam::<f64>::new([1].into_iter());
        let mut p = [2.0];
        let by_hand = [
            2.0 * 0.95 - 0.1,
            1.8 * 0.95 + 0.1 / 19.0,
            (1.71 + 0.1 / 19.0) * 0.95 - 0.1 * (0.291 / 0.271) / (0.010_997_001_f64 / 0.002_997_001).sqrt(),
        ];
        for (g, expected) in [1.0, -1.0, 3.0].into_iter().zip(by_hand) {
            adam.begin();
            adam.update(0, &mut p, &[g], 1.0, 0.1, 0.5);
            assert!((p[0] - expected).abs() < 1e-7, "{} and {expected}", p[0]);
        }
        // The penalty form, λw added to the gradient, is another trajectory: its first step keeps the size of the rate.
        let mut coupled = Adam::<f64>::new([1].into_iter());
        let mut q = [2.0];
        coupled.begin();
        coupled.update(0, &mut q, &[1.0 + 0.5 * 2.0], 1.0, 0.1, 0.0);
        assert!((q[0] - 1.9).abs() < 1e-6);
    }
}
