//! U. Two live agents under one uid.

use ampora_proto::wire::ServerToAgent;
use uuid::Uuid;

use crate::agent::{Agent, BOTH, Via};
use crate::deadline::until_true;
use crate::row::{Row, open, row};
use crate::say;
use crate::server;

pub(crate) const ROWS: &[Row] = &[
    row!(
        273,
        "SHOULD",
        "Two live users of one uid are found.",
        c_273_duplicates_are_found
    ),
    row!(
        274,
        "SHOULD",
        "The newcomer gets a uid of its own; a reconnect never does.",
        c_274_newcomer_gets_a_uid
    ),
    open!(
        275,
        "MAY",
        "Duplicates may be disconnected or denied instead.",
        "not offered: they get a uid of their own (C-274)"
    ),
    row!(
        276,
        "derived",
        "Duplicates are found over plain HTTP too (on one node here; across nodes with step 4).",
        c_276_duplicates_over_http
    ),
];

/// A full report of an agent that lives on a host.
fn report(agent: &mut Agent<'_>, host: &str) -> ServerToAgent {
    let mut message = agent.full();
    message.agent_description = Some(say::description(&[
        ("host.name", host),
        ("conf", &agent.label),
    ]));
    let reply = agent.ask(&message);
    assert_eq!(reply.error_response, None);
    reply
}

fn given(reply: &ServerToAgent) -> Option<Uuid> {
    let given = reply.agent_identification.as_ref()?;
    Some(Uuid::from_slice(&given.new_instance_uid).expect("16 bytes"))
}

/// Two agents with one uid speak in turn until one gets another; which, and the uid.
fn contest(first: &mut Agent<'_>, second: &mut Agent<'_>) -> (bool, Uuid) {
    report(first, "first");
    first.settled();
    for _ in 0..6 {
        if let Some(uid) = given(&report(second, "second")) {
            return (false, uid);
        }
        if let Some(uid) = given(&report(first, "first")) {
            return (true, uid);
        }
    }
    panic!("nobody was given a uid")
}

fn c_273_duplicates_are_found() {
    let server = server::shared();
    let mut first = Agent::new(&server, Via::WebSocket);
    let mut second = Agent::known_as(&server, Via::WebSocket, first.uid, first.label.clone());
    contest(&mut first, &mut second);
    let uid = first.uid.to_string();
    until_true("a word to the operator", || {
        let log = server.log();
        let mut lines = log.lines();
        lines.any(|line| line.contains("two live agents") && line.contains(&uid))
    });
}

fn c_274_newcomer_gets_a_uid() {
    let server = server::shared();
    let mut first = Agent::new(&server, Via::WebSocket);
    let mut second = Agent::known_as(&server, Via::WebSocket, first.uid, first.label.clone());
    let (first_lost, uid) = contest(&mut first, &mut second);
    assert!(!first_lost, "who was first keeps the uid");
    assert_eq!(uid.get_version_num(), 7);
    second.uid = uid;
    report(&mut second, "second");
    for _ in 0..3 {
        assert_eq!(given(&report(&mut first, "first")), None);
        assert_eq!(given(&report(&mut second, "second")), None);
    }
    server.agent("the first", first.uid, |agent| {
        agent["name"] == "first" && agent["state"] == "connected"
    });
    server.agent("the second", uid, |agent| {
        agent["name"] == "second" && agent["state"] == "connected"
    });
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        for _ in 0..3 {
            agent.reconnect();
            agent.sequence = 0;
            assert_eq!(given(&agent.hello()), None, "{via:?}: a reconnect");
            assert!(agent.beats(2).iter().all(|reply| given(reply).is_none()));
        }
    }
}

fn c_276_duplicates_over_http() {
    let server = server::shared();
    for (one, other) in [
        (Via::Http, Via::Http),
        (Via::WebSocket, Via::Http),
        (Via::Http, Via::WebSocket),
    ] {
        let mut first = Agent::new(&server, one);
        let mut second = Agent::known_as(&server, other, first.uid, first.label.clone());
        let (first_lost, uid) = contest(&mut first, &mut second);
        assert!(
            !first_lost,
            "{one:?}, {other:?}: who was first keeps the uid"
        );
        second.uid = uid;
        report(&mut second, "second");
        report(&mut first, "first");
        // and neither is asked for its full state at every poll
        for _ in 0..5 {
            assert_eq!(first.beat().flags, 0, "{one:?}, {other:?}");
            assert_eq!(second.beat().flags, 0, "{one:?}, {other:?}");
        }
    }
}
