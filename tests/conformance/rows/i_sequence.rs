//! I. Sequence numbers: gaps ask for everything, once.

use ampora_proto::wire::ServerToAgent;

use crate::agent::{Agent, BOTH, PROTOBUF, Via};
use crate::deadline::{Since, pause};
use crate::http;
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};

pub(crate) const ROWS: &[Row] = &[
    row!(
        94,
        "MUST",
        "A number that is not the next one is answered by asking for the full state.",
        c_094_gap_asks_for_full_state
    ),
    row!(
        95,
        "MUST",
        "An unknown agent that does not tell everything is asked for everything.",
        c_095_unknown_agent_is_asked
    ),
    row!(
        96,
        "derived",
        "A message that already tells everything is not answered by asking for it.",
        c_096_complete_message_is_enough
    ),
    row!(
        97,
        "derived",
        "An agent that begins anew from 0 with a full report is taken as it is.",
        c_097_agent_begins_anew
    ),
    row!(
        98,
        "derived",
        "Once the full report came, the flag is gone.",
        c_098_flag_is_cleared
    ),
    row!(
        99,
        "derived",
        "One gap is one request.",
        c_099_one_gap_one_request
    ),
    row!(
        100,
        "derived",
        "A request that stays unanswered is repeated, with damping.",
        c_100_damped_repetition
    ),
    row!(
        101,
        "derived",
        "Numbers are known to every node, or asked for once.",
        c_101_agents_that_move_to_another_node
    ),
    row!(
        102,
        "MUST",
        "A reconnect may begin with a nearly empty message and the next number.",
        c_102_reconnect_without_report
    ),
    row!(
        103,
        "derived",
        "A reconnect may begin with a full report too.",
        c_103_reconnect_with_report
    ),
    row!(
        104,
        "derived",
        "A message counts as a whole or not at all.",
        c_104_all_or_nothing
    ),
    row!(
        105,
        "derived",
        "After a message that the server dropped, the next one shows a gap.",
        c_105_dropped_message_is_a_gap
    ),
];

/// Says so many heartbeats with these numbers; which replies ask for the full state.
fn asked(agent: &mut Agent<'_>, numbers: &[u64]) -> Vec<bool> {
    let mut replies: Vec<ServerToAgent> = Vec::new();
    for number in numbers {
        agent.sequence = *number;
        replies.push(agent.beat());
    }
    assert!(replies.iter().all(|reply| reply.error_response.is_none()));
    replies.iter().map(say::asks_full_state).collect()
}

fn c_094_gap_asks_for_full_state() {
    let server = server::shared();
    for via in BOTH {
        for (numbers, expected) in [
            (&[1, 3][..], &[false, true][..]),
            (&[1, 2, 4], &[false, false, true]),
            (&[5], &[true]),
        ] {
            let mut agent = Agent::introduced(&server, via);
            assert_eq!(
                asked(&mut agent, numbers),
                expected,
                "{via:?}: 0, {numbers:?}"
            );
        }
        // the same number with another content is no repetition
        let mut agent = Agent::introduced(&server, via);
        agent.sequence = 1;
        agent.beat();
        agent.sequence = 1;
        let reply = agent.tell(|message| message.health = Some(say::health(false, "x")));
        assert!(say::asks_full_state(&reply), "{via:?}: 0, 1, 1");
        // backwards
        let mut agent = Agent::new(&server, via);
        agent.sequence = 5;
        agent.hello();
        assert_eq!(asked(&mut agent, &[2]), [true], "{via:?}: 5, 2");
        // the last number has no next one
        let mut agent = Agent::new(&server, via);
        agent.sequence = u64::MAX;
        assert_eq!(agent.hello().error_response, None);
        assert_eq!(asked(&mut agent, &[0]), [true], "{via:?}: wrap");
    }
}

fn c_095_unknown_agent_is_asked() {
    let server = Server::start(&[]);
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        assert_eq!(asked(&mut agent, &[57]), [true], "{via:?}");
        let mut agent = Agent::new(&server, via);
        assert_eq!(
            asked(&mut agent, &[0]),
            [true],
            "{via:?}: a poll with a uid alone"
        );
    }
    let known: Vec<_> = BOTH
        .map(|via| {
            let mut agent = Agent::introduced(&server, via);
            agent.beats(3);
            (via, agent.uid, agent.sequence, agent.label.clone())
        })
        .into();
    let server = server.killed_and_started();
    for (via, uid, sequence, label) in known {
        let mut agent = Agent::known_as(&server, via, uid, label);
        agent.sequence = sequence;
        // a crash forgets numbers, not records: at most one request
        let replies = agent.beats(4);
        let requests = replies
            .iter()
            .filter(|reply| say::asks_full_state(reply))
            .count();
        assert!(requests <= 1, "{via:?}: {requests}");
        agent.settled();
    }
}

fn c_096_complete_message_is_enough() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        assert!(!say::asks_full_state(&agent.hello()), "{via:?}");
        agent.sequence = 9;
        assert!(
            !say::asks_full_state(&agent.hello()),
            "{via:?}: a gap that tells everything"
        );
    }
}

