//! A chart as a file of its own: SVG, and PNG drawn from it.

use super::svg;
use crate::theory::Chart;

/// The style of the page, for light backgrounds, written out: a file brings its own.
const STYLE: &str = ".chart{font-family:\"DejaVu Sans\",\"Liberation Sans\",Arial,sans-serif}.grid{stroke:#d5d3cc;stroke-width:1;\
opacity:.7}.axis{stroke:#55534e;stroke-width:1}.text{fill:#1b1b1b;stroke:none}.s0{color:#0072b2}.s1{color:#c24e00}.s2{color:#007a5a}\
.s3{color:#a8487f}.s4{color:#8a6100}.s5{color:#3d3d3d}";

/// The chart as an SVG file: its own colours, on white, readable at the width of a column of a paper.
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
    let text = svg(chart, "chart");
    let Some(at) = text.find(">\n") else { return text };
    let (head, body) = text.split_at(at + 2);
    format!("{head}<style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}")
}

/// The chart as a PNG file, `scale` pixels a unit of the SVG (410 units wide).
///
/// # Errors
/// Says what is missing: a font on this system, or memory for the picture.
#[cfg(feature = "png")]
pub fn png(chart: &Chart, scale: f32) -> Result<Vec<u8>, String> {
    use resvg::{tiny_skia, usvg};
    let mut options = usvg::Options::default();
    options.fontdb_mut().load_system_fonts();
    if options.fontdb.is_empty() {
        return Err(
            "no font is installed on this system, so a PNG would have no labels; the SVG has them".into()
        );
    }
    let tree = usvg::Tree::from_str(&standalone(chart), &options).map_err(|e| e.to_string())?;
    let size = tree.size();
    let (width, height) = ((size.width() * scale).ceil() as u32, (size.height() * scale).ceil() as u32);
    let mut picture = tiny_skia::Pixmap::new(width, height)
        .ok_or_else(|| format!("a picture of {width} x {height} pixels does not fit into memory"))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut picture.as_mut());
    picture.encode_png().map_err(|e| e.to_string())
}
