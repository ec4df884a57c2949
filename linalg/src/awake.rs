//! Work in many short parts, between which threads stay awake.

use crate::join::{PATIENCE, PAUSE};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

/// What `work` gives; meanwhile the other threads of the pool look for what it shares with them and do not sleep.
///
/// For loops of short tasks with short pauses between, as the steps of a training: rayon lets a thread sleep that has looked for work
/// 33 times, and what is shared next begins late by the time that it takes to wake (`docs/PERFORMANCE.md`). A thread that finds nothing
/// for 200 microseconds leaves, and sleeps as always from then on. It is for one loop at a time in a pool: a thread that keeps
/// awake for one may be late for another. Called from outside of a pool it just does the work. It allocates a few words for each other thread.
///
/// # Panics
/// If the work does.
///
/// ```
/// use eigenflow_linalg::{awake, join};
/// let sum = awake(|| (0..100).map(|k| join(|| k, || 2 * k)).map(|(a, b)| a + b).sum::<u64>());
/// assert_eq!(sum, 3 * 4950);
/// ```
pub fn awake<R>(work: impl FnOnce() -> R) -> R {
    let Some(own) = rayon::current_thread_index() else { return work() };
    let (done, begun) = (AtomicBool::new(false), AtomicUsize::new(0));
    let others = rayon::current_num_threads() - 1;
    rayon::in_place_scope(|scope| {
        for _ in 0..others {
            scope.spawn(|_| {
                // The working thread may meet this while it waits for a task: it must not wait for itself.
                if rayon::current_thread_index() != Some(own) {
                    begun.fetch_add(1, Ordering::Relaxed);
                    look_for_work(&done, || begun.load(Ordering::Relaxed) == others);
                }
            });
        }
        let _done = Done(&done);
        work()
    })
}

/// Sets its flag when it goes, after a panic too.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits a little until all others look too, then does what the pool has to do until `done`, or until there has been nothing for a while.
fn look_for_work(done: &AtomicBool, all_look: impl Fn() -> bool) {
    let mut since = Instant::now();
    // Else the first thread would take what is to keep the next ones awake.
    while !done.load(Ordering::Relaxed) && !all_look() && since.elapsed() < PAUSE {
        std::thread::yield_now();
    }
    while !done.load(Ordering::Relaxed) && since.elapsed() < PATIENCE {
        if rayon::yield_now() == Some(rayon::Yield::Executed) {
            since = Instant::now();
        } else {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::join;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
    }

    /// `0 + 1 + .. + (n - 1)` in many small tasks.
    fn sum(n: u64) -> u64 {
        let halves = |k: u64| join(move || k / 2, move || k - k / 2);
        (0..n).map(halves).map(|(a, b)| a + b).sum()
    }

    #[test]
    fn work_is_done_once_by_any_number_of_threads() {
        assert_eq!(awake(|| sum(1000)), 499_500);
        for threads in [1, 2, 3, 8] {
            let mut calls = 0;
            let mut work = || {
                calls += 1;
                sum(1000)
            };
            assert_eq!(pool(threads).install(|| awake(&mut work)), 499_500, "{threads} threads");
            assert_eq!(calls, 1);
        }
    }

    /// The only thread of a pool meets the task there or nobody does; then it waits for no more.
    #[test]
    fn who_looks_does_what_there_is_and_gives_up() {
        let ran = AtomicBool::new(false);
        pool(1).install(|| {
            rayon::in_place_scope(|scope| {
                scope.spawn(|_| ran.store(true, Ordering::Relaxed));
                look_for_work(&AtomicBool::new(true), || true);
                assert!(!ran.load(Ordering::Relaxed), "nothing once the work is done");
                look_for_work(&AtomicBool::new(false), || true);
                assert!(ran.load(Ordering::Relaxed));
            });
        });
    }

    /// Two that each keep the other's thread, side by side and one inside the other.
    #[test]
    fn nobody_waits_for_ever() {
        for threads in [2, 3] {
            for _ in 0..20 {
                let both =
                    pool(threads).install(|| awake(|| join(|| awake(|| sum(200)), || awake(|| sum(300)))));
                assert_eq!(both, (19_900, 44_850), "{threads} threads");
            }
        }
    }

    /// Pauses that are longer than the patience of the others.
    #[test]
    fn work_may_pause() {
        let slow = || {
            let first = sum(50);
            std::thread::sleep(Duration::from_millis(2));
            first + sum(50)
        };
        assert_eq!(pool(2).install(|| awake(slow)), 2450);
    }

    #[test]
    fn a_panic_is_passed_on() {
        let pool = pool(2);
        let failed = catch_unwind(AssertUnwindSafe(|| pool.install(|| awake(|| panic!("on purpose")))));
        assert!(failed.is_err());
        assert_eq!(pool.install(|| awake(|| sum(10))), 45);
    }
}
