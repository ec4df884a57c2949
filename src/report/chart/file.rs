//! A chart as a file of its own: SVG, and PNG drawn from it.

use super::svg;
use crate::data::Error;
use crate::data::atomic::write_whole;
use crate::report::text::{escape, wrap};
use crate::theory::Chart;
use std::fmt::Write;
use std::path::Path;

/// Room above the first line of the title, height of each line, and the characters that it holds in a picture of the width of a column.
const ABOVE: f64 = 6.0;
const LINE: f64 = 17.0;
const CHARACTERS: f64 = 50.0;
const COLUMN: f64 = 410.0;
/// The style of the page, for light backgrounds, written out: a file brings its own.
const STYLE: &str = ".chart{font-family:\"DejaVu Sans\",\"Liberation Sans\",Arial,sans-serif}.grid{stroke:#d5d3cc;stroke-width:1;\
opacity:.7}.axis{stroke:#55534e;stroke-width:1}.text{fill:#1b1b1b;stroke:none}.title{font-weight:bold}.s0{color:#0072b2}\
.s1{color:#c24e00}.s2{color:#007a5a}.s3{color:#a8487f}.s4{color:#8a6100}.s5{color:#3d3d3d}";

/// The chart as an SVG file: its own colours, on white, with its title, readable at the width of a column of a paper.
///
/// ```
/// use eigenflow::report::chart::file;
/// use eigenflow::theory::{Axis, Chart, Shape};
/// let chart = Chart::new("Square", Axis::linear("x"), Axis::linear("x²"))
///     .mark("square", Shape::Line, vec![0.0, 1.0, 2.0], vec![0.0, 1.0, 4.0]);
/// let text = file::standalone(&chart);
/// assert!(text.starts_with("<svg ") && text.contains("<style>") && text.contains("fill=\"#ffffff\""));
/// ```
pub fn standalone(chart: &Chart) -> String {
    framed(&chart.title, &svg(chart, "chart"))
}

/// A picture without its title (an `<svg>` element with a `viewBox` from `0 0`) as an SVG file with it.
pub fn framed(title: &str, inner: &str) -> String {
    let number = |text: &str| text.parse::<f64>().unwrap_or(0.0);
    // The size that the chart has chosen: `viewBox="0 0 WIDTH HEIGHT"`.
    let size =
        inner.split("viewBox=\"0 0 ").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("410 250");
    let (width, height) = size.split_once(' ').map_or((410.0, 250.0), |(w, h)| (number(w), number(h)));
    let title = wrap(title, (CHARACTERS * width / COLUMN) as usize);
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
            "<text class=\"title text\" x=\"8\" y=\"{y}\" font-size=\"13\">{}</text>",
            escape(line)
        );
    }
    format!(
        "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {total}\" width=\"{}\" height=\"{}\">\n\
         <style>{STYLE}</style>\n<rect width=\"{width}\" height=\"{total}\" fill=\"#ffffff\"/>\n{lines}{nested}</svg>\n",
        2.0 * width,
        2.0 * total
    )
}

/// Writes [`standalone`], whole or not at all.
///
/// # Errors
/// [`Error::Output`] where it cannot be written.
pub fn write(path: &Path, chart: &Chart) -> Result<(), Error> {
    write_whole(path, |out| out.write_all(standalone(chart).as_bytes()))
}

/// An SVG file as a PNG file, `scale` pixels a unit of the SVG's size (a chart is 820 wide).
///
/// # Errors
/// Says what is missing: a font on this system, or memory for the picture.
#[cfg(feature = "png")]
pub fn png(svg: &str, scale: f32) -> Result<Vec<u8>, String> {
    use resvg::{tiny_skia, usvg};
    let mut options = usvg::Options::default();
    options.fontdb_mut().load_system_fonts();
    if options.fontdb.is_empty() {
        return Err(
            "no font is installed on this system, so a PNG would have no labels; the SVG has them".into()
        );
    }
    let tree = usvg::Tree::from_str(svg, &options).map_err(|e| e.to_string())?;
    let size = tree.size();
    let (width, height) = ((size.width() * scale).ceil() as u32, (size.height() * scale).ceil() as u32);
    let mut picture = tiny_skia::Pixmap::new(width, height)
        .ok_or_else(|| format!("a picture of {width} x {height} pixels does not fit into memory"))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut picture.as_mut());
    picture.encode_png().map_err(|e| e.to_string())
}
