//! Pages against a naive model, and the fleet at a past time.

use ampora_raft::ids::Fence;
use ampora_storage::history::event::{EventKind, Spooled, StreamId};
use ampora_storage::history::query::{Item, Position, Query};
use ampora_storage::postgres::days::DAY_MS;
use ampora_storage::postgres::export::write_events;
use ampora_storage::postgres::latest::write_latest;
use ampora_storage::postgres::read::{extent, fleet_at, history};
use ampora_storage::postgres::{Connection, partitions};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use crate::data::{LINEAGE, Store, agent, batch, event, now_ms, pool, source, write};
use crate::postgres::{Server, Version};

/// Times of which many are the same, over some days.
fn past(base_ms: u64) -> impl Strategy<Value = Vec<(u128, usize, u64)>> {
    let at = (0..4_u64, 0..6_u64).prop_map(move |(day, ms)| base_ms - day * DAY_MS - ms);
    prop::collection::vec((0..3_u128, 0..7_usize, at), 120..160)
}

fn spooled(past: &[(u128, usize, u64)]) -> Vec<Spooled> {
    let events = (1..).zip(past).map(|(seq, (who, kind, at_ms))| {
        let mut one = event(seq, *at_ms, &format!(r#"{{"n":{seq}}}"#));
        one.event.agent = agent(*who);
        one.event.kind = EventKind::ALL[*kind];
        one.event.fence = Fence(seq);
        one
    });
    events.collect()
}

/// All items of an agent in the order of pages.
fn naive(streams: &[Vec<Spooled>], query: &Query) -> Vec<Item> {
    let mut items = Vec::new();
    for (number, stream) in (1..).zip(streams) {
        for one in stream {
            let event = &one.event;
            let position = Position {
                at_ms: event.at_ms,
                stream: StreamId(number),
                seq: one.seq,
            };
            let item = Item {
                position,
                node: source(1).node,
                fence: event.fence,
                kind: event.kind,
                body: event.body.replace(':', ": "),
            };
            if event.agent == query.agent && query.wants(&item) {
                items.push(item);
            }
        }
    }
    items.sort_by_key(|item| std::cmp::Reverse(item.position));
    items
}

fn asked(base_ms: u64) -> impl Strategy<Value = Query> {
    let time = move || {
        prop::option::of((0..5_u64, 0..7_u64).prop_map(move |(d, ms)| base_ms - d * DAY_MS - ms))
    };
    let kinds = prop::collection::vec(0..7_usize, 0..4);
    (0..4_u128, time(), time(), kinds, 1..40_u16).prop_map(
        |(who, since_ms, until_ms, kinds, limit)| Query {
            agent: agent(who),
            since_ms,
            until_ms,
            kinds: kinds.into_iter().map(|kind| EventKind::ALL[kind]).collect(),
            below: None,
            limit,
        },
    )
}

async fn all_pages(connection: &mut Connection, mut query: Query) -> Vec<Item> {
    let mut all = Vec::new();
    loop {
        let page = history(connection, &query).await.expect("a page");
        assert!(page.len() <= usize::from(query.limit));
        let is_last = page.len() < usize::from(query.limit);
        all.extend(page);
        if is_last {
            return all;
        }
        query.below = all.last().map(|item: &Item| item.position);
    }
}

fn some<S: Strategy>(strategy: &S, count: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::new(Config::default());
    let one = |_| strategy.new_tree(&mut runner).expect("a value").current();
    (0..count).map(one).collect()
}

#[tokio::test]
async fn pages_are_those_of_a_walk_over_everything() {
    for version in Version::ALL {
        let server = Server::shared(version);
        let store = Store::new(server).await;
        let base_ms = now_ms();
        let streams: Vec<_> = some(&past(base_ms), 2)
            .iter()
            .map(|past| spooled(past))
            .collect();
        let mut connection = store.connection().await;
        partitions::ensure_ahead(&mut connection, base_ms)
            .await
            .expect("made");
        for (number, stream) in (1..).zip(&streams) {
            write(&mut connection, source(number), stream)
                .await
                .expect("written");
        }
        let pooler = server.pooler("transaction", 1);
        let through = pool(&pooler.url(&store.database.name));
        let mut through = through.primary().await.expect("a connection");
        for query in some(&asked(base_ms), 40) {
            let naive = naive(&streams, &query);
            assert_eq!(
                all_pages(&mut connection, query.clone()).await,
                naive,
                "{query:?}"
            );
            let limited = naive.iter().take(query.limit.into());
            let page = history(&mut through, &query).await.expect("a page");
            assert!(page.iter().eq(limited));
        }
        let times = streams.iter().flatten().map(|one| one.event.at_ms);
        let extent = extent(&mut connection).await.expect("an answer");
        assert_eq!(extent, times.clone().min().zip(times.max()));
    }
}

#[tokio::test]
async fn the_fleet_of_a_past_time_is_that_of_a_fold() {
    let store = Store::new(Server::shared(Version::Distribution)).await;
    let mut connection = store.connection().await;
    let base_ms = now_ms();
    let past = some(&past(base_ms), 1).remove(0);
    let stream = spooled(&past);
    write(&mut connection, source(1), &stream)
        .await
        .expect("written");
    let written = write_latest(&mut connection, &batch(source(1), &stream), LINEAGE).await;
    written.expect("written");
    for time_ms in (0..5).flat_map(|day| [0, 3, 6].map(|ms| base_ms - day * DAY_MS - ms)) {
        let mut expected = Vec::new();
        for who in 0..3 {
            let newest = EventKind::ALL.into_iter().filter_map(|kind| {
                let query = Query {
                    agent: agent(who),
                    since_ms: None,
                    until_ms: Some(time_ms + 1),
                    kinds: vec![kind],
                    below: None,
                    limit: 1,
                };
                naive(std::slice::from_ref(&stream), &query)
                    .into_iter()
                    .next()
            });
            let mut newest: Vec<_> = newest.collect();
            newest.sort_by_key(|item| (item.fence, item.position));
            if !newest.is_empty() {
                expected.push((agent(who), newest));
            }
        }
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let (page, next) = fleet_at(&mut connection, time_ms, after, 2)
                .await
                .expect("a page");
            found.extend(page.into_iter().map(|then| (then.agent, then.items)));
            after = next;
            if next.is_none() {
                break;
            }
        }
        assert_eq!(found, expected);
    }
}

/// Fences of two clusters say nothing of each other, and the wall clocks of two nodes little.
#[tokio::test]
async fn what_the_later_cluster_says_happened_later() {
    let store = Store::new(Server::shared(Version::Newest)).await;
    let mut connection = store.connection().await;
    let base_ms = now_ms();
    let said = |kind, fence, at_ms| {
        let mut one = event(1, at_ms, "{}");
        one.event.kind = kind;
        one.event.fence = Fence(fence);
        one.event.agent = agent(1);
        [one]
    };
    let before = said(EventKind::Disconnected, 900, base_ms);
    let after = said(EventKind::Connected, 2, base_ms - 5);
    for (stream, events, lineage) in [(1, &before, 1), (2, &after, 2)] {
        let batch = batch(source(stream), events);
        let written = write_events(&mut connection, &batch, 30, lineage).await;
        written.expect("written");
        let written = write_latest(&mut connection, &batch, lineage).await;
        written.expect("written");
    }
    let last = async |connection: &mut Connection| {
        let (found, _) = fleet_at(connection, base_ms, None, 9)
            .await
            .expect("a page");
        found[0].items.last().map(|item| item.kind)
    };
    assert_eq!(last(&mut connection).await, Some(EventKind::Connected));
    // and where only the newest state tells
    store.sql("DELETE FROM agent_status_history");
    assert_eq!(last(&mut connection).await, Some(EventKind::Connected));
    assert_eq!(
        store.sql("SELECT kind FROM agent_latest"),
        EventKind::Connected.word()
    );
}

#[tokio::test]
async fn what_history_has_no_more_the_newest_state_tells() {
    let store = Store::new(Server::shared(Version::Newest)).await;
    let mut connection = store.connection().await;
    let old = [event(1, 1_000, r#"{"a":"\u0000"}"#)];
    let written = write_latest(&mut connection, &batch(source(1), &old), LINEAGE).await;
    written.expect("written");
    let (found, next) = fleet_at(&mut connection, 1_000, None, 10)
        .await
        .expect("a page");
    assert_eq!(next, None);
    let [item] = &found[0].items[..] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (item.position.at_ms, item.position.seq, &*item.body),
        (1_000, 1, r#"{"a":"\u0000"}"#)
    );
    assert_eq!(
        (item.position.stream, item.fence, item.node),
        (source(1).id, Fence(1), source(1).node)
    );
    let (found, _) = fleet_at(&mut connection, 999, None, 10)
        .await
        .expect("a page");
    assert_eq!(found, []);
}
