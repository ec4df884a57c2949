//! Images as rows.

use crate::data::{Error, Labels, Table};
use crate::flow::dequantizing_noise;
use eigenflow_linalg::Matrix;

/// Square images with classes: rows of pixels from 0 to 1.
#[derive(Clone, Debug)]
pub struct Images {
    /// Pixels along a side.
    pub side: usize,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Rows that flows are trained on.
    pub training: Matrix<f64>,
    /// Rows that choose the epoch that is kept.
    pub valid: Matrix<f64>,
    /// Rows that no training sees.
    pub held: Matrix<f64>,
    /// The class of each of those.
    pub codes: Vec<usize>,
}

impl Images {
    /// From tables of whole numbers `0..levels`: `(v + u)/levels` with `u` uniform on `[0, 1)`. Validation rows are a share of the training
    /// rows.
    ///
    /// # Errors
    /// If there is no label, the number of columns is no square, or a number is no level.
    pub fn of(training: &Table, held: &Table, levels: usize, seed: u64) -> Result<Self, Error> {
        const VALID: f64 = 0.05;
        let refuse = |table: &Table, problem: String| {
            Error::damaged(
                &table.source,
                problem,
                "square images of whole numbers from 0, one a row, with labels",
            )
        };
        let side = training.cols().isqrt();
        if side * side != training.cols() || held.cols() != training.cols() {
            return Err(refuse(held, format!("{} columns", held.cols())));
        }
        let Some(Labels { classes, codes, .. }) = held.label.clone() else {
            return Err(refuse(held, "no labels".to_owned()));
        };
        if let Some(class) = (0..classes.len()).find(|class| !codes.contains(class)) {
            return Err(refuse(held, format!("class '{}' has no held-out row", classes[class])));
        }
        for table in [training, held] {
            let bad = |v: &&f64| !(0.0..levels as f64).contains(*v) || v.fract() != 0.0;
            if let Some(v) = table.values.data().iter().find(bad) {
                return Err(refuse(table, format!("{v} is no level out of {levels}")));
            }
        }
        let (training, valid) = training.split(VALID, seed)?;
        let grey = |table: &Table, part: u64| {
            let u = dequantizing_noise::<f64>(
                table.rows(),
                table.cols(),
                false,
                crate::random::hash_words(seed, [part]),
            );
            let data =
                table.values.data().iter().zip(u.data()).map(|(v, u)| (v + u) / levels as f64).collect();
            Matrix::new(table.rows(), table.cols(), data)
        };
        let (training, valid, held) = (grey(&training, 0), grey(&valid, 1), grey(held, 2));
        Ok(Self { side, classes, training, valid, held, codes })
    }

    /// The held-out rows with these numbers.
    ///
    /// # Panics
    /// If a row does not exist.
    pub fn held_rows(&self, rows: &[usize]) -> Matrix<f64> {
        Matrix::from_fn(rows.len(), self.held.cols(), |i, j| self.held[(rows[i], j)])
    }

    /// The first `count` held-out rows of every class, class by class: their numbers.
    pub fn of_each_class(&self, count: usize) -> Vec<usize> {
        let of = |class: usize| (0..self.codes.len()).filter(move |&i| self.codes[i] == class).take(count);
        (0..self.classes.len()).flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dtype;

    fn table(values: Vec<f64>, cols: usize) -> Table {
        let rows = values.len() / cols;
        let table = Table::new(Matrix::new(rows, cols, values), vec![], "t", Dtype::F64).unwrap();
        let labels: Vec<String> = (0..rows).map(|i| (i % 2).to_string()).collect();
        table.with_label(Labels::new("digit", &labels)).unwrap()
    }

    #[test]
    fn pixels_lie_in_their_levels() {
        let t = table((0..160).map(|k| f64::from(k % 17)).collect(), 4);
        let images = Images::of(&t, &t, 17, 3).unwrap();
        assert_eq!((images.side, images.classes.len(), images.valid.rows()), (2, 2, 2));
        for (v, x) in t.values.data().iter().zip(images.held.data()) {
            assert!(((x * 17.0).floor() - v).abs() < 0.5, "{x}");
        }
        assert_eq!(images.of_each_class(2), [0, 2, 1, 3]);
        assert_eq!(images.held_rows(&[1]).row(0), images.held.row(1));
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let good = table(vec![1.0; 16], 4);
        let message = |t: &Table, levels| Images::of(t, t, levels, 0).unwrap_err().to_string();
        let lone = Table {
            label: Some(Labels { codes: vec![0; 4], ..good.label.clone().unwrap() }),
            ..good.clone()
        };
        assert!(message(&lone, 2).contains("class '1' has no held-out row"));
        assert!(message(&table(vec![1.0; 15], 3), 4).contains("3 columns"));
        assert!(message(&good, 1).contains("1 is no level out of 1"));
        assert!(message(&table(vec![0.5; 16], 4), 4).contains("0.5 is no level"));
        assert!(message(&Table { label: None, ..good }, 4).contains("no labels"));
    }
}
