//! Bodies that JSONB cannot hold, wherever they come: kept in the escaped form, and the batch goes on.

use ampora_raft::ids::Fence;
use ampora_storage::history::event::{Document, EventKind, Spooled};
use ampora_storage::history::export::Batch;
use ampora_storage::history::query::Query;
use ampora_storage::postgres::export::write_events;
use ampora_storage::postgres::latest::write_latest;
use ampora_storage::postgres::read::{document, history};

use crate::data::{LINEAGE, Store, agent, batch, event, hash, now_ms, source, write};
use crate::postgres::{Database, Server, Version};

/// Whether each comes back as it was, or in its escaped form because readers of JSON refuse it too.
fn hostile() -> Vec<(String, bool)> {
    let deep = |levels| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    vec![
        (r#"{"a":"\u0000"}"#.to_owned(), true),
        (r#"{"a\u0000":[{"b":"x\u0000\u0000"}]}"#.to_owned(), true),
        (deep(99), true),
        (deep(120), true),
        (deep(10_000), false),
        (r#"{"a":"\ud800"}"#.to_owned(), false),
        (r#"{"a":"\udc00 and \ud83d"}"#.to_owned(), false),
        (r#"{"a":1e300}"#.to_owned(), true),
        (r#"{"a":1e131071,"b":1e-131071}"#.to_owned(), false),
        (r#"{"a":1e400000}"#.to_owned(), false),
        (format!(r#"{{"a":{}}}"#, "9".repeat(200)), true),
        (r#"{"escaped":"mine"}"#.to_owned(), true),
        // the look at each byte finds nothing in these: the server does
        (r#"{"a":}"#.to_owned(), false),
        (r#"{"a":1,}"#.to_owned(), false),
        (r#"{"a":"\x"}"#.to_owned(), false),
        (r#"{"a":truely}"#.to_owned(), false),
        ("nothing".to_owned(), false),
        (String::new(), false),
    ]
}

fn is_escaped(body: &str) -> bool {
    body.starts_with(r#"{"escaped": ""#)
}

fn value(body: &str) -> serde_json::Value {
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{body}"))
}

/// Every second event is a good one.
fn mixed() -> Vec<(Spooled, bool)> {
    let now_ms = now_ms();
    let bodies = hostile()
        .into_iter()
        .flat_map(|body| [(r#"{"a":1}"#.to_owned(), true), body]);
    let numbered = bodies.zip(1..);
    numbered
        .map(|((body, comes_back), seq)| (event(seq, now_ms, &body), comes_back))
        .collect()
}

fn page() -> Query {
    Query {
        agent: agent(1),
        since_ms: None,
        until_ms: None,
        kinds: Vec::new(),
        below: None,
        limit: 1000,
    }
}

#[tokio::test]
async fn hostile_bodies_are_kept_and_block_nothing() {
    for version in Version::ALL {
        let store = Store::new(Server::shared(version)).await;
        let mut connection = store.connection().await;
        let (events, come_back): (Vec<_>, Vec<_>) = mixed().into_iter().unzip();
        let last = events.last().expect("some").seq;
        assert_eq!(
            write(&mut connection, source(1), &events)
                .await
                .expect("written"),
            last
        );
        assert_eq!(store.rows(), (last, last));
        let items = history(&mut connection, &page()).await.expect("a page");
        for ((item, was), comes_back) in items.iter().rev().zip(&events).zip(come_back) {
            assert_eq!(item.position.seq, was.seq);
            let body = &*was.event.body;
            assert_eq!(!is_escaped(&item.body), comes_back, "{version:?}: {body}");
            if comes_back && !body.contains("9999") && !body.contains("1e300") {
                assert_eq!(value(&item.body), value(body));
            }
        }
        // nobody else was: what the server refuses is found one by one
        let escaped = "SELECT count(*) FROM agent_status_history WHERE body ? 'escaped'";
        assert_eq!(store.sql(escaped), "17");
        let text = r#"SELECT body ->> 'escaped' FROM agent_status_history WHERE seq = 2"#;
        assert_eq!(store.sql(text), r#"{"a":"\u0000"}"#);
    }
}

#[tokio::test]
async fn the_newest_state_takes_hostile_bodies_too() {
    let store = Store::new(Server::shared(Version::Newest)).await;
    let mut connection = store.connection().await;
    for (number, (body, _)) in hostile().into_iter().enumerate() {
        let seq = number as u64 + 1;
        let mut bad = event(seq, now_ms(), &body);
        bad.event.fence = Fence(seq);
        bad.event.kind = EventKind::ALL[number % 7];
        let bad = [bad];
        let written = write_latest(&mut connection, &batch(source(1), &bad), LINEAGE).await;
        assert_eq!(written.expect("written"), seq, "{body}");
    }
    let kinds = store.sql(
        "SELECT count(*), sum((SELECT count(*) FROM jsonb_object_keys(state))) FROM agent_latest",
    );
    assert_eq!(kinds, "1|7");
}

#[tokio::test]
async fn documents_that_jsonb_cannot_hold_are_kept() {
    let store = Store::new(Server::shared(Version::Oldest)).await;
    let mut connection = store.connection().await;
    let mut documents = vec![Document {
        hash: hash(200),
        body: r#"{"good":1}"#.into(),
    }];
    let mut events = Vec::new();
    for (number, (body, _)) in hostile().into_iter().enumerate() {
        let hash = hash(u8::try_from(number).expect("few"));
        let mut named = event(number as u64 + 1, now_ms(), "{}");
        named.event.document = Some(hash);
        events.push(named);
        documents.push(Document {
            hash,
            body: body.into(),
        });
    }
    for stream in [source(1), source(2)] {
        let batch = Batch {
            documents: &documents,
            ..batch(stream, &events)
        };
        let written = write_events(&mut connection, &batch, 30, LINEAGE).await;
        assert_eq!(written.expect("written"), batch.upto);
    }
    assert_eq!(
        store.sql("SELECT count(*) FROM history_documents"),
        documents.len().to_string()
    );
    for (number, (body, comes_back)) in hostile().into_iter().enumerate() {
        let hash = hash(u8::try_from(number).expect("few"));
        let kept = document(&mut connection, &hash)
            .await
            .expect("an answer")
            .expect("there");
        assert_eq!(!is_escaped(&kept), comes_back, "{body}");
    }
    let none = document(&mut connection, &hash(99))
        .await
        .expect("an answer");
    assert_eq!(none, None);
}

#[tokio::test]
async fn a_database_that_is_not_utf_8_holds_what_it_cannot_spell() {
    let server = Server::shared(Version::Distribution);
    let name = "latin".to_owned();
    let made = "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0";
    server.sql("postgres", made);
    let url = server.url(&name);
    let store = Store::of(Database { name, url }, "").await;
    let mut connection = store.connection().await;
    let now_ms = now_ms();
    let bodies = [r#"{"a":"é"}"#, r#"{"a":"日本 😀"}"#, r#"{"a":"ü"}"#];
    let events: Vec<_> = (1..)
        .zip(bodies)
        .map(|(seq, body)| event(seq, now_ms, body))
        .collect();
    assert_eq!(
        write(&mut connection, source(1), &events)
            .await
            .expect("written"),
        3
    );
    let written = write_latest(&mut connection, &batch(source(1), &events), LINEAGE).await;
    assert_eq!(written.expect("written"), 3);
    let items = history(&mut connection, &page()).await.expect("a page");
    let read: Vec<_> = items.iter().rev().map(|item| value(&item.body)).collect();
    assert_eq!(read, bodies.map(value));
    let escaped = store.sql("SELECT count(*) FROM agent_status_history WHERE body ? 'escaped'");
    assert_eq!(escaped, "1");
}
