//! W. What is malformed, and what comes more than once.

use std::time::Duration;

use prost::Message;

use crate::agent::{Agent, BOTH, PROTOBUF, Via, read};
use crate::deadline::{Held, Since, pause};
use crate::http;
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};
use crate::ws::{BINARY, Ws};

pub(crate) const ROWS: &[Row] = &[
    row!(
        291,
        "MUST",
        "A malformed message is answered BadRequest.",
        c_291_malformed_message
    ),
    row!(
        292,
        "SHOULD",
        "The text says what is wrong.",
        c_292_text_explains
    ),
    row!(
        293,
        "derived",
        "Over plain HTTP the answer is 200 with the error in it.",
        c_293_error_in_a_200
    ),
    row!(
        294,
        "derived",
        "The uid is repeated where it could be read, else empty.",
        c_294_uid_where_it_could_be_read
    ),
    row!(
        295,
        "MUST",
        "Every copy of a message is answered.",
        c_295_every_copy_is_answered
    ),
    row!(
        296,
        "derived",
        "A copy has no second effect.",
        c_296_copies_have_no_effect
    ),
    row!(
        297,
        "must",
        "Of what is pending, the newest of each kind is enough.",
        c_297_newest_is_enough
    ),
    row!(
        298,
        "derived",
        "Repeated malformed input is answered more slowly, and costs others nothing.",
        c_298_flood_of_malformed_input
    ),
    row!(
        299,
        "derived",
        "A bad message of one agent leaves the others on the socket.",
        c_299_others_on_the_socket
    ),
];

/// Bodies that are no message, each in another way.
fn malformed() -> Vec<Vec<u8>> {
    let uid = say::uid();
    let start = say::field(1, uid.as_bytes());
    let mut bodies = vec![
        vec![0xFF; 40],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        // a field that ends after the message
        [&start[..], &[0x1A, 0x7F, 1]].concat(),
        // a number that never ends
        [&start[..], &[0x10], &[0xFF; 11]].concat(),
        // a health that is a number
        [&start[..], &[0x28, 1]].concat(),
        // field 0
        [&start[..], &[0x02, 0]].concat(),
        // a group that does not end
        [&start[..], &[0xA3, 0x06]].concat(),
    ];
    let bytes: [u8; 200] = ampora::entropy::bytes();
    bodies.push([&[0x07], &bytes[..]].concat());
    bodies
}

fn c_291_malformed_message() {
    let server = server::shared();
    for via in BOTH {
        let before = server.rejected("malformed");
        let mut agent = Agent::introduced(&server, via);
        let bodies = malformed();
        for body in &bodies {
            let reply = agent.ask_bytes(body);
            assert!(say::is_bad_request(&reply), "{via:?}: {body:?}: {reply:?}");
        }
        assert!(server.rejected("malformed") >= before + bodies.len() as f64);
        assert_eq!(agent.beat().error_response, None, "the connection goes on");
    }
}

fn c_292_text_explains() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        let text = |body: &[u8], agent: &mut Agent<'_>| {
            agent
                .ask_bytes(body)
                .error_response
                .expect("an error")
                .error_message
        };
        let wrong_uid = text(&say::field(1, b"short"), &mut agent);
        assert!(wrong_uid.contains("instance_uid"), "{wrong_uid}");
        let wrong_bytes = text(&[0xFF; 9], &mut agent);
        assert_ne!(wrong_uid, wrong_bytes);
        assert!(wrong_bytes.len() > 10, "{wrong_bytes}");
    }
}

fn c_293_error_in_a_200() {
    let server = server::shared();
    for body in malformed() {
        let response = http::once(server.opamp, "POST", Server::PATH, &[PROTOBUF], &body);
        assert!(say::is_bad_request(&read(&response)));
        assert_eq!(
            response.header("content-type"),
            Some("application/x-protobuf")
        );
    }
}

