//! Sums over rows of two lanes, added into one of them, and the squares of the totals.

use crate::plan::Reduction;
use eigenflow_linalg::elementary::{Kernel, dispatch};
use eigenflow_linalg::lines::sum;
use eigenflow_linalg::{Aligned, Real, halfway, join, share};

/// Sums of fewer numbers in all are added by one thread: some 10 microseconds.
const GRAIN: usize = 1 << 15;

/// Adds the sums of one lane to those of another; threads share the work if there is enough of it. `squares`, if there is one for each sum,
/// get [`square`] of the totals, by the thread that has just written them.
pub(crate) fn add_lane<T: Real>(
    sums: &[Reduction],
    to: &mut [Aligned<T>],
    from: &[Aligned<T>],
    squares: &mut [f64],
    parallel: bool,
) {
    let all = sums.iter().map(|r| from[r.lane].len()).sum();
    let least = if parallel { share(all, GRAIN) } else { usize::MAX };
    add(sums, 0, to, from, squares, least);
}

/// The same for sums from number `first` on; threads share what is more than `least` numbers.
fn add<T: Real>(
    sums: &[Reduction],
    first: usize,
    to: &mut [Aligned<T>],
    from: &[Aligned<T>],
    squares: &mut [f64],
    least: usize,
) {
    let numbers = |r: &Reduction| from[r.lane - first].len();
    if sums.len() < 2 || sums.iter().map(numbers).sum::<usize>() < least {
        for (k, r) in sums.iter().enumerate() {
            let to = &mut to[r.lane - first];
            dispatch(Add { to, from: &from[r.lane - first] });
            if let Some(found) = squares.get_mut(k) {
                *found = square(to);
            }
        }
        return;
    }
    let (a, b) = sums.split_at(halfway(sums.iter().map(numbers)));
    let (to_a, to_b) = to.split_at_mut(b[0].lane - first);
    let (from_a, from_b) = from.split_at(b[0].lane - first);
    let (squares_a, squares_b) = squares.split_at_mut(a.len().min(squares.len()));
    let second = || add(b, b[0].lane, to_b, from_b, squares_b, least);
    join(|| add(a, first, to_a, from_a, squares_a, least), second);
}

/// `to += from`.
struct Add<'a, T> {
    to: &'a mut [T],
    from: &'a [T],
}

impl<T: Real> Kernel for Add<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FMA: bool>(self) {
        self.to.iter_mut().zip(self.from).for_each(|(a, &b)| *a += b);
    }
}

/// `Σ x²`, in double precision.
pub(crate) fn square<T: Real>(numbers: &[T]) -> f64 {
    sum(&dispatch(Squares(numbers)))
}

/// Numbers that are squared at a time.
const PARTS: usize = 64;

/// `Σ x_i²` over `i mod 64`.
struct Squares<'a, T>(&'a [T]);

impl<T: Real> Kernel for Squares<'_, T> {
    type Output = [f64; PARTS];

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Self::Output {
        let mut parts = [0.0; PARTS];
        let chunks = self.0.chunks_exact(PARTS);
        for (part, x) in parts.iter_mut().zip(chunks.remainder()) {
            *part += x.f64() * x.f64();
        }
        for x in chunks {
            for i in 0..PARTS {
                parts[i] += x[i].f64() * x[i].f64();
            }
        }
        parts
    }
}
