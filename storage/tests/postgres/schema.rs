//! Migrations: twice, twice at once, against a newer schema, and through a pooler.

use ampora_storage::postgres::schema::{Migrated, known_version};
use ampora_storage::postgres::{Error, Purpose};

use crate::postgres::{Server, Version};
use crate::watcher::open;

/// Advisory locks are of a database; others have theirs.
const LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
const HISTORY: &str = "SELECT count(*), count(DISTINCT version) FROM ampora_schema_history";

#[tokio::test]
async fn migrating_twice_is_migrating_once() {
    for version in Version::ALL {
        let server = Server::shared(version);
        let database = server.database();
        let postgres = open(&database.url);
        let known = known_version();
        let error = postgres.check().await.unwrap_err();
        assert!(
            matches!(error, Error::SchemaOlder { found: 0, .. }),
            "{error}"
        );
        let first = postgres.migrate().await.unwrap();
        assert_eq!(first, Migrated { from: 0, to: known });
        server.sql(
            &database.name,
            "INSERT INTO history_cursor VALUES ('events:1', 7)",
        );
        let second = postgres.migrate().await.unwrap();
        assert_eq!(
            second,
            Migrated {
                from: known,
                to: known
            }
        );
        assert_eq!(postgres.check().await.unwrap(), known);
        assert_eq!(
            server.sql(&database.name, HISTORY),
            format!("{known}|{known}")
        );
        assert_eq!(
            server.sql(&database.name, "SELECT seq FROM history_cursor"),
            "7"
        );
        assert_eq!(server.sql(&database.name, LOCKS), "0");
    }
}

#[tokio::test]
async fn of_many_migrators_one_does_it() {
    let server = Server::shared(Version::Distribution);
    let database = server.database();
    let (one, two, three) = (
        open(&database.url),
        open(&database.url),
        open(&database.url),
    );
    let all = tokio::join!(one.migrate(), two.migrate(), three.migrate());
    let mut from = [
        all.0.unwrap().from,
        all.1.unwrap().from,
        all.2.unwrap().from,
    ];
    from.sort_unstable();
    let known = known_version();
    assert_eq!(from, [0, known, known]);
    assert_eq!(
        server.sql(&database.name, HISTORY),
        format!("{known}|{known}")
    );
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let server = Server::shared(Version::Newest);
    let database = server.database();
    let postgres = open(&database.url);
    postgres.migrate().await.unwrap();
    let newer = known_version() + 1;
    let later = format!(
        "INSERT INTO ampora_schema_history SELECT {newer}, 'later', applied_on, '1' FROM ampora_schema_history LIMIT 1"
    );
    server.sql(&database.name, &later);
    for error in [
        postgres.check().await.unwrap_err(),
        postgres.migrate().await.unwrap_err(),
    ] {
        let told = error.to_string();
        assert!(told.contains(&format!("version {newer}")), "{told}");
        assert!(
            told.contains(&format!("up to {}", known_version())),
            "{told}"
        );
        assert!(!error.is_away());
    }
}

#[tokio::test]
async fn a_migration_that_was_changed_afterwards_is_not_passed_over() {
    let server = Server::shared(Version::Oldest);
    let database = server.database();
    let postgres = open(&database.url);
    postgres.migrate().await.unwrap();
    server.sql(
        &database.name,
        "UPDATE ampora_schema_history SET checksum = '1' WHERE version = 1",
    );
    let error = postgres.migrate().await.unwrap_err();
    assert!(
        error.reason().contains("V1__history_cursor"),
        "{}",
        error.reason()
    );
}

#[tokio::test]
async fn checking_needs_no_rights_but_to_read() {
    let server = Server::shared(Version::Newest);
    let database = server.database();
    open(&database.url).migrate().await.unwrap();
    server.sql(
        &database.name,
        "CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
    );
    let reader = open(&database.url.replace("user=postgres", "user=reader"));
    assert_eq!(reader.check().await.unwrap(), known_version());
}

#[tokio::test]
async fn nobody_migrates_through_a_pooler_in_transaction_mode() {
    let server = Server::shared(Version::Distribution);
    for (mode, size) in [("transaction", 1), ("transaction", 5), ("session", 5)] {
        let database = server.database();
        let pooler = server.pooler(mode, size);
        let through = open(&pooler.url(&database.name));
        // backends that lie idle, as in a pooler that works for others too
        let mut held = Vec::new();
        for _ in 1..size.min(4) {
            held.push(through.primary().await.unwrap());
        }
        for one in &held {
            one.alone("one", Purpose::Read, "SELECT 1").await.unwrap();
        }
        let migrated = through.migrate().await;
        if mode == "session" {
            assert_eq!(migrated.unwrap().to, known_version());
            continue;
        }
        let error = migrated.unwrap_err();
        assert!(matches!(error, Error::Pooled { .. }), "{}", error.reason());
        assert!(error.to_string().contains("`ampora migrate`"));
        assert_eq!(server.sql(&database.name, LOCKS), "0");
        open(&database.url).migrate().await.unwrap();
        assert_eq!(through.check().await.unwrap(), known_version());
    }
}
