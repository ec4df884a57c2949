//! A grid of small images with headings and captions, as SVG.
//!
//! Pixels are drawn as runs of equal colour in steps of a scale, one path a step: SVG alone, no embedded bitmap, so that what draws a
//! chart draws a grid.

use crate::report::text::{escape, number};
use std::fmt::Write;

/// Length of a cell's side, the gap to the next one, height of a line of text, mean width of a character; units of the canvas, in which
/// text has size 11.
const CELL: f64 = 38.0;
const GAP: f64 = 4.0;
const LINE: f64 = 13.0;
const CHARACTER: f64 = 6.3;
/// Least width: that of the legend.
const WIDTH: f64 = 410.0;
/// Steps of a scale on each side of its middle.
const STEPS: i32 = 16;

/// How numbers become colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shade {
    /// 0 is white, 1 is black: ink on paper. Values beyond are drawn as the ends.
    Grey,
    /// Blue, white at 0, orange, up to the largest magnitude of each image.
    Diverging,
}

/// One image.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Its pixels, row by row.
    pub pixels: Vec<f64>,
    /// Their colours.
    pub shade: Shade,
    /// A number that stands below it; nothing where it is NaN.
    pub value: f64,
}

/// Images in rows and columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Title in a few words.
    pub title: String,
    /// What it shows, with its main numbers: the text alternative.
    pub description: String,
    /// Pixels along a side of an image.
    pub side: usize,
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// Names of the rows.
    pub rows: Vec<String>,
    /// Images, row by row; `None` is left free.
    pub cells: Vec<Option<Cell>>,
}

impl Cell {
    /// A grey image without a number.
    pub fn grey(pixels: &[f64]) -> Option<Self> {
        Self { pixels: pixels.to_vec(), shade: Shade::Grey, value: f64::NAN }.into()
    }

    /// An axis, blue to orange, with a number.
    pub fn axis(pixels: Vec<f64>, value: f64) -> Option<Self> {
        Self { pixels, shade: Shade::Diverging, value }.into()
    }

    /// The same with a number below.
    pub fn valued(self, value: f64) -> Self {
        Self { value, ..self }
    }

    fn caption(&self) -> String {
        if self.value.is_nan() { String::new() } else { number(self.value, 3) }
    }
}

impl Grid {
    /// The pixels of all cells, `[rows, columns, side, side]` in C order with that shape; NaN in cells that are free.
    pub fn pixels(&self) -> ([usize; 4], Vec<f64>) {
        let area = self.side * self.side;
        let shape = [self.rows.len(), self.columns.len(), self.side, self.side];
        let one = |k: usize| match self.cells.get(k).and_then(Option::as_ref) {
            Some(cell) => (0..area).map(|i| cell.pixels.get(i).copied().unwrap_or(f64::NAN)).collect(),
            None => vec![f64::NAN; area],
        };
        (shape, (0..shape[0] * shape[1]).flat_map(one).collect())
    }

    /// The numbers below the cells, `[rows, columns]` in C order; NaN where there is none.
    pub fn values(&self) -> Vec<f64> {
        let one = |k: usize| self.cells.get(k).and_then(Option::as_ref).map_or(f64::NAN, |c| c.value);
        (0..self.rows.len() * self.columns.len()).map(one).collect()
    }

