//! Two tasks on two threads that stay awake for a while when one of them is done before the other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a thread looks for other work before it may sleep: that of the first task, and those that are kept awake.
pub(crate) const PATIENCE: Duration = Duration::from_micros(200);
/// How long that of the second one waits before it looks for other work: what it took would keep the first one waiting.
pub(crate) const PAUSE: Duration = Duration::from_micros(40);

/// Runs both tasks and gives their results, as [`rayon::join`]: `b` on another thread of the pool where one is free.
///
/// rayon lets a thread sleep that has looked for work 33 times, and to wake it takes tens of microseconds, so that of two tasks of a
/// tenth of a millisecond each the one that ends sooner delays what comes next. Here it stays awake for longer (products of 256 x 256:
/// `docs/PERFORMANCE.md`): the thread of `a` does other tasks of the pool meanwhile, as it does in rayon, and looks for them for
/// 200 microseconds; that of `b` just waits, for 40 at most.
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
                wait(&b_done, PATIENCE, || rayon::yield_now() == Some(rayon::Yield::Executed));
            }
            result
        },
        || {
            begun.store(true, Ordering::Release);
            let result = b();
            b_done.store(true, Ordering::Release);
            wait(&a_done, PAUSE, || false);
            result
        },
    )
}

/// Until the other task is done, or there is no more time; `work` does something else if there is anything.
fn wait(done: &AtomicBool, time: Duration, work: impl Fn() -> bool) {
    if done.load(Ordering::Acquire) {
        return;
    }
    let since = Instant::now();
    while !done.load(Ordering::Acquire) && since.elapsed() < time {
        if !work() {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

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
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
            let failed = catch_unwind(AssertUnwindSafe(|| pool.install(|| join(task(0), task(1)))));
            assert!(failed.is_err(), "task {fails}");
            assert_eq!(pool.install(|| join(|| 1, || 2)), (1, 2));
        }
    }
}
