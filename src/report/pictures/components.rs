//! Pictures of components: how large they are, what they explain, where they point, and walks along them.

use super::spread;
use crate::components::{Comparison, Components, Significance, Traversal};
use crate::report::text::number;
use crate::theory::linear::Spectrum;
use crate::theory::{Axis, Chart, Shape};
use eigenflow_linalg::{Error, Matrix};

/// Rows of a scatter, rows whose axes are drawn, and the length of their longest, in standard deviations of the picture.
const ROWS: usize = 3000;
const AXES: usize = 40;
const LENGTH: f64 = 0.22;
/// Columns of which a walk is drawn against its length.
const COLUMNS: usize = 6;

/// Local standard deviations with error bars, beside those of PCA; shares of the variance; entropies.
pub fn importance(s: &Significance, c: &Comparison) -> Vec<Chart> {
    let d = s.scale.len();
    let index: Vec<f64> = (1..=d).map(|k| k as f64).collect();
    let of = |e: &[crate::components::Estimate]| -> (Vec<f64>, Vec<f64>) {
        e.iter().map(|e| (e.value, e.error)).unzip()
    };
    let (text, last) = (|v: f64| number(v, 3), d - 1);
    let ((scale, scale_error), (share, share_error)) = (of(&s.scale), of(&s.share));
    let ((variance, variance_error), (entropy, entropy_error)) = (of(&s.variance), of(&s.entropy));
    let total: f64 = c.pca.iter().map(|v| v * v).sum();
    let pca_share: Vec<f64> = c.pca.iter().map(|v| if total > 0.0 { v * v / total } else { 0.0 }).collect();
    let scree = Chart::new(
        "Local standard deviations",
        Axis::linear("component"),
        Axis::log("standard deviation (data units)"),
    )
    .described(format!(
        "Mean local standard deviation of each component over {} rows, from {} to {}, with its standard error by a bootstrap over \
         blocks of {} rows; dashed, the standard deviations along the principal axes of all rows, from {} to {}.",
        s.rows,
        text(scale[0]),
        text(scale[last]),
        s.block,
        text(c.pca[0]),
        text(c.pca[last])
    ))
    .mark("local, mean over rows", Shape::Points, index.clone(), scale)
    .error_bars(scale_error)
    .mark("PCA of all rows", Shape::Dashed, index.clone(), c.pca.clone());
    let explained = Chart::new("Explained variance", Axis::linear("component"), Axis::linear("share of the variance"))
        .described(format!(
            "Shares of the components in their summed squares over {} rows, with standard errors; mean shares of the local variance; \
             shares of PCA and of PCA in neighbourhoods of {} rows. The first component has {}, {}, {} and {}.",
            s.rows,
            c.neighbours,
            text(variance[0]),
            text(share[0]),
            text(pca_share[0]),
            text(c.local_pca[0])
        ))
        .mark("components", Shape::Bars, index.clone(), variance)
        .error_bars(variance_error)
        .mark("local variance", Shape::Points, index.clone(), share)
        .error_bars(share_error)
        .mark("PCA", Shape::Dashed, index.clone(), pca_share)
        .mark("local PCA", Shape::Dashed, index.clone(), c.local_pca.clone());
    let mut latent: Vec<f64> = s.latent_entropy.iter().map(|e| e.value).collect();
    latent.sort_by(|a, b| b.total_cmp(a));
    let entropies = Chart::new("Explained entropy", Axis::linear("component"), Axis::linear("entropy (nats)"))
        .described(format!(
            "Entropies E log(1/s) + ½ log 2πe of the components, from {} to {} nats: they add up to the entropy of the model. Those of \
             the latent axes, sorted, add up to {} ± {} nats more, the contrast; it is zero where latent axes are local principal axes.",
            text(entropy[0]),
            text(entropy[last]),
            text(s.contrast.value),
            text(s.contrast.error)
        ))
        .mark("components", Shape::Points, index.clone(), entropy)
        .error_bars(entropy_error)
        .mark("latent axes", Shape::Dashed, index, latent);
    vec![scree, explained, entropies]
}

