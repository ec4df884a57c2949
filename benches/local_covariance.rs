//! Local covariance of a batch: Jacobians, then the spectrum of each.

mod cases;

use cases::Kind;
use criterion::{Criterion, criterion_group, criterion_main};

fn all(c: &mut Criterion) {
    cases::suite::suite(c, &[Kind::CovarianceSvd, Kind::CovarianceEigh, Kind::CovarianceCall]);
}

criterion_group!(benches, all);
criterion_main!(benches);
