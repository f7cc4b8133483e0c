//! What is old goes, what is not stays, and nothing goes under a stale fence.

use ampora_storage::history::event::{Document, EventKind};
use ampora_storage::history::export::Batch;
use ampora_storage::postgres::cursor::events_key;
use ampora_storage::postgres::days::Day;
use ampora_storage::postgres::export::write_events;
use ampora_storage::postgres::latest::write_latest;
use ampora_storage::postgres::lease::Held;
use ampora_storage::postgres::partitions::ensure_ahead;
use ampora_storage::postgres::retention::{Kept, Swept, sweep};
use ampora_storage::postgres::{Error, Purpose};

use crate::data::{HELD, LINEAGE, Store, agent, batch, event, hash, now_ms, source, write};
use crate::postgres::{Server, Version};

fn kept(history_days: u64) -> Kept {
    Kept {
        now_ms: now_ms(),
        history_days,
        audit_days: 365,
    }
}

const PARTITIONS: &str =
    "SELECT count(*) FROM pg_inherits WHERE inhparent = 'agent_status_history'::regclass";

#[tokio::test]
async fn whole_days_go_and_those_of_operators_stay() {
    for version in Version::ALL {
        let store = Store::new(Server::shared(version)).await;
        let mut connection = store.connection().await;
        let today = Day::of(now_ms());
        let events: Vec<_> = (0..10)
            .map(|back| event(10 - back, today.before(back).start_ms(), "{}"))
            .collect();
        let mut events = events;
        events.reverse();
        write(&mut connection, source(1), &events)
            .await
            .expect("written");
        let (from, to) = (today.before(40), today.before(39));
        store.sql(&format!(
            "CREATE TABLE mine PARTITION OF agent_status_history FOR VALUES FROM ('{from} 00:00+00') TO ('{to} 00:00+00')"
        ));
        // the name is ours, the bounds are not
        let (from, to, name) = (
            today.before(30),
            today.before(28),
            today.before(30).partition(),
        );
        store.sql(&format!(
            "CREATE TABLE {name} PARTITION OF agent_status_history FOR VALUES FROM ('{from} 00:00+00') TO ('{to} 00:00+00')"
        ));
        let swept = sweep(&mut connection, HELD, kept(5)).await.expect("swept");
        assert_eq!(
            (swept.partitions, swept.busy, swept.more),
            (4, 0, false),
            "{version:?}"
        );
        let left = "SELECT count(*), min(at) AT TIME ZONE 'UTC' FROM agent_status_history";
        assert_eq!(store.sql(left), format!("6|{} 00:00:00", today.before(5)));
        assert_eq!(store.sql(PARTITIONS), "8");
        let again = sweep(&mut connection, HELD, kept(5)).await.expect("swept");
        assert_eq!(again, Swept::default());
    }
}

#[tokio::test]
async fn a_stale_fence_changes_nothing() {
    let store = Store::new(Server::shared(Version::Distribution)).await;
    let mut connection = store.connection().await;
    let today = Day::of(now_ms());
    let old = [event(1, today.before(20).start_ms(), "{}")];
    write(&mut connection, source(1), &old)
        .await
        .expect("written");
    let newer = Held { fence: 8, ..HELD };
    let none = sweep(&mut connection, newer, kept(30))
        .await
        .expect("swept");
    assert_eq!(none, Swept::default());
    let stale = sweep(&mut connection, HELD, kept(5)).await;
    assert!(
        matches!(stale, Err(Error::StaleFence { fence: 7, .. })),
        "{stale:?}"
    );
    assert_eq!(store.rows(), (1, 1));
    let lease = "SELECT name, fence FROM history_lease";
    assert_eq!(store.sql(lease), "history-retention|8");
    let swept = sweep(&mut connection, newer, kept(5)).await.expect("swept");
    assert_eq!(swept.partitions, 1);
}

#[tokio::test]
async fn a_clock_that_is_ahead_takes_nothing_away() {
    let store = Store::new(Server::shared(Version::Newest)).await;
    let mut connection = store.connection().await;
    let today = Day::of(now_ms());
    let some: Vec<_> = (1..=5)
        .map(|seq| event(seq, today.before(seq).start_ms(), "{}"))
        .collect();
    write(&mut connection, source(1), &some)
        .await
        .expect("written");
    let ahead = Kept {
        now_ms: now_ms() + 20 * 365 * 86_400_000,
        ..kept(30)
    };
    let swept = sweep(&mut connection, HELD, ahead).await.expect("swept");
    assert_eq!(swept, Swept::default());
    assert_eq!(store.rows().0, 5);
    assert_eq!(store.cursor(&events_key(source(1).id)).await, 5);
}

