//! Masks of autoregressive networks: which weights count.

/// MADE's masks for columns at the places `order`, for layers of the given widths: one a layer, `outputs x inputs`.
///
/// A hidden unit has a degree, dealt in turn from those that are of use, `0 .. places - 1`: it sees columns up to that place
/// and units up to that degree; a column's parameters see units of lower degrees than its place (M. Germain et al., 2015, equations 11 and
/// 12). The last width holds the parameters of all columns, parameter by parameter.
///
/// Inputs behind the columns are a context, which everything may see. Then some hidden units see nothing else: the
/// parameters of the first column have those.
pub(crate) fn made(order: &[usize], widths: &[usize]) -> Vec<Vec<f64>> {
    // Degrees are places plus one; 0 is that of a context, and of units that see no column.
    let context = widths[0] - order.len();
    let least = usize::from(context == 0);
    let of_use = order.iter().copied().max().unwrap_or(0).max(least) + 1 - least;
    let last = widths.len() - 2;
    let mut below: Vec<usize> = order.iter().map(|o| o + 1).chain(std::iter::repeat_n(0, context)).collect();
    let mut masks = Vec::new();
    for (k, w) in widths.windows(2).enumerate() {
        let degrees: Vec<usize> = if k == last {
            (0..w[1]).map(|i| order[i % order.len()] + 1).collect()
        } else {
            (0..w[1]).map(|i| i % of_use + least).collect()
        };
        let sees = |own: usize, other: usize| if k == last { own > other } else { own >= other };
        let row = |&own: &usize| below.iter().map(|&b| f64::from(u8::from(sees(own, b)))).collect::<Vec<_>>();
        masks.push(degrees.iter().flat_map(row).collect());
        below = degrees;
    }
    masks
}

/// Which inputs a unit sees, 64 a word.
type Seen = Vec<u64>;

/// That masks are zeros and ones, and that no column's parameters see a column at its own place or behind it.
///
/// # Errors
/// With the reason. Cost: a 64th of a product of all masks.
pub(crate) fn check(
    order: &[usize],
    widths: &[usize],
    residual: bool,
    masks: &[&[f64]],
) -> Result<(), &'static str> {
    if masks.iter().any(|m| m.iter().any(|&v| v != 0.0 && v - 1.0 != 0.0)) {
        return Err("masks hold zeros and ones alone");
    }
    let d = order.len();
    let words = d.div_ceil(64);
    let single = |j: usize| {
        let mut seen = vec![0_u64; words];
        seen[j / 64] |= 1 << (j % 64);
        seen
    };
    let through = |mask: &[f64], below: &[Seen]| -> Vec<Seen> {
        let row = |row: &[f64]| {
            let mut seen = vec![0_u64; words];
            for (_, b) in row.iter().zip(below).filter(|(m, _)| **m != 0.0) {
                seen.iter_mut().zip(b).for_each(|(s, b)| *s |= b);
            }
            seen
        };
        mask.chunks_exact(below.len()).map(row).collect()
    };
    // A context is no column.
    let context = std::iter::repeat_n(vec![0_u64; words], widths[0] - d);
    let mut seen: Vec<Seen> = (0..d).map(single).chain(context).collect();
    let mut skipped: Vec<Seen> = Vec::new();
    for (k, mask) in masks.iter().enumerate() {
        let next = through(mask, &seen);
        // A block is a pair of layers after the first; what it is added to reaches as far as before.
        let hidden = k + 2 < widths.len();
        if residual && hidden && k > 0 && k.is_multiple_of(2) {
            let join = |(a, b): (&Seen, &Seen)| a.iter().zip(b).map(|(a, b)| a | b).collect();
            seen = next.iter().zip(&skipped).map(join).collect();
        } else {
            if k % 2 == 1 {
                skipped = seen;
            }
            seen = next;
        }
    }
    for (i, seen) in seen.iter().enumerate() {
        let own = order[i % d];
        if (0..d).any(|j| seen[j / 64] >> (j % 64) & 1 == 1 && order[j] >= own) {
            return Err("the masks let a column's parameters see a column at its place or behind it");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check, made};

    #[test]
    fn made_masks_keep_the_order_and_one_more_entry_breaks_it() {
        for order in [vec![0], vec![0, 1, 2, 3], vec![2, 0, 1], vec![0, 0, 1, 1, 2], vec![0, 0, 0]] {
            for (hidden, residual) in
                [(vec![], false), (vec![4], false), (vec![5, 7], false), (vec![6; 5], true)]
            {
                let d = order.len();
                let widths: Vec<usize> = [d].into_iter().chain(hidden).chain([2 * d]).collect();
                let masks = made(&order, &widths);
                let all_of = |masks: &[Vec<f64>]| {
                    let slices: Vec<&[f64]> = masks.iter().map(Vec::as_slice).collect();
                    check(&order, &widths, residual, &slices)
                };
                assert_eq!(all_of(&masks), Ok(()), "{order:?} {widths:?}");
                let last = masks.len() - 1;
                // The first column's parameters see nothing: a whole row of ones there lets it see something.
                let first = order.iter().position(|&o| o == 0).unwrap();
                let mut broken = masks.clone();
                broken[last][first * widths[last]..(first + 1) * widths[last]].fill(1.0);
                assert!(all_of(&broken).is_err(), "{order:?} {widths:?}");
                broken = masks;
                broken[0][0] = 0.5;
                assert!(all_of(&broken).is_err());
            }
        }
    }

    /// By hand: two columns, two hidden units of degree 0, which see column 0 alone; column 1 sees both.
    #[test]
    fn masks_of_two_columns() {
        let masks = made(&[0, 1], &[2, 2, 2]);
        assert_eq!(masks, [vec![1.0, 0.0, 1.0, 0.0], vec![0.0, 0.0, 1.0, 1.0]]);
    }
}
