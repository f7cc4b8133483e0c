//! Servers that are there, away, full, frozen and back; and that no error shows a password.

use std::sync::Arc;
use std::time::Duration;

use ampora_storage::postgres::{Error, PoolStatus, Postgres, Purpose, Target};
use tokio_postgres::types::Type;

use crate::postgres::{Listen, PASSWORD, Server, Version};
use crate::watcher::{Pair, Watcher, open, options};

/// What one row of one column says.
async fn number(postgres: &Postgres, sql: &str) -> Result<i64, Error> {
    let mut connection = postgres.primary().await?;
    let transaction = connection.begin(Purpose::Write).await?;
    let rows = transaction.query("number", sql, &[]).await?;
    transaction.commit().await?;
    Ok(rows[0].get(0))
}

#[tokio::test]
async fn queries_are_answered_limited_and_observed() {
    for version in Version::ALL {
        let database = Server::shared(version).database();
        let watcher = Arc::new(Watcher::default());
        let mut asked = options(&database.url);
        asked.observer = Arc::<Watcher>::clone(&watcher);
        let postgres = Postgres::new(&asked).unwrap();
        assert_eq!(
            postgres.status(),
            PoolStatus::default(),
            "nobody is connected to"
        );
        let mut connection = postgres.primary().await.unwrap();
        assert_eq!(postgres.status().used, 1);
        let transaction = connection.begin(Purpose::Read).await.unwrap();
        let limits = "SELECT current_setting('statement_timeout') || current_setting('application_name') || $1";
        let rows = transaction
            .query("limits_seen", limits, &[(&"!", Type::TEXT)])
            .await;
        assert_eq!(rows.unwrap()[0].get::<_, String>(0), "10sampora!");
        let refused = transaction.execute("write", "CREATE TABLE t ()", &[]).await;
        let error = refused.unwrap_err();
        assert!(
            error.reason().contains("read-only transaction (25006)"),
            "{}",
            error.reason()
        );
        drop(transaction);
        drop(connection);
        let seen = watcher.seen();
        let names: Vec<&str> = seen.iter().map(|(name, _, _)| *name).collect();
        assert_eq!(names, ["begin", "limits", "limits_seen", "write"]);
        assert!(seen.iter().all(|(_, target, _)| *target == Target::Primary));
        assert_eq!(number(&postgres, "SELECT 7::bigint").await.unwrap(), 7);
    }
}

#[tokio::test]
async fn rows_are_copied_and_what_is_dropped_is_rolled_back() {
    let database = Server::shared(Version::Distribution).database();
    let postgres = open(&database.url);
    let mut connection = postgres.primary().await.unwrap();
    let transaction = connection.begin(Purpose::Write).await.unwrap();
    transaction
        .batch("make", "CREATE TABLE t (n bigint, s text)")
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    for committed in [true, false] {
        let transaction = connection.begin(Purpose::Write).await.unwrap();
        let rows: Vec<Pair> = (0..100).map(|n| Pair(n, format!("row {n}"))).collect();
        let copy = "COPY t FROM STDIN BINARY";
        let copied = transaction
            .copy("copy", copy, &[Type::INT8, Type::TEXT], &rows)
            .await;
        assert_eq!(copied.unwrap(), 100);
        if committed {
            transaction.commit().await.unwrap();
        }
    }
    drop(connection);
    assert_eq!(
        number(&postgres, "SELECT count(*) FROM t").await.unwrap(),
        100
    );
}

#[tokio::test]
async fn a_server_that_was_away_answers_again() {
    let server = Server::start(Version::Newest, Listen::Socket, &[]);
    let postgres = open(&server.url("postgres"));
    assert_eq!(number(&postgres, "SELECT 1::bigint").await.unwrap(), 1);
    server.stop();
    let error = number(&postgres, "SELECT 1::bigint").await.unwrap_err();
    assert!(error.is_away(), "{}", error.reason());
    server.start_again();
    assert_eq!(number(&postgres, "SELECT 2::bigint").await.unwrap(), 2);
    // and one that is killed under a transaction
    let mut connection = postgres.primary().await.unwrap();
    let transaction = connection.begin(Purpose::Write).await.unwrap();
    server.kill();
    let error = transaction.query("q", "SELECT 1", &[]).await.unwrap_err();
    assert!(error.is_away(), "{}", error.reason());
    drop(transaction);
    drop(connection);
    server.start_again();
    assert_eq!(number(&postgres, "SELECT 3::bigint").await.unwrap(), 3);
}

