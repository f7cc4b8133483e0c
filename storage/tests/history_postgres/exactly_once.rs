//! Every event is in the table once, whatever happens to batches, connections and servers.

use ampora_storage::history::export::Batch;
use ampora_storage::postgres::Connection;
use ampora_storage::postgres::cursor::events_key;
use ampora_storage::postgres::export::write_events;
use futures_util::future::join_all;

use crate::data::{LINEAGE, Store, batch, events, pool, source, write};
use crate::postgres::{Listen, Server, Version};
use crate::proxy::cut_at_commit;

#[tokio::test]
async fn batches_that_come_again_are_there_once_on_every_version_and_through_a_pooler() {
    for version in Version::ALL {
        let server = Server::shared(version);
        let store = Store::new(server).await;
        let pooler = server.pooler("transaction", 1);
        let through = pool(&pooler.url(&store.database.name));
        for (stream, pool) in [(1, &store.pool), (2, &through)] {
            let mut connection = pool.primary().await.expect("a connection");
            come_again(&mut connection, stream).await;
            let key = events_key(source(stream).id);
            assert_eq!(store.cursor(&key).await, 160);
        }
        assert_eq!(store.rows(), (320, 320), "{version:?}");
    }
}

async fn come_again(connection: &mut Connection, stream: u128) {
    let source = source(stream);
    for (range, cursor) in [
        (1..=100, 100),
        (1..=100, 100),
        (51..=150, 150),
        (120..=140, 150),
    ] {
        let written = write(connection, source, &events(range)).await;
        assert_eq!(written.expect("written"), cursor);
    }
    // numbers that were dropped are passed; what lacks its beginning is not written
    let few = events(151..=160);
    let parts = [
        (150, 155, &few[..2], 155),
        (156, 160, &few[6..], 155),
        (150, 160, &few[..], 160),
    ];
    for (from, upto, events, cursor) in parts {
        let batch = Batch {
            from,
            upto,
            ..batch(source, events)
        };
        let written = write_events(connection, &batch, 30, LINEAGE).await;
        assert_eq!(written.expect("written"), cursor);
    }
    // 153 to 155 were said to be gone: they stay so, and others take their place in the count
    let rest = super::data::source(stream + 100);
    assert_eq!(
        write(connection, rest, &events(1..=3))
            .await
            .expect("written"),
        3
    );
}

#[tokio::test]
async fn exporters_of_one_stream_write_each_event_once_between_them() {
    let store = Store::new(Server::shared(Version::Distribution)).await;
    let all = events(1..=400);
    let exporters = (0..4_usize).map(|number| {
        let (store, all) = (&store, &all);
        async move {
            let mut connection = store.connection().await;
            for start in (0..400).step_by(25 + number) {
                let batch = &all[start..(start + 40).min(400)];
                write(&mut connection, source(1), batch)
                    .await
                    .expect("written");
            }
        }
    });
    join_all(exporters).await;
    assert_eq!(store.rows(), (400, 400));
}

#[tokio::test]
async fn a_connection_that_is_killed_within_its_transaction_leaves_nothing() {
    let store = Store::new(Server::shared(Version::Distribution)).await;
    let mut connection = store.connection().await;
    write(&mut connection, source(1), &events(1..=10))
        .await
        .expect("written");
    // holds the cursor, so that the next batch stands in the middle of its transaction
    let mut other = store.connection().await;
    let holding = other
        .begin(ampora_storage::postgres::Purpose::Write)
        .await
        .expect("begun");
    holding
        .batch("hold", "UPDATE history_cursor SET seq = seq")
        .await
        .expect("held");
    let batch = events(11..=20);
    let (written, ()) = tokio::join!(write(&mut connection, source(1), &batch), async {
        let killed = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                      WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while store.sql(killed) == "0" {
            tokio::task::yield_now().await;
        }
    });
    assert!(written.expect_err("killed").is_away());
    drop(holding);
    assert_eq!(store.rows(), (10, 10));
    let mut connection = store.connection().await;
    assert_eq!(
        write(&mut connection, source(1), &batch)
            .await
            .expect("written"),
        20
    );
    assert_eq!(store.rows(), (20, 20));
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_by_its_cursor() {
    let server = Server::shared(Version::Newest);
    let store = Store::new(server).await;
    let dir = tempfile::tempdir().expect("a directory");
    let listener = tokio::net::UnixListener::bind(dir.path().join(".s.PGSQL.5432"));
    let socket = server.socket_dir().join(".s.PGSQL.5432");
    let url = format!(
        "postgres:///{}?host={}&user=postgres",
        store.database.name,
        dir.path().display()
    );
    let through = pool(&url);
    let batch = events(1..=50);
    // the first commit on this way is that of the events: they name no document
    let cut = cut_at_commit(listener.expect("a socket"), socket);
    let mut lost = None;
    let writing = async {
        let mut connection = through.primary().await.expect("a connection");
        lost = Some(write(&mut connection, source(1), &batch).await);
    };
    // a partition is made before: let that be there
    write(&mut store.connection().await, source(9), &events(1..=1))
        .await
        .expect("written");
    tokio::join!(cut, writing);
    assert!(lost.expect("tried").is_err());
    let key = events_key(source(1).id);
    assert_eq!(store.cursor(&key).await, 50, "it was committed");
    let mut connection = store.connection().await;
    assert_eq!(
        write(&mut connection, source(1), &batch)
            .await
            .expect("again"),
        50
    );
    assert_eq!(store.rows(), (51, 51));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_between_and_within_batches_has_each_event_once() {
    let server = Server::start(Version::Oldest, Listen::Socket, &[]);
    let store = Store::new(&server).await;
    let mut done = 0;
    let mut killed = 0;
    while done < 600 {
        let batch = events(done + 1..=done + 60);
        let mut connection = store.connection().await;
        let dying = async {
            // a different moment of the transaction each time
            for _ in 0..killed * 7 {
                tokio::task::yield_now().await;
            }
            if killed < 6 {
                tokio::task::block_in_place(|| server.kill());
            }
        };
        let (written, ()) = tokio::join!(write(&mut connection, source(1), &batch), dying);
        drop(connection);
        if killed < 6 {
            tokio::task::block_in_place(|| server.start_again());
            killed += 1;
        }
        let key = events_key(source(1).id);
        let cursor = store.cursor(&key).await;
        assert!(written.is_err() || cursor == done + 60);
        assert!(
            cursor == done || cursor == done + 60,
            "{cursor} after {done}"
        );
        done = cursor;
    }
    assert_eq!(store.rows(), (600, 600));
}
