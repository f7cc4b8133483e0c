//! A leader that is cut off from both others, and a follower that is reached and reaches nobody: what each side does and does
//! not do meanwhile, and that everything goes on by itself afterwards.

use reqwest::Method;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::cluster::{Cluster, SOON};
use crate::support::eventually;

/// A short lease, so that its end is soon; the shortest that a busy machine keeps.
const SETTINGS: [&str; 1] = ["dispatch.ownership_ttl_seconds=4"];

/// What a node says when its lease has ended.
const LAPSED: &str = "no quorum renews this node";

/// Messages that have to be answered on a side without a quorum.
const BEATS: usize = 5;

/// How often a node has said that its lease has ended.
fn lapses(all: &Cluster, slot: u64) -> usize {
    all.node(slot).log().matches(LAPSED).count()
}

/// The agent as a node shows it, once it is so there.
fn shown(all: &Cluster, slot: u64, agent: &Agent, what: &str, so: impl Fn(&Value) -> bool) {
    let path = format!("/agents/{}", agent.uid);
    all.until(slot, &path, what, |shown| so(shown).then_some(()));
}

/// Waits until a node shows that an agent is its, and runs this.
fn runs(all: &Cluster, slot: u64, agent: &Agent, owner: u64, hash: &str) {
    shown(all, slot, agent, "it runs what it should", |shown| {
        let config = &shown["config"];
        shown["owner_node"] == owner
            && shown["state"] == "connected"
            && config["desired_hash"] == hash
            && config["reported_hash"] == hash
            && config["drifted"] == false
    });
}

/// An agent at a node, which runs what it should.
fn settled(all: &Cluster, slot: u64, label: &str, hash: &str) -> Agent {
    let mut agent = Agent::connected(label, all.node(slot).opamp_addr);
    agent.hello();
    agent.offered(1);
    agent.apply();
    runs(all, slot, &agent, slot, hash);
    agent
}

/// Waits until somebody else leads, as the others see it.
fn follows(all: &Cluster, gone: u64) -> u64 {
    let other = all.other(gone);
    let mut leader = 0;
    all.until(other, "/cluster", "another one leads", |shown| {
        leader = shown["leader_id"].as_u64()?;
        (leader != gone && shown["quorum"] == true).then_some(())
    });
    leader
}

/// What a node without a quorum refuses, and with which words.
fn refuses_changes(all: &Cluster, slot: u64) {
    let form = json!({"selector": "a=b"});
    eventually("the node knows that it has no quorum", SOON, || {
        (all.get(slot, "/cluster")["quorum"] == false).then_some(())
    });
    let (status, answer) = all.try_ask(slot, Method::PUT, "/groups/never", Some(&form));
    assert_eq!(status, 503, "{answer}");
    assert_eq!(answer["code"], "not_leader", "{answer}");
    assert_eq!(answer["retryable"], true, "{answer}");
    assert_eq!(answer["may_have_taken_effect"], "no", "{answer}");
    let consistent = "/groups?consistent=true";
    let (status, answer) = all.try_ask(slot, Method::GET, consistent, None);
    assert_eq!(status, 503, "{answer}");
    let (status, headers, answer) = all.try_ask_whole(slot, Method::GET, "/groups", None);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(headers["ampora-stale"], "true", "{headers:?}");
    assert!(headers.contains_key("ampora-leader-contact-ms"));
}

