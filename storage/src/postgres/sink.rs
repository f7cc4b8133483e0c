//! Postgres as a sink of history.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::export::write_events;
use super::latest::write_latest;
use super::{Connection, Error, Postgres, Purpose, cursor};
use crate::history::export::{Batch, Cursors, Sink, SinkError};
use crate::history::spool::Stream;

/// The tables `agent_status_history` and `agent_latest`.
#[derive(Debug)]
pub struct Tables {
    postgres: Arc<Postgres>,
    kept_days: u64,
}

impl Tables {
    /// Writes there; events of so many days get partitions of their own.
    pub fn new(postgres: Arc<Postgres>, kept_days: u64) -> Self {
        Self {
            postgres,
            kept_days,
        }
    }

    async fn connection(&self) -> Result<Connection, Error> {
        self.postgres.primary().await
    }

    async fn read(&self, stream: Stream) -> Result<Cursors, Error> {
        let mut connection = self.connection().await?;
        let tx = connection.begin(Purpose::Read).await?;
        Ok(Cursors {
            events: cursor::read(&tx, &cursor::events_key(stream.id)).await?,
            latest: cursor::read(&tx, &cursor::latest_key(stream.id)).await?,
        })
    }
}

impl Sink for Tables {
    fn cursors(&self, stream: Stream) -> BoxFuture<'_, Result<Cursors, SinkError>> {
        async move { Ok(self.read(stream).await?) }.boxed()
    }

    fn write_events<'a>(&'a self, batch: Batch<'a>) -> BoxFuture<'a, Result<u64, SinkError>> {
        async move {
            let mut connection = self.connection().await?;
            Ok(write_events(&mut connection, &batch, self.kept_days).await?)
        }
        .boxed()
    }

    fn write_latest<'a>(&'a self, batch: Batch<'a>) -> BoxFuture<'a, Result<u64, SinkError>> {
        async move {
            let mut connection = self.connection().await?;
            Ok(write_latest(&mut connection, &batch).await?)
        }
        .boxed()
    }
}
