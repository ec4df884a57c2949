//! Log-densities of 4096 rows, and samples.

mod cases;

use cases::Kind;
use criterion::{Criterion, criterion_group, criterion_main};

fn all(c: &mut Criterion) {
    cases::suite::suite(c, &[Kind::LogDensity, Kind::Sample]);
}

criterion_group!(benches, all);
criterion_main!(benches);
