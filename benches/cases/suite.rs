//! Criterion over the list.

use super::given::Given;
use super::{Case, Kind};
use criterion::Criterion;
use std::time::Instant;

/// Times the rows of these kinds. A row is built when it is run, so a filter costs nothing.
pub fn suite(c: &mut Criterion, kinds: &[Kind]) {
    for case in Case::of(kinds) {
        let mut work = None;
        c.bench_function(&case.to_string(), |b| {
            let drawn = || case.prepare(&Given::default()).expect("drawn inputs fit");
            let work = work.get_or_insert_with(drawn);
            // By a thread of the pool, as the command line does.
            b.iter_custom(|calls| {
                let start = Instant::now();
                rayon::scope(|_| work.calls(calls));
                start.elapsed()
            });
        });
    }
}
