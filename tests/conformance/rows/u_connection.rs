//! U. How agents come and go.

use prost::Message;

use crate::agent::{Agent, BOTH, Via};
use crate::row::{Row, row};
use crate::say;
use crate::server;
use crate::ws::Ws;

pub(crate) const ROWS: &[Row] = &[
    row!(
        262,
        "MUST",
        "The first report is answered.",
        c_262_first_report_is_answered
    ),
    row!(
        263,
        "SHOULD",
        "An agent that says goodbye is disconnected at once, and stays known.",
        c_263_goodbye
    ),
    row!(
        264,
        "derived",
        "What comes with a goodbye counts.",
        c_264_last_words
    ),
    row!(
        265,
        "SHOULD",
        "A connection that is lost disconnects all agents on it.",
        c_265_lost_connection
    ),
    row!(
        266,
        "derived",
        "The late end of an old connection does not touch the new one.",
        c_266_late_end_of_old_connection
    ),
    row!(
        267,
        "derived",
        "A message after a goodbye brings the agent back.",
        c_267_back_after_goodbye
    ),
    row!(
        272,
        "MAY",
        "A reconnect beside a half-open connection takes over.",
        c_272_half_open_reconnect
    ),
    row!(
        277,
        "must",
        "Many agents may share one WebSocket, each with its own messages.",
        c_277_shared_socket
    ),
    row!(
        278,
        "derived",
        "Each of them has its own numbers.",
        c_278_numbers_on_a_shared_socket
    ),
    row!(
        279,
        "derived",
        "The goodbye of one leaves the others and the socket.",
        c_279_goodbye_on_a_shared_socket
    ),
    row!(
        280,
        "derived",
        "An agent may move between transports: the newest counts.",
        c_280_moving_between_transports
    ),
];

fn state(server: &server::Server, uid: uuid::Uuid, state: &str) {
    server.agent(state, uid, |agent| agent["state"] == state);
}

/// Introduces an agent over a socket that it may share; its label is `conf`.
fn introduce(ws: &mut Ws, uid: uuid::Uuid, label: &str) {
    let mut message = say::bare(uid, 0);
    message.capabilities = 0x1003;
    message.agent_description = Some(say::description(&[("conf", label)]));
    message.remote_config_status = Some(Default::default());
    ws.say(&message.encode_to_vec());
    let reply = ws.message();
    assert_eq!(reply.instance_uid, uid.as_bytes()[..]);
    assert_eq!(reply.error_response, None);
}

fn c_262_first_report_is_answered() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        let reply = agent.hello();
        assert_eq!(reply.instance_uid, agent.uid.as_bytes()[..]);
    }
}

fn c_263_goodbye() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let reply = agent.tell(say::goodbye);
        assert_eq!(reply.error_response, None);
        // the socket is still open: it is the word that counts
        state(&server, agent.uid, "disconnected");
        let shown = server.agent("nobody owns it", agent.uid, |agent| {
            agent["owner_node"].is_null()
        });
        assert_eq!(shown["labels"]["conf"], agent.label.as_str());
    }
}

fn c_264_last_words() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        agent.tell(|message| {
            message.health = Some(say::health(false, "Supervisor is shutdown"));
            say::goodbye(message);
        });
        server.agent("the last words", agent.uid, |agent| {
            agent["state"] == "disconnected"
                && agent["health"]["status"] == "Supervisor is shutdown"
        });
    }
}

fn c_265_lost_connection() {
    let server = server::shared();
    let mut ws = Ws::open(server.opamp, crate::server::Server::PATH);
    let uids = [say::uid(), say::uid(), say::uid()];
    for uid in uids {
        introduce(&mut ws, uid, "shared");
    }
    for uid in uids {
        state(&server, uid, "connected");
    }
    drop(ws);
    for uid in uids {
        state(&server, uid, "disconnected");
    }
}

fn c_266_late_end_of_old_connection() {
    let server = server::shared();
    let mut first = Agent::introduced(&server, Via::WebSocket);
    let mut second = Agent::known_as(&server, Via::WebSocket, first.uid, first.label.clone());
    second.sequence = first.sequence;
    assert_eq!(second.beat().error_response, None);
    // the server may have closed the first one already
    first.ws().try_send(0x88, &1000_u16.to_be_bytes());
    first.end();
    drop(first);
    let hash = server.assign_yaml(&second.label, "a: 1\n");
    assert_eq!(second.offer().config_hash, hash, "the second one is served");
    state(&server, second.uid, "connected");
    assert_eq!(second.beat().flags, 0);
}

