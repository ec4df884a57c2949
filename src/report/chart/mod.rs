//! A chart as inline SVG.
//!
//! Colours are `currentColor` under the classes `s0` to `s5`, which the page's style sheet sets for light, dark and
//! print. (The SVG back ends of plotting crates write fixed colours, and neither roles nor text alternatives.)
//! Colour is never the only cue: markers and dash patterns differ too.

mod colour;
pub mod file;
mod marks;
mod scale;

use super::text::{self, escape, wrap};
use crate::theory::{Chart, Mark, Shape};
use marks::Series;
use scale::{Scale, Tick};
use std::fmt::Write;

/// Width of the canvas, in its own units: those of a phone's page, so that text of size 12 can be read there.
const WIDTH: f64 = 410.0;
/// Height of the plot where units are not equal.
const HEIGHT: f64 = 250.0;
/// Least and largest height where they are.
const EQUAL: (f64, f64) = (150.0, 380.0);
/// Free room above and to the right of the plot.
const TOP: f64 = 10.0;
const RIGHT: f64 = 18.0;
/// Height of a line of text, and a generous mean width of a character.
const LINE: f64 = 16.0;
const CHARACTER: f64 = 6.6;
/// Width of a legend's sample.
const SAMPLE: f64 = 24.0;

/// The plot: scales laid over its rectangle.
#[derive(Debug)]
struct Frame {
    x: Scale,
    y: Scale,
}

/// The chart as one `<svg>` element. `id` must be unique in the page.
///
/// Values that are not finite, and values that are not positive on a logarithmic axis, are left out. The text
/// alternative is the title and the description.
///
/// ```
/// use eigenflow::report::chart::svg;
/// use eigenflow::theory::{Axis, Chart, Shape};
/// let chart = Chart::new("Square", Axis::linear("x"), Axis::linear("x²"))
///     .mark("square", Shape::Line, vec![0.0, 1.0, 2.0], vec![0.0, 1.0, 4.0]);
/// let text = svg(&chart, "a");
/// assert!(text.starts_with("<svg ") && text.contains("role=\"img\"") && text.contains("<title id=\"a-title\">Square"));
/// ```
pub fn svg(chart: &Chart, id: &str) -> String {
    let names = names(chart);
    let drawable = drawable(chart);
    let y_label = wrap(&chart.y.label, (HEIGHT / CHARACTER) as usize);
    let x_label = wrap(&chart.x.label, (0.75 * WIDTH / CHARACTER) as usize);
    let mut frame = None;
    let (mut left, mut height) = (20.0 + y_label.len() as f64 * LINE, HEIGHT);
    let mut ticks: (Vec<Tick>, Vec<Tick>) = Default::default();
    if let Some((mut x, mut y)) = drawable {
        // Labels of the vertical ticks need room; what stands on them does not depend on it.
        let widest = y.clone().between(1.0, 0.0).ticks(6).iter().map(|t| t.1.chars().count()).max();
        left += 6.0 + widest.unwrap_or(0) as f64 * CHARACTER;
        let width = WIDTH - RIGHT - left;
        if chart.equal && !chart.x.log && !chart.y.log {
            height = (width * y.range() / x.range()).clamp(EQUAL.0, EQUAL.1);
            let unit = (x.range() / width).max(y.range() / height);
            x.widen(unit * width);
            y.widen(unit * height);
        }
        let bottom = TOP + height;
        let (x, y) = (x.between(left, WIDTH - RIGHT), y.between(bottom, TOP));
        ticks = (x.ticks(5), y.ticks(6));
        frame = Some(Frame { x, y });
    }
    let bottom = TOP + height;
    let (right, middle) = (WIDTH - RIGHT, 0.5 * (left + WIDTH - RIGHT));
    let mut body = grid(&ticks, left, right, bottom);
    body += &lines(&x_label, middle, bottom + 34.0, "");
    let centre = TOP + 0.5 * height;
    body += &lines(&y_label, 14.0, centre, &format!(" transform=\"rotate(-90 14 {})\"", short(centre)));
    match &frame {
        None => body += &lines(&["nothing to draw".to_owned()], middle, centre, ""),
        Some(frame) => body += &all_marks(chart, &names, frame),
    }
    let below = bottom + 40.0 + x_label.len() as f64 * LINE;
    let (scale, below) = colour::bar(chart, left, right, below - 6.0).unwrap_or((String::new(), below));
    body += &scale;
    let (legend, end) = legend(chart, &names, below);
    body += &legend;
    let title = escape(&chart.title);
    let description = escape(&chart.description);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" role=\"img\" viewBox=\"0 0 {WIDTH} {height}\" \
         aria-labelledby=\"{id}-title {id}-desc\" font-size=\"12\">\n<title id=\"{id}-title\">{title}</title>\n\
         <desc id=\"{id}-desc\">{description}</desc>\n{body}</svg>\n",
        id = escape(id),
        height = short(end),
    )
}

/// The names of the marks, in the order in which they first occur.
fn names(chart: &Chart) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for mark in &chart.marks {
        if !names.contains(&mark.name.as_str()) {
            names.push(&mark.name);
        }
    }
    names
}

