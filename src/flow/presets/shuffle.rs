//! Columns at random.

/// The columns in a random order: a pure function of its arguments.
pub(super) fn shuffled(dim: usize, seed: u64, purpose: &'static str, k: usize) -> Vec<usize> {
    use rand::RngExt;
    let mut random = crate::random::generator(seed, purpose, k as u64);
    let mut columns: Vec<usize> = (0..dim).collect();
    for i in (1..dim).rev() {
        columns.swap(i, random.random_range(0..=i));
    }
    columns
}

/// A random half of the columns, ascending; a pure function of its arguments. Each odd one is the
/// complement of the one before, so that every column moves.
pub(super) fn random_half(dim: usize, seed: u64, k: usize) -> Vec<usize> {
    let columns = shuffled(dim, seed, "mask", k / 2);
    let mut half = if k.is_multiple_of(2) || dim == 1 {
        columns[dim / 2..].to_vec()
    } else {
        columns[..dim / 2].to_vec()
    };
    half.sort_unstable();
    half
}
