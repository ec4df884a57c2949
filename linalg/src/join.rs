//! Two tasks on two threads that stay awake until both are done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a thread that is done looks for other work before it may sleep.
const PATIENCE: Duration = Duration::from_micros(200);

/// Runs both tasks and gives their results, as [`rayon::join`]: `b` on another thread of the pool where one is free.
///
/// rayon lets a thread that has waited for some 20 microseconds sleep, and to wake it takes as long again, so that of two tasks of a
/// tenth of a millisecond each the one that ends sooner delays what comes next. Here it waits, and does other tasks of the pool
/// meanwhile, until the other one is done too, for 200 microseconds at most (products of 256 x 256: `docs/PERFORMANCE.md`).
///
/// # Panics
/// If a task does.
///
/// ```
/// let (sum, product) = eigenflow_linalg::join(|| 2 + 3, || 2 * 3);
/// assert_eq!((sum, product), (5, 6));
/// ```
pub fn join<RA: Send, RB: Send>(a: impl FnOnce() -> RA + Send, b: impl FnOnce() -> RB + Send) -> (RA, RB) {
    let [begun, a_done, b_done] = [const { AtomicBool::new(false) }; 3];
    rayon::join(
        || {
            let result = a();
            a_done.store(true, Ordering::Release);
            // A task that nobody has taken is this thread's own.
            if begun.load(Ordering::Acquire) {
                stay(&b_done);
            }
            result
        },
        || {
            begun.store(true, Ordering::Release);
            let result = b();
            b_done.store(true, Ordering::Release);
            stay(&a_done);
            result
        },
    )
}

/// Until the other task is done, or patience ends.
fn stay(other: &AtomicBool) {
    let since = Instant::now();
    while !other.load(Ordering::Acquire) && since.elapsed() < PATIENCE {
        if rayon::yield_now() != Some(rayon::Yield::Executed) {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sum by halves, down to single numbers.
    fn sum(numbers: &[u64]) -> u64 {
        match numbers.len() {
            0 => 0,
            1 => numbers[0],
            n => {
                let (a, b) = numbers.split_at(n / 3 + 1);
                let (a, b) = join(|| sum(a), || sum(b));
                a + b
            }
        }
    }

    #[test]
    fn nested_tasks_are_all_done_by_any_number_of_threads() {
        let numbers: Vec<u64> = (0..5000).collect();
        assert_eq!(sum(&numbers), 12_497_500);
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for _ in 0..20 {
                assert_eq!(pool.install(|| sum(&numbers)), 12_497_500, "{threads} threads");
            }
        }
    }

    /// Tasks that take longer than patience, either of them.
    #[test]
    fn a_long_task_is_waited_for() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let sleep = |ms: u64| std::thread::sleep(Duration::from_millis(ms));
        for [first, second] in [[0, 5], [5, 0]] {
            let (mut a, mut b) = (0, 0);
            pool.install(|| {
                join(
                    || {
                        sleep(first);
                        a = 1;
                    },
                    || {
                        sleep(second);
                        b = 2;
                    },
                )
            });
            assert_eq!([a, b], [1, 2]);
        }
    }

    #[test]
    fn a_panic_of_either_task_is_passed_on() {
        for fails in [0, 1] {
            let task = |k: usize| move || assert_ne!(k, fails, "on purpose");
            let failed = std::panic::catch_unwind(|| join(task(0), task(1)));
            assert!(failed.is_err(), "task {fails}");
        }
        assert_eq!(join(|| 1, || 2), (1, 2));
    }
}