    /// The grid as one `<svg>` element, without its title. `id` must be unique in a page.
    ///
    /// A pixel that is not finite is left out.
    ///
    /// ```
    /// use eigenflow::report::pictures::{Cell, Grid};
    /// let cells = vec![Cell::grey(&[0.0, 1.0, 1.0, 0.0])];
    /// let (columns, rows) = (vec!["clean".to_owned()], vec!["7".to_owned()]);
    /// let grid = Grid { title: "One".into(), description: "a cross".into(), side: 2, columns, rows, cells };
    /// let text = grid.svg("a");
    /// // Two black pixels, one in each line; white is the paper.
    /// assert!(text.contains("fill=\"#000000\" d=\"M1 0h1v1h-1zM0 1h1v1h-1z\""));
    /// ```
    pub fn svg(&self, id: &str) -> String {
        let widest = self.rows.iter().map(|r| r.chars().count()).max().unwrap_or(0);
        let left = 10.0 + widest as f64 * CHARACTER;
        let headings: Vec<Vec<String>> =
            self.columns.iter().map(|c| crate::report::text::wrap(c, (CELL / CHARACTER) as usize)).collect();
        let top = 6.0 + LINE * headings.iter().map(Vec::len).max().unwrap_or(0) as f64;
        let captions = self.cells.iter().flatten().any(|c| !c.value.is_nan());
        let (across, down) = (CELL + GAP, CELL + if captions { LINE + GAP } else { GAP });
        let mut body = String::new();
        let text = |x: f64, y: f64, anchor: &str, text: &str| {
            let (x, y, text) = (short(x), short(y), escape(text));
            format!("<text class=\"text\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>\n")
        };
        for (c, lines) in headings.iter().enumerate() {
            let x = left + across * c as f64 + 0.5 * CELL;
            for (k, line) in lines.iter().enumerate() {
                // The last line of every heading stands on the images.
                body += &text(x, top - 4.0 - LINE * (lines.len() - 1 - k) as f64, "middle", line);
            }
        }
        for (r, name) in self.rows.iter().enumerate() {
            let y = top + down * r as f64;
            body += &text(left - 5.0, y + 0.5 * CELL + 4.0, "end", name);
            for c in 0..self.columns.len() {
                let Some(Some(cell)) = self.cells.get(r * self.columns.len() + c) else { continue };
                let x = left + across * c as f64;
                let place =
                    format!("x=\"{}\" y=\"{}\" width=\"{CELL}\" height=\"{CELL}\"", short(x), short(y));
                // White is the paper's colour on dark pages too.
                let _ = writeln!(body, "<rect {place} fill=\"#ffffff\"/>");
                let _ = writeln!(
                    body,
                    "<g transform=\"translate({} {}) scale({:.4})\" shape-rendering=\"crispEdges\">{}</g>",
                    short(x),
                    short(y),
                    CELL / self.side.max(1) as f64,
                    runs(cell, self.side)
                );
                let _ = writeln!(body, "<rect class=\"axis\" {place} fill=\"none\" opacity=\".35\"/>");
                let middle = left + across * c as f64 + 0.5 * CELL;
                body += &text(middle, top + down * r as f64 + CELL + LINE - 2.0, "middle", &cell.caption());
            }
        }
        let below = top + down * self.rows.len() as f64 + 4.0;
        let (legend, [right, height]) = self.legend(left, below);
        let width = (left + across * self.columns.len() as f64).max(right) + 6.0;
        let width = width.max(WIDTH);
        body += &legend;
        let (title, description, id) = (escape(&self.title), escape(&self.description), escape(id));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" role=\"img\" viewBox=\"0 0 {} {}\" \
             aria-labelledby=\"{id}-title {id}-desc\" font-size=\"11\">\n<title id=\"{id}-title\">{title}</title>\n\
             <desc id=\"{id}-desc\">{description}</desc>\n{body}</svg>\n",
            short(width),
            short(height),
        )
    }

    /// What the colours of the shades in use stand for, side by side below `y`; and where it ends, right and below.
    fn legend(&self, left: f64, y: f64) -> (String, [f64; 2]) {
        const BAR: f64 = 150.0;
        const ROOM: f64 = 30.0;
        let mut out = String::new();
        let used = |shade| self.cells.iter().flatten().any(|c| c.shade == shade);
        let all = [
            (Shade::Grey, 0..=2 * STEPS, ["0", "grey (ink)", "1"]),
            (Shade::Diverging, 0..=2 * STEPS, ["−largest", "0", "largest"]),
        ];
        let mut x = left;
        for (shade, steps, labels) in all.into_iter().filter(|(shade, ..)| used(*shade)) {
            let width = BAR / (2 * STEPS + 1) as f64;
            for k in steps {
                let (at, fill) = (short(x + f64::from(k) * width), colour(shade, k));
                let _ = writeln!(
                    out,
                    "<rect x=\"{at}\" y=\"{}\" width=\"{:.2}\" height=\"8\" fill=\"{fill}\"/>",
                    short(y),
                    width + 0.2
                );
            }
            for (at, anchor, label) in
                [(x, "start", labels[0]), (x + 0.5 * BAR, "middle", labels[1]), (x + BAR, "end", labels[2])]
            {
                let (at, y) = (short(at), short(y + 8.0 + LINE));
                let _ = writeln!(
                    out,
                    "<text class=\"text\" x=\"{at}\" y=\"{y}\" text-anchor=\"{anchor}\">{label}</text>"
                );
            }
            x += BAR + ROOM;
        }
        (out, [x, y + 8.0 + 2.0 * LINE])
    }
}

/// The pixels of a cell: one path for each colour, a run of equal pixels one rectangle. White is not drawn.
fn runs(cell: &Cell, side: usize) -> String {
    let largest = cell.pixels.iter().filter(|v| v.is_finite()).fold(0.0_f64, |m, v| m.max(v.abs()));
    let step = |v: f64| match cell.shade {
        Shade::Grey => (v.clamp(0.0, 1.0) * f64::from(2 * STEPS)).round() as i32,
        Shade::Diverging if largest > 0.0 => STEPS + (v / largest * f64::from(STEPS)).round() as i32,
        Shade::Diverging => STEPS,
    };
    let white = if cell.shade == Shade::Grey { 0 } else { STEPS };
    let mut paths = vec![String::new(); 2 * STEPS as usize + 1];
    for (y, line) in cell.pixels.chunks(side.max(1)).take(side).enumerate() {
        let mut x = 0;
        while x < line.len() {
            let own = line[x].is_finite().then(|| step(line[x]));
            let same = |v: &&f64| v.is_finite().then(|| step(**v)) == own;
            let length = line[x..].iter().take_while(same).count();
            if let Some(k) = own.filter(|k| *k != white) {
                let _ = write!(paths[k as usize], "M{x} {y}h{length}v1h-{length}z");
            }
            x += length;
        }
    }
    let mut out = String::new();
    for (k, d) in paths.iter().enumerate().filter(|(_, d)| !d.is_empty()) {
        let _ = write!(out, "<path fill=\"{}\" d=\"{d}\"/>", colour(cell.shade, k as i32));
    }
    out
}