#[test]
fn a_leader_that_is_cut_off_serves_without_acting_and_comes_back() {
    let all = Cluster::three_on_a_net(&SETTINGS);
    let minority = all.leader(1);
    let before = all.assign(1, "stays", "first: 1\n");
    let other = all.assign(1, "other", "other: 1\n");
    all.assign(1, "moves", "first: 1\n");
    let mut stays = settled(&all, minority, "stays", &before);
    let mut changes = settled(&all, minority, "stays", &before);
    let mut moves = Agent::connected("moves", all.node(minority).opamp_addr);
    moves.hello();
    moves.offered(1);
    moves.apply();
    let before_cut = lapses(&all, minority);

    all.net().isolate(minority);
    let majority = follows(&all, minority);
    eventually("its lease has ended", SOON, || {
        (lapses(&all, minority) > before_cut).then_some(())
    });
    refuses_changes(&all, minority);
    let (status, _, answer) = all.try_ask_whole(majority, Method::GET, "/groups/never", None);
    assert_eq!(status, 404, "{answer}");

    // on the side that goes on: a change, and an agent that came there
    let after = all.assign(majority, "stays", "second: 2\n");
    let moved = all.assign(majority, "moves", "second: 2\n");
    moves.connect(all.node(majority).opamp_addr);
    moves.beat();
    moves.offered(2);
    moves.apply();
    runs(&all, majority, &moves, majority, &moved);

    // on the other one: everybody is answered, and nothing is offered to whom it would be due now
    for _ in 0..BEATS {
        stays.beat();
    }
    changes.is_now("other");
    for agent in [&mut stays, &mut changes] {
        agent.beat();
        agent.listen();
        assert_eq!(agent.offers.len(), 1, "no offer past the lease");
        assert_eq!(agent.renamed, 0);
    }

    all.net().heal();
    stays.offered(2);
    // what it said past the lease was heard by nobody else: before it says so again it is one of those of before
    changes.offered_this(&other);
    for (agent, hash) in [(&mut stays, &after), (&mut changes, &other)] {
        agent.apply();
        for slot in [1, 2, 3] {
            runs(&all, slot, agent, minority, hash);
        }
        let offers = agent.offers.len();
        agent.beat();
        agent.listen();
        assert_eq!(agent.offers.len(), offers, "it comes once");
        assert_eq!(agent.renamed, 0);
    }
    for slot in [1, 2, 3] {
        runs(&all, slot, &moves, majority, &moved);
        let listed = all.get(slot, "/agents");
        assert_eq!(listed["items"].as_array().map(Vec::len), Some(3));
        let form = json!({"selector": "a=b"});
        let path = format!("/groups/healed-{slot}");
        let (status, answer) = all.try_ask(slot, Method::PUT, &path, Some(&form));
        assert_eq!(status, 201, "{answer}");
    }
    all.three_voters(minority);
    let (status, answer) = all.try_ask(minority, Method::GET, "/groups/never", None);
    assert_eq!(status, 404, "what was refused did not happen: {answer}");
}

#[test]
fn a_follower_that_reaches_nobody_knows_what_is_due_and_leaves_it() {
    let all = Cluster::three_on_a_net(&SETTINGS);
    let leader = all.leader(1);
    let mute = all.other(leader);
    let before = all.assign(leader, "stays", "first: 1\n");
    let mut agent = settled(&all, mute, "stays", &before);
    let before_cut = lapses(&all, mute);

    all.net().wall_in(mute);
    eventually("its lease has ended", SOON, || {
        (lapses(&all, mute) > before_cut).then_some(())
    });
    let after = all.assign(leader, "stays", "second: 2\n");
    // the log reaches it, and says what the agent should run
    shown(&all, mute, &agent, "the offer is due there", |shown| {
        shown["config"]["desired_hash"] == after.as_str()
    });
    for _ in 0..BEATS {
        agent.beat();
        agent.listen();
        assert_eq!(agent.offers.len(), 1, "no offer past the lease");
    }
    let form = json!({"action": {"restart": {}}, "target": {"agent": agent.uid.to_string()}});
    let (status, answer) = all.change(leader, Method::POST, "/dispatches", &form);
    assert_eq!(status, 202, "{answer}");
    let dispatch = format!("/dispatches/{}", answer["id"].as_str().expect("an id"));
    all.until(mute, &dispatch, "the restart is due there", |shown| {
        shown["id"].as_str().map(drop)
    });
    for _ in 0..BEATS {
        agent.beat();
        agent.listen();
        assert_eq!(agent.restarts, 0, "no command past the lease");
    }

    all.net().heal();
    agent.offered(2);
    agent.apply();
    for slot in [1, 2, 3] {
        runs(&all, slot, &agent, mute, &after);
    }
    eventually("the restart", SOON, || {
        agent.listen();
        (agent.restarts > 0).then_some(())
    });
    agent.beat();
    agent.listen();
    assert_eq!(
        (agent.offers.len(), agent.restarts),
        (2, 1),
        "each comes once"
    );
}
