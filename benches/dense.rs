//! Batched decompositions of square matrices, and products.

mod cases;

use cases::Kind;
use criterion::{Criterion, criterion_group, criterion_main};

fn all(c: &mut Criterion) {
    cases::suite::suite(c, &[Kind::Eigh, Kind::Svd, Kind::Slogdet, Kind::Product]);
}

criterion_group!(benches, all);
criterion_main!(benches);
