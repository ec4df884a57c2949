//! Exact Jacobians of a batch, the program and its memory reused.

mod cases;

use cases::Kind;
use criterion::{Criterion, criterion_group, criterion_main};

fn all(c: &mut Criterion) {
    cases::suite::suite(c, &[Kind::Jacobian]);
}

criterion_group!(benches, all);
criterion_main!(benches);
