//! The exponential moving average of weights.

use eigenflow_linalg::Real;
use eigenflow_linalg::elementary::{Kernel, dispatch};

/// `a_t = Σ_{i ≤ t} β^{t-i} w_i / Σ_{i ≤ t} β^{t-i}` after step `t`, kept as
/// `a_t = a_{t-1} + g_t (w_t - a_{t-1})` with `g_t = (1 - β) / (1 - β^t)`. The initial weights have no part in it:
/// `g_1 = 1`. For `t ≪ 1/(1 - β)` it is the plain mean (B. Polyak and A. Juditsky 1992).
#[derive(Clone, Debug)]
pub(crate) struct Average<T> {
    /// The average of each parameter.
    pub weights: Vec<Vec<T>>,
    decay: f64,
}

impl<T: Real> Average<T> {
    /// Of parameters of these sizes, with the decay `β`.
    pub fn new(sizes: impl Iterator<Item = usize>, decay: f64) -> Self {
        Self { weights: sizes.map(|n| vec![T::ZERO; n]).collect(), decay }
    }

    /// `g_t` of step `step`, counted from 1.
    pub fn gain(&self, step: usize) -> T {
        let power = self.decay.powi(i32::try_from(step).unwrap_or(i32::MAX));
        T::of((1.0 - self.decay) / (1.0 - power))
    }
}

/// Takes new weights into their average, with the gain of the step.
pub(crate) fn follow<T: Real>(average: &mut [T], weights: &[T], gain: T) {
    dispatch(Step { average, weights, gain });
}

/// `average += gain (weights - average)`.
struct Step<'a, T> {
    average: &'a mut [T],
    weights: &'a [T],
    gain: T,
}

impl<T: Real> Kernel for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (a, &w) in self.average.iter_mut().zip(self.weights) {
            *a += self.gain * (w - *a);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// β = ½ and weights 7, 1, 3: 7, (3.5 + 1)/1.5 = 3, (1.75 + 0.5 + 3)/1.75 = 3.
    #[test]
    fn three_steps_by_hand() {
        let mut average = Average::<f64>::new([1].into_iter(), 0.5);
        for (step, (weight, expected)) in [(7.0, 7.0), (1.0, 3.0), (3.0, 3.0)].into_iter().enumerate() {
            let gain = average.gain(step + 1);
            follow(&mut average.weights[0], &[weight], gain);
            assert!((average.weights[0][0] - expected).abs() < 1e-15, "step {step}");
        }
    }
}
