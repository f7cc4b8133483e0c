//! `agent_latest` against a fold over all events, whatever the order in which nodes write.

use std::collections::BTreeMap;

use ampora_raft::ids::{Fence, InstanceUid};
use ampora_storage::history::event::{EventKind, Spooled};
use ampora_storage::history::export::Batch;
use ampora_storage::postgres::Connection;
use ampora_storage::postgres::latest::write_latest;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::data::{LINEAGE, Store, agent, batch, event, hash, now_ms, source};
use crate::postgres::{Server, Version};

/// An event of a few agents, kinds, fences and times, so that ties are common.
fn said() -> impl Strategy<Value = (u128, usize, u64, u64)> {
    (0..3_u128, 0..7_usize, 1..4_u64, 0..4_u64)
}

/// Two streams, the number of the cluster of each, and where each of their batches ends: `true` takes the next from
/// the first stream.
type Case = (
    [Vec<(u128, usize, u64, u64)>; 2],
    [u64; 2],
    Vec<(bool, usize)>,
);

fn case() -> impl Strategy<Value = Case> {
    let stream = || prop::collection::vec(said(), 1..30);
    let order = prop::collection::vec((any::<bool>(), 1..9_usize), 4..24);
    // two nodes of one cluster, or of two that used the database one after the other
    let lineages = prop::sample::select(vec![[5, 5], [5, 6], [6, 5]]);
    ([stream(), stream()], lineages, order)
}

fn spooled(said: &[(u128, usize, u64, u64)], base_ms: u64) -> Vec<Spooled> {
    let events = (1..).zip(said).map(|(seq, (who, kind, fence, at))| {
        let mut one = event(seq, base_ms + at, &format!(r#"{{"n":{seq}}}"#));
        one.event.agent = agent(*who);
        one.event.kind = EventKind::ALL[*kind];
        one.event.fence = Fence(*fence);
        if one.event.kind == EventKind::EffectiveConfig {
            one.event.document = Some(hash(u8::try_from(seq).expect("few")));
        }
        one
    });
    events.collect()
}

type Order = (u64, u64, u64, u64, u128);

/// What is newest of each agent and kind, and of each agent.
fn fold(
    streams: &[Vec<Spooled>; 2],
    lineages: [u64; 2],
) -> BTreeMap<InstanceUid, BTreeMap<&'static str, Order>> {
    let mut all = BTreeMap::<InstanceUid, BTreeMap<_, Order>>::new();
    for ((number, stream), lineage) in (1_u128..).zip(streams).zip(lineages) {
        for one in stream {
            let event = &one.event;
            let order = (lineage, event.fence.0, event.at_ms, one.seq, number);
            let newest = all.entry(event.agent).or_default();
            let newest = newest.entry(event.kind.word()).or_insert(order);
            *newest = order.max(*newest);
        }
    }
    all
}

/// The same in words, as psql prints the table.
fn expected(streams: &[Vec<Spooled>; 2], lineages: [u64; 2]) -> String {
    let mut lines = Vec::new();
    for (agent, kinds) in fold(streams, lineages) {
        let (head, _) = kinds.iter().max_by_key(|(_, order)| **order).expect("some");
        let document = kinds
            .get("effective_config")
            .map(|order| format!("{:02x}", order.3));
        let document = document.unwrap_or_default().repeat(32);
        for (kind, (lineage, fence, at_ms, seq, stream)) in &kinds {
            let order = format!("[{lineage}, {fence}, {at_ms}, {seq}, \"{stream:032x}\"]");
            lines.push(format!(
                "{agent}|{head}|{document}|{kind}|{order}|{{\"n\": {seq}}}"
            ));
        }
    }
    lines.join("\n")
}

const ROWS: &str = "SELECT instance_uid, kind, encode(document, 'hex'), key, value -> 'order', value -> 'body' \
                    FROM agent_latest, jsonb_each(state) ORDER BY instance_uid, key COLLATE \"C\"";

async fn write(connection: &mut Connection, number: usize, lineage: u64, events: &[Spooled]) {
    let stream = source(number as u128 + 1);
    // once more, as after an answer that was lost
    for _ in 0..2 {
        let batch = batch(stream, events);
        let written = write_latest(connection, &batch, lineage).await;
        assert_eq!(written.expect("written"), batch.upto);
    }
}

async fn check(store: &Store, (said, lineages, order): Case) {
    store.sql("TRUNCATE agent_latest, history_cursor");
    let base_ms = now_ms();
    let streams = said.map(|said| spooled(&said, base_ms));
    let mut connection = store.connection().await;
    let mut rest = [&streams[0][..], &streams[1][..]];
    let ends = [(true, 30), (false, 30)];
    for (is_first, count) in order.into_iter().chain(ends) {
        let number = usize::from(!is_first);
        let (now, later) = rest[number].split_at(count.min(rest[number].len()));
        rest[number] = later;
        if !now.is_empty() {
            write(&mut connection, number, lineages[number], now).await;
        }
    }
    assert_eq!(store.sql(ROWS), expected(&streams, lineages));
}

#[test]
fn newest_wins_in_whatever_order_it_comes() {
    // psql is waited for here, so the connections need a thread of their own
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    for version in [Version::Oldest, Version::Newest] {
        let store = runtime.block_on(Store::new(Server::shared(version)));
        let config = Config {
            cases: 24,
            failure_persistence: None,
            max_shrink_iters: 200,
            ..Config::default()
        };
        let tested = TestRunner::new(config).run(&case(), |case| {
            runtime.block_on(check(&store, case));
            Ok(())
        });
        tested.expect("as the fold says");
    }
}

#[tokio::test]
async fn two_nodes_that_write_the_same_agents_at_once_do_not_stand_in_each_others_way() {
    let store = Store::new(Server::shared(Version::Distribution)).await;
    let node = |number: u128| {
        let store = &store;
        async move {
            let mut connection = store.connection().await;
            for round in 0..20 {
                let events: Vec<_> = (1..=40_u64)
                    .map(|n| {
                        let mut one = event(round * 40 + n, 1_000 + round, "{}");
                        // the other way round for the other node
                        let who = if number == 1 { n } else { 41 - n };
                        one.event.agent = agent(who.into());
                        one
                    })
                    .collect();
                let written =
                    write_latest(&mut connection, &batch(source(number), &events), LINEAGE).await;
                written.expect("no deadlock");
            }
        }
    };
    tokio::join!(node(1), node(2));
    assert_eq!(
        store.sql("SELECT count(*), min(state #>> '{health,order,3}') FROM agent_latest"),
        "40|781"
    );
}

#[tokio::test]
async fn columns_say_what_people_look_for() {
    let store = Store::new(Server::shared(Version::Newest)).await;
    let mut connection = store.connection().await;
    let at_ms = 1_764_201_599_999;
    let mut described = event(1, at_ms, r#"{"name":"edge-1","labels":{"env":"prod"}}"#);
    described.event.kind = EventKind::Description;
    let well = event(2, at_ms + 1, r#"{"healthy":true}"#);
    let events = [described, well];
    let batch = Batch {
        upto: 5,
        ..batch(source(1), &events)
    };
    assert_eq!(
        write_latest(&mut connection, &batch, LINEAGE)
            .await
            .expect("written"),
        5
    );
    let row = store.sql(
        "SELECT name, at AT TIME ZONE 'UTC', node_id, kind, state #>> '{health,body,healthy}', \
         state #>> '{health,at}' FROM agent_latest",
    );
    assert_eq!(
        row,
        "edge-1|2025-11-27 00:00:00|3|health|true|2025-11-27T00:00:00.000Z"
    );
}
