//! Marks as SVG paths: every series has a colour, a marker and a dash pattern of its own.

use super::scale::Scale;
use super::{Frame, colour, short};
use crate::theory::{Mark, Shape};
use std::fmt::Write;

/// Colours of the style sheet; a seventh series starts over with another marker and dash.
const COLOURS: usize = 6;
/// Half the size of a marker; of a dot among many.
const MARKER: f64 = 3.4;
const DOT: f64 = 1.4;
/// From this many points on, points are dots.
const MANY: usize = 80;
/// Markers along a line that tell it from others.
const ALONG: usize = 7;
/// Dash patterns of dashed lines.
const DASHES: [&str; 5] = ["6 4", "2 3", "9 3 2 3", "12 4", "4 2 1 2"];

/// How the marks of one name are drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Series {
    /// Position among the names of the chart.
    pub index: usize,
    /// Whether a solid line carries markers, to tell it from another one.
    pub marked: bool,
}

impl Series {
    /// Class of its colour.
    pub(super) fn class(self) -> String {
        format!("s{}", self.index % COLOURS)
    }

    fn dash(self) -> &'static str {
        DASHES[self.index % DASHES.len()]
    }
}

/// A mark in a frame; `range` is that of the values that colours stand for.
pub(super) fn draw(
    mark: &Mark,
    series: Series,
    frame: &Frame,
    bars: (usize, usize),
    range: Option<(f64, f64)>,
) -> String {
    let (x, y) = (&frame.x, &frame.y);
    let points: Vec<Option<(f64, f64)>> =
        mark.x.iter().zip(&mark.y).map(|(&a, &b)| x.place(a).zip(y.place(b))).collect();
    let mut out = match mark.shape {
        Shape::Points => match range.filter(|_| !mark.colour.is_empty()) {
            Some(range) => coloured(&points, &mark.colour, range),
            None => dots(&points, series),
        },
        Shape::Line => {
            let markers = if series.marked { markers(&sparse(&points), series) } else { String::new() };
            line(&points, "") + &markers
        }
        Shape::Dashed => line(&points, &format!(" stroke-dasharray=\"{}\"", series.dash())),
        Shape::Outline => outline(&points),
        Shape::Bars => bar(mark, x, y, bars),
    };
    out += &errors(mark, x, y);
    out
}

/// The sample of a series in the legend: `width` wide, about the height `y`.
pub(super) fn sample(shape: Shape, series: Series, x: f64, y: f64, width: f64) -> String {
    let ends = [Some((x, y)), Some((x + width, y))];
    let middle = [Some((x + 0.5 * width, y))];
    match shape {
        Shape::Points => markers(&middle, series),
        Shape::Line if series.marked => line(&ends, "") + &markers(&middle, series),
        Shape::Line => line(&ends, ""),
        Shape::Dashed => line(&ends, &format!(" stroke-dasharray=\"{}\"", series.dash())),
        Shape::Outline => {
            let (a, b, h) = (x + 3.0, x + width - 3.0, 4.0);
            outline(&[
                Some((a, y)),
                Some((x + 0.5 * width, y - h)),
                Some((b, y)),
                Some((x + 0.5 * width, y + h)),
            ])
        }
        Shape::Bars => rect(x + 0.25 * width, y - 5.0, 0.5 * width, 10.0),
    }
}

fn rect(x: f64, y: f64, width: f64, height: f64) -> String {
    let (x, y, width, height) = (short(x), short(y), short(width), short(height));
    format!(
        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"currentColor\" fill-opacity=\".55\" \
         stroke=\"currentColor\"/>"
    )
}

fn dots(points: &[Option<(f64, f64)>], series: Series) -> String {
    if points.len() < MANY {
        return markers(points, series);
    }
    let mut d = String::new();
    // Dots, or small crosses of every other series.
    let cross = series.index % 2 == 1;
    for &(x, y) in points.iter().flatten() {
        let (at, up) = (short(x), short(y));
        let _ = if cross {
            let (l, r, t, b) = (short(x - 2.0), short(x + 2.0), short(y - 2.0), short(y + 2.0));
            write!(d, "M{l} {up}H{r}M{at} {t}V{b}")
        } else {
            write!(d, "M{at} {up}h0")
        };
    }
    if d.is_empty() {
        return d;
    }
    let width = if cross { 1.1 } else { 2.0 * DOT };
    format!(
        "<path d=\"{d}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"{width}\" stroke-linecap=\"round\" \
         stroke-opacity=\".7\"/>"
    )
}

/// Dots in the colours of their values, those of one colour in one path.
fn coloured(points: &[Option<(f64, f64)>], values: &[f64], range: (f64, f64)) -> String {
    let mut paths = vec![String::new(); colour::STEPS];
    for (point, &value) in points.iter().zip(values) {
        if let (Some((x, y)), Some(step)) = (point, colour::step(value, range)) {
            let _ = write!(paths[step], "M{} {}h0", short(*x), short(*y));
        }
    }
    let mut out = String::new();
    for (step, d) in paths.iter().enumerate().filter(|(_, d)| !d.is_empty()) {
        let (stroke, width) = (colour::of_step(step), 2.4 * DOT);
        let _ = write!(
            out,
            "<path d=\"{d}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\" stroke-linecap=\"round\"/>"
        );
    }
    out
}

