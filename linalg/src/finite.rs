//! Whether numbers are finite: asked of all that goes in and of much that comes out.

use crate::Real;
use crate::elementary::{Kernel, dispatch};
use rayon::prelude::*;

/// Neither NaN nor infinity among the numbers.
pub(crate) fn all_finite<T: Real>(data: &[T]) -> bool {
    dispatch(AllFinite(data))
}

/// Numbers that a thread looks at in some microseconds.
const PART: usize = 1 << 16;

/// [`all_finite`], by all threads where there are many numbers.
pub(crate) fn all_finite_by_threads<T: Real>(data: &[T]) -> bool {
    if data.len() < 2 * PART {
        return all_finite(data);
    }
    data.par_chunks(PART).all(all_finite)
}

struct AllFinite<'a, T>(&'a [T]);

/// Sums that do not wait for each other.
const SUMS: usize = 64;

impl<T: Real> Kernel for AllFinite<'_, T> {
    type Output = bool;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> bool {
        // `0 x` is zero, and NaN of what is not finite; a loop without an exit becomes vector code.
        let mut sums = [T::ZERO; SUMS];
        let mut parts = self.0.chunks_exact(SUMS);
        for part in &mut parts {
            for i in 0..SUMS {
                sums[i] += T::ZERO * part[i];
            }
        }
        let mut all = true;
        for x in parts.remainder() {
            all &= x.is_finite();
        }
        for sum in sums {
            all &= sum == T::ZERO;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_that_is_not_finite_is_found_wherever_it_stands() {
        for len in [0, 1, 63, 64, 200, 2 * PART + 5] {
            let mut data: Vec<f32> = (0..len).map(|i| if i % 2 == 0 { f32::MAX } else { -0.0 }).collect();
            assert!(all_finite(&data) && all_finite_by_threads(&data));
            for at in (0..len).step_by(len / 40 + 1).chain(len.checked_sub(1)) {
                for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let kept = std::mem::replace(&mut data[at], bad);
                    assert!(!all_finite(&data) && !all_finite_by_threads(&data), "{len} {at} {bad}");
                    data[at] = kept;
                }
            }
        }
    }
}
