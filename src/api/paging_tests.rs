//! Every list, read page by page while others change it: what was there throughout comes exactly once.

use std::collections::{BTreeMap, BTreeSet};

use ampora_raft::fleet::limits::DISPATCH_KEPT_MS;
use ampora_raft::ids::{DispatchId, InstanceUid};
use ampora_raft::proposal::{Proposal, Retention};
use ampora_raft::records::{DispatchState, ReleaseReason};
use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::backend::Backend;
use super::testing::Site;

/// A list with the names of its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Agents,
    Configurations,
    Versions,
    Groups,
    Dispatches,
    Deliveries,
}

const LISTS: [List; 6] = [
    List::Agents,
    List::Configurations,
    List::Versions,
    List::Groups,
    List::Dispatches,
    List::Deliveries,
];

/// What another client does between two pages; the number says to which item.
#[derive(Clone, Copy, Debug)]
enum Act {
    Add(u8),
    Remove(u8),
}

impl List {
    fn path(self) -> (&'static str, &'static str, &'static str) {
        match self {
            List::Agents => ("/agents?selector=*", "items", "/instance_uid"),
            List::Configurations => ("/configurations?", "items", "/name"),
            List::Versions => ("/configurations/edge?", "versions", "/version"),
            List::Groups => ("/groups?", "items", "/name"),
            List::Dispatches => ("/dispatches?", "items", "/id"),
            List::Deliveries => ("/dispatches/1?", "deliveries", "/agent"),
        }
    }

    /// All items that there are now, read from the fleet.
    fn all(self, site: &Site) -> BTreeSet<String> {
        let fleet = site.memory.view().fleet;
        match self {
            List::Agents => fleet
                .agents(None)
                .map(|item| item.uid.to_string())
                .collect(),
            List::Configurations => fleet
                .configurations(None)
                .map(|item| item.name.to_string())
                .collect(),
            List::Versions => {
                let edge = fleet.configuration("edge");
                let versions = edge.into_iter().flat_map(|edge| &edge.versions);
                versions.map(|version| version.number.to_string()).collect()
            }
            List::Groups => fleet
                .groups(None)
                .map(|item| item.name.to_string())
                .collect(),
            List::Dispatches => fleet
                .dispatches(None)
                .map(|item| item.id.to_string())
                .collect(),
            List::Deliveries => {
                let deliveries = fleet.deliveries(DispatchId(1), None);
                deliveries
                    .map(|delivery| delivery.agent.to_string())
                    .collect()
            }
        }
    }

    async fn act(self, site: &Site, act: Act) {
        match (self, act) {
            (List::Agents, Act::Add(n)) => drop(site.agent(u128::from(n) + 1, &[])),
            (List::Agents, Act::Remove(n)) => remove_agent(site, n).await,
            (List::Configurations, Act::Add(n)) => {
                drop(site.version(&format!("c{n}"), "a: 1\n").await)
            }
            (List::Versions, Act::Add(n)) => drop(site.version("edge", &format!("a: {n}\n")).await),
            (List::Groups, Act::Add(n)) => {
                let put = site.write(Method::PUT, &format!("/groups/g{n}"));
                put.json(&json!({"selector": "*"})).send().await;
            }
            (List::Groups, Act::Remove(n)) => {
                let path = format!("/groups/g{n}");
                site.write(Method::DELETE, &path).send().await;
            }
            (List::Dispatches, Act::Add(_)) => {
                let nobody = json!({"action": {"restart": {}}, "target": {"selector": "no=body"}});
                let made = site
                    .write(Method::POST, "/dispatches")
                    .json(&nobody)
                    .send()
                    .await;
                made.ok(202);
            }
            (List::Deliveries, Act::Add(n)) => {
                site.agent(u128::from(n) + 1, &[]);
                expand(site);
            }
            (List::Dispatches, Act::Remove(n)) => retire(site, n),
            (List::Configurations | List::Versions | List::Deliveries, Act::Remove(_)) => {}
        }
    }
}

