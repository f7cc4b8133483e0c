//! Queries of Postgres as metrics.

use std::time::Duration;

use ampora_storage::postgres::{Observer, Target};

use crate::clock::SystemClock;
use crate::telemetry::names;

/// Times with the clock of this process, and tells the metrics.
pub(super) struct Measured;

impl Observer for Measured {
    fn now(&self) -> Duration {
        Duration::from_micros(SystemClock.micros())
    }

    fn query(&self, name: &'static str, target: Target, seconds: f64) {
        metrics::histogram!(names::DB_QUERY_DURATION, "query" => name, "target" => target.word())
            .record(seconds);
    }
}