/// Every so many of the points.
fn sparse(points: &[Option<(f64, f64)>]) -> Vec<Option<(f64, f64)>> {
    points.iter().step_by(points.len().div_ceil(ALONG).max(1)).copied().collect()
}

/// Circle, square, triangle, diamond, cross, plus.
fn markers(points: &[Option<(f64, f64)>], series: Series) -> String {
    let kind = (series.index + series.index / COLOURS) % COLOURS;
    let r = MARKER;
    let corners: &[(f64, f64)] = match kind {
        1 => &[(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)],
        2 => &[(0.0, -1.2), (1.2, 1.0), (-1.2, 1.0)],
        3 => &[(0.0, -1.4), (1.4, 0.0), (0.0, 1.4), (-1.4, 0.0)],
        _ => &[],
    };
    let mut d = String::new();
    for &(x, y) in points.iter().flatten() {
        let at = |dx: f64, dy: f64| format!("{} {}", short(x + r * dx), short(y + r * dy));
        // Writing into a String cannot fail.
        let _ = match kind {
            0 => write!(
                d,
                "M{}A{r} {r} 0 1 0 {}A{r} {r} 0 1 0 {}Z",
                at(-1.0, 0.0),
                at(1.0, 0.0),
                at(-1.0, 0.0)
            ),
            4 => write!(d, "M{}L{}M{}L{}", at(-1.0, -1.0), at(1.0, 1.0), at(-1.0, 1.0), at(1.0, -1.0)),
            5 => write!(d, "M{}L{}M{}L{}", at(-1.3, 0.0), at(1.3, 0.0), at(0.0, -1.3), at(0.0, 1.3)),
            _ => {
                for (k, &(dx, dy)) in corners.iter().enumerate() {
                    let _ = write!(d, "{}{}", if k == 0 { 'M' } else { 'L' }, at(dx, dy));
                }
                write!(d, "Z")
            }
        };
    }
    if d.is_empty() {
        return d;
    }
    let fill = if kind < 4 { "currentColor" } else { "none" };
    format!("<path d=\"{d}\" fill=\"{fill}\" stroke=\"currentColor\" stroke-width=\"1.4\"/>")
}

/// A line that is interrupted where a point cannot be drawn.
fn line(points: &[Option<(f64, f64)>], attributes: &str) -> String {
    let mut d = String::new();
    let mut pen = false;
    for point in points {
        if let Some((x, y)) = point {
            let _ = write!(d, "{}{} {}", if pen { 'L' } else { 'M' }, short(*x), short(*y));
        }
        pen = point.is_some();
    }
    if d.is_empty() {
        return d;
    }
    format!("<path d=\"{d}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.8\"{attributes}/>")
}

fn outline(points: &[Option<(f64, f64)>]) -> String {
    let mut d = String::new();
    for (k, (x, y)) in points.iter().flatten().enumerate() {
        let _ = write!(d, "{}{} {}", if k == 0 { 'M' } else { 'L' }, short(*x), short(*y));
    }
    if d.is_empty() {
        return d;
    }
    format!(
        "<path d=\"{d}Z\" fill=\"currentColor\" fill-opacity=\".1\" stroke=\"currentColor\" stroke-width=\"1.3\"/>"
    )
}

/// Bars from zero (from the axis where it is logarithmic), those of several series side by side.
fn bar(mark: &Mark, x: &Scale, y: &Scale, (index, count): (usize, usize)) -> String {
    let mut places: Vec<f64> = mark.x.iter().filter_map(|&v| x.place(v)).collect();
    places.sort_by(f64::total_cmp);
    let gap = places.windows(2).map(|w| w[1] - w[0]).filter(|g| *g > 0.0).fold(40.0, f64::min);
    let width = 0.8 * gap / count.max(1) as f64;
    let offset = width * (index as f64 - 0.5 * (count.max(1) as f64 - 1.0));
    let mut out = String::new();
    for (&a, &b) in mark.x.iter().zip(&mark.y) {
        let Some((at, top)) = x.place(a).zip(y.place(b)) else { continue };
        let base = y.clamped(0.0);
        let left = (at + offset - 0.5 * width).max(0.0);
        out += &rect(left, top.min(base), width.max(0.5), (top - base).abs());
    }
    out
}

fn errors(mark: &Mark, x: &Scale, y: &Scale) -> String {
    let mut d = String::new();
    for ((&a, &b), &e) in mark.x.iter().zip(&mark.y).zip(&mark.error) {
        let Some((at, _)) = x.place(a).zip(y.place(b)) else { continue };
        if !(e.is_finite() && e > 0.0) {
            continue;
        }
        let (low, high) = (y.clamped(b - e), y.clamped(b + e));
        let (left, right) = (short((at - 3.0).max(0.0)), short(at + 3.0));
        let (at, low, high) = (short(at), short(low), short(high));
        let _ = write!(d, "M{at} {low}V{high}M{left} {low}H{right}M{left} {high}H{right}");
    }
    if d.is_empty() {
        return d;
    }
    format!("<path d=\"{d}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.1\"/>")
}
