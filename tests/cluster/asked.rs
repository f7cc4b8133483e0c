//! What operators ask of members: it leaves its record, it is safe to repeat, it outlives the leader that heard it, and
//! what would lose the quorum is refused with the arithmetic.

use reqwest::Method;
use serde_json::{Value, json};

use crate::cluster::{Cluster, roles};

impl Cluster {
    /// Waits until a node has heard who leads.
    fn led_by(&self, slot: u64, leader: u64) {
        self.until(slot, "/cluster", "it leads", |shown| {
            (shown["leader_id"] == leader).then_some(())
        });
    }

    /// The records of an action, as this node has them.
    fn records(&self, slot: u64, action: &str) -> Vec<Value> {
        let found = self.get(slot, &format!("/audit?action={action}"));
        found["items"].as_array().expect("a list").clone()
    }

    fn role_of(&self, slot: u64, node: u64) -> String {
        let shown = self.get(slot, "/cluster");
        roles(&shown)[&node].0.clone()
    }

    /// Asks for a role with a key, and answers the membership.
    fn role(&self, slot: u64, node: u64, role: &str, key: &str) -> Value {
        let form = json!({"node_id": node, "role": role});
        let (status, answer) = self.keyed(slot, Method::POST, "/cluster/members", Some(&form), key);
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

#[test]
fn who_was_demoted_stays_so_when_the_leader_that_heard_it_is_killed() {
    let mut all = Cluster::of_three();
    let leader = all.leader(1);
    let demoted = all.other(leader);
    // asked of the node itself, twice with one key
    for _ in 0..2 {
        let left = all.role(demoted, demoted, "learner", "once");
        assert_eq!(left["learners"], json!([demoted]));
    }
    let term = all.get(leader, "/cluster")["term"].clone();
    all.kill(leader);
    all.start_again(leader);
    all.until(leader, "/cluster", "somebody leads anew", |shown| {
        (shown["quorum"] == true && shown["term"] != term).then_some(())
    });
    // it is ahead of a newcomer, and before it in every order: only that it is held back keeps it from voting
    let token = all.token(leader, &json!({}));
    all.start(4, &["--set", &format!("cluster.join={token}")]);
    all.until(leader, "/cluster", "the newcomer votes", |shown| {
        (roles(shown).get(&4)?.0 == "voter").then_some(())
    });
    assert_eq!(all.role_of(leader, demoted), "learner");
    let shown = all.get(demoted, "/cluster");
    let nodes = shown["nodes"].as_array().expect("nodes");
    let held = nodes.iter().filter(|node| node["held"] == true);
    assert!(
        held.map(|node| &node["id"]).eq([&json!(demoted)]),
        "{shown}"
    );

    let records = all.records(leader, "node.demote");
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["target"], demoted.to_string());
    assert_eq!(
        records[0]["before"],
        json!({"held": false, "role": "voter"})
    );
    assert!(
        records[0]["from"]
            .as_str()
            .is_some_and(|from| from.starts_with("127.0.0."))
    );
    assert!(
        records[0]["request_id"]
            .as_str()
            .is_some_and(|id| !id.is_empty())
    );
    let form = json!({"node_id": leader, "role": "learner"});
    let (status, reused) = all.keyed(
        demoted,
        Method::POST,
        "/cluster/members",
        Some(&form),
        "once",
    );
    assert_eq!(
        (status, &reused["code"]),
        (409, &json!("idempotency_key_reused"))
    );
    // voters are three: it may vote again, and does when there is room
    let form = json!({"node_id": demoted, "role": "voter"});
    let (status, soon) = all.keyed(
        leader,
        Method::POST,
        "/cluster/members",
        Some(&form),
        "back",
    );
    assert_eq!(status, 202, "{soon}");
    all.run(leader, &["cluster", "remove", "4"]);
    all.until(leader, "/cluster", "it votes again", |shown| {
        (roles(shown).get(&demoted)?.0 == "voter").then_some(())
    });
    assert_eq!(all.records(leader, "node.promote").len(), 1);
}

#[test]
fn whatever_is_asked_of_members_leaves_one_record_and_every_node_knows_how_far_all_are() {
    let mut all = Cluster::of_three();
    let leader = all.leader(1);
    let other = all.other(leader);
    for slot in [1, 2, 3] {
        all.until(slot, "/cluster", "how far all are", |shown| {
            let nodes = shown["nodes"].as_array()?;
            let known = nodes.iter().filter(|node| node["lag"].is_u64());
            (known.count() == 3).then_some(())
        });
    }
    // through a follower, twice with one key: it is not given back meanwhile
    let form = json!({"node_id": other});
    for _ in 0..2 {
        let (status, leads) =
            all.keyed(other, Method::POST, "/cluster/leader", Some(&form), "lead");
        assert_eq!(status, 200, "{leads}");
        all.led_by(other, other);
    }
    let (status, back) = all.post(other, "/cluster/leader", &json!({"node_id": leader}));
    assert_eq!(status, 200, "{back}");
    all.led_by(leader, leader);
    let (_, late) = all.keyed(leader, Method::POST, "/cluster/leader", Some(&form), "lead");
    assert_eq!(late["leader_id"], leader, "a late repetition moves nothing");
    assert_eq!(all.records(leader, "leader.transfer").len(), 2);

    let gone = [1, 2, 3]
        .into_iter()
        .find(|node| *node != leader && *node != other);
    let gone = gone.expect("three nodes");
    for _ in 0..2 {
        let path = format!("/cluster/members/{gone}");
        let (status, left) = all.keyed(other, Method::DELETE, &path, None, "gone");
        assert_eq!(status, 200, "{left}");
        assert_eq!(left["learners"], json!([]), "{left}");
    }
    let (status, log) = all.ended(gone);
    assert_eq!(status.code(), Some(1), "{log}");
    for (action, count) in [("node.remove", 1), ("node.demote", 1), ("node.join", 2)] {
        assert_eq!(all.records(other, action).len(), count, "{action}");
    }
    for _ in 0..2 {
        let form = json!({});
        let (status, level) = all.keyed(
            leader,
            Method::POST,
            "/cluster/feature-level",
            Some(&form),
            "level",
        );
        assert_eq!(status, 200, "{level}");
    }
    // the founder raised it: nothing has changed
    assert_eq!(all.records(leader, "feature_level.set").len(), 0);
    let verified = all.run(leader, &["audit", "verify"]);
    assert!(verified.contains("chain    whole"), "{verified}");
}

#[test]
fn what_would_lose_the_quorum_is_refused_with_the_arithmetic_by_rest_and_command() {
    let mut all = Cluster::of_one();
    let refused = |all: &Cluster, args: &[&str], why: &str| {
        let said = all.fails(1, &[&["cluster"], args].concat());
        assert!(said.contains(why), "{args:?}: {said}");
    };
    let only = "node 1 is the only voter: without it nobody could decide anything";
    refused(&all, &["demote", "1"], only);
    refused(&all, &["remove", "1"], only);
    refused(
        &all,
        &["transfer-leader"],
        "1 voter, 1 live: no other node could lead",
    );
    for command in ["demote", "promote", "remove", "transfer-leader"] {
        refused(&all, &[command, "9"], "no node 9 belongs to this cluster");
    }
    let token = all.token(1, &json!({"uses": 2}));
    let join = format!("cluster.join={token}");
    all.start(2, &["--set", &join]);
    refused(
        &all,
        &["promote", "2"],
        "2 voters survive the loss of 0, as 1 do",
    );
    refused(
        &all,
        &["transfer-leader", "2"],
        "1 voter, 1 live; node 2 does not vote: only a live voter can lead",
    );
    all.start(3, &["--set", &join]);
    all.three_voters(1);
    all.kill(3);
    all.until(1, "/cluster", "the fleet knows that it is dead", |shown| {
        (!roles(shown).get(&3)?.1).then_some(())
    });
    let short =
        "3 voters, 2 live; demoting node 2 leaves 2 voters of which 1 is live: quorum needs 2";
    refused(&all, &["demote", "2"], short);
    let (status, said) = all.post(
        1,
        "/cluster/members",
        &json!({"node_id": 2, "role": "learner"}),
    );
    assert_eq!(
        (status, &said["code"]),
        (409, &json!("quorum_would_be_lost"))
    );
    assert_eq!(said["detail"], short);
    refused(
        &all,
        &["remove", "2"],
        "removing node 2 leaves 2 voters of which 1 is live: quorum needs 2",
    );
    refused(
        &all,
        &["transfer-leader", "3"],
        "3 voters, 2 live; node 3 is not live: only a live voter can lead",
    );
    // nothing of it was noted
    for action in [
        "node.demote",
        "node.promote",
        "node.remove",
        "leader.transfer",
    ] {
        assert_eq!(all.records(1, action).len(), 0, "{action}");
    }
    // the dead one may go
    all.run(1, &["cluster", "remove", "3"]);
    let (status, said) = all.try_ask(2, Method::DELETE, "/cluster/members/3", None);
    assert_eq!((status, &said["code"]), (404, &json!("node_not_found")));
}
