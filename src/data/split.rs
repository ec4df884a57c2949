//! Training and validation rows, with identical rows on one side.

use super::{Error, Table};
use crate::random::hash_words;

impl Table {
    /// Splits the rows into training and validation rows; both keep the table's order.
    ///
    /// Rows are grouped by their values (label included), groups are put in the order of a seeded hash
    /// of those values, and validation takes groups in that order until it has `fraction` of all rows,
    /// passing over a group that would carry it beyond. So a row that occurs twice is never on both
    /// sides, and a row's side depends on its values, not on where it stands in the file.
    /// Cost: one sort of `n` keys.
    ///
    /// # Errors
    /// A fraction not strictly between 0 and 1, or fewer than two distinct rows.
    pub fn split(&self, fraction: f64, seed: u64) -> Result<(Self, Self), Error> {
        let refuse = |problem: String| Error::Split { data: self.source.clone(), problem };
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(refuse(format!(
                "the validation part is {fraction}; give a fraction between 0 and 1"
            )));
        }
        let mut keyed: Vec<(u64, usize)> = (0..self.rows()).map(|i| (self.key(i, seed), i)).collect();
        keyed.sort_unstable();
        let groups: Vec<&[(u64, usize)]> = keyed.chunk_by(|a, b| a.0 == b.0).collect();
        if groups.len() < 2 {
            return Err(refuse("all rows are the same; give validation rows of their own".into()));
        }
        let target = ((fraction * self.rows() as f64).round() as usize).clamp(1, self.rows() - 1);
        let mut held = vec![false; self.rows()];
        let mut count = 0;
        for group in &groups {
            if count + group.len() <= target {
                count += group.len();
                for &(_, i) in *group {
                    held[i] = true;
                }
            }
        }
        if count == 0 {
            // Every group is larger than the target: the smallest comes nearest to it.
            let smallest = groups.iter().min_by_key(|group| group.len()).copied().unwrap_or_default();
            for &(_, i) in smallest {
                held[i] = true;
            }
        }
        let (valid, train): (Vec<usize>, Vec<usize>) = (0..self.rows()).partition(|&i| held[i]);
        Ok((self.select_rows(&train)?, self.select_rows(&valid)?))
    }

    /// Equal for equal rows. Distinct rows collide with probability `2^-64` a pair, and then merely
    /// share a side.
    fn key(&self, row: usize, seed: u64) -> u64 {
        let label = self.label.as_ref().map(|label| label.codes[row] as u64);
        // Adding 0 turns -0 into 0.
        let values = self.values.row(row).iter().map(|x| (x + 0.0).to_bits());
        hash_words(seed, values.chain(label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dtype;
    use eigenflow_linalg::Matrix;
    use proptest::prelude::*;

    fn column(x: Vec<f64>) -> Table {
        Table::new(Matrix::new(x.len(), 1, x), vec![], "t", Dtype::F64).unwrap()
    }

    proptest! {
        #[test]
        fn identical_rows_stay_together(
            x in prop::collection::vec(0..40_u8, 2..200), fraction in 0.01..0.99, seed: u64,
        ) {
            prop_assume!(x.iter().any(|v| v != &x[0]));
            let table = column(x.iter().map(|&v| f64::from(v)).collect());
            let (train, valid) = table.split(fraction, seed).unwrap();
            prop_assert_eq!(train.rows() + valid.rows(), x.len());
            prop_assert!(train.values.data().iter().all(|v| !valid.values.data().contains(v)));
        }
    }

    #[test]
    fn distinct_rows_are_split_in_the_proportion_asked_for() {
        let table = column((0..1000).map(f64::from).collect());
        for (fraction, rows) in [(0.2, 200), (0.0001, 1), (0.9999, 999)] {
            assert_eq!(table.split(fraction, 1).unwrap().1.rows(), rows);
        }
        let (_, a) = table.split(0.5, 1).unwrap();
        let (_, b) = table.split(0.5, 2).unwrap();
        assert_ne!(a.values, b.values);
        assert_eq!(a.values, table.split(0.5, 1).unwrap().1.values);
    }

    #[test]
    fn a_side_depends_on_values_not_on_places() {
        let (_, a) = column((0..100).map(f64::from).collect()).split(0.3, 5).unwrap();
        let (_, b) = column((0..100).rev().map(f64::from).collect()).split(0.3, 5).unwrap();
        let mut b = b.values.into_data();
        b.reverse();
        assert_eq!(a.values.data(), b);
    }

    #[test]
    fn what_cannot_be_split_is_refused() {
        assert!(matches!(column(vec![1.0, 1.0]).split(0.5, 0), Err(Error::Split { .. })));
        for fraction in [0.0, 1.0, -1.0, f64::NAN] {
            assert!(matches!(column(vec![1.0, 2.0]).split(fraction, 0), Err(Error::Split { .. })));
        }
        // Two large groups: one is taken whole.
        let (train, valid) = column(vec![1.0, 1.0, 1.0, 2.0, 2.0]).split(0.2, 0).unwrap();
        assert_eq!((train.rows(), valid.rows()), (3, 2));
    }
}