#[tokio::test]
async fn a_frozen_server_costs_a_stated_time() {
    let server = Server::start(Version::Distribution, Listen::Socket, &[]);
    let postgres = open(&server.url("postgres"));
    // some lie idle, each of which is asked whether it still works
    let idle = [
        postgres.primary().await,
        postgres.primary().await,
        postgres.primary().await,
    ];
    let mut connection = postgres.primary().await.unwrap();
    drop(idle);
    let transaction = connection.begin(Purpose::Read).await.unwrap();
    server.freeze();
    let (old, new) = tokio::join!(transaction.query("q", "SELECT 1", &[]), postgres.primary(),);
    let old = old.unwrap_err();
    assert!(
        matches!(
            old,
            Error::Timeout {
                what: "q",
                seconds: 15,
                ..
            }
        ),
        "{old}"
    );
    let new = new.err().expect("nobody answers");
    assert!(
        matches!(
            new,
            Error::Timeout {
                what: "connect",
                seconds: 15,
                ..
            }
        ),
        "{new}"
    );
    assert!(old.is_away() && new.is_away());
    drop(transaction);
    drop(connection);
    assert_eq!(
        postgres.status().idle,
        0,
        "what may still be answered is not used again"
    );
    server.thaw();
    assert_eq!(number(&postgres, "SELECT 4::bigint").await.unwrap(), 4);
}

#[tokio::test]
async fn a_caller_that_went_away_leaves_no_connection_in_the_middle() {
    let database = Server::shared(Version::Distribution).database();
    let postgres = open(&database.url);
    let mut connection = postgres.primary().await.unwrap();
    let transaction = connection.begin(Purpose::Write).await.unwrap();
    let slow = transaction.query("slow", "SELECT pg_sleep(20)", &[]);
    let gone = tokio::time::timeout(Duration::from_millis(100), slow).await;
    assert!(gone.is_err());
    drop(transaction);
    drop(connection);
    assert_eq!(postgres.status().idle, 0);
    assert_eq!(number(&postgres, "SELECT 5::bigint").await.unwrap(), 5);
    assert_eq!(postgres.status().idle, 1);
}

#[tokio::test]
async fn a_full_pool_says_so() {
    let database = Server::shared(Version::Distribution).database();
    let mut asked = options(&database.url);
    asked.max_pool_size = 1;
    let postgres = Postgres::new(&asked).unwrap();
    let held = postgres.primary().await.unwrap();
    let error = postgres.primary().await.err().expect("none is left");
    assert!(matches!(error, Error::Full { size: 1, .. }), "{error}");
    assert!(error.is_away());
    drop(held);
    assert!(postgres.primary().await.is_ok());
}

#[tokio::test]
async fn a_statement_that_runs_too_long_is_ended_by_the_server() {
    let database = Server::shared(Version::Distribution).database();
    let postgres = open(&database.url);
    let mut connection = postgres.primary().await.unwrap();
    let transaction = connection.begin(Purpose::Write).await.unwrap();
    transaction
        .batch("limit", "SET LOCAL statement_timeout = 50")
        .await
        .unwrap();
    let error = transaction
        .query("q", "SELECT pg_sleep(20)", &[])
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Query { code, .. } if code.code() == "57014"),
        "{error}"
    );
    assert!(error.is_away());
    drop(transaction);
    drop(connection);
    assert_eq!(
        postgres.status().idle,
        1,
        "the connection is as good as before"
    );
}

#[tokio::test]
async fn whoever_is_not_let_in_learns_why_and_sees_no_password() {
    let server = Server::start(Version::Distribution, Listen::Loopback, &[]);
    let good = server.tcp_url("postgres");
    assert_eq!(number(&open(&good), "SELECT 1::bigint").await.unwrap(), 1);
    let port = server.port();
    let cases = [
        (
            good.replace(PASSWORD, "hunter2wrong"),
            false,
            "password authentication failed",
        ),
        (
            good.replace(&format!(":{PASSWORD}"), ""),
            false,
            "password missing",
        ),
        (
            format!("{}/nowhere", good.rsplit_once('/').unwrap().0),
            false,
            "database \"nowhere\" does not exist (3D000)",
        ),
        (
            good.replace(&port.to_string(), "1"),
            true,
            "127.0.0.1:1/postgres is away",
        ),
        (
            good.replace("127.0.0.1", "nowhere.invalid"),
            true,
            "nowhere.invalid",
        ),
    ];
    for (url, is_away, says) in cases {
        let mut asked = options(&url);
        asked.tls = Some(ampora_storage::postgres::Tls::Disable);
        let postgres = Postgres::new(&asked).unwrap();
        let error = number(&postgres, "SELECT 1::bigint").await.unwrap_err();
        let told = format!("{} {error:?} {postgres:?} {asked:?}", error.reason());
        assert!(told.contains(says), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
        assert_eq!(error.is_away(), is_away, "{told}");
    }
}

#[test]
fn bad_settings_are_refused_before_anybody_connects() {
    for (url, says) in [
        ("postgres://u:hunter2@h/d?gssencmode=x", "`gssencmode`"),
        (
            "postgres://u:hunter2@h/d?sslrootcert=/nowhere/ca.pem",
            "/nowhere/ca.pem",
        ),
    ] {
        let error = Postgres::new(&options(url)).unwrap_err();
        let told = format!("{} {error:?}", error.reason());
        assert!(told.contains(says) && !told.contains("hunter2"), "{told}");
        assert!(!error.is_away());
    }
    assert!(ampora_storage::postgres::connect::check_url("postgres:///d").is_err());
}
