//! Adam with decoupled weight decay, in place.

use super::average::follow;
use eigenflow_linalg::elementary::{Kernel, dispatch};
use eigenflow_linalg::{Real, halfway, join, share};

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

    /// Updates all parameters in place, in the order of their moments, with their gradients scaled by `scale`, at the rate `rate`; averages
    /// follow with `gain`.
    pub fn step(&mut self, changes: &mut [Change<'_, T>], scale: f64, rate: f64, gain: T) {
        self.steps += 1;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let correct1 = 1.0 - BETA1.powi(steps);
        let correct2 = 1.0 - BETA2.powi(steps);
        let [m, v] = &mut self.moments;
        let (first, root) = (correct1.recip(), correct2.sqrt().recip());
        let factors = Factors { scale, rate, first, root, gain };
        let least = share(numbers(changes), GRAIN);
        halves(changes, m, v, &factors, least);
    }
}

/// A parameter, its gradient, its decay `λ` and its average, if one is kept.
pub(crate) struct Change<'a, T> {
    pub parameter: &'a mut [T],
    pub gradient: &'a [T],
    pub decay: f64,
    pub average: Option<&'a mut [T]>,
}

/// What all parameters have in common.
struct Factors<T> {
    scale: f64,
    rate: f64,
    /// `1 / (1 - β₁^t)`
    first: f64,
    /// `1 / √(1 - β₂^t)`
    root: f64,
    gain: T,
}

/// Fewer numbers are one thread's: some 10 microseconds.
const GRAIN: usize = 1 << 14;

fn numbers<T>(changes: &[Change<'_, T>]) -> usize {
    changes.iter().map(|c| c.gradient.len()).sum()
}

/// Two threads take a half each, and so on, of what is more than `least` numbers.
fn halves<T: Real>(
    changes: &mut [Change<'_, T>],
    m: &mut [Vec<T>],
    v: &mut [Vec<T>],
    factors: &Factors<T>,
    least: usize,
) {
    if changes.len() < 2 || numbers(changes) < least {
        for (change, (m, v)) in changes.iter_mut().zip(m.iter_mut().zip(v)) {
            let Change { parameter, gradient, decay, average } = change;
            dispatch(Step {
                parameter,
                gradient,
                moments: [m, v],
                scale: T::of(factors.scale),
                rate: T::of(factors.rate * factors.first),
                root: T::of(factors.root),
                keep: T::of(1.0 - factors.rate * *decay),
            });
            if let Some(average) = average {
                // By the same thread: its cache has the parameter.
                follow(average, parameter, factors.gain);
            }
        }
        return;
    }
    let middle = halfway(changes.iter().map(|c| c.gradient.len()));
    let (changes, (m, v)) = (changes.split_at_mut(middle), (m.split_at_mut(middle), v.split_at_mut(middle)));
    join(|| halves(changes.0, m.0, v.0, factors, least), || halves(changes.1, m.1, v.1, factors, least));
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
        adam.step(
            &mut [Change { parameter: &mut p, gradient: &[1e3, -1e-3], decay: 0.0, average: None }],
            1.0,
            0.1,
            0.0,
        );
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
            adam.step(
                &mut [Change { parameter: &mut p, gradient: &[g], decay: 0.5, average: None }],
                1.0,
                0.1,
                0.0,
            );
            assert!((p[0] - expected).abs() < 1e-7, "{} and {expected}", p[0]);
        }
        // The penalty form, λw added to the gradient, is another trajectory: its first step keeps the size of the rate.
        let mut coupled = Adam::<f64>::new([1].into_iter());
        let mut q = [2.0];
        coupled.step(
            &mut [Change { parameter: &mut q, gradient: &[1.0 + 0.5 * 2.0], decay: 0.0, average: None }],
            1.0,
            0.1,
            0.0,
        );
        assert!((q[0] - 1.9).abs() < 1e-6);
    }

    /// Many parameters, in one piece by a thread from outside and in halves by those of a pool: the same bits.
    #[test]
    fn threads_change_no_bit() {
        let sizes = [1, 7000, 40_000, 3, 12_000, 1];
        let steps = || {
            let mut adam = Adam::<f32>::new(sizes.into_iter());
            let mut parameters: Vec<Vec<f32>> = sizes.iter().map(|&n| vec![0.5; n]).collect();
            let mut averages = parameters.clone();
            for step in 1..=3 {
                let number = |i: usize| ((i * 37 + step * 11) % 101) as f32 / 17.0 - 3.0;
                let gradients: Vec<Vec<f32>> = sizes.iter().map(|&n| (0..n).map(number).collect()).collect();
                let mut changes = Vec::new();
                for ((parameter, gradient), average) in
                    parameters.iter_mut().zip(&gradients).zip(&mut averages)
                {
                    changes.push(Change { parameter, gradient, decay: 0.1, average: Some(average) });
                }
                adam.step(&mut changes, 1.0, 0.01, 0.5);
            }
            [parameters, averages].concat()
        };
        let alone = steps();
        let moves = |p: &Vec<f32>| p.iter().any(|p| (p - 0.5).abs() > 1e-3);
        assert!(alone.iter().all(moves), "every parameter moves");
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(steps) == alone, "{threads} threads");
        }
    }
}