#[tokio::test]
async fn another_lineage_begins_with_fences_of_its_own() {
    let store = Store::new(Server::shared(Version::Oldest)).await;
    let mut connection = store.connection().await;
    let today = Day::of(now_ms());
    let old: Vec<_> = (1..=8)
        .map(|seq| event(seq, today.before(20 + seq).start_ms(), "{}"))
        .collect();
    write(&mut connection, source(1), &old)
        .await
        .expect("written");
    sweep(&mut connection, HELD, kept(300))
        .await
        .expect("swept");
    let anew = Held {
        lineage: 0xbeef,
        fence: 1,
        ..HELD
    };
    let mut other = store.connection().await;
    let (one, two) = tokio::join!(
        sweep(&mut connection, HELD, kept(5)),
        sweep(&mut other, anew, kept(5))
    );
    let (one, two) = (one.expect("swept"), two.expect("swept"));
    assert!(one.partitions + two.partitions <= 8, "{one:?} {two:?}");
    // what one waited for, the other may have had
    let left = sweep(&mut other, anew, kept(5)).await.expect("swept");
    assert_eq!(one.partitions + two.partitions + left.partitions, 8);
    assert_eq!(store.rows().0, 0);
    let leases = "SELECT string_agg(fence::text, ',' ORDER BY fence) FROM history_lease";
    assert_eq!(store.sql(leases), "1,7");
}

#[tokio::test]
async fn a_partition_that_is_in_use_is_left_for_the_next_time() {
    let store = Store::new(Server::shared(Version::Newest)).await;
    let mut connection = store.connection().await;
    let today = Day::of(now_ms());
    let old = [event(1, today.before(20).start_ms(), "{}")];
    write(&mut connection, source(1), &old)
        .await
        .expect("written");
    let mut reader = store.connection().await;
    let reading = reader.begin(Purpose::Read).await.expect("begun");
    let rows = reading
        .query("read", "SELECT seq FROM agent_status_history", &[])
        .await;
    assert_eq!(rows.expect("rows").len(), 1);
    let swept = sweep(&mut connection, HELD, kept(5)).await.expect("swept");
    assert_eq!((swept.partitions, swept.busy), (0, 1));
    drop(reading);
    drop(reader);
    let swept = sweep(&mut connection, HELD, kept(5)).await.expect("swept");
    assert_eq!((swept.partitions, swept.busy), (1, 0));
}

#[tokio::test]
async fn documents_go_when_neither_history_nor_an_agent_names_them() {
    let store = Store::new(Server::shared(Version::Oldest)).await;
    let mut connection = store.connection().await;
    let today = Day::of(now_ms());
    ensure_ahead(&mut connection, today.start_ms())
        .await
        .expect("made");
    let named = |seq: u64, back: u64, document: u8, who: u128| {
        let mut one = event(seq, today.before(back).start_ms(), "{}");
        one.event.agent = agent(who);
        one.event.kind = EventKind::EffectiveConfig;
        one.event.document = Some(hash(document));
        one
    };
    // 1 is old, 2 was old and is named again, 3 is old and still runs on an agent
    let events = [
        named(1, 20, 1, 1),
        named(2, 20, 2, 1),
        named(3, 20, 3, 2),
        named(4, 1, 2, 1),
    ];
    let documents = [1, 2, 3].map(|number| Document {
        hash: hash(number),
        body: "{}".into(),
    });
    for (first, last) in [(0, 3), (3, 4)] {
        let batch = Batch {
            documents: if first == 0 { &documents } else { &[] },
            ..batch(source(1), &events[first..last])
        };
        write_events(&mut connection, &batch, 30, LINEAGE)
            .await
            .expect("written");
    }
    let latest = |from: u64, one| Batch {
        from,
        ..batch(source(1), one)
    };
    write_latest(&mut connection, &latest(0, &events[2..3]), LINEAGE)
        .await
        .expect("written");
    let swept = sweep(&mut connection, HELD, kept(5)).await.expect("swept");
    assert_eq!(swept.documents, 1);
    let left =
        "SELECT string_agg(left(encode(hash, 'hex'), 2), ',' ORDER BY hash) FROM history_documents";
    assert_eq!(store.sql(left), "02,03");
    // the agent of the third runs something else
    let other = [named(5, 1, 2, 2)];
    write_latest(&mut connection, &latest(3, &other), LINEAGE)
        .await
        .expect("written");
    assert_eq!(
        sweep(&mut connection, HELD, kept(5))
            .await
            .expect("swept")
            .documents,
        1
    );
    assert_eq!(store.sql(left), "02");
}

#[tokio::test]
async fn agents_that_left_and_streams_that_ended_are_forgotten() {
    let store = Store::new(Server::shared(Version::Distribution)).await;
    let mut connection = store.connection().await;
    let today = Day::of(now_ms());
    let said = |seq: u64, back: u64, kind: EventKind| {
        let mut one = event(seq, today.before(back).start_ms(), "{}");
        one.event.agent = agent(seq.into());
        one.event.kind = kind;
        one
    };
    let events = [
        said(1, 20, EventKind::Disconnected),
        said(2, 20, EventKind::Health),
        said(3, 1, EventKind::Disconnected),
    ];
    write_latest(&mut connection, &batch(source(1), &events), LINEAGE)
        .await
        .expect("written");
    store.sql(
        "INSERT INTO history_cursor (stream, seq, updated_at) VALUES \
         ('events:old', 5, now() - interval '500 days'), ('audit:old', 5, now() - interval '500 days'), \
         ('events:less', 5, now() - interval '300 days')",
    );
    let swept = sweep(&mut connection, HELD, kept(5)).await.expect("swept");
    assert_eq!((swept.agents, swept.cursors), (1, 1));
    assert_eq!(store.sql("SELECT count(*) FROM agent_latest"), "2");
    assert_eq!(store.sql("SELECT count(*) FROM history_cursor"), "3");
}
