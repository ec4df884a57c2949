//! A chart as a file of its own.

use super::svg;
use crate::data::Error;
use crate::data::atomic::write_whole;
use crate::report::text::{escape, wrap};
use crate::theory::Chart;
use std::fmt::Write;
use std::path::Path;

/// Room above the first line of the title, height of each line, and the characters that it holds.
const ABOVE: f64 = 6.0;
const LINE: f64 = 17.0;
const CHARACTERS: usize = 50;
/// The colours of the report on white paper.
const STYLE: &str = "text { font-family: sans-serif; fill: #1a1a1a } .title { font-weight: bold } \
     .grid { stroke: #d8d8d8 } .axis { stroke: #555 } \
     .s0 { color: #0072b2 } .s1 { color: #c24e00 } .s2 { color: #007a5a } \
     .s3 { color: #a8487f } .s4 { color: #8a6100 } .s5 { color: #3d3d3d }";

/// The chart as a whole SVG file: that of the report with its colours, a white ground and its title.
///
/// ```
/// use eigenflow::report::chart::file::document;
/// use eigenflow::theory::{Axis, Chart, Shape};
/// let chart = Chart::new("Line", Axis::linear("x"), Axis::linear("y")).mark("", Shape::Line, vec![0.0, 1.0], vec![0.0, 1.0]);
/// assert!(document(&chart).contains("<style>") && document(&chart).ends_with("</svg>\n"));
/// ```
pub fn document(chart: &Chart) -> String {
    let inner = svg(chart, "chart");
    let number = |text: &str| text.parse::<f64>().unwrap_or(0.0);
    // The size that the chart has chosen: `viewBox="0 0 WIDTH HEIGHT"`.
    let size =
        inner.split("viewBox=\"0 0 ").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("410 250");
    let (width, height) = size.split_once(' ').map_or((410.0, 250.0), |(w, h)| (number(w), number(h)));
    let title = wrap(&chart.title, CHARACTERS);
    let top = ABOVE + LINE * title.len() as f64;
    let total = height + top;
    let nested =
        inner.replacen("<svg ", &format!("<svg y=\"{top}\" width=\"{width}\" height=\"{height}\" "), 1);
    let mut lines = String::new();
    for (k, line) in title.iter().enumerate() {
        let y = LINE * (k + 1) as f64;
        // Writing into a String cannot fail.
        let _ = writeln!(
            lines,
            "<text class=\"title\" x=\"8\" y=\"{y}\" font-size=\"13\">{}</text>",
            escape(line)
        );
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {total}\" width=\"{}\" height=\"{}\">\n\
         <style>{STYLE}</style>\n<rect width=\"{width}\" height=\"{total}\" fill=\"#fff\"/>\n{lines}{nested}</svg>\n",
        2.0 * width,
        2.0 * total
    )
}

/// Writes [`document`], whole or not at all.
///
/// # Errors
/// [`Error::Output`] where it cannot be written.
pub fn write(path: &Path, chart: &Chart) -> Result<(), Error> {
    write_whole(path, |out| out.write_all(document(chart).as_bytes()))
}
