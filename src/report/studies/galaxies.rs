//! Galaxies by redshift and six magnitudes: what local axes mean.

use super::{Mean, quantile};
use crate::components::{Components, Traversal};
use crate::theory::{Axis, Chart, Shape};
use eigenflow_linalg::Matrix;

/// Columns, in their order: the redshift and the magnitudes in LSST's bands.
pub const COLUMNS: [&str; 7] = ["redshift", "u", "g", "r", "i", "z", "y"];
/// Effective wavelengths of the bands, nm (Ž. Ivezić et al., ApJ 873, 111, 2019, table 1 and its filters).
pub const WAVELENGTHS: [f64; 6] = [367.0, 482.0, 622.0, 754.0, 869.0, 971.0];
/// Bins of the redshift over which axes are summed up.
pub const BINS: [[f64; 2]; 4] = [[0.1, 0.5], [0.5, 0.8], [0.8, 1.2], [1.2, 2.0]];

const D: usize = COLUMNS.len();

/// What a component is, over the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Meaning {
    /// Quantiles of its local standard deviation: 5, 50 and 95 %.
    pub scale: [f64; 3],
    /// How its squared axis splits, on average, into the redshift, a common change of all magnitudes (brightness), and what is
    /// left, changes of the magnitudes against each other (colours); they add up to one.
    pub parts: [Mean; 3],
    /// Median angle between the axis and its mean over the rows, degrees: how much it turns.
    pub turned: f64,
    /// Median change of each column over one local standard deviation, for each bin of redshift (NaN for a bin without galaxies); signs such that the
    /// redshift rises where it changes at least half as much as the column that changes most, and else that column.
    pub loadings: Vec<[f64; D]>,
}

/// The meaning of every component; `x` are the rows, whose signs are aligned.
///
/// ```
/// use eigenflow::components::Components;
/// use eigenflow::report::studies::galaxies::meanings;
/// use eigenflow_linalg::{Batch, Matrix};
/// let x = Matrix::from_fn(2, 7, |_, _| 1.0);
/// let axes = Batch::new(2, 7, 7, (0..2).flat_map(|_| Matrix::<f64>::identity(7).into_data()).collect());
/// let c = Components { values: x.clone(), scales: Matrix::from_fn(2, 7, |_, _| 2.0), axes, significance: vec![] };
/// let m = meanings(&x, &c);
/// // The first axis is the redshift; the second the magnitude u: a sixth of it is brightness.
/// assert_eq!(m[0].parts.map(|p| p.value), [1.0, 0.0, 0.0]);
/// assert!((m[1].parts[1].value - 1.0 / 6.0).abs() < 1e-15 && m[1].loadings[2][1] == 2.0 && m[1].turned < 1e-6);
/// ```
pub fn meanings(x: &Matrix<f64>, c: &Components<f64>) -> Vec<Meaning> {
    let n = x.rows();
    let axis =
        |i: usize, k: usize| -> [f64; D] { std::array::from_fn(|j| c.axes.get(i)[j * c.axes.cols() + k]) };
    (0..c.axes.cols())
        .map(|k| {
            let axes: Vec<[f64; D]> = (0..n).map(|i| axis(i, k)).collect();
            let parts: Vec<[f64; 3]> = axes.iter().map(split).collect();
            let mean: [f64; D] = std::array::from_fn(|j| axes.iter().map(|v| v[j]).sum::<f64>() / n as f64);
            let length = norm(&mean);
            let cosine = |v: &[f64; D]| v.iter().zip(&mean).map(|(a, b)| a * b).sum::<f64>() / length;
            let angles: Vec<f64> =
                axes.iter().map(|v| cosine(v).clamp(-1.0, 1.0).acos().to_degrees()).collect();
            let loadings = BINS.map(|[low, high]| {
                let inside = || (0..n).filter(move |&i| (low..high).contains(&x[(i, 0)]));
                let mut found: [f64; D] = std::array::from_fn(|j| {
                    quantile(&inside().map(|i| c.scales[(i, k)] * axes[i][j]).collect::<Vec<_>>(), 0.5)
                });
                let most = found.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
                let leading = if found[0].abs() >= 0.5 * most.abs() { found[0] } else { most };
                if leading < 0.0 {
                    found.iter_mut().for_each(|v| *v = -*v);
                }
                found
            });
            Meaning {
                scale: [0.05, 0.5, 0.95].map(|q| quantile(&c.scales.col(k), q)),
                parts: [0, 1, 2].map(|p| Mean::of(&parts.iter().map(|part| part[p]).collect::<Vec<_>>())),
                turned: quantile(&angles, 0.5),
                loadings: loadings.to_vec(),
            }
        })
        .collect()
}

/// The squared length of a unit vector along the redshift, along a common change of all magnitudes, and the rest.
fn split(v: &[f64; D]) -> [f64; 3] {
    let (redshift, sum) = (v[0] * v[0], v[1..].iter().sum::<f64>());
    let brightness = sum * sum / (D - 1) as f64;
    [redshift, brightness, (1.0 - redshift - brightness).max(0.0)]
}

