//! `study galaxies`: figures, pictures, files and refusals.

use crate::cli_support::Room;
use eigenflow::random::generator;
use rand::RngExt;
use rand_distr::StandardNormal;
use serde_json::Value;

/// Galaxies whose brightness varies most, the slope of their spectrum less, and their redshift least of all.
fn galaxies(rows: usize) -> String {
    let mut random = generator(0, "test galaxies", 0);
    let mut normal = |size: f64| size * random.sample::<f64, _>(StandardNormal);
    let mut text = "redshift,u,g,r,i,z,y\n".to_owned();
    for _ in 0..rows {
        let (redshift, bright, slope) = (1.0 + normal(0.2), 25.0 + normal(2.0), normal(0.5));
        text += &redshift.to_string();
        for band in 0..6 {
            let magnitude = bright + slope * (2.5 - f64::from(band)) / 4.183 + normal(0.02);
            text += ",";
            text += &magnitude.to_string();
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_study_of_galaxies_finds_what_was_put_in() {
    let room = Room::new();
    room.write("galaxies.csv", galaxies(1500));
    let text = room.ok("study galaxies --data galaxies.csv --out out --quick --quiet");
    for part in ["brightness", "component 3", "effective dimension"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let found: Value = serde_json::from_slice(&room.read("out/findings.json")).unwrap();
    let of = |k: usize, what: &str| found["components"][k][what]["value"].as_f64().unwrap();
    let middle = |k: usize| found["components"][k]["deviation_quantiles"][1].as_f64().unwrap();
    // 2 √6 along the magnitudes; the slope has length 0.5, for its bands have length 1; the redshift 0.2. Three epochs of a small flow leave
    // some error, but neighbouring deviations differ by a factor of 2.5 at least.
    assert!(
        of(0, "brightness_share") > 0.95 && (middle(0) / (2.0 * 6.0_f64.sqrt()) - 1.0).abs() < 0.3,
        "{found}"
    );
    assert!(of(1, "colour_share") > 0.9 && (middle(1) / 0.5 - 1.0).abs() < 0.3, "{found}");
    assert!(of(2, "redshift_share") > 0.9 && (middle(2) / 0.2 - 1.0).abs() < 0.3, "{found}");
    // Shares add up to one.
    for k in 0..7 {
        let sum: f64 =
            ["redshift_share", "brightness_share", "colour_share"].iter().map(|what| of(k, what)).sum();
        assert!((sum - 1.0).abs() < 1e-9);
    }
    // Slope: blue bands against red ones, and nothing of it in the redshift.
    let slope = &found["components"][1]["loadings"][2];
    let band = |j: usize| slope[j].as_f64().unwrap();
    assert!(band(1) * band(6) < 0.0 && band(0).abs() < 0.05, "{slope}");
    // An error of 0.1: three directions, of which the redshift counts 0.04/0.05.
    let at = found["errors"].as_array().unwrap().iter().position(|e| e == 0.1).unwrap();
    let d = found["effective_dimension_quantiles"][at][1].as_f64().unwrap();
    assert!((d - (1.0 + 0.25 / 0.26 + 0.8)).abs() < 0.4, "{d}");
    for name in ["scree", "spectrum-1", "spectrum-3", "walk-1", "walk-3", "dimension"] {
        let svg = String::from_utf8(room.read(&format!("out/{name}.svg"))).unwrap();
        assert!(roxmltree::Document::parse(&svg).is_ok() && room.has(&format!("out/{name}.npz")), "{name}");
    }
    let again = room.ok("study galaxies --data galaxies.csv --out out --quick --keep --quiet --threads 1");
    assert_eq!(text, again);
}

#[test]
fn what_is_wrong_is_said() {
    let room = Room::new();
    room.says("study galaxies --out out", 2, &["--data FILE", "redshift, u, g"]);
    room.says("study galaxies --data builtin:two-moons --out out", 2, &["has 2 columns", "--columns"]);
    room.write("few.csv", galaxies(40));
    room.says("study galaxies --data few.csv --out out", 2, &["has 40 rows", "at least 500"]);
    room.says("study s-curve --data x --out out", 2, &["--data: goes with the studies mnist and galaxies"]);
}
