//! Everything but migration through a pooler in transaction mode that knows no prepared statements.

use std::time::Duration;

use ampora_storage::postgres::{Error, Postgres, Purpose};
use tokio_postgres::types::Type;

use crate::postgres::{Server, Version, sql_at};
use crate::watcher::{Pair, open};

/// What a batch of history does: a row that is locked, statements with parameters, and a copy.
async fn batch(postgres: &Postgres, node: i64) -> Result<(), Error> {
    let mut connection = postgres.primary().await?;
    let transaction = connection.begin(Purpose::Write).await?;
    let stream = format!("events:{node}");
    let made = "INSERT INTO history_cursor VALUES ($1, 0) ON CONFLICT DO NOTHING";
    transaction
        .execute("make", made, &[(&stream, Type::TEXT)])
        .await?;
    let lock = "SELECT seq FROM history_cursor WHERE stream = $1 FOR UPDATE";
    let rows = transaction
        .query("lock", lock, &[(&stream, Type::TEXT)])
        .await?;
    let seq: i64 = rows[0].get(0);
    let rows: Vec<Pair> = (seq + 1..=seq + 5)
        .map(|n| Pair(n, stream.clone()))
        .collect();
    let copy = "COPY t (n, s) FROM STDIN BINARY";
    transaction
        .copy("copy", copy, &[Type::INT8, Type::TEXT], &rows)
        .await?;
    let advance = "UPDATE history_cursor SET seq = $2, updated_at = now() WHERE stream = $1";
    let params = [(&stream as _, Type::TEXT), (&(seq + 5) as _, Type::INT8)];
    transaction.execute("advance", advance, &params).await?;
    transaction.commit().await
}

/// A lock that somebody holds until two wait for it.
const LOCK: &str = "pg_advisory_xact_lock";

/// Prepares statements, and keeps the backend until another one has taken another backend.
fn leave_statements(url: &str) {
    let mut sql = String::new();
    for number in 0..1_000 {
        sql += &format!("PREPARE s{number} AS SELECT 1; ");
    }
    sql_at(url, &format!("{sql} SELECT {LOCK}_shared(7)"));
}

/// Waits until two backends wait for the lock.
fn two_wait(server: &Server, database: &str) -> bool {
    let waiting = "SELECT count(*) FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'";
    (0..1_500).any(|_| {
        std::thread::park_timeout(Duration::from_millis(20));
        server.sql(database, waiting) == "2"
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_share_the_backends_of_a_pooler() {
    for version in Version::ALL {
        let server = Server::shared(version);
        let database = server.database();
        open(&database.url).migrate().await.unwrap();
        server.sql(&database.name, "CREATE TABLE t (n bigint, s text)");
        let pooler = server.pooler("transaction", 2);
        let url = pooler.url(&database.name);
        // statements of other processes have the same names as ours: what one leaves behind is in the way of another
        std::thread::scope(|both| {
            let held = server.hold(&database.name, &format!("SELECT {LOCK}(7)"));
            both.spawn(|| leave_statements(&url));
            both.spawn(|| leave_statements(&url));
            let are_two = two_wait(server, &database.name);
            drop(held);
            assert!(are_two, "each has a backend of its own");
        });
        let nodes: Vec<Postgres> = (0..4).map(|_| open(&url)).collect();
        let work = nodes.iter().zip(0_i64..).map(|(node, number)| async move {
            for _ in 0..10 {
                batch(node, number)
                    .await
                    .unwrap_or_else(|error| panic!("{}", error.reason()));
            }
        });
        futures_util::future::join_all(work).await;
        assert_eq!(server.sql(&database.name, "SELECT count(*) FROM t"), "200");
        let left = "SELECT sum(seq) FROM history_cursor";
        assert_eq!(server.sql(&database.name, left), "200");
    }
}