/// The plane of a picture: two columns, or the leading two principal axes of more.
struct Plane {
    mean: Vec<f64>,
    axes: Matrix<f64>,
    names: [String; 2],
}

impl Plane {
    fn of(data: &Matrix<f64>, names: &[String]) -> Result<Option<Self>, Error> {
        let d = data.cols();
        if d < 2 || data.rows() < 2 {
            return Ok(None);
        }
        let name = |k: usize| names.get(k).cloned().unwrap_or_else(|| format!("column {k}"));
        if d == 2 {
            let (mean, axes) = (vec![0.0; 2], Matrix::identity(2));
            return Ok(Some(Self { mean, axes, names: [name(0), name(1)] }));
        }
        let s = Spectrum::of(data)?;
        let axes = Matrix::from_fn(d, 2, |i, j| s.axes[(i, j)]);
        let names = [1, 2].map(|k| format!("principal axis {k} (data units)"));
        Ok(Some(Self { mean: s.mean, axes, names }))
    }

    fn place(&self, x: &[f64]) -> [f64; 2] {
        [0, 1].map(|j| (0..x.len()).map(|i| (x[i] - self.mean[i]) * self.axes[(i, j)]).sum())
    }

    fn turn(&self, v: &[f64]) -> [f64; 2] {
        [0, 1].map(|j| (0..v.len()).map(|i| v[i] * self.axes[(i, j)]).sum())
    }

    fn chart(&self, title: &str) -> Chart {
        Chart::new(title, Axis::linear(&self.names[0]), Axis::linear(&self.names[1])).equal()
    }
}

/// The rows coloured by the values of component `k` (counted from 0), with its local axis, as long as its local standard
/// deviation up to one factor, at some of them. Empty for one column.
///
/// # Errors
/// If an entry is not finite.
pub fn coloured(
    data: &Matrix<f64>,
    names: &[String],
    what: &str,
    k: usize,
    values: &[f64],
    c: &Components<f64>,
) -> Result<Option<Chart>, Error> {
    let Some(plane) = Plane::of(data, names)? else { return Ok(None) };
    let (n, d, top) = (data.rows(), data.cols(), c.axes.cols());
    let some = |count: usize| (0..count.min(n)).map(move |i| i * n / count.min(n).max(1));
    let (mut x, mut y, mut colour) = (Vec::new(), Vec::new(), Vec::new());
    for i in some(ROWS) {
        let [a, b] = plane.place(data.row(i));
        x.push(a);
        y.push(b);
        colour.push(values[i]);
    }
    let size = |v: &[f64]| {
        let (n, mean) = (v.len() as f64, v.iter().sum::<f64>() / v.len() as f64);
        v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n
    };
    let extent = (size(&x) + size(&y)).sqrt();
    let mut lengths: Vec<f64> = some(AXES).map(|i| c.scales[(i, k)]).filter(|s| s.is_finite()).collect();
    lengths.sort_by(f64::total_cmp);
    let longest = lengths.last().copied().unwrap_or(1.0);
    let mut chart = plane
        .chart(&format!("Component {} on the data", k + 1))
        .described(format!(
            "{} rows coloured by {what} {} (data units), with its local axis at {} rows, drawn in proportion to the local standard deviation \
             there (at most {}).",
            x.len(),
            k + 1,
            lengths.len(),
            number(longest, 3)
        ))
        .mark("", Shape::Points, x, y)
        .coloured(&format!("{what} {} (data units)", k + 1), colour);
    for i in some(AXES).filter(|&i| c.scales[(i, k)].is_finite()) {
        let axis: Vec<f64> = (0..d).map(|r| c.axes.get(i)[r * top + k]).collect();
        let ([a, b], [u, v]) = (plane.place(data.row(i)), plane.turn(&axis));
        let half = LENGTH * extent * c.scales[(i, k)] / longest;
        chart = chart.mark(
            "local axis",
            Shape::Line,
            vec![a - half * u, a + half * u],
            vec![b - half * v, b + half * v],
        );
    }
    Ok(Some(chart))
}

