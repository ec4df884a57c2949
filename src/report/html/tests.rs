//! The page is well-formed, self-contained and can be walked through.

use super::*;
use crate::report::{Check, Listing, example};
use crate::theory::{Axis, Chart, Outcome, Shape};
use roxmltree::{Document, Node, ParsingOptions};

fn document(text: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).unwrap_or_else(|e| panic!("{e}"))
}

/// A report with everything that a page can show: every claim of the registry in every verdict.
fn full() -> Report {
    let mut report = example();
    let chart = Chart::new("c & d", Axis::log("ε"), Axis::log("error")).described("falls as \"ε²\"").mark(
        "x<y",
        Shape::Line,
        vec![0.1, 1.0],
        vec![0.01, 1.0],
    );
    for (k, claim) in registry::claims().iter().enumerate() {
        let outcome = match k % 3 {
            0 => Outcome::decide(claim.id(), 1.0, 2.0),
            1 => Outcome::decide(claim.id(), 2.0, 1.0),
            _ => Outcome::undecided(claim.id(), "not fitted"),
        };
        let check = Check::of(claim.as_ref(), outcome.chart(chart.clone()).figure("a_b", 1e-9));
        report.sections[0].checks.push(check);
    }
    report.sections[0].charts = vec![chart.clone(), chart];
    report.sections.push(Section {
        listings: vec![Listing {
            caption: "α & more".into(),
            columns: vec!["α".into(), "nats".into()],
            rows: vec![vec!["<0.1>".into(), "2".into()]],
        }],
        ..Section::new("stability", vec![])
    });
    report
}

#[test]
fn the_page_is_well_formed_and_self_contained() {
    let text = page(&full());
    let document = document(&text);
    let elements = || document.descendants().filter(Node::is_element);
    let mut ids: Vec<&str> = elements().filter_map(|n| n.attribute("id")).collect();
    for node in elements() {
        let name = node.tag_name().name();
        assert!(!["script", "link", "img", "iframe", "object"].contains(&name), "{name}");
        for attribute in node.attributes() {
            let value = attribute.value();
            match attribute.name() {
                "href" => assert!(value.strip_prefix('#').is_some_and(|id| ids.contains(&id)), "{value}"),
                "aria-labelledby" => assert!(value.split(' ').all(|id| ids.contains(&id)), "{value}"),
                "src" | "style" => panic!("{value}"),
                n => assert!(!n.starts_with("on") && !value.contains("url("), "{n}={value}"),
            }
        }
    }
    assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "ids are unique");
}

#[test]
fn headings_tables_and_regions_are_accessible() {
    let text = page(&full());
    let document = document(&text);
    let levels: Vec<u32> = document
        .descendants()
        .filter_map(|n| n.tag_name().name().strip_prefix('h').and_then(|l| l.parse().ok()))
        .collect();
    assert_eq!((levels[0], levels.iter().filter(|l| **l == 1).count()), (1, 1));
    assert!(levels.windows(2).all(|w| w[1] <= w[0] + 1), "{levels:?}");
    let root = document.root_element();
    assert_eq!(root.attribute("lang"), Some("en"));
    let mut tables = 0;
    for table in document.descendants().filter(|n| n.tag_name().name() == "table") {
        tables += 1;
        let caption = table.children().find(Node::is_element).unwrap();
        assert_eq!(caption.tag_name().name(), "caption");
        for th in table.descendants().filter(|n| n.tag_name().name() == "th") {
            assert!(matches!(th.attribute("scope"), Some("col" | "row")));
        }
    }
    assert!(tables > 3);
    for region in document.descendants().filter(|n| n.attribute("role") == Some("region")) {
        assert!(region.attribute("tabindex") == Some("0") && region.attribute("aria-label").is_some());
    }
    for svg in document.descendants().filter(|n| n.tag_name().name() == "svg") {
        assert_eq!(svg.attribute("role"), Some("img"));
    }
}

#[test]
fn verdicts_are_words_and_text_is_escaped() {
    let text = page(&full());
    assert!(text.contains("at most &lt;sup&gt;") && text.contains("1.0e-9 &amp; less"));
    assert!(text.contains("Claims on a&lt;b") && !text.contains("a<b"));
    assert!(text.contains("FAILS") && text.contains("undecided: not fitted"));
    assert!(text.contains("10⁻⁹"));
    // The sentence comes before every table.
    assert!(text.find("fail").unwrap() < text.find("<table").unwrap());
}

/// Every formula is one that the renderer understands, as well-formed MathML.
#[test]
fn every_formula_is_mathematics() {
    for claim in registry::claims() {
        assert!(!claim.formula().is_empty() && !claim.remedy().is_empty(), "{}", claim.id());
        let mathml = parts::mathematics(claim.formula());
        assert!(mathml.starts_with("<math") && !mathml.contains("merror"), "{}: {mathml}", claim.id());
        assert!(
            Document::parse(&mathml).is_ok(),
            "{}: not well-formed (use \\left, not \\Big, and > for <): {mathml}",
            claim.id()
        );
    }
}