fn c_267_back_after_goodbye() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        agent.tell(say::goodbye);
        state(&server, agent.uid, "disconnected");
        let reply = agent.beat();
        assert_eq!((reply.error_response, reply.flags), (None, 0), "{via:?}");
        state(&server, agent.uid, "connected");
        let hash = server.assign_yaml(&agent.label, "a: 1\n");
        assert_eq!(
            agent.offer().config_hash,
            hash,
            "{via:?}: it is served again"
        );
    }
}

fn c_272_half_open_reconnect() {
    let server = server::shared();
    for with_report in [false, true] {
        let first = Agent::introduced(&server, Via::WebSocket);
        // the first one stays open and says nothing more
        let mut second = Agent::known_as(&server, Via::WebSocket, first.uid, first.label.clone());
        second.sequence = first.sequence;
        let mut replies = if with_report {
            second.sequence = 0;
            vec![second.hello()]
        } else {
            vec![second.beat()]
        };
        let hash = server.assign_yaml(&second.label, "a: 1\n");
        assert_eq!(second.offer().config_hash, hash, "pushes go to the new one");
        replies.extend(second.beats(3));
        for reply in replies {
            assert_eq!((reply.error_response, reply.flags), (None, 0));
            assert_eq!(reply.agent_identification, None, "it keeps its uid");
        }
        state(&server, second.uid, "connected");
        assert_eq!(first.offers_seen, 0);
    }
}

fn c_277_shared_socket() {
    let server = server::shared();
    let mut ws = Ws::open(server.opamp, crate::server::Server::PATH);
    let label = say::name();
    let own = say::name();
    let uids: Vec<_> = (0..100).map(|_| say::uid()).collect();
    for (at, uid) in uids.iter().enumerate() {
        introduce(&mut ws, *uid, if at == 42 { &own } else { &label });
    }
    state(&server, uids[99], "connected");
    let all = server.assign_yaml(&label, "all: 1\n");
    let one = server.assign_yaml(&own, "one: 1\n");
    let mut offered = std::collections::BTreeMap::new();
    while offered.len() < uids.len() {
        let message = ws.message();
        let uid = uuid::Uuid::from_slice(&message.instance_uid).expect("a uid");
        let hash = message.remote_config.expect("an offer").config_hash;
        assert!(offered.insert(uid, hash).is_none(), "one offer each");
    }
    for (at, uid) in uids.iter().enumerate() {
        let expected = if at == 42 { &one } else { &all };
        assert_eq!(offered[uid], expected, "agent {at} gets its own");
    }
}

fn c_278_numbers_on_a_shared_socket() {
    let server = server::shared();
    let mut ws = Ws::open(server.opamp, crate::server::Server::PATH);
    let uids = [say::uid(), say::uid(), say::uid()];
    for uid in uids {
        introduce(&mut ws, uid, "shared");
    }
    let mut ask = |uid: uuid::Uuid, number| {
        ws.say(&say::bare(uid, number).encode_to_vec());
        let reply = ws.message();
        assert_eq!(reply.instance_uid, uid.as_bytes()[..]);
        say::asks_full_state(&reply)
    };
    for number in 1..=10 {
        for uid in uids {
            assert!(!ask(uid, number));
        }
    }
    assert!(ask(uids[1], 20), "a gap of one");
    assert!(
        !ask(uids[0], 11) && !ask(uids[2], 11),
        "is no gap of the others"
    );
}

fn c_279_goodbye_on_a_shared_socket() {
    let server = server::shared();
    let mut ws = Ws::open(server.opamp, crate::server::Server::PATH);
    let uids = [say::uid(), say::uid(), say::uid()];
    for uid in uids {
        introduce(&mut ws, uid, "shared");
    }
    let mut message = say::bare(uids[1], 1);
    say::goodbye(&mut message);
    ws.say(&message.encode_to_vec());
    ws.message();
    state(&server, uids[1], "disconnected");
    for uid in [uids[0], uids[2]] {
        ws.say(&say::bare(uid, 1).encode_to_vec());
        assert_eq!(ws.message().instance_uid, uid.as_bytes()[..]);
        state(&server, uid, "connected");
    }
}

fn c_280_moving_between_transports() {
    let server = server::shared();
    for (from, to) in [(Via::WebSocket, Via::Http), (Via::Http, Via::WebSocket)] {
        let first = Agent::introduced(&server, from);
        let mut second = Agent::known_as(&server, to, first.uid, first.label.clone());
        second.sequence = first.sequence;
        let reply = second.beat();
        assert_eq!(
            (reply.error_response, reply.agent_identification),
            (None, None)
        );
        let name = if to == Via::Http { "http" } else { "websocket" };
        server.agent("the transport", second.uid, |agent| {
            agent["transport"] == name && agent["state"] == "connected"
        });
        let hash = server.assign_yaml(&second.label, "a: 1\n");
        assert_eq!(second.offer().config_hash, hash, "{from:?} to {to:?}");
    }
}