/// The colour of a step, 0 to `2 STEPS`. Blue and orange are those of the charts: told apart by people with any colour vision, and by their
/// sides of white.
fn colour(shade: Shade, step: i32) -> String {
    const BLUE: [f64; 3] = [0.0, 84.0, 147.0];
    const ORANGE: [f64; 3] = [194.0, 78.0, 0.0];
    let (end, part) = match shade {
        Shade::Grey => ([0.0; 3], f64::from(step) / f64::from(2 * STEPS)),
        Shade::Diverging if step < STEPS => (BLUE, f64::from(STEPS - step) / f64::from(STEPS)),
        Shade::Diverging => (ORANGE, f64::from(step - STEPS) / f64::from(STEPS)),
    };
    let [r, g, b] = end.map(|c| (255.0 + part * (c - 255.0)).round() as u8);
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// A coordinate to a tenth of a unit.
fn short(v: f64) -> String {
    number(v, 6).replace('−', "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use roxmltree::{Document, Node};

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![6 => -2.0..2.0_f64, 1 => any::<f64>(), 1 => Just(f64::NAN), 1 => Just(0.0)]
    }

    fn cell(side: usize) -> impl Strategy<Value = Option<Cell>> {
        let shade = prop::sample::select(vec![Shade::Grey, Shade::Diverging]);
        let one = (prop::collection::vec(value(), side * side), shade, value())
            .prop_map(|(pixels, shade, value)| Cell { pixels, shade, value });
        prop::option::of(one)
    }

    fn grid() -> impl Strategy<Value = Grid> {
        (0_usize..5, 0_usize..4, 0_usize..4).prop_flat_map(|(side, rows, columns)| {
            let names = |n| prop::collection::vec(any::<String>(), n);
            let cells = prop::collection::vec(cell(side), rows * columns);
            (any::<String>(), names(rows), names(columns), cells).prop_map(
                move |(title, rows, columns, cells)| Grid {
                    title,
                    description: String::new(),
                    side,
                    columns,
                    rows,
                    cells,
                },
            )
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// Well-formed XML; pixels are inside their images, and cover each that is finite and not white exactly once.
        #[test]
        fn any_grid_is_well_formed(grid in grid()) {
            let text = grid.svg("g");
            let document = Document::parse(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
            let groups: Vec<Node> = document.descendants().filter(|n| n.has_tag_name("g")).collect();
            let drawn: Vec<&Cell> = grid.cells.iter().flatten().collect();
            prop_assert_eq!(groups.len(), drawn.len());
            for (group, cell) in groups.iter().zip(drawn) {
                let mut covered = vec![0; grid.side * grid.side];
                for path in group.children().filter(|n| n.has_tag_name("path")) {
                    for run in path.attribute("d").unwrap().split('M').skip(1) {
                        let numbers: Vec<usize> = run.split(['h', 'v', ' ', 'z', '-']).filter_map(|w| w.parse().ok()).collect();
                        let [x, y, length, 1, back] = numbers[..] else { panic!("{run}") };
                        prop_assert_eq!(length, back);
                        (x..x + length).for_each(|x| covered[y * grid.side + x] += 1);
                    }
                }
                let largest = cell.pixels.iter().filter(|v| v.is_finite()).fold(0.0_f64, |m, v| m.max(v.abs()));
                for (v, count) in cell.pixels.iter().zip(covered) {
                    let unit = if cell.shade == Shade::Grey { v.clamp(0.0, 1.0) * 2.0 } else { (v / largest).abs() };
                    let inked = v.is_finite() && largest > 0.0 && (unit * f64::from(STEPS)).round() > 0.0;
                    prop_assert_eq!(count, i32::from(inked), "{} of {}", v, largest);
                }
            }
            let size: Vec<f64> = document.root_element().attribute("viewBox").unwrap().split(' ').map(|v| v.parse().unwrap()).collect();
            for rect in document.descendants().filter(|n| n.has_tag_name("rect")) {
                let of = |name| rect.attribute(name).unwrap().parse::<f64>().unwrap();
                prop_assert!(of("x") >= 0.0 && of("x") + of("width") <= size[2] && of("y") + of("height") <= size[3]);
            }
            let (shape, pixels) = grid.pixels();
            prop_assert_eq!(shape.iter().product::<usize>(), pixels.len());
        }
    }

    #[test]
    fn colours_of_the_ends() {
        let of = |shade, step| colour(shade, step);
        assert_eq!([of(Shade::Grey, 0), of(Shade::Grey, 32)], ["#ffffff", "#000000"]);
        assert_eq!(
            [of(Shade::Diverging, 0), of(Shade::Diverging, 16), of(Shade::Diverging, 32)],
            ["#005493", "#ffffff", "#c24e00"]
        );
    }
}
