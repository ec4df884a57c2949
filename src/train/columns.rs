//! Samples, contexts and noise of rows, as programs of training take them.

use crate::flow::{Dequantize, Flow};
use eigenflow_linalg::Real;
use smallvec::SmallVec;

/// Rows with everything side by side, taken apart; the lists are kept from batch to batch.
pub(super) struct Columns<T> {
    /// Columns of the samples, of the contexts, and of the noise of a variational dequantiser.
    widths: [usize; 3],
    lists: [Vec<T>; 3],
}

impl<T: Real> Columns<T> {
    pub(super) fn of(flow: &Flow<T>) -> Self {
        let noise = if matches!(flow.dequantize(), Dequantize::Variational { .. }) { flow.dim() } else { 0 };
        Self { widths: [flow.dim(), flow.context_columns(), noise], lists: [const { Vec::new() }; 3] }
    }

    /// The parts that there are, in order, each row-major. Nothing is copied where there are samples alone, and nothing
    /// allocated from the second batch of a size on. What there is of an incomplete row stays, so that a run refuses the lengths.
    pub(super) fn apart<'a>(&'a mut self, rows: &'a [T]) -> SmallVec<[&'a [T]; 3]> {
        let all = self.widths.iter().sum();
        if all == self.widths[0] {
            return SmallVec::from_slice(&[rows]);
        }
        let mut first = 0;
        for (list, width) in self.lists.iter_mut().zip(self.widths) {
            let (start, end) = (first, first + width);
            list.clear();
            list.extend(rows.chunks(all).flat_map(|row| &row[start.min(row.len())..end.min(row.len())]));
            first = end;
        }
        self.lists
            .iter()
            .zip(self.widths)
            .filter(|(_, width)| *width > 0)
            .map(|(list, _)| list.as_slice())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Columns;

    #[test]
    fn rows_come_apart() {
        let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0];
        let columns = |widths| Columns { widths, lists: [const { Vec::new() }; 3] };
        let mut all = columns([2, 1, 2]);
        for _ in 0..2 {
            let parts = all.apart(&rows);
            assert_eq!(parts[..], [&[1.0, 2.0, 6.0, 7.0][..], &[3.0, 8.0], &[4.0, 5.0, 9.0, 10.0]]);
        }
        // A batch of another size leaves nothing of the one before.
        assert_eq!(all.apart(&rows[..5])[..], [&[1.0, 2.0][..], &[3.0], &[4.0, 5.0]]);
        assert_eq!(all.apart(&rows[..7])[..], [&[1.0, 2.0, 6.0, 7.0][..], &[3.0], &[4.0, 5.0]]);
        let mut noise = columns([3, 0, 2]);
        assert_eq!(noise.apart(&rows[..5])[..], [&[1.0, 2.0, 3.0][..], &[4.0, 5.0]]);
        let mut alone = columns([5, 0, 0]);
        assert_eq!(alone.apart(&rows)[0].as_ptr(), rows.as_ptr());
    }
}
