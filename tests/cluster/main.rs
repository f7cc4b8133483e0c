//! Three real processes that become a cluster by a token, on addresses of their own, and what happens to it.
#![expect(
    clippy::disallowed_methods,
    reason = "a test of processes looks at them from outside, by real time"
)]

mod agent;
mod asked;
#[path = "../support/cluster.rs"]
#[expect(dead_code, reason = "a suite uses what it needs of it")]
mod cluster;
mod dispatches;
mod duplicates;
#[path = "../support/front.rs"]
mod front;
mod joining;
mod moving;
#[path = "../support/net.rs"]
mod net;
mod partition;
mod proxied;
#[path = "../support/proxy.rs"]
mod proxy;
mod refusals;
mod removal;
mod reported;
#[path = "../support/mod.rs"]
mod support;
mod versions;
mod waiting;

use std::time::Duration;

use serde_json::json;

use cluster::{Cluster, roles};

/// How long a cluster may take to write again after its leader was killed: measured at 0.9 to 1.7 s, here
/// on a machine that does much else.
const NEXT_WRITE_WITHIN: Duration = Duration::from_secs(20);

/// A node that is killed is dead after `dispatch.ownership_ttl_seconds`, and some.
const DEAD_WITHIN: Duration = Duration::from_secs(40);

#[test]
fn three_nodes_take_writes_anywhere_and_outlive_each_of_them() {
    let mut all = Cluster::of_three();
    for slot in [1, 2, 3] {
        let group = format!("by-{slot}");
        all.put(slot, &group);
        let here = all.get(slot, &format!("/groups/{group}"));
        assert_eq!(here["name"], group, "a read after a write sees it");
    }
    for slot in [1, 2, 3] {
        all.until(slot, "/groups", "every node has every write", |groups| {
            (groups["items"].as_array()?.len() == 3).then_some(())
        });
    }
    killed_leader_is_followed(&mut all);
    stopped_leader_is_followed(&mut all);
    voters_listen_and_vote_again(&all);
    removed_node_says_so(&mut all);
}

fn killed_leader_is_followed(all: &mut Cluster) {
    let leader = all.leader(1);
    let other = all.other(leader);
    all.kill(leader);
    all.write_until(other, "after-kill", NEXT_WRITE_WITHIN);
    // the same flags, the token spent long ago
    all.start_again(leader);
    all.until(
        leader,
        "/groups/after-kill",
        "it has what it missed",
        |group| group["name"].as_str().map(drop),
    );
    all.three_voters(leader);
}

fn stopped_leader_is_followed(all: &mut Cluster) {
    let leader = all.leader(1);
    let other = all.other(leader);
    all.stop(leader);
    all.write_until(other, "after-stop", NEXT_WRITE_WITHIN);
    all.start_again(leader);
    all.three_voters(other);
}

fn voters_listen_and_vote_again(all: &Cluster) {
    let leader = all.leader(1);
    let other = all.other(leader);
    let said = all.run(leader, &["cluster", "demote", &other.to_string()]);
    assert!(said.contains(&format!("learners  {other}")), "{said}");
    all.until(leader, "/cluster", "it listens", |shown| {
        (roles(shown).get(&other)?.0 == "learner").then_some(())
    });
    let said = all.run(leader, &["cluster", "promote", &other.to_string()]);
    assert!(said.contains("voters    1, 2, 3"), "{said}");
    let said = all.run(leader, &["cluster", "transfer-leader", &other.to_string()]);
    assert_eq!(said, format!("node {other} leads\n"));
    all.until(leader, "/cluster", "the other leads", |shown| {
        (shown["leader_id"] == other).then_some(())
    });
}

fn removed_node_says_so(all: &mut Cluster) {
    let leader = all.leader(1);
    let gone = all.other(leader);
    let said = all.run(leader, &["cluster", "remove", &gone.to_string()]);
    assert!(said.contains("learners  -"), "{said}");
    let (status, log) = all.ended(gone);
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("was removed from its cluster"), "{log}");
    let (status, said) = all.refused(gone, &[]);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("was removed from its cluster"), "{said}");
    all.until(leader, "/cluster", "two are left", |shown| {
        (roles(shown).len() == 2).then_some(())
    });
    let (status, answer) = all.try_ask(leader, reqwest::Method::DELETE, "/cluster/members/9", None);
    assert_eq!((status, &answer["code"]), (404, &json!("node_not_found")));
}

#[test]
fn without_a_quorum_a_node_shows_what_it_has_and_changes_nothing() {
    let mut all = Cluster::of_three();
    all.put(1, "before");
    // from here on the arithmetic counts one of three
    all.kill(3);
    all.until(1, "/cluster", "the fleet knows that it is dead", |shown| {
        (!roles(shown).get(&3)?.1).then_some(())
    });
    let refused = all.fails(1, &["cluster", "remove", "2"]);
    assert!(
        refused.contains("leaves 2 voters of which 1 is live: quorum needs 2"),
        "{refused}"
    );
    all.kill(2);
    all.until(1, "/cluster", "no quorum answers", |shown| {
        (shown["quorum"] == false).then_some(())
    });
    let shown = all.run(1, &["cluster", "status"]);
    assert!(shown.contains("quorum   no"), "{shown}");
    assert_eq!(all.get(1, "/groups/before")["name"], "before");
    let form = json!({"selector": "a=b"});
    let (status, answer) = all.try_ask(1, reqwest::Method::PUT, "/groups/never", Some(&form));
    assert!(matches!(status, 503 | 504), "{answer}");
    // one that comes back alone waits for the other, and says so
    all.start_again(2);
    all.write_until(1, "afterwards", NEXT_WRITE_WITHIN);
    all.start_again(3);
    all.until_within(
        DEAD_WITHIN,
        3,
        "/groups/afterwards",
        "it catches up",
        |group| group["name"].as_str().map(drop),
    );
}
