//! F. Who an agent is: 16 bytes, and new ones when it asks.

use std::collections::BTreeSet;

use ampora_proto::wire::AgentToServer;
use bytes::Bytes;
use prost::Message;
use uuid::Uuid;

use crate::agent::{Agent, BOTH, Via};
use crate::row::{Row, row};
use crate::say;
use crate::server;

pub(crate) const ROWS: &[Row] = &[
    row!(
        61,
        "MUST",
        "A uid has 16 bytes, of any kind of UUID; any other length is malformed.",
        c_061_uid_length
    ),
    row!(62, "derived", "A uid of zeros is refused.", c_062_zero_uid),
    row!(
        63,
        "MAY",
        "The 26 bytes of an old ULID are malformed.",
        c_063_old_ulid
    ),
    row!(
        64,
        "MUST",
        "Every message to an agent carries the uid under which it speaks.",
        c_064_uid_of_the_agent
    ),
    row!(
        65,
        "must",
        "An agent that asks for a uid gets one.",
        c_065_requested_uid
    ),
    row!(66, "MUST", "A new uid is a UUIDv7.", c_066_version_7),
    row!(
        67,
        "derived",
        "New uids are unique (on one node here; across nodes with step 4).",
        c_067_unique_uids
    ),
    row!(
        68,
        "derived",
        "The old uid is understood for a while, and the record moves to the new one.",
        c_068_record_moves
    ),
    row!(
        69,
        "derived",
        "Numbers go on across the change, or begin anew.",
        c_069_numbers_across_the_change
    ),
    row!(
        70,
        "derived",
        "Asking twice gives the same uid.",
        c_070_same_uid_again
    ),
    row!(
        71,
        "derived",
        "A new uid is never short or zero.",
        c_071_usable_uids
    ),
    row!(
        72,
        "derived",
        "`service.instance.id` is not the uid.",
        c_072_instance_id_is_no_key
    ),
];

fn under(uid: &[u8]) -> AgentToServer {
    AgentToServer {
        instance_uid: Bytes::copy_from_slice(uid),
        agent_description: Some(say::description(&[])),
        ..AgentToServer::default()
    }
}

/// The message is refused, counted, and its sender may go on.
fn refused(via: Via, uid: &[u8]) {
    let server = server::shared();
    let before = server.rejected("malformed");
    let mut agent = Agent::new(&server, via);
    let reply = agent.ask(&under(uid));
    assert!(
        say::is_bad_request(&reply),
        "{via:?} {}: {reply:?}",
        uid.len()
    );
    assert!(server.rejected("malformed") > before);
    assert_eq!(agent.hello().error_response, None, "the connection goes on");
}

fn c_061_uid_length() {
    for via in BOTH {
        for length in [0, 1, 15, 17, 32, 5000] {
            refused(via, &vec![1; length]);
        }
        let server = server::shared();
        for version in [1, 4, 7] {
            let mut agent = Agent::new(&server, via);
            let mut bytes: [u8; 16] = ampora::entropy::bytes();
            bytes[6] = bytes[6] & 0x0F | version << 4;
            agent.uid = Uuid::from_bytes(bytes);
            assert_eq!(agent.hello().error_response, None, "version {version}");
        }
    }
}

fn c_062_zero_uid() {
    for via in BOTH {
        refused(via, &[0; 16]);
    }
    assert!(!server::shared().knows(Uuid::nil()));
}

fn c_063_old_ulid() {
    for via in BOTH {
        refused(via, b"01ARZ3NDEKTSV4RRFFQ69G5FAV");
    }
}

fn c_064_uid_of_the_agent() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        let uid = Bytes::copy_from_slice(agent.uid.as_bytes());
        let mut seen = vec![agent.hello()];
        agent.settled();
        server.assign_yaml(&agent.label, "a: 1\n");
        seen.push(agent.next_that("the offer", |message| message.remote_config.is_some()));
        assert_eq!(server.dispatch("restart", agent.uid).0, 202);
        seen.push(agent.next_that("the command", |message| message.command.is_some()));
        let mut broken = agent.message().encode_to_vec();
        broken.extend_from_slice(&[0x1A, 0x7F]);
        seen.push(agent.ask_bytes(&broken));
        assert!(seen.last().is_some_and(say::is_bad_request));
        seen.push(agent.tell(|message| message.flags = 1));
        assert!(
            seen.last()
                .is_some_and(|reply| reply.agent_identification.is_some())
        );
        assert!(
            seen.iter().all(|message| message.instance_uid == uid),
            "{seen:?}"
        );
    }
}

