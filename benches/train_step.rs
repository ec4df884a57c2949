//! A step of training on 512 rows: log-density, gradient, Adam.

mod cases;

use cases::Kind;
use criterion::{Criterion, criterion_group, criterion_main};

fn all(c: &mut Criterion) {
    cases::suite::suite(c, &[Kind::TrainStep]);
}

criterion_group!(benches, all);
criterion_main!(benches);