fn c_097_agent_begins_anew() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        agent.beats(3);
        agent.reconnect();
        agent.sequence = 0;
        let mut message = agent.full();
        message.health = Some(say::health(false, "StatusStarting"));
        let reply = agent.ask(&message);
        assert_eq!((reply.error_response, reply.flags), (None, 0));
        assert!(
            agent.beats(3).iter().all(|reply| reply.flags == 0),
            "{via:?}: no loop"
        );
        server.agent("the new state", agent.uid, |agent| {
            agent["health"]["status"] == "StatusStarting" && agent["state"] == "connected"
        });
    }
}

fn c_098_flag_is_cleared() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        assert_eq!(asked(&mut agent, &[7]), [true]);
        let mut replies = vec![agent.hello()];
        replies.extend(agent.beats(5));
        assert!(
            replies.iter().all(|reply| reply.flags == 0),
            "{via:?}: {replies:?}"
        );
    }
}

fn c_099_one_gap_one_request() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        assert_eq!(
            asked(&mut agent, &[5, 6, 7]),
            [true, false, false],
            "{via:?}"
        );
    }
}

fn c_100_damped_repetition() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    assert_eq!(asked(&mut agent, &[9]), [true]);
    let since = Since::now();
    let mut requests = 0;
    while since.elapsed().as_millis() < 8000 {
        requests += usize::from(say::asks_full_state(&agent.beat()));
        pause();
    }
    assert!((1..=3).contains(&requests), "{requests} requests in 8 s");
    assert_eq!(agent.hello().flags, 0);
}

fn c_101_agents_that_move_to_another_node() {
    // a node that ends in order leaves the numbers behind; one that is killed takes them along
    for (leave, requests_max) in [(stop as fn(Server), 0), (drop, 1)] {
        let [stays, leaves] = Server::two();
        let moving = BOTH.map(|via| {
            let mut agent = Agent::introduced(&leaves, via);
            agent.beats(3);
            let before = stays.agent("its record", agent.uid, |shown| {
                shown["labels"]["conf"] == agent.label.as_str()
            });
            (via, agent.uid, agent.sequence, agent.label.clone(), before)
        });
        leave(leaves);
        for (via, uid, sequence, label, before) in moving {
            let mut agent = Agent::known_as(&stays, via, uid, label);
            agent.sequence = sequence;
            let replies = agent.beats(4);
            let requests = replies.iter().filter(|reply| say::asks_full_state(reply));
            let requests = requests.count();
            assert!(requests <= requests_max, "{via:?}: asked {requests} times");
            agent.settled();
            let after = stays.agent("its new owner", uid, |shown| {
                shown["owner_node"].is_u64() && shown["owner_node"] != before["owner_node"]
            });
            for part in ["labels", "health", "first_seen", "config"] {
                assert_eq!(before[part], after[part], "{via:?}: {part}");
            }
        }
    }
}

/// Ends a node in order.
fn stop(mut server: Server) {
    server.terminate();
    assert!(server.ended().success(), "a stop in order");
}

fn c_102_reconnect_without_report() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        agent.beats(2);
        let before = server.agent("the agent", agent.uid, |_| true);
        agent.reconnect();
        let reply = agent.beat();
        assert_eq!((reply.error_response, reply.flags), (None, 0), "{via:?}");
        let after = server.agent("the agent", agent.uid, |agent| {
            agent["state"] == "connected"
        });
        for part in ["labels", "health", "first_seen", "config"] {
            assert_eq!(before[part], after[part], "{via:?}: {part}");
        }
    }
}

fn c_103_reconnect_with_report() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        for _ in 0..3 {
            agent.reconnect();
            let reply = agent.hello();
            assert_eq!((reply.error_response, reply.flags), (None, 0), "{via:?}");
            assert_eq!(reply.agent_identification, None, "it is the same agent");
        }
        agent.settled();
    }
}

fn c_104_all_or_nothing() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let before = server.agent("the agent", agent.uid, |_| true);
        let mut message = agent.message();
        message.agent_description = Some(say::description(&[("conf", "changed")]));
        message.health = Some(say::health(false, "changed"));
        let mut broken = prost::Message::encode_to_vec(&message);
        // the status of the configuration has a text that is not UTF-8
        broken.extend(say::field(7, &say::field(3, &[0xC3, 0x28])));
        assert!(say::is_bad_request(&agent.ask_bytes(&broken)));
        // what comes after it is there, and nothing of it
        agent.tell(|message| {
            message.remote_config_status = Some(say::status(
                b"other",
                ampora_proto::wire::RemoteConfigStatuses::Applied,
                "",
            ))
        });
        let after = server.agent("the status", agent.uid, |agent| {
            agent["config"]["status"] == "applied"
        });
        assert_eq!(before["labels"], after["labels"], "{via:?}");
        assert_eq!(before["health"], after["health"], "{via:?}");
    }
}

fn c_105_dropped_message_is_a_gap() {
    let server = server::small();
    let mut agent = Agent::introduced(&server, Via::Http);
    let mut dropped = prost::Message::encode_to_vec(&agent.message());
    dropped.extend(say::field(200, &[0; 70_000]));
    let status = http::once(server.opamp, "POST", Server::PATH, &[PROTOBUF], &dropped).status;
    assert_eq!(status, 413);
    assert!(
        say::asks_full_state(&agent.beat()),
        "what was dropped is asked for"
    );
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    let malformed = [
        prost::Message::encode_to_vec(&agent.message()),
        vec![0x1A, 9],
    ]
    .concat();
    assert!(say::is_bad_request(&agent.ask_bytes(&malformed)));
    assert!(say::asks_full_state(&agent.beat()), "a malformed one too");
}
