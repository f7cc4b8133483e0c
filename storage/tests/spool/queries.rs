//! Pages of an agent's history are what a walk over all events would find, on every store, whatever wall clocks did
//! and whatever has gone meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use ampora_raft::ids::NodeId;
use ampora_storage::history::event::{Event, StreamId};
use ampora_storage::history::query::{Item, Position, Query};
use ampora_storage::history::spool::{Limits, Spool};
use ampora_storage::kv::{CrashKv, Kv, SledKv};
use proptest::prelude::*;

use super::events::{AGENTS, TIMES, agent, documents_of, event, kinds};

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<Event>),
    Flush,
    /// A stream of this name, so that later streams have smaller names as well.
    Reopen(u16),
    Expire(u64),
    Trim(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(event(), 1..20).prop_map(Step::Append),
        3 => Just(Step::Flush),
        2 => (1..u16::MAX).prop_map(Step::Reopen),
        1 => (0..TIMES).prop_map(Step::Expire),
        1 => (0..20_u64).prop_map(Step::Trim),
    ]
}

fn query() -> impl Strategy<Value = Query> {
    let time = || proptest::option::of(0..TIMES + 1);
    let some_kinds = prop::collection::vec(kinds(), 0..3);
    (0..AGENTS, time(), time(), some_kinds, 1..9_u16).prop_map(
        |(of, since_ms, until_ms, kinds, limit)| Query {
            agent: agent(of),
            since_ms,
            until_ms,
            kinds,
            below: None,
            limit,
        },
    )
}

/// All that there is, by position.
type Naive = BTreeMap<Position, (NodeId, Event)>;

fn expected(naive: &Naive, readable: impl Fn(&Position) -> bool, query: &Query) -> Vec<Item> {
    let wanted = |(position, (_, event)): &(&Position, &(NodeId, Event))| {
        readable(position)
            && event.agent == query.agent
            && (query.kinds.is_empty() || query.kinds.contains(&event.kind))
            && query.since_ms.is_none_or(|since| since <= event.at_ms)
            && query.until_ms.is_none_or(|until| event.at_ms < until)
            && query.below.is_none_or(|below| **position < below)
    };
    let items = naive.iter().rev().filter(wanted);
    let item = |(position, (node, event)): (&Position, &(NodeId, Event))| Item {
        position: *position,
        node: *node,
        fence: event.fence,
        kind: event.kind,
        body: event.body.to_string(),
    };
    items.map(item).collect()
}

fn all_pages(spool: &Spool, query: &Query) -> Vec<Item> {
    let mut query = query.clone();
    let mut items = Vec::new();
    loop {
        let found = spool.query(&query).expect("read");
        assert!(found.items.len() <= usize::from(query.limit));
        items.extend(found.items);
        match found.next {
            Some(next) => query.below = Some(next),
            None => return items,
        }
    }
}

fn open(kv: &Arc<dyn Kv>, number: u16, limits: Limits) -> Option<Spool> {
    let node = NodeId(u64::from(number));
    Spool::open(kv.clone(), node, StreamId(number.into()), limits).ok()
}

fn run(kv: &Arc<dyn Kv>, steps: Vec<Step>, queries: &[Query]) {
    let limits = Limits {
        batch_ops: 30,
        step_events: 7,
    };
    let mut spool = open(kv, 0, limits).expect("opens");
    let mut count = 0;
    let mut naive = Naive::new();
    for step in steps {
        match step {
            Step::Append(events) => {
                spool.append(&events, &documents_of(&events)).expect("kept");
                for event in events {
                    count += 1;
                    let position = Position {
                        at_ms: event.at_ms,
                        stream: spool.current().id,
                        seq: count,
                    };
                    naive.insert(position, (spool.current().node, event));
                }
            }
            Step::Flush => drop(spool.flush().expect("flushed")),
            Step::Reopen(number) => {
                // a name that was there is refused, and the stream goes on
                if let Some(other) = open(kv, number, limits) {
                    spool = other;
                    count = 0;
                }
            }
            Step::Expire(before) => {
                while spool.expire(before).expect("removed").more {}
                naive.retain(|position, _| position.at_ms >= before);
            }
            Step::Trim(upto) => {
                let stream = spool.streams(1).expect("read")[0].id;
                let is_current = stream == spool.current().id;
                let upto = if is_current {
                    upto.min(spool.flushed())
                } else {
                    upto
                };
                while spool.trim(stream, upto).expect("removed").more {}
                naive.retain(|position, _| position.stream != stream || position.seq > upto);
            }
        }
    }
    let current = spool.current().id;
    let flushed = spool.flushed();
    let readable = |position: &Position| position.stream != current || position.seq <= flushed;
    for query in queries {
        assert_eq!(all_pages(&spool, query), expected(&naive, readable, query));
    }
    assert_eq!(spool.events(), naive.len() as u64);
    let oldest = naive.keys().next().map(|position| position.at_ms);
    assert_eq!(spool.oldest_at_ms().expect("read"), oldest);
    while spool.expire(u64::MAX).expect("removed").more {}
    assert_eq!((spool.events(), spool.bytes()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_are_what_a_walk_finds(
        steps in prop::collection::vec(step(), 1..30),
        queries in prop::collection::vec(query(), 1..8),
    ) {
        let kv: Arc<dyn Kv> = Arc::new(CrashKv::default());
        run(&kv, steps, &queries);
    }
}

proptest! {
    // each opens a store, whose flushes wait for the disk
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_of_a_store_on_disk_are_what_a_walk_finds(
        steps in prop::collection::vec(step(), 1..30),
        queries in prop::collection::vec(query(), 1..8),
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let kv = SledKv::open(dir.path(), Arc::new(|_| {})).expect("opens");
        let kv: Arc<dyn Kv> = Arc::new(kv);
        run(&kv, steps, &queries);
    }
}
