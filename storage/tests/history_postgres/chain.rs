//! Audit records and finished deliveries: once each, under a fence, and records whose hashes can be computed again.

use std::sync::Arc;

use ampora_raft::ids::{ConfigHash, DispatchId, Fence, NodeId};
use ampora_raft::records::AuditRecord;
use ampora_storage::postgres::audit::{AuditQuery, audit, write_audit};
use ampora_storage::postgres::cursor::dispatch_key;
use ampora_storage::postgres::envelopes::{Envelope, envelopes, write_envelopes};
use ampora_storage::postgres::lease::Held;
use ampora_storage::postgres::retention::{Kept, sweep};
use ampora_storage::postgres::{Error, Move};

use crate::data::{HELD, Store, agent};
use crate::postgres::{Server, Version};

const LINEAGE: u128 = 0xfeed;

const EXPORT: Held = Held {
    lineage: LINEAGE,
    name: "history-export",
    fence: 3,
};

/// To a number, from wherever the cursor stands.
fn upto(upto: u64) -> Move {
    Move { from: 0, upto }
}

fn all_of(records: &[Arc<AuditRecord>]) -> Move {
    upto(records.last().expect("some").seq)
}

/// A chain whose values are as the fleet writes them, in all their kinds.
fn chain(count: u64) -> Vec<Arc<AuditRecord>> {
    let mut previous = [0; 32];
    let mut records = Vec::new();
    for seq in 1..=count {
        let mut record = AuditRecord {
            seq,
            index: seq * 3,
            at_ms: 1_764_000_000_000 + seq / 2,
            deadline_ms: seq,
            actor: if seq % 2 == 0 { "admin".into() } else { "ann".into() },
            from: "127.0.0.1:5".into(),
            request_id: format!("r{seq}").into(),
            action: "group.put".into(),
            target: "edge".into(),
            before: "null".into(),
            after: r#"{"a":{"x":"\u0001é\"\\\n","z":18446744073709551615},"bb":[true,null,-5],"long key":""}"#.into(),
            previous,
            hash: [0; 32],
        };
        if seq == 2 {
            record.before = r#"{"text":"\u0000"}"#.into();
        }
        record.hash = record.digest();
        previous = record.hash;
        records.push(Arc::new(record));
    }
    records
}

async fn all(store: &Store, mut query: AuditQuery) -> Vec<AuditRecord> {
    let mut connection = store.connection().await;
    let mut all = Vec::new();
    loop {
        let page = audit(&mut connection, &query).await.expect("a page");
        let Some((lineage, last)) = page.last() else {
            return all;
        };
        query.below = Some((last.at_ms, *lineage, last.seq));
        all.extend(page.into_iter().map(|(_, record)| record));
    }
}

#[tokio::test]
async fn audit_records_are_there_once_and_verify() {
    for version in Version::ALL {
        let store = Store::new(Server::shared(version)).await;
        let mut connection = store.connection().await;
        let records = chain(20);
        for (from, to, cursor) in [(0, 8, 8), (0, 8, 8), (4, 15, 15), (15, 20, 20), (0, 20, 20)] {
            let batch = &records[from..to];
            let written = write_audit(&mut connection, EXPORT, all_of(batch), batch).await;
            assert_eq!(written.expect("written"), cursor);
        }
        // a cursor that was set back finds them by their hashes
        store.sql("UPDATE history_cursor SET seq = 0");
        let written = write_audit(&mut connection, EXPORT, all_of(&records), &records).await;
        assert_eq!(written.expect("written"), 20);
        let query = AuditQuery {
            limit: 7,
            ..AuditQuery::default()
        };
        let mut read = all(&store, query.clone()).await;
        read.reverse();
        assert_eq!(read.len(), 20);
        for (read, was) in read.iter().zip(&records) {
            assert_eq!(*read, **was, "{version:?}");
            assert_eq!(read.digest(), read.hash);
        }
        let of_ann = AuditQuery {
            actor: Some("ann".to_owned()),
            since_ms: Some(records[4].at_ms),
            until_ms: Some(records[9].at_ms),
            ..query
        };
        let seqs: Vec<_> = all(&store, of_ann)
            .await
            .iter()
            .map(|record| record.seq)
            .collect();
        assert_eq!(seqs, [9, 7, 5]);
    }
}

#[tokio::test]
async fn nothing_is_written_over_a_gap() {
    let store = Store::new(Server::shared(Version::Oldest)).await;
    let mut connection = store.connection().await;
    let records = chain(6);
    write_audit(&mut connection, EXPORT, upto(4), &records[..4])
        .await
        .expect("written");
    write_envelopes(&mut connection, EXPORT, upto(4), &[envelope(4)])
        .await
        .expect("written");
    // an older copy of the database has taken its place
    store.sql("UPDATE history_cursor SET seq = 2; DELETE FROM audit_events WHERE seq > 2");
    let way = Move { from: 4, upto: 6 };
    let refused = write_audit(&mut connection, EXPORT, way, &records[4..]).await;
    let is_told = |found: &Error| {
        matches!(
            found,
            Error::SetBack {
                known: 4,
                found: 2,
                ..
            }
        )
    };
    assert!(refused.as_ref().is_err_and(is_told), "{refused:?}");
    let refused = write_envelopes(&mut connection, EXPORT, way, &[envelope(6)]).await;
    assert!(refused.as_ref().is_err_and(is_told), "{refused:?}");
    let written = write_audit(&mut connection, EXPORT, Move { from: 2, upto: 6 }, &records).await;
    assert_eq!(written.expect("written"), 6);
    assert_eq!(store.sql("SELECT count(*) FROM audit_events"), "6");
    assert_eq!(store.sql("SELECT count(*) FROM dispatch_envelopes"), "1");
}

