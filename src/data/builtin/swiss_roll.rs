//! The Swiss roll: a rolled-up sheet in space.

use super::draw::{names, normal, rows};
use super::{Builtin, Parameter, Parameters};
use crate::data::{Error, Table};
use rand::RngExt;
use std::f64::consts::PI;

pub(super) static SET: Builtin = Builtin {
    name: "swiss-roll",
    summary: "a rolled-up sheet: t ~ U(1.5 pi, 4.5 pi), v ~ U(0, 21), (t cos t, v, t sin t) + noise",
    licence: None,
    parameters: &[Parameter::rows(20_000, u32::MAX as u64), Parameter::noise(0.1), Parameter::seed()],
    dimension: |_| 3,
    intrinsic: |_| Some(2),
    entropy: |_| None,
    make,
};

fn make(parameters: &Parameters) -> Result<Table, Error> {
    let noise = parameters.real("noise");
    rows(
        "swiss-roll",
        parameters.count("n"),
        parameters.seed(),
        &names(&["x", "y", "z"]),
        |generator, row| {
            let t = PI * (1.5 + 3.0 * generator.random::<f64>());
            let height = 21.0 * generator.random::<f64>();
            row[0] = t * t.cos() + noise * normal(generator);
            row[1] = height + noise * normal(generator);
            row[2] = t * t.sin() + noise * normal(generator);
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without noise every row lies on the roll: angle and radius agree, the height is in range.
    #[test]
    fn rows_lie_on_the_roll() {
        let table = SET.make(&SET.parameters_from([("n", "2000"), ("noise", "0")]).unwrap()).unwrap();
        for i in 0..table.rows() {
            let row = table.values.row(i);
            let t = row[0].hypot(row[2]);
            assert!((1.5 * PI - 1e-12..4.5 * PI + 1e-12).contains(&t) && (0.0..21.0).contains(&row[1]));
            assert!((t * t.cos() - row[0]).abs() < 1e-11 && (t * t.sin() - row[2]).abs() < 1e-11);
        }
    }
}