async fn remove_agent(site: &Site, n: u8) {
    let uid = InstanceUid::from_u128(u128::from(n) + 1);
    let session = site
        .memory
        .view()
        .fleet
        .agent(uid)
        .map(|agent| agent.session);
    match session {
        Some(Some(_)) => site.release(uid, ReleaseReason::Lost),
        Some(None) => {}
        None => return,
    }
    let gone = site
        .write(Method::DELETE, &format!("/agents/{uid}"))
        .send()
        .await;
    assert_eq!(gone.status, 204);
}

/// One of the dispatches leaves, weeks later.
fn retire(site: &Site, n: u8) {
    let mut now = site.memory.now();
    now.fleet_ms += DISPATCH_KEPT_MS;
    site.set_now(now);
    let fleet = site.memory.view().fleet;
    let ids: Vec<DispatchId> = fleet.dispatches(None).map(|dispatch| dispatch.id).collect();
    if let Some(id) = ids.get(usize::from(n) % ids.len().max(1)) {
        let dispatches = vec![*id];
        site.apply(Proposal::Retention(Retention::RetireDispatches {
            dispatches,
        }));
    }
}

/// The next deliveries of the first dispatch, which is for everyone.
fn expand(site: &Site) {
    let dispatch = DispatchId(1);
    let found = site.memory.view().fleet.dispatch(dispatch).cloned();
    if let Some(DispatchState::Expanding { cursor }) = found.map(|found| found.state) {
        site.apply(Proposal::ExpandDispatch { dispatch, cursor });
    }
}

/// Reads the whole list with actions between its pages, and checks what came.
async fn check(list: List, first: &[u8], limit: usize, mut acts: Vec<Vec<Act>>) {
    let site = Site::new();
    if list == List::Deliveries {
        let all = json!({"action": {"restart": {}}, "target": {"selector": "*"}});
        for n in first {
            site.agent(u128::from(*n) + 1, &[]);
        }
        site.write(Method::POST, "/dispatches")
            .json(&all)
            .send()
            .await
            .ok(202);
        expand(&site);
    } else {
        site.version("edge", "first: 1\n").await;
        for n in first {
            list.act(&site, Act::Add(*n)).await;
        }
    }
    let mut throughout = list.all(&site);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut token: Option<String> = None;
    let (path, field, name) = list.path();
    for page in 0.. {
        assert!(page < 1_000, "the list does not end");
        let next = token
            .take()
            .map_or(String::new(), |token| format!("&continue={token}"));
        let answer = site
            .get(&format!("{path}&limit={limit}{next}"))
            .await
            .ok(200);
        let items = answer[field].as_array().expect("a list").clone();
        assert!(items.len() <= limit);
        for item in &items {
            *seen.entry(text(item.pointer(name))).or_default() += 1;
        }
        match answer["continue"].as_str() {
            Some(next) => token = Some(next.to_owned()),
            None => break,
        }
        assert_eq!(items.len(), limit, "only the last page is short");
        for act in acts.pop().unwrap_or_default() {
            list.act(&site, act).await;
            let now = list.all(&site);
            throughout.retain(|item| now.contains(item));
        }
    }
    for (item, count) in &seen {
        assert_eq!(*count, 1, "{list:?} gave {item} again");
    }
    for item in throughout {
        assert!(seen.contains_key(&item), "{list:?} left {item} out");
    }
}

fn text(item: Option<&Value>) -> String {
    let item = item.expect("a name");
    item.as_str()
        .map_or_else(|| item.to_string(), str::to_owned)
}

fn act() -> impl Strategy<Value = Act> {
    let number = 0..40_u8;
    prop_oneof![
        number.clone().prop_map(Act::Add),
        number.prop_map(Act::Remove)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_there_throughout_comes_exactly_once(
        first in prop::collection::btree_set(0..40_u8, 0..25),
        limit in 1..8_usize,
        acts in prop::collection::vec(prop::collection::vec(act(), 0..4), 0..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let first: Vec<u8> = first.into_iter().collect();
        for list in LISTS {
            runtime.block_on(check(list, &first, limit, acts.clone()));
        }
    }
}