/// How many directions vary by more than an error `σ` of every column: `Σ_k λ_k / (λ_k + σ²)` at each row, with `λ_k` its
/// local variances; median and 5 to 95 % of the rows for every `σ`.
///
/// ```
/// use eigenflow::report::studies::galaxies::dimensions;
/// use eigenflow_linalg::Matrix;
/// // Local deviations 1 and 0.1 against an error of 0.1: 1/1.01 + 1/2.
/// let found = dimensions(&Matrix::new(1, 2, vec![1.0, 0.1]), &[0.1]);
/// assert!((found[0][1] - (1.0 / 1.01 + 0.5)).abs() < 1e-12);
/// ```
pub fn dimensions(scales: &Matrix<f64>, errors: &[f64]) -> Vec<[f64; 3]> {
    let of = |i: usize, e: f64| scales.row(i).iter().map(|s| s * s / (s * s + e * e)).sum::<f64>();
    let one = |&e: &f64| {
        let each: Vec<f64> = (0..scales.rows()).map(|i| of(i, e)).collect();
        [0.05, 0.5, 0.95].map(|q| quantile(&each, q))
    };
    errors.iter().map(one).collect()
}

/// Each component's change of the magnitudes over one local standard deviation, against wavelength, by redshift.
pub fn spectra(meanings: &[Meaning], count: usize) -> Vec<Chart> {
    let one = |(k, m): (usize, &Meaning)| {
        let p = m.parts.each_ref().map(|p| 100.0 * p.value);
        let mut chart = Chart::new(
            &format!("Component {} as a spectrum", k + 1),
            Axis::linear("effective wavelength of the band (nm)"),
            Axis::linear("change over one local standard deviation (mag)"),
        )
        .described(format!(
            "Median change of the six magnitudes along component {} over one local standard deviation, in four bins of redshift z. The axis is \
             {:.0} % redshift, {:.0} % brightness and {:.0} % colours.",
            k + 1,
            p[0],
            p[1],
            p[2]
        ));
        for ([low, high], loading) in BINS.iter().zip(&m.loadings) {
            let name = format!("z = {low} to {high}");
            chart = chart.mark(&name, Shape::Line, WAVELENGTHS.to_vec(), loading[1..].to_vec());
        }
        chart
    };
    meanings.iter().enumerate().take(count).map(one).collect()
}

/// The effective dimension against the error.
pub fn dimension_chart(errors: &[f64], found: &[[f64; 3]]) -> Chart {
    let of = |q: usize| found.iter().map(|f| f[q]).collect::<Vec<f64>>();
    Chart::new(
        "How many directions an error leaves",
        Axis::log("error of every column (mag; redshift: 1)"),
        Axis::linear("effective dimension"),
    )
    .described(format!(
        "Σ λ/(λ + σ²) over the local variances λ of each row, against the error σ: from {:.2} (median over rows) at {} to {:.2} at {}.",
        found.first().map_or(f64::NAN, |f| f[1]),
        errors.first().unwrap_or(&f64::NAN),
        found.last().map_or(f64::NAN, |f| f[1]),
        errors.last().unwrap_or(&f64::NAN),
    ))
    .mark("median over rows", Shape::Line, errors.to_vec(), of(1))
    .mark("5 % and 95 % of the rows", Shape::Dashed, errors.to_vec(), of(0))
    .mark("5 % and 95 % of the rows", Shape::Dashed, errors.to_vec(), of(2))
}

/// A quantity with its unit, and how it is made of a row.
pub type Quantity = (&'static str, fn(&[f64]) -> f64);

/// Walks over the data in the plane of two quantities.
pub fn walks(x: &Matrix<f64>, component: usize, t: &Traversal<f64>, [across, up]: [Quantity; 2]) -> Chart {
    const SHOWN: usize = 2000;
    let shown: Vec<&[f64]> = (0..x.rows().min(SHOWN)).map(|i| x.row(i)).collect();
    let of = |f: fn(&[f64]) -> f64, rows: &[&[f64]]| rows.iter().map(|r| f(r)).collect::<Vec<f64>>();
    let mut chart = Chart::new(
        &format!("Walks along component {}", component + 1),
        Axis::linear(across.0),
        Axis::linear(up.0),
    )
    .described(format!(
        "Walks of {} local standard deviations in both directions along component {} from {} galaxies, over {} galaxies.",
        t.positions.last().copied().unwrap_or(0.0),
        component + 1,
        t.points.count(),
        shown.len()
    ))
    .mark("galaxies", Shape::Points, of(across.1, &shown), of(up.1, &shown));
    for walk in 0..t.points.count() {
        let points: Vec<&[f64]> = t.points.get(walk).chunks(x.cols()).collect();
        let start = [points[points.len() / 2]];
        chart = chart.mark("walk", Shape::Line, of(across.1, &points), of(up.1, &points)).mark(
            "start",
            Shape::Points,
            of(across.1, &start),
            of(up.1, &start),
        );
    }
    chart
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|a| a * a).sum::<f64>().sqrt()
}
