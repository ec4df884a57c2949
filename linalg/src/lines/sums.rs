//! Sums over the numbers of a line, and over lines.

use super::block::{self, Left, Product, Start};
use crate::Real;

/// Partial sums of a dot product: enough for one vector of the widest registers.
pub(super) const PARTS: usize = 16;

/// `Σ x` in a fixed order: as many partial sums as a vector register holds, for numbers enough to fill one.
///
/// Inside a [`Kernel`](crate::elementary::Kernel) it is vector code.
///
/// ```
/// assert_eq!(eigenflow_linalg::lines::sum(&[1.0, 2.0, 3.5]), 6.5);
/// ```
#[inline(always)]
pub fn sum<T: Real>(x: &[T]) -> T {
    let chunks = x.chunks_exact(PARTS);
    let rest = chunks.remainder();
    if x.len() < PARTS {
        return rest.iter().copied().sum();
    }
    let mut parts = [T::ZERO; PARTS];
    for x in chunks {
        for i in 0..PARTS {
            parts[i] += x[i];
        }
    }
    rest.iter().fold(tree(parts), |sum, &x| sum + x)
}

/// The sum of all parts, as a tree.
#[inline(always)]
fn tree<T: Real>(mut parts: [T; PARTS]) -> T {
    let mut half = PARTS / 2;
    while half > 0 {
        for i in 0..half {
            parts[i] += parts[i + half];
        }
        half /= 2;
    }
    parts[0]
}

/// `sum += Σ` of lines as long as `sum`, one after the other.
///
/// # Panics
/// If lengths do not fit.
///
/// ```
/// let mut sum = [100.0, 0.0];
/// eigenflow_linalg::lines::add_lines(&mut sum, &[1.0, 2.0, 3.0, 4.0]);
/// assert_eq!(sum, [104.0, 6.0]);
/// ```
pub fn add_lines<T: Real>(sum: &mut [T], lines: &[T]) {
    let n = sum.len();
    assert!(lines.len().is_multiple_of(n.max(1)), "lines of {n} numbers");
    if n == 0 {
        return;
    }
    if block::fits(lines.len() / n, n) {
        // Times one: nothing is rounded that a sum would not round.
        return block::product(Product {
            y: sum,
            x: &[T::ONE],
            left: Left::Same,
            w: lines,
            n,
            start: Start::Sum,
        });
    }
    if n < PARTS && PARTS.is_multiple_of(n) {
        // As longer lines first, which vectors add.
        let (long, rest) = lines.split_at(lines.len() / PARTS * PARTS);
        let mut parts = [T::ZERO; PARTS];
        add_lines(&mut parts, long);
        return add(&mut *sum, parts.chunks_exact(n).chain(rest.chunks_exact(n)));
    }
    add(sum, lines.chunks_exact(n));
}

fn add<'a, T: Real>(sum: &mut [T], lines: impl Iterator<Item = &'a [T]>) {
    lines.for_each(|line| sum.iter_mut().zip(line).for_each(|(s, &x)| *s += x));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elementary::Kernel;
    use crate::elementary::levels::Level;

    /// Nothing is fused in a sum: its bits are the same everywhere.
    #[test]
    fn levels_agree_on_sums() {
        struct Sum<'a, T>(&'a [T]);
        impl<T: Real> Kernel for Sum<'_, T> {
            type Output = T;
            #[inline(always)]
            fn run<const FMA: bool>(self) -> T {
                sum(self.0)
            }
        }
        fn check<T: Real>() {
            let x: Vec<T> = (0..131).map(|i| T::of(((i * 37 + 11) % 101) as f64 / 17.0 - 3.0)).collect();
            for len in 0..x.len() {
                let (x, plain) = (&x[..len], sum(&x[..len]).f64().to_bits());
                for level in Level::vectors().into_iter().chain([Level::Portable]) {
                    assert_eq!(level.kernel(Sum(x)).f64().to_bits(), plain, "{len} {level:?}");
                }
            }
        }
        check::<f32>();
        check::<f64>();
    }
}
