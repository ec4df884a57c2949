//! The pictures of a study.

use super::Images;
use super::denoiser::Restored;
use super::geometry::Geometry;
use super::wiener::psnr;
use crate::components::Traversal;
use crate::report::pictures::{Cell, Grid};
use crate::report::studies::quantile;
use crate::report::text::number;
use crate::theory::linear::Spectrum;
use crate::theory::{Axis, Chart, Shape};
use eigenflow_linalg::Matrix;

/// The leading local axes at one example of each class, with their standard deviations; last, the mean and the principal axes of all rows.
pub fn axes(images: &Images, spectrum: &Spectrum, g: &Geometry) -> Grid {
    let (d, k) = (images.held.cols(), g.leading.scales.cols());
    let mut cells = Vec::new();
    for (at, &row) in g.examples.iter().enumerate() {
        cells.push(Cell::grey(images.held.row(row)));
        let axes = g.leading.axes.get(at);
        let axis = |c: usize| (0..d).map(|i| axes[i * k + c]).collect();
        cells.extend((0..k).map(|c| Cell::axis(axis(c), g.leading.scales[(at, c)])));
    }
    cells.push(Cell::grey(&spectrum.mean));
    cells.extend((0..k).map(|c| Cell::axis(spectrum.axes.col(c), spectrum.values[c].sqrt())));
    let (first, last) = (&g.leading.scales.col(0), &g.leading.scales.col(k - 1));
    Grid {
        title: "Leading local axes at one example of each class".to_owned(),
        description: format!(
            "Rows are classes: a held-out example and its {k} leading local axes, largest local standard deviation (below each, units of grey) \
             first; from {} to {} for the first axis and from {} to {} for the last. The last row has the mean of all rows and the principal axes \
             of PCA.",
            number(quantile(first, 0.0), 3),
            number(quantile(first, 1.0), 3),
            number(quantile(last, 0.0), 3),
            number(quantile(last, 1.0), 3)
        ),
        side: images.side,
        columns: std::iter::once("row".to_owned()).chain((1..=k).map(|c| c.to_string())).collect(),
        rows: with_pca(&images.classes),
        cells,
    }
}

/// A walk along component `k` (counted from 0) from each example; last, the straight one along the principal axis of PCA from the mean.
pub fn walk(images: &Images, spectrum: &Spectrum, k: usize, t: &Traversal<f64>) -> Grid {
    let (d, p) = (images.held.cols(), t.positions.len());
    let mut cells = Vec::new();
    for row in 0..t.points.count() {
        let point = |j: usize| &t.points.get(row)[j * d..(j + 1) * d];
        cells.extend(
            (0..p).map(|j| point(j).iter().all(|v| v.is_finite()).then(|| Cell::grey(point(j))).flatten()),
        );
    }
    for at in &t.positions {
        let step = at * spectrum.values[k].sqrt();
        let image: Vec<f64> = (0..d).map(|i| spectrum.mean[i] + step * spectrum.axes[(i, k)]).collect();
        cells.push(Cell::grey(&image));
    }
    let whole =
        (0..t.reached.rows()).filter(|&i| t.reached.row(i).iter().all(|r| *r >= t.positions[p - 1])).count();
    Grid {
        title: format!("Walks along component {}, in local standard deviations", k + 1),
        description: format!(
            "From one example of each class (0), along its local component {} as it turns, {} local standard deviations in each direction: {whole} of {} \
             walks came to both ends. The last row goes along the principal axis of PCA from the mean.",
            k + 1,
            number(t.positions[p - 1], 3),
            t.reached.rows()
        ),
        side: images.side,
        columns: t.positions.iter().map(|v| number(*v, 3)).collect(),
        rows: with_pca(&images.classes),
        cells,
    }
}

fn with_pca(classes: &[String]) -> Vec<String> {
    classes.iter().cloned().chain(["PCA".to_owned()]).collect()
}

