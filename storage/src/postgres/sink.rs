//! Postgres as the sink of an export.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Postgres, cursor, export, latest};
use crate::history::export::{Batch, Cursors, Sink, SinkError};
use crate::history::spool::Stream;

/// The sink; each write takes a connection for as long as it lasts.
#[derive(Debug)]
pub struct PostgresSink {
    servers: Arc<Postgres>,
    kept_days: u64,
    lineage: u64,
}

impl PostgresSink {
    /// Writes to these servers, for the cluster with this number. Events of the last `kept_days` get partitions of
    /// their own.
    pub fn new(servers: Arc<Postgres>, kept_days: u32, lineage: u64) -> Self {
        Self {
            servers,
            kept_days: kept_days.into(),
            lineage,
        }
    }
}

impl Sink for PostgresSink {
    fn cursors(&self, stream: Stream) -> BoxFuture<'_, Result<Cursors, SinkError>> {
        async move {
            let mut connection = self.servers.primary().await?;
            let events = cursor::events_key(stream.id);
            let latest = cursor::latest_key(stream.id);
            Ok(Cursors {
                events: cursor::standing_at(&mut connection, &events).await?,
                latest: cursor::standing_at(&mut connection, &latest).await?,
            })
        }
        .boxed()
    }

    fn write_events<'a>(&'a self, batch: Batch<'a>) -> BoxFuture<'a, Result<u64, SinkError>> {
        async move {
            let mut connection = self.servers.primary().await?;
            let written =
                export::write_events(&mut connection, &batch, self.kept_days, self.lineage);
            Ok(written.await?)
        }
        .boxed()
    }

    fn write_latest<'a>(&'a self, batch: Batch<'a>) -> BoxFuture<'a, Result<u64, SinkError>> {
        async move {
            let mut connection = self.servers.primary().await?;
            let written = latest::write_latest(&mut connection, &batch, self.lineage);
            Ok(written.await?)
        }
        .boxed()
    }
}
