//! Who observes in tests: with a clock that is set by hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ampora_storage::postgres::pool::CopyRow;
use ampora_storage::postgres::{Observer, Options, Postgres, Target};
use tokio_postgres::types::ToSql;

#[derive(Default)]
pub(crate) struct Watcher {
    now_ms: AtomicU64,
    queries: Mutex<Vec<(&'static str, Target, f64)>>,
}

impl Watcher {
    /// Moves the clock.
    pub(crate) fn pass(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).expect("a time");
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// What was observed since the last call.
    pub(crate) fn seen(&self) -> Vec<(&'static str, Target, f64)> {
        std::mem::take(&mut *self.queries.lock().expect("a list"))
    }
}

impl Observer for Watcher {
    fn now(&self) -> Duration {
        Duration::from_millis(self.now_ms.load(Ordering::Relaxed))
    }

    fn query(&self, name: &'static str, target: Target, seconds: f64) {
        let mut queries = self.queries.lock().expect("a list");
        queries.push((name, target, seconds));
    }
}

/// What a node would ask for with this URL alone.
pub(crate) fn options(url: &str) -> Options {
    Options {
        url: url.to_owned(),
        read_url: None,
        max_pool_size: 4,
        tls: None,
        observer: Arc::new(Watcher::default()),
    }
}

pub(crate) fn open(url: &str) -> Postgres {
    Postgres::new(&options(url)).expect("a URL that can be used")
}

/// A row of the tables that tests copy into.
pub(crate) struct Pair(pub(crate) i64, pub(crate) String);

impl CopyRow for Pair {
    fn columns(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![&self.0, &self.1]
    }
}
