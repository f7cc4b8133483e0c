//! Searches find what a walk over all agents finds, in any fleet, in stretches of any length.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;
use crate::records::{AgentRecord, FleetMeta};
use crate::rows::{Row, RowKey};

const SELECTORS: [&str; 16] = [
    "*",
    "env=a",
    "env=a,team=b",
    "env in (a,b)",
    "env in (a,b), team!=c",
    "env=a || team=b",
    "(env=a || env=b) && (team=a || team=b)",
    "!env",
    "!(env=a)",
    "env=a || !team",
    "server.env=a",
    "reported.env=a",
    "agent_type=b",
    "agent_type=b, env=c",
    "name=\"\"",
    "env=a, env=b",
];

type Labels = std::collections::BTreeMap<Arc<str>, Arc<str>>;

fn labels() -> impl Strategy<Value = Labels> {
    let key = prop::sample::select(vec!["env", "team"]).prop_map(Arc::<str>::from);
    btree_map(key, "[abc]".prop_map(Arc::<str>::from), 0..3)
}

/// A fleet with these agents as rows: what the agents say, whether as scalars, and what operators gave them.
fn fleet(agents: Vec<(u64, Labels, bool, Labels)>) -> Fleet {
    let mut log = Log::with_node();
    log.claim(0);
    let blank = (**log.fleet.agent(uid(0)).expect("claimed")).clone();
    let mut rows = std::collections::BTreeMap::new();
    for (n, reported, scalar, server) in agents {
        let label = |(key, value)| Label { key, value, scalar };
        let record = AgentRecord {
            uid: uid(n),
            description: Arc::new(Description {
                agent_type: reported.get("team").cloned().unwrap_or_default(),
                labels: reported.into_iter().map(label).collect(),
                ..Description::default()
            }),
            server_labels: server.into_iter().collect(),
            session: None,
            ..blank.clone()
        };
        rows.insert(RowKey::Agent(record.uid), Row::Agent(Arc::new(record)));
    }
    rows.insert(RowKey::Meta, Row::Meta(Arc::new(FleetMeta::default())));
    Fleet::load(rows.into_iter()).expect("whole")
}

fn found(fleet: &Fleet, selector: &Selector, most: usize) -> Vec<InstanceUid> {
    let search = fleet.search(Some(selector));
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let stride = search.stride(after, most);
        assert!(stride.agents.len() <= most);
        found.extend(stride.agents.iter().map(|record| record.uid));
        match stride.next {
            Some(next) => {
                assert!(after.is_none_or(|after| after < next), "it gets on");
                after = Some(next);
            }
            None => return found,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_search_finds_what_a_walk_finds(
        agents in vec((0..40_u64, labels(), prop::bool::weighted(0.8), labels()), 0..40),
        most in 1..12_usize,
    ) {
        let fleet = fleet(agents);
        for text in SELECTORS {
            let selector = selector(text);
            let walked: Vec<InstanceUid> = fleet
                .agents(None)
                .filter(|record| selector.matches(record))
                .map(|record| record.uid)
                .collect();
            prop_assert_eq!(found(&fleet, &selector, most), walked, "{}", text);
        }
    }
}

#[test]
fn equality_is_followed_and_everything_else_walked() {
    let fleet = Fleet::default();
    let indexed = |text: &str| fleet.search(Some(&selector(text))).is_indexed();
    assert!(indexed("env=a, !legacy, team =~ x*"));
    assert!(indexed("env in (a,b) || agent_version=1"));
    assert!(!indexed("env!=a"));
    assert!(!indexed("env=a || legacy"));
    assert!(!indexed("reported.env=a"));
    assert!(!fleet.search(None).is_indexed());
}

#[test]
fn a_rare_agent_is_found_without_looking_at_the_others() {
    let agents = (0..500).map(|n| {
        let env = if n == 400 { "rare" } else { "common" };
        let labels = Labels::from([(Arc::from("env"), Arc::from(env))]);
        (n, labels, true, Labels::new())
    });
    let fleet = fleet(agents.collect());
    let rare = selector("env=rare");
    let stride = fleet.search(Some(&rare)).stride(None, 2);
    assert_eq!(stride.agents.len(), 1);
    assert_eq!(stride.next, None);
}

#[test]
fn the_last_uid_of_all_ends_a_search() {
    let fleet = fleet(Vec::new());
    let everyone = selector("env=a");
    let stride = fleet
        .search(Some(&everyone))
        .stride(Some(InstanceUid::max()), 9);
    assert!(stride.agents.is_empty() && stride.next.is_none());
}