/// Asks for a uid; the new one, which the agent uses from then on.
fn new_uid(agent: &mut Agent<'_>) -> Uuid {
    let mut message = agent.full();
    message.flags = 1;
    let reply = agent.ask(&message);
    assert_eq!(
        reply.instance_uid,
        agent.uid.as_bytes()[..],
        "still the old one in front"
    );
    let given = reply
        .agent_identification
        .expect("a new uid")
        .new_instance_uid;
    Uuid::from_slice(&given).expect("16 bytes")
}

fn c_065_requested_uid() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        let temporary = agent.uid;
        assert_ne!(new_uid(&mut agent), temporary);
        let mut other = Agent::new(&server, via);
        assert_eq!(
            other.hello().agent_identification,
            None,
            "who does not ask gets none"
        );
    }
}

fn c_066_version_7() {
    let server = server::shared();
    for via in BOTH {
        let uid = new_uid(&mut Agent::new(&server, via));
        assert_eq!(uid.get_version_num(), 7);
        assert_eq!(uid.get_variant(), uuid::Variant::RFC4122);
    }
}

fn c_067_unique_uids() {
    let server = server::shared();
    let mut agent = Agent::new(&server, Via::WebSocket);
    let mut uids = BTreeSet::new();
    for _ in 0..200 {
        agent.uid = say::uid();
        let mut message = say::bare(agent.uid, 0);
        message.flags = 1;
        let reply = agent.ask(&message);
        uids.insert(reply.agent_identification.expect("a uid").new_instance_uid);
    }
    assert_eq!(uids.len(), 200);
}

fn c_068_record_moves() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let old = agent.uid;
        let new = new_uid(&mut agent);
        for _ in 0..2 {
            let reply = agent.beat();
            assert_eq!(reply.instance_uid, old.as_bytes()[..]);
            assert_eq!(reply.error_response, None, "what was under way counts");
        }
        agent.uid = new;
        assert_eq!(agent.beat().error_response, None);
        agent.settled();
        assert!(!server.knows(old), "{via:?}: no ghost stays behind");
        let hash = server.assign_yaml(&agent.label, "a: 1\n");
        assert_eq!(agent.offer().config_hash, hash);
        agent.report(&hash, ampora_proto::wire::RemoteConfigStatuses::Applied);
        server.agent("the status", new, |agent| {
            agent["config"]["status"] == "applied"
        });
    }
}

fn c_069_numbers_across_the_change() {
    let server = server::shared();
    for via in BOTH {
        for goes_on in [true, false] {
            let mut agent = Agent::introduced(&server, via);
            agent.beats(3);
            agent.uid = new_uid(&mut agent);
            let first = if goes_on {
                agent.beat()
            } else {
                agent.sequence = 0;
                agent.hello()
            };
            let mut replies = vec![first];
            replies.extend(agent.beats(3));
            let asked = replies
                .iter()
                .filter(|reply| say::asks_full_state(reply))
                .count();
            assert!(
                asked <= 1,
                "{via:?}, goes on: {goes_on}: asked {asked} times"
            );
            assert!(replies.iter().all(|reply| reply.error_response.is_none()));
        }
    }
}

fn c_070_same_uid_again() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        let first = new_uid(&mut agent);
        assert_eq!(new_uid(&mut agent), first);
        agent.reconnect();
        assert_eq!(new_uid(&mut agent), first, "on another connection too");
    }
}

fn c_071_usable_uids() {
    // every message of the suite is watched for this, as are these
    let server = server::shared();
    for via in BOTH {
        let uid = new_uid(&mut Agent::new(&server, via));
        assert!(!uid.is_nil());
    }
}

fn c_072_instance_id_is_no_key() {
    let server = server::shared();
    let id = say::uid().to_string();
    let mut agents: Vec<_> = BOTH.map(|via| Agent::new(&server, via)).into();
    for (at, agent) in agents.iter_mut().enumerate() {
        let mut message = agent.full();
        let description = message.agent_description.get_or_insert_default();
        description
            .identifying_attributes
            .push(say::text("service.instance.id", &id));
        message.health = Some(say::health(at == 0, "its own"));
        assert_eq!(agent.ask(&message).agent_identification, None);
    }
    for (at, agent) in agents.iter().enumerate() {
        server.agent("its own health", agent.uid, |shown| {
            shown["labels"]["service.instance.id"] == id.as_str()
                && shown["health"]["healthy"] == (at == 0)
        });
    }
}