/// Scales that hold every point that can be drawn, its error bar and the foot of its bar.
fn drawable(chart: &Chart) -> Option<(Scale, Scale)> {
    let seen = |v: f64, log: bool| v.is_finite() && (!log || v > 0.0);
    let both = |m: &Mark| -> Vec<(f64, f64, f64)> {
        let error = |k: usize| m.error.get(k).copied().filter(|e| e.is_finite()).unwrap_or(0.0);
        let all = m.x.iter().zip(&m.y).enumerate().map(|(k, (&x, &y))| (x, y, error(k)));
        all.filter(|p| seen(p.0, chart.x.log) && seen(p.1, chart.y.log)).collect()
    };
    let points: Vec<(f64, f64, f64)> = chart.marks.iter().flat_map(both).collect();
    let bars = chart.marks.iter().any(|m| m.shape == Shape::Bars);
    // A bar is as wide as its distance from the next one: half of that stands beyond the first and the last place.
    let mut places: Vec<f64> = points.iter().map(|p| p.0).collect();
    places.sort_by(f64::total_cmp);
    let gap = places.windows(2).map(|w| w[1] - w[0]).filter(|g| *g > 0.0).fold(f64::INFINITY, f64::min);
    let half = if bars && !chart.x.log && gap.is_finite() { 0.5 * gap } else { 0.0 };
    let sides = points.iter().flat_map(|p| [p.0 - half, p.0 + half]).filter(|v| v.is_finite());
    let x = Scale::over(sides, chart.x.log)?;
    let ends = points.iter().flat_map(|p| [p.1, p.1 - p.2, p.1 + p.2]);
    let y = Scale::over(ends.chain(bars.then_some(0.0)), chart.y.log)?;
    Some((x, y))
}

fn all_marks(chart: &Chart, names: &[&str], frame: &Frame) -> String {
    let bars: Vec<&str> = names_with(chart, names, Shape::Bars);
    let mut out = String::new();
    for mark in &chart.marks {
        let series = series(chart, names, &mark.name);
        let bar = (bars.iter().position(|n| *n == mark.name).unwrap_or(0), bars.len());
        let drawn = marks::draw(mark, series, frame, bar, colour::range(chart));
        if !drawn.is_empty() {
            let _ = writeln!(out, "<g class=\"{}\">{drawn}</g>", series.class());
        }
    }
    out
}

/// The names that have a mark of this shape.
fn names_with<'a>(chart: &Chart, names: &[&'a str], shape: Shape) -> Vec<&'a str> {
    let has = |name: &str| chart.marks.iter().any(|m| m.name == name && m.shape == shape);
    names.iter().copied().filter(|n| has(n)).collect()
}

fn series(chart: &Chart, names: &[&str], name: &str) -> Series {
    let index = names.iter().position(|n| *n == name).unwrap_or(0);
    // The first solid line needs no marker; those after it do.
    let marked = names_with(chart, names, Shape::Line).iter().position(|n| *n == name).unwrap_or(0) > 0;
    Series { index, marked }
}

/// Axes, grid lines and tick labels.
fn grid((x, y): &(Vec<Tick>, Vec<Tick>), left: f64, right: f64, bottom: f64) -> String {
    let (mut d, mut labels) = (String::new(), String::new());
    let (l, r, t, b) = (short(left), short(right), short(TOP), short(bottom));
    for (at, label) in x {
        let at = short(*at);
        let _ = write!(d, "M{at} {t}V{b}");
        let _ = writeln!(
            labels,
            "<text x=\"{at}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            short(bottom + LINE)
        );
    }
    for (at, label) in y {
        let at = short(*at);
        let _ = write!(d, "M{l} {at}H{r}");
        let (x, y) = (short(left - 5.0), short(at.parse().unwrap_or(0.0) + 4.0));
        let _ = writeln!(labels, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{label}</text>");
    }
    let grid = if d.is_empty() { d } else { format!("<path class=\"grid\" d=\"{d}\" fill=\"none\"/>\n") };
    format!(
        "{grid}<path class=\"axis\" d=\"M{l} {t}V{b}H{r}\" fill=\"none\"/>\n<g class=\"text\">{labels}</g>\n"
    )
}

/// Lines of text about a place.
fn lines(text: &[String], x: f64, y: f64, attributes: &str) -> String {
    if text.iter().all(String::is_empty) {
        return String::new();
    }
    let mut spans = String::new();
    for (k, line) in text.iter().enumerate() {
        let y = short(y + k as f64 * LINE);
        let _ = write!(spans, "<tspan x=\"{}\" y=\"{y}\">{}</tspan>", short(x), escape(line));
    }
    format!("<text class=\"text\" text-anchor=\"middle\"{attributes}>{spans}</text>\n")
}

/// The legend below `y`, and where it ends.
fn legend(chart: &Chart, names: &[&str], y: f64) -> (String, f64) {
    let (mut out, mut x, mut y) = (String::new(), 8.0, y);
    for name in names.iter().filter(|n| !n.is_empty()) {
        let Some(mark) = chart.marks.iter().find(|m| m.name == *name) else { continue };
        let text = wrap(name, ((WIDTH - SAMPLE - 24.0) / CHARACTER) as usize);
        let longest = text.iter().map(|l| l.chars().count()).max().unwrap_or(0);
        let width = SAMPLE + 22.0 + longest as f64 * CHARACTER;
        if x > 8.0 && x + width > WIDTH {
            (x, y) = (8.0, y + LINE);
        }
        let series = series(chart, names, name);
        let sample = marks::sample(mark.shape, series, x, y - 4.0, SAMPLE);
        let _ = write!(out, "<g class=\"{}\">{sample}</g>", series.class());
        for (k, line) in text.iter().enumerate() {
            let (tx, ty) = (short(x + SAMPLE + 6.0), short(y + k as f64 * LINE));
            let _ = writeln!(out, "<text class=\"text\" x=\"{tx}\" y=\"{ty}\">{}</text>", escape(line));
        }
        if text.len() > 1 {
            (x, y) = (8.0, y + text.len() as f64 * LINE);
        } else {
            x += width;
        }
    }
    (out, y + if x > 8.0 { 8.0 } else { 0.0 })
}

/// A coordinate to a tenth of a unit.
fn short(v: f64) -> String {
    let text = format!("{v:.1}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests;
