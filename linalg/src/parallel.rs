//! One loop for every batched routine: threads over matrices, each matrix by one thread.

use crate::{Error, Real, join};
use std::ops::Range;

/// Parts with fewer numbers than this are not cut once more ([`halfway`]), of `all` numbers that the threads of the current pool
/// may share; `least` of them are worth a thread.
///
/// There are no more parts than threads: the same thread then takes the same part again and again, which its cache still has.
/// A thread from outside of the pool shares nothing: it would wait longer for it than short work takes.
///
/// ```
/// use eigenflow_linalg::share;
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
/// // Halves of a million numbers for two threads.
/// assert_eq!(pool.install(|| share(1_000_000, 1000)), 750_000);
/// assert_eq!(share(1_000_000, 1000), usize::MAX);
/// ```
pub fn share(all: usize, least: usize) -> usize {
    match rayon::current_thread_index() {
        // Halves are not quite equal.
        Some(_) => least.max(3 * all / (2 * rayon::current_num_threads())),
        None => usize::MAX,
    }
}

/// Where to cut a list of at least two tasks in two, for two threads: each part has one task or more, and about half of the
/// numbers, of which there are `sizes`.
///
/// # Panics
/// For fewer than two tasks.
///
/// ```
/// use eigenflow_linalg::halfway;
/// assert_eq!(halfway([2, 2, 5].into_iter()), 2);
/// assert_eq!(halfway([1, 1, 1, 1].into_iter()), 2);
/// // None is empty.
/// assert_eq!(halfway([9, 1].into_iter()), 1);
/// ```
pub fn halfway(sizes: impl ExactSizeIterator<Item = usize> + Clone) -> usize {
    let (last, all) = (sizes.len() - 1, sizes.clone().sum::<usize>());
    let mut before = 0;
    let mut up_to = sizes.map(|size| {
        before += size;
        before
    });
    up_to.position(|sum| 2 * sum > all).unwrap_or(0).clamp(1, last)
}

/// Runs `work` on each of `count` matrices, handing it a reused workspace, the index of the matrix
/// and that matrix's share of every output (`size` entries of each slice). `flops` is about the work on
/// one matrix.
///
/// What is computed for a matrix depends on that matrix alone, so the result is the same for any
/// number of threads; of several errors the one of the first matrix is returned.
pub(crate) fn for_each_matrix<T: Real, W, const K: usize>(
    count: usize,
    flops: usize,
    outputs: [(&mut [T], usize); K],
    workspace: impl Fn() -> W + Sync + Send,
    work: impl Fn(&mut W, usize, [&mut [T]; K]) -> Result<(), Error> + Sync + Send,
) -> Result<(), Error> {
    // Small matrices share a workspace by the hundred; of few large ones a part is a single one.
    let grain = (GRAIN_FLOPS / flops.max(1)).clamp(1, 256);
    let mut tasks = spans(count, 1, outputs);
    let least = grain.max(part(tasks.len()));
    each(&mut tasks, least, &|tasks| {
        let mut w = workspace();
        tasks.iter_mut().try_for_each(|(range, out)| work(&mut w, range.start, taken(out)))
    })
}

/// The same for kernels that take several matrices at a time: `work` gets `span` of them, the last time
/// what is left.
pub(crate) fn for_each_span<T: Real, const K: usize>(
    count: usize,
    span: usize,
    outputs: [(&mut [T], usize); K],
    work: impl Fn(Range<usize>, [&mut [T]; K]) -> Result<(), Error> + Sync + Send,
) -> Result<(), Error> {
    let mut tasks = spans(count, span, outputs);
    let least = part(tasks.len());
    each(&mut tasks, least, &|tasks| {
        tasks.iter_mut().try_for_each(|(range, out)| work(range.clone(), taken(out)))
    })
}

/// An eighth of a thread's share of some tasks: parts are no smaller, so that few workspaces are made.
fn part(tasks: usize) -> usize {
    tasks.div_ceil(8 * rayon::current_num_threads()).max(1)
}

/// Halves a list of tasks down to `least` of them or more, for threads to share; the first error of the list.
fn each<I: Send>(
    tasks: &mut [I],
    least: usize,
    work: &(impl Fn(&mut [I]) -> Result<(), Error> + Sync),
) -> Result<(), Error> {
    if tasks.len() < 2 * least {
        return work(tasks);
    }
    let (first, second) = tasks.split_at_mut(tasks.len() / 2);
    let (first, second) = join(|| each(first, least, work), || each(second, least, work));
    first.and(second)
}

/// Slices moved out of a list of them.
fn taken<'a, T, const K: usize>(slices: &mut [&'a mut [T]; K]) -> [&'a mut [T]; K] {
    slices.each_mut().map(std::mem::take)
}

/// Ranges of `span` matrices, each with its share of the outputs.
fn spans<T, const K: usize>(
    count: usize,
    span: usize,
    mut outputs: [(&mut [T], usize); K],
) -> Vec<(Range<usize>, [&mut [T]; K])> {
    (0..count)
        .step_by(span)
        .map(|start| {
            let range = start..count.min(start + span);
            let out = outputs.each_mut().map(|(rest, size)| {
                let (head, tail) = std::mem::take(rest).split_at_mut(*size * range.len());
                *rest = tail;
                head
            });
            (range, out)
        })
        .collect()
}

/// A task of less work than this is not worth its own workspace: some 50 microseconds.
pub(crate) const GRAIN_FLOPS: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    /// Every task is done once, and of several errors the first is given, whatever is shared.
    #[test]
    fn all_are_done_and_the_first_error_is_given() {
        let fail = |index: usize| Error::Overflow { op: "test", index };
        for threads in [1, 2, 3, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for count in [0, 1, 2, 255, 256, 511, 512, 2000] {
                for bad in [vec![], vec![0], vec![700, 701], vec![300, 1999], vec![count.max(1) - 1]] {
                    let expected = bad.iter().copied().find(|&k| k < count);
                    let found = |result: Result<(), Error>| match result {
                        Ok(()) => None,
                        Err(Error::Overflow { index, .. }) => Some(index),
                        Err(other) => panic!("{other}"),
                    };
                    for flops in [1, 1 << 20] {
                        let mut out = vec![0.0; 2 * count];
                        let mark = |(): &mut (), index: usize, [out]: [&mut [f64]; 1]| {
                            out.iter_mut().for_each(|x| *x += index as f64 + 1.0);
                            if bad.contains(&index) { Err(fail(index)) } else { Ok(()) }
                        };
                        let result =
                            pool.install(|| for_each_matrix(count, flops, [(&mut out, 2)], || (), mark));
                        assert_eq!(found(result), expected, "{count} matrices, {threads} threads");
                        if expected.is_none() {
                            let marked: Vec<f64> = (0..2 * count).map(|i| (i / 2 + 1) as f64).collect();
                            assert_eq!(out, marked);
                        }
                    }
                    let mut out = vec![0.0; count];
                    let result = pool.install(|| {
                        for_each_span(count, 7, [(&mut out, 1)], |range, [out]| {
                            out.iter_mut().zip(range.clone()).for_each(|(x, k)| *x += k as f64 + 1.0);
                            range.clone().find(|k| bad.contains(k)).map_or(Ok(()), |k| Err(fail(k)))
                        })
                    });
                    assert_eq!(found(result), expected, "{count} in spans, {threads} threads");
                    if expected.is_none() {
                        let marked: Vec<f64> = (0..count).map(|k| k as f64 + 1.0).collect();
                        assert_eq!(out, marked);
                    }
                }
            }
        }
    }
}
