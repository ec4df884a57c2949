//! Pictures of a data set and its model, which belong to no single claim.

mod components;
mod ellipses;
mod grid;
mod spectrum;
mod training;

use crate::flow::{Error, Flow};
use crate::theory::Chart;
use crate::train::TrainingRecord;
use eigenflow_linalg::Matrix;

pub use components::{against_truth, coloured, importance, walk};
pub use ellipses::ellipses;
pub use grid::{Cell, Grid, Shade};
pub use spectrum::spectrum;
pub use training::training;

/// What there is to show of a model: ellipses of local covariance in two or three columns, the spectrum of local standard
/// deviations, and the course of its training.
///
/// `data` are the rows shown, `held_out` those at which Jacobians are taken (the data where there are none).
///
/// # Errors
/// As [`Flow::normalize`]: a row that leaves the range of the model.
pub fn pictures(
    flow: &Flow<f64>,
    data: &Matrix<f64>,
    held_out: Option<&Matrix<f64>>,
    names: &[String],
    record: Option<&TrainingRecord>,
) -> Result<Vec<Chart>, Error> {
    let at = held_out.filter(|x| x.rows() > 0).unwrap_or(data);
    let mut out = Vec::new();
    out.extend(ellipses(flow, data, at, names)?);
    out.extend(spectrum(flow, data, at)?);
    out.extend(record.map(training).unwrap_or_default());
    Ok(out)
}

/// About `count` rows, evenly spread over all.
fn spread(x: &Matrix<f64>, count: usize) -> Matrix<f64> {
    let n = x.rows().min(count);
    let at = |i: usize| i * x.rows() / n.max(1);
    Matrix::from_fn(n, x.cols(), |i, j| x[(at(i), j)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::bijections::{Affine, Form};
    use crate::theory::Shape;
    use crate::train::EpochRow;

    /// A linear flow whose local covariance is `diag(4, 1)` everywhere.
    fn linear() -> Flow<f64> {
        let mut flow = Flow::new(vec![Affine::new(2, Form::Full).into()], 0, 0).unwrap();
        flow.parameters_mut()[0].data = vec![0.5, 0.0, 0.0, 1.0];
        flow
    }

    fn grid() -> Matrix<f64> {
        Matrix::from_fn(900, 2, |i, j| (if j == 0 { i % 30 } else { i / 30 }) as f64 - 14.5)
    }

    #[test]
    fn ellipses_have_the_axes_of_the_local_covariance() {
        let names = ["a".to_owned(), "b".to_owned()];
        let chart = ellipses(&linear(), &grid(), &grid(), &names).unwrap().remove(0);
        let outlines: Vec<_> = chart.marks.iter().filter(|m| m.shape == Shape::Outline).collect();
        assert_eq!(outlines.len(), 30);
        for outline in outlines {
            let extent = |v: &[f64]| {
                v.iter().copied().fold(f64::MIN, f64::max) - v.iter().copied().fold(f64::MAX, f64::min)
            };
            let ratio = extent(&outline.x) / extent(&outline.y);
            assert!((ratio - 2.0).abs() < 0.02, "{ratio}");
        }
        let three = Matrix::zeros(4, 4);
        assert!(ellipses(&linear(), &three, &three, &names).unwrap().is_empty());
    }

    #[test]
    fn spectra_and_curves_show_what_is_there() {
        let chart = spectrum(&linear(), &grid(), &grid()).unwrap().unwrap();
        let local = &chart.marks[0];
        assert!((local.y[0] - 2.0).abs() < 1e-12 && (local.y[1] - 1.0).abs() < 1e-12, "{local:?}");
        assert!(local.error.iter().all(|e| e.abs() < 1e-12));
        let row = |epoch: usize| EpochRow {
            epoch,
            nll: 2.0 / epoch as f64,
            valid_nll: 3.0 / epoch as f64,
            condition: f64::INFINITY,
            virial: 0.1,
            lr: 1e-3,
        };
        let record =
            TrainingRecord { epochs: vec![row(1), row(2)], best_epoch: 2, ..TrainingRecord::default() };
        let charts = training(&record);
        assert_eq!(charts.len(), 3);
        assert_eq!(charts[0].marks[1].y, [3.0, 1.5]);
        assert!(training(&TrainingRecord::default()).is_empty());
    }
    /// A constant column has no standard deviation to move by, and is none of those that move most.
    #[test]
    fn walks_by_columns_leave_out_constant_ones() {
        let mut flow = Flow::new(vec![Affine::new(3, Form::Full).into()], 0, 0).unwrap();
        flow.parameters_mut()[0].data = vec![1.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 100.0];
        let data = Matrix::from_fn(50, 3, |i, j| [i as f64 / 10.0 - 2.5, (i % 7) as f64, 0.1][j]);
        let walked = crate::components::Walk { component: 0, reach: 1.0, points: 5, tolerance: 1e-6 };
        let walks = crate::components::traverse(&flow, &Matrix::zeros(1, 3), &walked).unwrap();
        let names = ["a", "b", "k"].map(str::to_owned);
        let chart = walk(&data, &names, 0, &walks).unwrap().pop().unwrap();
        let shown: Vec<&str> = chart.marks.iter().map(|m| m.name.as_str()).collect();
        assert!(shown.contains(&"b") && !shown.contains(&"k"), "{shown:?}");
    }
}
