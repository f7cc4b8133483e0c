//! Partitions: where rows stand, how partitions come to be, and what happens around the edges of days.

use ampora_storage::history::query::Query;
use ampora_storage::postgres::days::{DAY_MS, Day};
use ampora_storage::postgres::partitions::ensure_ahead;
use ampora_storage::postgres::read::history;
use futures_util::future::join_all;

use crate::data::{Store, agent, event, now_ms, source, write};
use crate::postgres::{Server, Version};

/// A database of people who live elsewhere and write dates in another way: `IST` is Israel's time by default.
const ELSEWHERE: &str = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = ''Asia/Kolkata''', \
    current_database()); EXECUTE format('ALTER DATABASE %I SET datestyle = ''German''', current_database()); END $$";

#[tokio::test]
async fn rows_stand_in_their_day_of_utc_wherever_the_database_is() {
    for version in Version::ALL {
        let store = Store::with(Server::shared(version), ELSEWHERE).await;
        let mut connection = store.connection().await;
        let midnight_ms = Day::of(now_ms()).start_ms();
        let (yesterday, today) = (Day::of(midnight_ms - 1), Day::of(midnight_ms));
        let both = [event(1, midnight_ms - 1, "{}"), event(2, midnight_ms, "{}")];
        write(&mut connection, source(1), &both)
            .await
            .expect("written");
        let sql = "SELECT seq, tableoid::regclass FROM agent_status_history ORDER BY seq";
        let (first, second) = (yesterday.partition(), today.partition());
        assert_eq!(store.sql(sql), format!("1|{first}\n2|{second}"));
        // and days made ahead are the same days
        let made = ensure_ahead(&mut connection, midnight_ms)
            .await
            .expect("made");
        assert_eq!(made, 7, "{version:?}");
        assert_eq!(
            ensure_ahead(&mut connection, midnight_ms)
                .await
                .expect("there"),
            0
        );
    }
}

#[tokio::test]
async fn partitions_that_many_make_at_once_are_made_once() {
    let store = Store::new(Server::shared(Version::Oldest)).await;
    let makers = (0..5).map(|_| async {
        let mut connection = store.connection().await;
        ensure_ahead(&mut connection, now_ms()).await.expect("made")
    });
    assert_eq!(join_all(makers).await.into_iter().sum::<usize>(), 9);
    let count =
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'agent_status_history'::regclass";
    assert_eq!(store.sql(count), "9");
}

#[tokio::test]
async fn times_that_no_partition_takes_stand_in_the_nearest_and_say_when_it_was() {
    let store = Store::new(Server::shared(Version::Newest)).await;
    let mut connection = store.connection().await;
    let today = Day::of(now_ms());
    ensure_ahead(&mut connection, today.start_ms())
        .await
        .expect("made");
    let far = [
        event(1, 0, r#"{"a":1}"#),
        event(2, today.before(31).start_ms(), "{}"),
        event(3, u64::MAX, r#"{"at":"mine"}"#),
        event(4, today.after(8).start_ms(), r#"{"a":"\u0000"}"#),
        event(5, today.before(20).start_ms() + 5, "{}"),
        event(6, today.after(7).start_ms() + 7, "{}"),
    ];
    write(&mut connection, source(1), &far)
        .await
        .expect("written");
    let query = Query {
        agent: agent(1),
        since_ms: None,
        until_ms: None,
        kinds: Vec::new(),
        below: None,
        limit: 10,
    };
    let mut items = history(&mut connection, &query).await.expect("a page");
    items.sort_by_key(|item| item.position.seq);
    let at: Vec<u64> = items.iter().map(|item| item.position.at_ms).collect();
    let (first_ms, last_ms) = (today.before(20).start_ms(), today.after(8).start_ms() - 1);
    // the day of the fifth was made for it, so those before stand there
    assert_eq!(
        at,
        [
            first_ms,
            first_ms,
            last_ms,
            last_ms,
            first_ms + 5,
            last_ms - DAY_MS + 8
        ]
    );
    let bodies: Vec<&str> = items.iter().map(|item| &*item.body).collect();
    assert_eq!(bodies[0], r#"{"a": 1, "at": "1970-01-01T00:00:00.000Z"}"#);
    assert_eq!(
        bodies[2],
        r#"{"at": "9999-12-31T23:59:59.999Z", "escaped": "{\"at\":\"mine\"}"}"#
    );
    assert!(
        bodies[3].ends_with(r#", "escaped": "{\"a\":\"\\u0000\"}"}"#),
        "{}",
        bodies[3]
    );
    assert_eq!(bodies[4..], ["{}", "{}"]);
}

#[tokio::test]
async fn a_table_without_partitions_gets_one() {
    let store = Store::new(Server::shared(Version::Oldest)).await;
    let mut connection = store.connection().await;
    let old = [event(1, 5, "{}")];
    assert_eq!(
        write(&mut connection, source(1), &old)
            .await
            .expect("written"),
        1
    );
    let name = "SELECT tableoid::regclass FROM agent_status_history";
    assert_eq!(store.sql(name), Day::of(now_ms()).partition());
}

/// A table that was detached to be kept has the name of its day.
#[tokio::test]
async fn a_day_that_cannot_be_made_stops_nobody() {
    let store = Store::new(Server::shared(Version::Newest)).await;
    let mut connection = store.connection().await;
    let today = Day::of(now_ms());
    ensure_ahead(&mut connection, today.start_ms())
        .await
        .expect("made");
    let kept = today.before(1).partition();
    store.sql(&format!(
        "ALTER TABLE agent_status_history DETACH PARTITION {kept}"
    ));
    let made = ensure_ahead(&mut connection, today.start_ms()).await;
    assert!(made.is_err_and(|error| !error.is_away()));
    let late = [event(1, today.before(1).start_ms() + 5, "{}")];
    let written = write(&mut connection, source(1), &late).await;
    assert_eq!(written.expect("written"), 1);
    let name = "SELECT tableoid::regclass FROM agent_status_history";
    assert_eq!(store.sql(name), today.partition());
}

#[tokio::test]
async fn partitions_of_operators_take_rows_and_stay_as_they_are() {
    let store = Store::new(Server::shared(Version::Distribution)).await;
    let mut connection = store.connection().await;
    let today = Day::of(now_ms());
    let (from, to) = (today.before(3), today.after(2));
    store.sql(&format!(
        "CREATE TABLE mine PARTITION OF agent_status_history FOR VALUES FROM ('{from} 12:00+00') TO ('{to} 06:00+00')"
    ));
    // the days of its edges are not made either: they overlap
    assert_eq!(
        ensure_ahead(&mut connection, today.start_ms())
            .await
            .expect("made"),
        5
    );
    let events = [
        event(1, now_ms(), "{}"),
        event(2, to.start_ms() + DAY_MS / 4, "{}"),
    ];
    write(&mut connection, source(1), &events)
        .await
        .expect("written");
    let names = "SELECT seq, tableoid::regclass FROM agent_status_history ORDER BY seq";
    assert_eq!(store.sql(names), "1|mine\n2|mine");
    store.sql("CREATE TABLE rest PARTITION OF agent_status_history DEFAULT");
    let any = [event(3, 7, "{}")];
    write(&mut connection, source(1), &any)
        .await
        .expect("written");
    let body = "SELECT tableoid::regclass, body FROM agent_status_history WHERE seq = 3";
    assert_eq!(store.sql(body), "rest|{}");
}