/// A walk along a component: over the data where there are two or three columns, and each column against the length of the walk.
///
/// # Errors
/// If an entry of the data is not finite.
pub fn walk(
    data: &Matrix<f64>,
    names: &[String],
    component: usize,
    t: &Traversal<f64>,
) -> Result<Vec<Chart>, Error> {
    let d = data.cols();
    let title = format!("Traversal of component {}", component + 1);
    let mut out = Vec::new();
    if let (2 | 3, Some(plane)) = (d, Plane::of(data, names)?) {
        let shown = spread(data, ROWS / 2);
        let placed: Vec<[f64; 2]> = (0..shown.rows()).map(|i| plane.place(shown.row(i))).collect();
        let split = |p: &[[f64; 2]]| p.iter().map(|p| (p[0], p[1])).unzip::<f64, f64, Vec<f64>, Vec<f64>>();
        let (x, y) = split(&placed);
        let mut chart = plane
            .chart(&title)
            .described(format!(
                "Walks of {} local standard deviations in both directions along component {} from {} rows, over the data: each follows the \
                 local axis as it turns.",
                number(t.positions.last().copied().unwrap_or(0.0), 3),
                component + 1,
                t.points.count()
            ))
            .mark("data", Shape::Points, x, y);
        for walk in 0..t.points.count() {
            let places: Vec<[f64; 2]> = t.points.get(walk).chunks(d).map(|x| plane.place(x)).collect();
            let (x, y) = split(&places);
            chart = chart.mark("walk", Shape::Line, x, y);
            let start = places[places.len() / 2];
            chart = chart.mark("start", Shape::Points, vec![start[0]], vec![start[1]]);
        }
        out.push(chart);
    }
    if t.points.count() == 0 || data.rows() < 2 {
        return Ok(out);
    }
    // The columns that move most, in their own standard deviations.
    let (first, p) = (t.points.get(0), t.positions.len());
    let deviation: Vec<f64> = (0..d)
        .map(|j| {
            let c = data.col(j);
            let mean = c.iter().sum::<f64>() / c.len() as f64;
            let deviation = (c.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / c.len() as f64).sqrt();
            // What is constant but for rounding has none.
            if deviation <= 8.0 * f64::EPSILON * mean.abs() { 0.0 } else { deviation }
        })
        .collect();
    let moved = |j: usize, k: usize| (first[k * d + j] - first[p / 2 * d + j]) / deviation[j];
    let reach = |j: usize| (0..p).map(|k| moved(j, k).abs()).filter(|v| v.is_finite()).fold(0.0, f64::max);
    let mut order: Vec<usize> = (0..d).filter(|&j| deviation[j] > 0.0).collect();
    order.sort_by(|&a, &b| reach(b).total_cmp(&reach(a)).then(a.cmp(&b)));
    order.truncate(COLUMNS);
    let mut chart = Chart::new(
        &format!("{title}, by columns"),
        Axis::linear("along the walk (local standard deviations)"),
        Axis::linear("change (standard deviations of the column)"),
    )
    .described(format!(
        "How the {} columns that move most change along the walk from the first row, in standard deviations of each column.",
        order.len()
    ));
    for j in order {
        let name = names.get(j).cloned().unwrap_or_else(|| format!("column {j}"));
        chart = chart.mark(&name, Shape::Line, t.positions.clone(), (0..p).map(|k| moved(j, k)).collect());
    }
    out.push(chart);
    Ok(out)
}

/// Values against the truth they should go with, one a row; the rank correlation is the caller's.
pub fn against_truth(
    what: &str,
    truth: &str,
    values: &[f64],
    true_values: &[f64],
    rank_correlation: f64,
) -> Chart {
    let n = values.len();
    let some: Vec<usize> = (0..n.min(ROWS)).map(|i| i * n / n.clamp(1, ROWS)).collect();
    let of = |v: &[f64]| some.iter().map(|&i| v[i]).collect::<Vec<f64>>();
    Chart::new(&format!("{what} against {truth}"), Axis::linear(truth), Axis::linear(what))
        .described(format!(
            "{what} against {truth} at {} rows; rank correlation {rank_correlation:.4}.",
            some.len()
        ))
        .mark(&format!("rank correlation {rank_correlation:.4}"), Shape::Points, of(true_values), of(values))
}
