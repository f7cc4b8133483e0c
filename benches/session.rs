//! How many heartbeats does one core answer, from frame to frame, without the socket? Budget: 1 µs each, so that the
//! 3 333 a second of 100 000 agents are nothing beside their sockets.

use ampora_hotpath::session::Heartbeats;
use criterion::{BatchSize, Criterion, Throughput};

const HEARTBEATS: u64 = 10_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("session");
    group.throughput(Throughput::Elements(HEARTBEATS));
    group.bench_function("heartbeat", |bencher| {
        bencher.iter_batched_ref(
            || Heartbeats::new(HEARTBEATS),
            |heartbeats| heartbeats.run(HEARTBEATS),
            BatchSize::PerIteration,
        );
    });
    group.finish();
    criterion.final_summary();
}