#[tokio::test]
async fn records_under_a_stale_fence_are_not_written() {
    let store = Store::new(Server::shared(Version::Newest)).await;
    let mut connection = store.connection().await;
    let records = chain(2);
    write_audit(
        &mut connection,
        EXPORT,
        all_of(&records[..1]),
        &records[..1],
    )
    .await
    .expect("written");
    let stale = Held { fence: 2, ..EXPORT };
    let refused = write_audit(&mut connection, stale, all_of(&records), &records).await;
    assert!(
        matches!(refused, Err(Error::StaleFence { fence: 2, .. })),
        "{refused:?}"
    );
    let refused = write_envelopes(&mut connection, stale, upto(9), &[envelope(1)]).await;
    assert!(
        matches!(refused, Err(Error::StaleFence { fence: 2, .. })),
        "{refused:?}"
    );
    let counts = "SELECT (SELECT count(*) FROM audit_events), (SELECT count(*) FROM dispatch_envelopes), \
                  (SELECT string_agg(seq::text, ',') FROM history_cursor)";
    assert_eq!(store.sql(counts), "1|0|1");
    // another duty's fence is its own
    write_audit(&mut connection, HELD, all_of(&records), &records)
        .await
        .expect("written");
}

fn envelope(number: u64) -> Envelope {
    Envelope {
        dispatch: DispatchId(number),
        agent: agent(1),
        action: "push_config".to_owned(),
        created_by: "admin".to_owned(),
        state: "failed".to_owned(),
        error: Some("agent_failed: no\0pe".to_owned()),
        queued_ms: 1_764_000_000_000,
        sent_ms: Some(1_764_000_000_001),
        finished_ms: 1_764_000_000_002 + number / 2,
        sent_by: Some((NodeId(3), Fence(4))),
        config_hash: Some(ConfigHash([9; 32])),
    }
}

#[tokio::test]
async fn finished_deliveries_are_there_once_and_come_in_pages() {
    for version in Version::ALL {
        let store = Store::new(Server::shared(version)).await;
        let mut connection = store.connection().await;
        let mut all: Vec<_> = (1..=9).map(envelope).collect();
        all[3] = Envelope {
            sent_ms: None,
            sent_by: None,
            config_hash: None,
            error: None,
            ..envelope(4)
        };
        for (batch, seq) in [
            (&all[..5], 5),
            (&all[..5], 5),
            (&all[3..], 9),
            (&all[..2], 2),
        ] {
            let written = write_envelopes(&mut connection, EXPORT, upto(seq), batch).await;
            written.expect("written");
        }
        assert_eq!(store.cursor(&dispatch_key(LINEAGE)).await, 9);
        let mut found = Vec::new();
        let mut below = None;
        loop {
            let page = envelopes(&mut connection, agent(1), below, 4)
                .await
                .expect("a page");
            let Some(last) = page.last() else { break };
            below = Some((last.finished_ms, last.dispatch));
            found.extend(page);
        }
        found.reverse();
        for one in &mut all {
            // the column holds no NUL
            one.error = one.error.take().map(|text| text.replace('\0', "\\u{0}"));
        }
        assert_eq!(found, all, "{version:?}");
    }
}

#[tokio::test]
async fn old_records_and_deliveries_go_by_their_own_days() {
    let store = Store::new(Server::shared(Version::Distribution)).await;
    let mut connection = store.connection().await;
    let records = chain(6);
    write_audit(&mut connection, EXPORT, all_of(&records), &records)
        .await
        .expect("written");
    let all: Vec<_> = (1..=4).map(envelope).collect();
    write_envelopes(&mut connection, EXPORT, upto(4), &all)
        .await
        .expect("written");
    let kept = |now_ms| Kept {
        now_ms,
        history_days: 30,
        audit_days: 10,
    };
    let days_ms = 10 * ampora_storage::postgres::days::DAY_MS;
    let now_ms = 1_764_000_000_002 + days_ms;
    let swept = sweep(&mut connection, HELD, kept(now_ms))
        .await
        .expect("swept");
    assert_eq!((swept.audit, swept.deliveries), (3, 0));
    let swept = sweep(&mut connection, HELD, kept(now_ms + 1))
        .await
        .expect("swept");
    assert_eq!((swept.audit, swept.deliveries), (2, 1));
}

#[tokio::test]
async fn records_that_a_server_cannot_spell_are_written_in_ascii() {
    let server = Server::shared(Version::Distribution);
    let made = "CREATE DATABASE latin_audit ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0";
    server.sql("postgres", made);
    let name = "latin_audit".to_owned();
    let url = server.url(&name);
    let store = Store::of(crate::postgres::Database { name, url }, "").await;
    let mut connection = store.connection().await;
    let mut records = chain(3);
    let record = Arc::make_mut(&mut records[1]);
    record.target = "日".into();
    record.before = r#"{"a":"日"}"#.into();
    let written = write_audit(&mut connection, EXPORT, all_of(&records), &records).await;
    assert_eq!(written.expect("written"), 3);
    let rows = "SELECT string_agg(target, ',' ORDER BY seq) FROM audit_events";
    assert_eq!(store.sql(rows), "edge,\\u{65e5},edge");
}