fn c_294_uid_where_it_could_be_read() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        let body = [say::field(1, agent.uid.as_bytes()), vec![0x1A, 0x7F]].concat();
        assert_eq!(
            agent.ask_bytes(&body).instance_uid,
            agent.uid.as_bytes()[..]
        );
        assert!(
            agent.ask_bytes(&[0xFF; 8]).instance_uid.is_empty(),
            "{via:?}"
        );
    }
}

fn c_295_every_copy_is_answered() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let message = agent.message();
        for _ in 0..3 {
            let reply = agent.ask(&message);
            assert_eq!(reply.instance_uid, agent.uid.as_bytes()[..]);
            assert_eq!(reply.error_response, None, "{via:?}");
        }
        assert!(agent.drain().is_empty());
    }
}

fn c_296_copies_have_no_effect() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let hash = server.assign_yaml(&agent.label, "a: 1\n");
        assert_eq!(agent.offer().config_hash, hash);
        let mut message = agent.message();
        message.health = Some(say::health(false, "once"));
        assert_eq!(agent.ask(&message).flags, 0);
        let shown = server.agent("the report", agent.uid, |agent| {
            agent["health"]["status"] == "once"
        });
        for _ in 0..3 {
            let reply = agent.ask(&message);
            assert_eq!(
                (reply.flags, reply.remote_config),
                (0, None),
                "{via:?}: a copy is no gap"
            );
        }
        let after = server.agent("the agent", agent.uid, |_| true);
        assert_eq!(shown["health"], after["health"]);
        assert_eq!(shown["last_change"], after["last_change"], "{via:?}");
        assert_eq!(agent.beat().flags, 0, "and the next one follows");
    }
}

fn c_297_newest_is_enough() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        agent.tell(say::goodbye);
        server.agent("goodbye", agent.uid, |agent| {
            agent["state"] == "disconnected"
        });
        let mut last = Vec::new();
        for change in 0..30 {
            last = server.assign_yaml(&agent.label, &format!("change: {change}\n"));
        }
        agent.reconnect();
        let mut messages = vec![agent.beat()];
        messages.extend(agent.drain());
        agent.offers.clear();
        messages.extend(agent.beats(5));
        assert_eq!(agent.offers_seen, 1, "{via:?}");
        let mut offers = messages
            .iter()
            .filter_map(|message| message.remote_config.as_ref());
        assert_eq!(offers.next().expect("the offer").config_hash, last);
    }
}

fn c_298_flood_of_malformed_input() {
    let server = server::shared();
    let mut bystander = Agent::introduced(&server, Via::WebSocket);
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut ws = Ws::open(server.opamp, Server::PATH);
            let since = Since::now();
            let mut sent = 0;
            while since.elapsed().as_secs() < 6 && ws.try_send(0x80 | BINARY, &[0xFF; 100]) {
                assert!(say::is_bad_request(&ws.message()), "each is answered");
                sent += 1;
            }
            sent
        });
        let mut held = Held::default();
        while !flood.is_finished() {
            let since = Since::now();
            assert_eq!(bystander.beat().error_response, None);
            held.took(since.elapsed());
            held.up_for_less_than(Duration::from_secs(2));
            pause();
        }
        held.went_on();
        let sent = flood.join().expect("a flood");
        assert!((10..100).contains(&sent), "{sent} answers in 6 s");
    });
}

fn c_299_others_on_the_socket() {
    let server = server::shared();
    let mut ws = Ws::open(server.opamp, Server::PATH);
    let (good, bad) = (say::uid(), say::uid());
    for number in 0..5 {
        ws.say(&[say::field(1, bad.as_bytes()), vec![0x1A, 0x7F]].concat());
        let reply = ws.message();
        assert!(say::is_bad_request(&reply));
        assert_eq!(
            reply.instance_uid,
            bad.as_bytes()[..],
            "it reaches the right one"
        );
        let mut message = say::bare(good, number);
        message.agent_description = (number == 0).then(|| say::description(&[]));
        ws.say(&message.encode_to_vec());
        let reply = ws.message();
        assert_eq!(reply.instance_uid, good.as_bytes()[..]);
        assert_eq!((reply.error_response, reply.flags), (None, 0));
    }
    assert!(!server.knows(bad));
}
