//! Where readers are sent, with a real replica that follows, stands still, ends and comes back.

use std::sync::Arc;
use std::time::Duration;

use ampora_storage::postgres::reader::{BEHIND_MAX, LOOK_EVERY, Replica};
use ampora_storage::postgres::{Postgres, Purpose, Target};

use crate::postgres::{Listen, PASSWORD, Server, Version};
use crate::watcher::{Watcher, open, options};

/// Looks until one finds what is expected: a busy machine replays late. The clock of the node stands still.
async fn look_until(postgres: &Postgres, expected: Replica) {
    for _ in 0..500 {
        if postgres.look().await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the replica is {:?}, not {expected:?}", postgres.replica());
}

/// Looks at servers that run: one that did not answer within a look is asked again, and nothing was learned before.
async fn look(postgres: &Postgres) -> Replica {
    look_past(postgres, &[Replica::Away, Replica::Alone]).await
}

async fn look_past(postgres: &Postgres, late: &[Replica]) -> Replica {
    for _ in 0..20 {
        let seen = postgres.look().await;
        if !late.contains(&seen) {
            return seen;
        }
    }
    panic!("nobody answers: {:?}", postgres.replica());
}

async fn target(postgres: &Postgres) -> Target {
    let mut reader = postgres
        .reader()
        .await
        .unwrap_or_else(|error| panic!("{}", error.reason()));
    let transaction = reader.connection.begin(Purpose::Read).await.unwrap();
    let rows = transaction
        .query("who", "SELECT pg_is_in_recovery()", &[])
        .await
        .unwrap();
    let target = if rows[0].get(0) {
        Target::Replica
    } else {
        Target::Primary
    };
    assert_eq!(transaction.target(), target);
    target
}

#[tokio::test]
async fn readers_get_the_replica_while_it_is_fresh() {
    for version in [Version::Oldest, Version::Newest] {
        let primary = Server::start(version, Listen::Socket, &[]);
        let replica = primary.replica(Listen::Socket);
        let watcher = Arc::new(Watcher::default());
        let mut asked = options(&primary.url("postgres"));
        asked.read_url = Some(replica.url("postgres"));
        asked.observer = Arc::<Watcher>::clone(&watcher);
        let postgres = Postgres::new(&asked).unwrap();
        assert_eq!(
            target(&postgres).await,
            Target::Primary,
            "nobody has looked"
        );
        look_until(&postgres, Replica::Fresh).await;
        assert_eq!(target(&postgres).await, Target::Replica);
        // an hour without a word
        watcher.pass(Duration::from_secs(3600));
        look_until(&postgres, Replica::Fresh).await;

        // the replica stands still while the primary goes on
        replica.sql("postgres", "SELECT pg_wal_replay_pause()");
        primary.sql("postgres", "CREATE TABLE t (n int)");
        for _ in 0..BEHIND_MAX.as_secs() / LOOK_EVERY.as_secs() {
            watcher.pass(LOOK_EVERY);
            assert_eq!(look(&postgres).await, Replica::Fresh);
        }
        watcher.pass(LOOK_EVERY);
        assert_eq!(look(&postgres).await, Replica::Behind);
        assert_eq!(target(&postgres).await, Target::Primary);
        replica.sql("postgres", "SELECT pg_wal_replay_resume()");
        look_until(&postgres, Replica::Fresh).await;
        assert_eq!(target(&postgres).await, Target::Replica);

        // it ends between two looks, and comes back
        replica.stop();
        assert_eq!(target(&postgres).await, Target::Primary);
        assert_eq!(postgres.look().await, Replica::Away);
        replica.start_again();
        look_until(&postgres, Replica::Fresh).await;
        assert_eq!(target(&postgres).await, Target::Replica);

        // the primary ends: what the replica has is all there is
        primary.stop();
        let seen = look_past(&postgres, &[Replica::Away]).await;
        assert_eq!(seen, Replica::Alone);
        assert_eq!(target(&postgres).await, Target::Replica);
        let seen = watcher.seen();
        for target in [Target::Primary, Target::Replica] {
            assert!(
                seen.iter()
                    .any(|(name, of, _)| *name == "who" && *of == target)
            );
        }
    }
}

#[tokio::test]
async fn a_frozen_replica_is_away_after_one_look() {
    let primary = Server::start(Version::Distribution, Listen::Socket, &[]);
    let replica = primary.replica(Listen::Socket);
    let mut asked = options(&primary.url("postgres"));
    asked.read_url = Some(replica.url("postgres"));
    let postgres = Postgres::new(&asked).unwrap();
    look_until(&postgres, Replica::Fresh).await;
    // a reader that comes before the next look is not held up for long: one of three, as the machine may stand still
    let mut is_prompt = false;
    for _ in 0..3 {
        replica.freeze();
        let reader = tokio::time::timeout(Duration::from_secs(10), target(&postgres)).await;
        if let Ok(target) = reader {
            assert_eq!(target, Target::Primary);
            is_prompt = true;
            break;
        }
        replica.thaw();
        look_until(&postgres, Replica::Fresh).await;
    }
    assert!(is_prompt, "three readers were held up");
    assert_eq!(postgres.look().await, Replica::Away);
    assert_eq!(target(&postgres).await, Target::Primary);
    replica.thaw();
    look_until(&postgres, Replica::Fresh).await;
}

#[tokio::test]
async fn a_replica_that_lost_its_primary_does_not_look_fresh() {
    let primary = Server::start(Version::Distribution, Listen::Socket, &[]);
    let replica = primary.replica(Listen::Socket);
    let watcher = Arc::new(Watcher::default());
    let mut asked = options(&primary.url("postgres"));
    asked.read_url = Some(replica.url("postgres"));
    asked.observer = Arc::<Watcher>::clone(&watcher);
    let postgres = Postgres::new(&asked).unwrap();
    look_until(&postgres, Replica::Fresh).await;
    // it has replayed all that it has received, and receives nothing
    replica.sql(
        "postgres",
        "ALTER SYSTEM SET primary_conninfo = 'host=/nowhere'",
    );
    replica.sql("postgres", "SELECT pg_reload_conf()");
    let is_cut = || replica.sql("postgres", "SELECT count(*) FROM pg_stat_wal_receiver") == "0";
    for _ in 0..500 {
        if is_cut() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(is_cut());
    primary.sql("postgres", "CREATE TABLE t (n int)");
    look(&postgres).await;
    watcher.pass(BEHIND_MAX + LOOK_EVERY);
    assert_eq!(look(&postgres).await, Replica::Behind);
    assert_eq!(target(&postgres).await, Target::Primary);
}

#[tokio::test]
async fn whoever_is_the_primary_is_found_among_the_hosts_of_a_url() {
    let old = Server::start(Version::Newest, Listen::Loopback, &[]);
    let new = old.replica(Listen::Loopback);
    let url = format!(
        "postgres://postgres:{PASSWORD}@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write",
        new.port(),
        old.port(),
    );
    let postgres = open(&url);
    let write = async |sql: &str| {
        let mut connection = postgres.primary().await?;
        let transaction = connection.begin(Purpose::Write).await?;
        transaction.batch("write", sql).await?;
        transaction.commit().await
    };
    write("CREATE TABLE t (n int)").await.unwrap();
    let follows = || new.sql("postgres", "SELECT to_regclass('t') IS NOT NULL") == "t";
    while !follows() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    old.stop();
    let error = write("INSERT INTO t VALUES (1)").await.unwrap_err();
    assert!(error.is_away(), "{}", error.reason());
    new.sql("postgres", "SELECT pg_promote()");
    write("INSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(new.sql("postgres", "SELECT n FROM t"), "2");
}

#[tokio::test]
async fn without_a_replica_readers_get_the_primary() {
    let database = Server::shared(Version::Distribution).database();
    let postgres = open(&database.url);
    assert_eq!(postgres.look().await, Replica::Unknown);
    assert_eq!(target(&postgres).await, Target::Primary);
    // a server that follows nobody answers for itself
    let mut asked = options(&database.url);
    asked.read_url = Some(database.url.clone());
    let postgres = Postgres::new(&asked).unwrap();
    assert_eq!(look(&postgres).await, Replica::Fresh);
    assert_eq!(
        postgres.reader().await.unwrap().connection.target(),
        Target::Replica
    );
}
