//! What an enrollment token means beyond the rows: its uses, its time, its labels, and that places are kept.

use ampora_proto::wire::ServerToAgent;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::agent::{Agent, BOTH, Via};
use crate::deadline::until_true;
use crate::say;
use crate::server::{self, Server};

fn served(reply: &ServerToAgent) -> bool {
    say::error(reply).is_none()
}

fn used(server: &Server, id: &str) -> Value {
    let listed = server.get("/enrollment-tokens?limit=1000");
    let mut items = listed["items"].as_array().expect("items").iter();
    let found = items.find(|item| item["id"] == id);
    found.expect("the token")["used"].clone()
}

pub(crate) fn uses_of_a_token_count_distinct_agents() {
    let server = server::guarded();
    let (id, token) = server.enrollment_token(&json!({"uses": 2}));
    let uids = [say::uid(), say::uid()];
    for (uid, via) in uids.into_iter().zip(BOTH) {
        for _ in 0..2 {
            let mut agent = Agent::with_token(&server, via, uid, &token);
            assert!(served(&agent.hello()), "it is the same agent");
        }
    }
    assert_eq!(used(&server, &id), 2);
    for via in BOTH {
        let mut late = Agent::with_token(&server, via, say::uid(), &token);
        for _ in 0..3 {
            assert!(
                say::is_bad_request(&late.hello()),
                "and the socket stays open"
            );
        }
        assert!(!server.knows(late.uid));
    }
    let mut known = Agent::with_token(&server, Via::WebSocket, uids[1], &token);
    assert!(served(&known.hello()));
    assert_eq!(used(&server, &id), 2);
}

pub(crate) fn an_expired_token_stops_new_agents_alone() {
    let server = server::guarded();
    let (id, token) = server.enrollment_token(&json!({"ttl_seconds": 1}));
    let mut agent = Agent::with_token(&server, Via::WebSocket, say::uid(), &token);
    assert!(served(&agent.hello()));
    agent.settled();
    until_true("the end of its time", || {
        let listed = server.get("/enrollment-tokens?limit=1000");
        let mut items = listed["items"].as_array().expect("items").iter();
        items.any(|item| item["id"] == id.as_str() && item["state"] == "expired")
    });
    for via in BOTH {
        let mut late = Agent::with_token(&server, via, say::uid(), &token);
        assert!(say::is_bad_request(&late.hello()));
        assert!(say::is_bad_request(&late.beat()));
    }
    assert!(served(&agent.beat()), "the socket of the old one goes on");
    agent.reconnect();
    assert!(served(&agent.beat()), "and it may come again");
}

pub(crate) fn labels_of_a_token_hide_what_agents_claim() {
    let server = server::guarded();
    let site = say::name();
    let labels = json!({"conf": site, "tier": "edge"});
    let (_, token) = server.enrollment_token(&json!({"labels": labels}));
    let hash = server.assign_yaml(&site, "a: 1\n");
    for via in BOTH {
        let mut agent = Agent::with_token(&server, via, say::uid(), &token);
        agent.label = "claimed".to_owned();
        assert!(served(&agent.hello()));
        let shown = server.agent("the labels", agent.uid, |agent| {
            agent["labels"]["conf"] == "claimed" && agent["server_labels"] == labels
        });
        assert_eq!(shown["group"], site.as_str());
        assert_eq!(agent.offer().config_hash, hash);
    }
}

pub(crate) fn places_survive_a_kill() {
    let server = Server::start(&["opamp.auth=token"]);
    let (id, token) = server.enrollment_token(&json!({"uses": 1}));
    let (other_id, other) = server.enrollment_token(&json!({}));
    let uid = say::uid();
    let mut agent = Agent::with_token(&server, Via::WebSocket, uid, &token);
    assert!(served(&agent.hello()));
    agent.settled();
    let server = server.killed_and_started();
    assert_eq!(used(&server, &id), 1);
    let mut again = Agent::with_token(&server, Via::WebSocket, uid, &token);
    assert!(served(&again.hello()));
    let mut foreign = Agent::with_token(&server, Via::WebSocket, uid, &other);
    assert!(say::is_bad_request(&foreign.hello()));
    server.revoke_enrollment(&other_id);
    let server = server.stopped_and_started();
    let mut late = Agent::with_token(&server, Via::Http, say::uid(), &token);
    assert!(say::is_bad_request(&late.hello()));
    let (status, _) = server.ask(
        "DELETE",
        &format!("/enrollment-tokens/{other_id}"),
        &Value::Null,
    );
    assert_eq!(status, 404);
}

/// C-065: the uid that the agent comes with is not the one that it gets.
pub(crate) fn a_uid_that_was_asked_for_costs_one_use() {
    let server = server::guarded();
    for via in BOTH {
        let (id, token) = server.enrollment_token(&json!({"uses": 1}));
        let mut agent = Agent::with_token(&server, via, say::uid(), &token);
        let reply = agent.hello_with(|message| message.flags = 0x1);
        let given = reply.agent_identification.expect("a uid");
        agent.uid = Uuid::from_slice(&given.new_instance_uid).expect("a uid");
        assert!(served(&agent.hello()));
        agent.settled();
        assert_eq!(used(&server, &id), 1);
    }
}

/// A uid that was given out in place of another one belongs to who got it, whoever asks with the first one.
pub(crate) fn a_uid_that_was_given_out_is_bound_too() {
    let server = server::guarded();
    let (_, token) = server.enrollment_token(&json!({}));
    let (_, foreign) = server.enrollment_token(&json!({}));
    for via in BOTH {
        let old = say::uid();
        let mut agent = Agent::with_token(&server, via, old, &token);
        let reply = agent.hello_with(|message| message.flags = 0x1);
        let given = reply.agent_identification.expect("a uid");
        agent.uid = Uuid::from_slice(&given.new_instance_uid).expect("a uid");
        assert!(served(&agent.hello()));
        agent.settled();
        let before = server.get(&format!("/agents/{}", agent.uid));
        let mut thief = Agent::with_token(&server, via, old, &foreign);
        let mut asks = thief.full();
        asks.flags = 0x1;
        assert!(say::is_bad_request(&thief.ask(&asks)));
        let shown = server.get(&format!("/agents/{}", agent.uid));
        assert_eq!(shown["labels"]["conf"], agent.label.as_str());
        assert!(served(&agent.beat()));
        agent.settled();
        let after = server.get(&format!("/agents/{}", agent.uid));
        assert_eq!(before["fence"], after["fence"], "nobody took its session");
    }
}
