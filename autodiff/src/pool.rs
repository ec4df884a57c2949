//! What operations keep from run to run.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What an operation needs while it runs, beside its scratch numbers, and keeps for later runs: one for each thread that runs it at the
/// same time.
///
/// ```
/// use eigenflow_autodiff::Pool;
/// let lists = Pool::default();
/// let sum = |n: usize| {
///     lists.with(|| Vec::with_capacity(n), |list: &mut Vec<usize>| {
///         list.clear();
///         list.extend(1..=n);
///         list.iter().sum::<usize>()
///     })
/// };
/// assert_eq!((sum(4), sum(2)), (10, 3));
/// ```
#[derive(Debug)]
pub struct Pool<R> {
    /// Those that nobody uses at the moment.
    idle: Mutex<Vec<R>>,
}

impl<R> Default for Pool<R> {
    fn default() -> Self {
        Self { idle: Mutex::default() }
    }
}

impl<R> Pool<R> {
    /// What `work` makes of one that nobody else uses.
    ///
    /// Where there is none, `make` makes one for each thread of the current rayon pool at once: in which run two threads first meet
    /// is chance, and a later run shall allocate nothing. `make` should therefore make room for all that `work` needs.
    pub fn with<A>(&self, make: impl Fn() -> R, work: impl FnOnce(&mut R) -> A) -> A {
        let mut one = {
            let mut idle = self.idle();
            if idle.is_empty() {
                idle.extend((0..rayon::current_num_threads()).map(|_| make()));
            }
            idle.pop().unwrap_or_else(make)
        };
        let result = work(&mut one);
        self.idle().push(one);
        result
    }

    fn idle(&self) -> MutexGuard<'_, Vec<R>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn one_a_thread_is_made_at_once_and_nobody_shares() {
        let made = AtomicUsize::new(0);
        let make = || made.fetch_add(1, Ordering::Relaxed);
        let (pool, threads) =
            (Pool::default(), rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap());
        threads.install(|| {
            pool.with(make, |first: &mut usize| {
                // Another operation at the same time, and another beyond the number of threads.
                let (second, third) = pool.with(make, |second| (*second, pool.with(make, |third| *third)));
                assert!(*first != second && second != third && *first != third);
            });
            assert_eq!(made.load(Ordering::Relaxed), 4, "two at first, two when all were taken");
            pool.with(make, |_| ());
            assert_eq!(made.load(Ordering::Relaxed), 4, "later ones are there");
        });
    }
}
