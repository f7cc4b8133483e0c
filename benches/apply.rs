//! How many reports does the fleet apply on one core, while a reader holds the state before each batch? Budget: 5 µs
//! each, so that the 2 000 a second that a node may propose take a hundredth of a core.

use ampora_hotpath::apply::Reports;
use criterion::{BatchSize, Criterion, Throughput};

const BATCHES: u64 = 200;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("apply");
    group.throughput(Throughput::Elements(BATCHES * Reports::PER_BATCH));
    group.bench_function("report", |bencher| {
        bencher.iter_batched_ref(
            || Reports::new(BATCHES),
            |reports| reports.run(BATCHES),
            BatchSize::PerIteration,
        );
    });
    group.finish();
    criterion.final_summary();
}
