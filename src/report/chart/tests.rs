//! Any chart is well-formed, finite and inside its canvas.

use super::*;
use crate::theory::Axis;
use proptest::prelude::*;
use roxmltree::{Document, Node};

/// Every number of an attribute that is a coordinate.
fn coordinates(node: Node<'_, '_>) -> Vec<f64> {
    let mut out = Vec::new();
    for name in ["x", "y", "width", "height"] {
        out.extend(node.attribute(name).map(|v| v.parse::<f64>().unwrap()));
    }
    if let Some(d) = node.attribute("d") {
        // Arcs: radii, flags, end. Only the end is a place, but all are within the canvas.
        let d = d.replace("h0", "");
        let words = d.split(|c: char| c.is_ascii_alphabetic() || c == ' ').filter(|w| !w.is_empty());
        out.extend(words.map(|w| w.parse::<f64>().unwrap_or_else(|_| panic!("{w} in {d}"))));
    }
    out
}

/// Checks a chart and gives the number of paths and bars drawn.
fn check(chart: &Chart) -> usize {
    let text = svg(chart, "c");
    let document = Document::parse(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    let root = document.root_element();
    let size: Vec<f64> = root.attribute("viewBox").unwrap().split(' ').map(|v| v.parse().unwrap()).collect();
    assert!(size.iter().all(|v| v.is_finite()) && size[2] > 0.0 && size[3] > 0.0, "{size:?}");
    let mut ids = Vec::new();
    for node in document.descendants().filter(Node::is_element) {
        ids.extend(node.attribute("id"));
        if node == root {
            continue;
        }
        for v in coordinates(node) {
            assert!(v.is_finite() && v >= 0.0 && v <= size[2].max(size[3]), "{v} in {text}");
        }
        let height = |name| node.attribute(name).and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0);
        assert!(height("y") <= size[3], "{text}");
    }
    assert_eq!(ids, ["c-title", "c-desc"]);
    assert_eq!(root.attribute("aria-labelledby"), Some("c-title c-desc"));
    document.descendants().filter(|n| ["path", "rect"].contains(&n.tag_name().name())).count()
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -10.0..10.0_f64,
        2 => any::<f64>(),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(0.0),
        1 => Just(f64::MIN_POSITIVE),
        1 => (-300.0..300.0_f64).prop_map(|k| 10_f64.powf(k)),
    ]
}

fn mark() -> impl Strategy<Value = Mark> {
    let shape =
        prop::sample::select(vec![Shape::Points, Shape::Line, Shape::Dashed, Shape::Outline, Shape::Bars]);
    let values = || prop::collection::vec(value(), 0..12);
    (".{0,90}", shape, values(), values(), values(), values())
        .prop_map(|(name, shape, x, y, error, colour)| Mark { name, shape, x, y, error, colour })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_chart_is_well_formed_and_inside_its_canvas(
        marks in prop::collection::vec(mark(), 0..9),
        labels in (".{0,200}", ".{0,200}", any::<String>(), any::<String>()),
        logs: (bool, bool), equal: bool,
    ) {
        let axis = |label: &str, log| Axis { label: label.to_owned(), log };
        let mut chart = Chart::new(&labels.2, axis(&labels.0, logs.0), axis(&labels.1, logs.1)).described(labels.3);
        (chart.marks, chart.equal) = (marks, equal);
        check(&chart);
    }
}

#[test]
fn every_shape_is_drawn() {
    let empty = Chart::new("none", Axis::linear("x"), Axis::log("y"));
    let bare = check(&empty);
    assert!(svg(&empty, "c").contains("nothing to draw"));
    for shape in [Shape::Points, Shape::Line, Shape::Dashed, Shape::Outline, Shape::Bars] {
        // At least the mark, its sample and the grid.
        let chart = empty.clone().mark("m", shape, vec![1.0, 2.0], vec![1.0, 10.0]);
        assert!(check(&chart) >= bare + 3, "{shape:?}");
    }
    let many = empty.mark("m", Shape::Points, vec![1.0; 200], vec![2.0; 200]).error_bars(vec![0.5; 200]);
    assert_eq!(svg(&many, "c").matches("h0").count(), 200);
}

#[test]
fn series_differ_by_more_than_colour() {
    let mut chart = Chart::new("t", Axis::linear("x"), Axis::linear("y"));
    for k in 0..7 {
        chart = chart.mark(&format!("p{k}"), Shape::Points, vec![1.0], vec![f64::from(k)]);
    }
    let text = svg(&chart, "c");
    // The seventh has the colour of the first and another marker.
    let of = |class: &str| -> Vec<String> {
        let opening = format!("<g class=\"{class}\">");
        let parts = text.split(&opening).skip(1);
        parts.map(|p| p.chars().filter(char::is_ascii_alphabetic).take(40).collect()).collect()
    };
    let first = of("s0");
    assert_eq!(first.len(), 4);
    assert_ne!(first[0], first[1]);
}

#[test]
fn units_are_equal_where_they_are_asked_for() {
    let chart = Chart::new("t", Axis::linear("x"), Axis::linear("y"))
        .equal()
        .mark("square", Shape::Outline, vec![0.0, 4.0, 4.0, 0.0], vec![0.0, 0.0, 4.0, 4.0])
        .mark("far", Shape::Points, vec![-20.0], vec![0.0]);
    let text = svg(&chart, "c");
    let document = Document::parse(&text).unwrap();
    let path = document.descendants().find(|n| n.attribute("fill-opacity") == Some(".1")).unwrap();
    let numbers = coordinates(path);
    let (width, height) = (numbers[2] - numbers[0], numbers[3] - numbers[5]);
    assert!(width > 20.0 && (width - height).abs() < 0.25, "{numbers:?}");
}

/// Bars stand beside the axis, not across it, and inside the canvas.
#[test]
fn bars_have_room_at_both_ends() {
    let x = vec![1.0, 2.0, 3.0];
    let chart = Chart::new("t", Axis::linear("x"), Axis::linear("y")).mark("m", Shape::Bars, x, vec![1.0; 3]);
    let text = svg(&chart, "c");
    let document = Document::parse(&text).unwrap();
    let axis = document.descendants().find(|n| n.attribute("class") == Some("axis")).unwrap();
    let left = coordinates(axis)[0];
    let bars: Vec<Node<'_, '_>> =
        document.descendants().filter(|n| n.tag_name().name() == "rect").take(3).collect();
    let [first, .., last] = &bars[..] else { panic!("{text}") };
    let (first, last) = (coordinates(*first), coordinates(*last));
    assert!(first[0] >= left && last[0] + last[2] <= WIDTH - RIGHT, "{left} {first:?} {last:?}");
}
