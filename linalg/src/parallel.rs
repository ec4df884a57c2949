//! One loop for every batched routine: threads over matrices, each matrix by one thread.

use crate::{Error, Real};
use rayon::prelude::*;

/// Runs `work` on each of `count` matrices, handing it a reused workspace, the index of the matrix
/// and that matrix's share of every output (`size` entries of each slice).
///
/// What is computed for a matrix depends on that matrix alone, so the result is the same for any
/// number of threads; of several errors the one of the first matrix is returned.
pub(crate) fn for_each_matrix<T: Real, W, const K: usize>(
    count: usize,
    mut outputs: [(&mut [T], usize); K],
    workspace: impl Fn() -> W + Sync + Send,
    work: impl Fn(&mut W, usize, [&mut [T]; K]) -> Result<(), Error> + Sync + Send,
) -> Result<(), Error> {
    let entries: usize = outputs.iter().map(|(_, size)| size).sum();
    // Small matrices share a workspace by the hundred; large ones are split one by one.
    let grain = (GRAIN_ENTRIES / entries.max(1)).clamp(1, 256);
    let jobs: Vec<[&mut [T]; K]> = (0..count)
        .map(|_| {
            outputs.each_mut().map(|(rest, size)| {
                let (head, tail) = std::mem::take(rest).split_at_mut(*size);
                *rest = tail;
                head
            })
        })
        .collect();
    jobs.into_par_iter()
        .enumerate()
        .with_min_len(grain)
        .map_init(workspace, |w, (index, out)| work(w, index, out))
        .find_map_first(Result::err)
        .map_or(Ok(()), Err)
}

/// A task of fewer output entries than this is not worth its own workspace.
const GRAIN_ENTRIES: usize = 1 << 14;