/// One held-out row of each class: clean, and at each level with noise, restored by the linear filter, and by the flow; PSNR below.
pub fn denoised(images: &Images, restored: &[Restored], rows: usize) -> Grid {
    let numbers = images.of_each_class(rows);
    let clean = images.held_rows(&numbers);
    let first = |class: usize| numbers.iter().position(|&i| images.codes[i] == class);
    let mut cells = Vec::new();
    for class in 0..images.classes.len() {
        let Some(row) = first(class) else {
            cells.extend((0..=3 * restored.len()).map(|_| None));
            continue;
        };
        cells.push(Cell::grey(clean.row(row)));
        for x in restored.iter().flat_map(|r| &r.rows) {
            cells.push(Cell::grey(x.row(row)).map(|c| c.valued(psnr(x.row(row), clean.row(row)))));
        }
    }
    let mut columns = vec!["clean".to_owned()];
    let mut said = Vec::new();
    for r in restored {
        columns.extend([format!("noise {}", r.noise), "linear".to_owned(), "flow".to_owned()]);
        let [noisy, linear, own] = r.psnr.map(|m| number(m.value, 3));
        said.push(format!("{noisy}, {linear} and {own} decibels at {}", r.noise));
    }
    Grid {
        title: "Noise taken out by the linear filter and by the flow".to_owned(),
        description: format!(
            "A held-out row of each class, clean, then at each level of noise (units of grey) with it, restored by the Wiener filter, and by the flow, with \
             its PSNR in decibels below. Means over held-out rows: {}.",
            said.join("; ")
        ),
        side: images.side,
        columns,
        rows: images.classes.clone(),
        cells,
    }
}

/// Draws of a flow, ten a line.
pub fn draws(images: &Images, draws: &Matrix<f64>) -> Grid {
    const LINE: usize = 10;
    let lines = draws.rows().div_ceil(LINE);
    Grid {
        title: "Draws from the flow".to_owned(),
        description: format!(
            "{} draws of the flow whose axes are looked at; it contains the noise that its penalty stands for.",
            draws.rows()
        ),
        side: images.side,
        columns: vec![String::new(); LINE],
        rows: vec![String::new(); lines],
        cells: (0..draws.rows()).map(|i| Cell::grey(draws.row(i))).collect(),
    }
}

/// Local standard deviations: their median over rows with the 5 and 95 % quantiles, beside those of PCA.
pub fn scree(spectrum: &Spectrum, g: &Geometry, scale: f64) -> Chart {
    let d = g.scales.cols();
    let index: Vec<f64> = (1..=d).map(|k| k as f64).collect();
    let of = |q: f64| -> Vec<f64> { (0..d).map(|k| quantile(&g.scales.col(k), q)).collect() };
    let (low, median, high) = (of(0.05), of(0.5), of(0.95));
    let pca: Vec<f64> = spectrum.values.iter().map(|l| (l + scale * scale).sqrt()).collect();
    let text = |v: f64| number(v, 3);
    Chart::new(
        "Local standard deviations",
        Axis::log("component"),
        Axis::log("standard deviation (units of grey)"),
    )
    .described(format!(
        "Median over {} held-out rows of the local standard deviations, from {} to {}, with their 5 and 95 % quantiles (first component: {} to {}); \
         those of PCA with the noise {scale} of the penalty added, from {} to {}.",
        g.scales.rows(),
        text(median[0]),
        text(median[d - 1]),
        text(low[0]),
        text(high[0]),
        text(pca[0]),
        text(pca[d - 1])
    ))
    .mark("local, median of rows", Shape::Line, index.clone(), median)
    .mark("5 and 95 % of rows", Shape::Dashed, index.clone(), low)
    .mark("5 and 95 % of rows", Shape::Dashed, index.clone(), high)
    .mark("PCA of all rows, with the penalty's noise", Shape::Line, index, pca)
}
