//! Databases with the schema, and events to put there.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ampora_raft::ids::{BodyHash, Fence, InstanceUid, NodeId};
use ampora_storage::history::event::{Event, EventKind, Spooled, StreamId};
use ampora_storage::history::export::Batch;
use ampora_storage::history::spool::Stream;
use ampora_storage::postgres::cursor;
use ampora_storage::postgres::export::write_events;
use ampora_storage::postgres::lease::Held;
use ampora_storage::postgres::{Connection, Error, Observer, Options, Postgres, Purpose, Target};

use crate::postgres::{Database, Server, sql_at};

pub(crate) const HELD: Held = Held {
    lineage: 0xfeed,
    name: "history-retention",
    fence: 7,
};

/// The number of the cluster among those that have written there.
pub(crate) const LINEAGE: u64 = 1;

/// Somebody whom nobody tells anything.
struct Silent;

impl Observer for Silent {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn query(&self, _: &'static str, _: Target, _: f64) {}
}

/// A database with all tables.
pub(crate) struct Store {
    pub(crate) database: Database,
    pub(crate) pool: Postgres,
}

impl Store {
    pub(crate) async fn new(server: &Server) -> Self {
        Self::with(server, "").await
    }

    /// `settings` are run before the schema is made.
    pub(crate) async fn with(server: &Server, settings: &str) -> Self {
        Self::of(server.database(), settings).await
    }

    pub(crate) async fn of(database: Database, settings: &str) -> Self {
        if !settings.is_empty() {
            sql_at(&database.url, settings);
        }
        let pool = pool(&database.url);
        pool.migrate().await.expect("migrated");
        Self { database, pool }
    }

    pub(crate) async fn connection(&self) -> Connection {
        self.pool.primary().await.expect("a connection")
    }

    /// What psql prints.
    pub(crate) fn sql(&self, sql: &str) -> String {
        sql_at(&self.database.url, sql)
    }

    /// How many rows there are, and how many different ones.
    pub(crate) fn rows(&self) -> (u64, u64) {
        let sql = "SELECT count(*), count(DISTINCT (stream, seq)) FROM agent_status_history";
        let text = self.sql(sql);
        let (rows, different) = text.split_once('|').expect("two columns");
        (
            rows.parse().expect("a number"),
            different.parse().expect("a number"),
        )
    }

    pub(crate) async fn cursor(&self, key: &str) -> u64 {
        let mut connection = self.connection().await;
        let tx = connection.begin(Purpose::Read).await.expect("begun");
        cursor::read(&tx, key).await.expect("a cursor")
    }
}

pub(crate) fn pool(url: &str) -> Postgres {
    let options = Options {
        url: url.to_owned(),
        read_url: None,
        max_pool_size: 8,
        tls: None,
        observer: Arc::new(Silent),
    };
    Postgres::new(&options).expect("a URL")
}

/// The time of the server, as good as ours.
pub(crate) fn now_ms() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the days of the server are those of today"
    )]
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.expect("after 1970").as_millis()).expect("before the end")
}

pub(crate) fn source(stream: u128) -> Stream {
    Stream {
        id: StreamId(stream),
        node: NodeId(3),
    }
}

/// Events as a batch whose numbers have no gap before them.
pub(crate) fn batch(stream: Stream, events: &[Spooled]) -> Batch<'_> {
    Batch {
        stream,
        from: events.first().map_or(0, |first| first.seq - 1),
        upto: events.last().map_or(0, |last| last.seq),
        events,
        documents: &[],
    }
}

pub(crate) fn agent(number: u128) -> InstanceUid {
    InstanceUid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0000 + number)
}

pub(crate) fn event(seq: u64, at_ms: u64, body: &str) -> Spooled {
    Spooled {
        seq,
        event: Event {
            at_ms,
            agent: agent(1),
            fence: Fence(1),
            kind: EventKind::Health,
            body: body.into(),
            document: None,
        },
    }
}

/// Events of a range of numbers, all of this moment.
pub(crate) fn events(seqs: std::ops::RangeInclusive<u64>) -> Vec<Spooled> {
    let now_ms = now_ms();
    seqs.map(|seq| event(seq, now_ms, &format!(r#"{{"n":{seq}}}"#)))
        .collect()
}

pub(crate) fn hash(byte: u8) -> BodyHash {
    BodyHash([byte; 32])
}

/// Writes events whose numbers have no gap before them, where 30 days are kept.
pub(crate) async fn write(
    connection: &mut Connection,
    stream: Stream,
    events: &[Spooled],
) -> Result<u64, Error> {
    write_events(connection, &batch(stream, events), 30, LINEAGE).await
}
