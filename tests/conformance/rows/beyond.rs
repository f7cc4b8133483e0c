//! What must hold beyond the rows: heartbeats write nothing, and no bytes bring the server down.

use ampora_proto::wire::RemoteConfigStatuses::{Applied, Applying, Failed};
use prost::Message;

use crate::agent::{Agent, BOTH, PROTOBUF, Via};
use crate::deadline::{PATIENCE, Since, pause};
use crate::http::{self, Http};
use crate::say;
use crate::server::Server;
use crate::ws::{self, BINARY, UPGRADE, Ws};

use super::v_enrollment;

/// By name.
pub(crate) const BEYOND: &[(&str, fn())] = &[
    ("heartbeats_write_nothing", heartbeats_write_nothing),
    (
        "quick_words_end_with_the_last",
        quick_words_end_with_the_last,
    ),
    (
        "gateways_may_carry_many_agents_in_turn",
        gateways_may_carry_many_agents_in_turn,
    ),
    (
        "agents_beyond_the_limit_write_nothing",
        agents_beyond_the_limit_write_nothing,
    ),
    (
        "no_bytes_bring_the_server_down",
        no_bytes_bring_the_server_down,
    ),
    (
        "a_restart_keeps_agents_and_assignments",
        a_restart_keeps_agents_and_assignments,
    ),
    (
        "uses_of_a_token_count_distinct_agents",
        v_enrollment::uses_of_a_token_count_distinct_agents,
    ),
    (
        "an_expired_token_stops_new_agents_alone",
        v_enrollment::an_expired_token_stops_new_agents_alone,
    ),
    (
        "labels_of_a_token_hide_what_agents_claim",
        v_enrollment::labels_of_a_token_hide_what_agents_claim,
    ),
    ("places_survive_a_kill", v_enrollment::places_survive_a_kill),
    (
        "a_uid_that_was_given_out_is_bound_too",
        v_enrollment::a_uid_that_was_given_out_is_bound_too,
    ),
    (
        "a_uid_that_was_asked_for_costs_one_use",
        v_enrollment::a_uid_that_was_asked_for_costs_one_use,
    ),
];

/// What a node that is let alone writes in some seconds, and more.
const OWN_MAX: f64 = 10.0;

fn log_index(server: &Server) -> f64 {
    server.metric("ampora_raft_last_log_index")
}

/// The last entry, once nothing was written for longer than reports are held back.
fn quiet(server: &Server) -> f64 {
    let began = Since::now();
    let (mut last, mut since) = (log_index(server), Since::now());
    while since.elapsed().as_secs() < 6 {
        // on a slow machine a report may come after each of some pauses
        assert!(
            began.elapsed() < 3 * PATIENCE,
            "something is written all the time"
        );
        pause();
        let now = log_index(server);
        if now > last {
            (last, since) = (now, Since::now());
        }
    }
    last
}

fn heartbeats_write_nothing() {
    let server = Server::start(&[]);
    let mut agents = BOTH.map(|via| Agent::introduced(&server, via));
    let last = quiet(&server);
    assert!(last > 0.0, "the metric is there");
    for _ in 0..1000 {
        for agent in &mut agents {
            let reply = agent.beat();
            assert_eq!((reply.error_response, reply.flags), (None, 0));
        }
    }
    for _ in 0..10 {
        pause();
        let written = log_index(&server) - last;
        assert!(written < OWN_MAX, "2000 heartbeats wrote {written} entries");
    }
}

/// The log may be slower than the agent: what it says last is what the fleet says in the end.
fn quick_words_end_with_the_last() {
    let server = crate::server::shared();
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    let hash = server.assign_yaml(&agent.label, "a: 1\n");
    agent.apply_offer();
    for round in 0..5 {
        for word in [Applying, Applied] {
            let mut message = agent.message();
            message.remote_config_status = Some(say::status(&hash, word, ""));
            let body = message.encode_to_vec();
            agent.ws().say(&body);
        }
        agent.next();
        agent.next();
        let healthy = round % 2 == 1;
        agent.tell(|message| message.health = Some(say::health(healthy, "after it")));
        let shown = server.agent("what was said after it", agent.uid, |agent| {
            agent["health"]["healthy"] == healthy
        });
        assert_eq!(shown["config"]["status"], "applied", "round {round}");
    }
}

/// More agents in all than a socket may carry at once.
fn gateways_may_carry_many_agents_in_turn() {
    let server = Server::start(&[]);
    let mut ws = Ws::open(server.opamp, Server::PATH);
    for _ in 0..500 {
        let uids: Vec<_> = (0..10).map(|_| say::uid()).collect();
        for uid in &uids {
            ws.say(&say::bare(*uid, 0).encode_to_vec());
            let mut message = say::bare(*uid, 1);
            say::goodbye(&mut message);
            ws.say(&message.encode_to_vec());
        }
        for _ in 0..20 {
            assert_eq!(ws.message().error_response, None);
        }
    }
}

fn agents_beyond_the_limit_write_nothing() {
    let server = Server::start(&["agents.max=1"]);
    let mut first = Agent::introduced(&server, Via::WebSocket);
    let mut others = BOTH.map(|via| Agent::new(&server, via));
    let last = quiet(&server);
    for _ in 0..100 {
        for agent in &mut others {
            assert!(say::error(&agent.beat()).is_some(), "there is no room");
        }
    }
    let written = log_index(&server) - last;
    assert!(written < OWN_MAX, "200 refusals wrote {written} entries");
    assert_eq!(first.beat().error_response, None);
}

/// Numbers that look random and are the same every time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 1).expect("64 bits") % bound
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

fn no_bytes_bring_the_server_down() {
    let server = Server::start(&[]);
    let mut bystander = Agent::introduced(&server, Via::WebSocket);
    let shown = |server: &Server, agent: &Agent<'_>| {
        let agent = server.agent("the agent", agent.uid, |_| true);
        (
            agent["labels"].clone(),
            agent["health"].clone(),
            agent["config"].clone(),
        )
    };
    let before = shown(&server, &bystander);
    let memory = server.peak_memory();
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let valid = Agent::new(&server, Via::Http).full().encode_to_vec();
    for round in 0..300 {
        let length = numbers.below(400);
        let mut bytes = if round % 2 == 0 {
            numbers.bytes(length)
        } else {
            valid.clone()
        };
        if round % 2 == 1 {
            for _ in 0..=numbers.below(4) {
                let at = numbers.below(bytes.len());
                bytes[at] = numbers.bytes(1)[0];
            }
        }
        match round % 5 {
            // whatever it answers, it answers or closes
            0 | 1 => {
                let status =
                    http::once(server.opamp, "POST", Server::PATH, &[PROTOBUF], &bytes).status;
                assert_eq!(status, 200);
            }
            2 => {
                let mut ws = Ws::open(server.opamp, Server::PATH);
                ws.send(BINARY, &ws::framed(&bytes));
                ws.message();
            }
            3 => {
                let mut ws = Ws::open(server.opamp, Server::PATH);
                ws.http.try_send(&bytes);
            }
            _ => {
                let mut http = Http::connect(server.opamp);
                let head = [http::head("GET", Server::PATH, &UPGRADE), bytes].concat();
                http.try_send(&head);
                http.end();
                http.try_response();
            }
        }
    }
    assert_eq!(bystander.beat().error_response, None, "others are served");
    assert_eq!(
        shown(&server, &bystander),
        before,
        "and nothing of them changed"
    );
    let grown = server.peak_memory().saturating_sub(memory);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes");
    assert_eq!(
        http::once(server.admin, "GET", "/health/ready", &[], b"").status,
        200
    );
}

fn a_restart_keeps_agents_and_assignments() {
    let mut server = Server::start(&[]);
    let mut known = Vec::new();
    for (via, word) in [(Via::WebSocket, Applied), (Via::Http, Failed)] {
        let mut agent = Agent::introduced(&server, via);
        let hash = server.assign_yaml(&agent.label, "a: 1\n");
        assert_eq!(agent.offer().config_hash, hash);
        agent.report(&hash, word);
        let status = if word == Applied { "applied" } else { "failed" };
        server.agent("the status", agent.uid, |agent| {
            agent["config"]["status"] == status
        });
        known.push((
            via,
            status,
            hash,
            agent.uid,
            agent.label.clone(),
            agent.sequence,
        ));
    }
    for kill in [true, false, true] {
        server = if kill {
            server.killed_and_started()
        } else {
            server.stopped_and_started()
        };
        for (via, status, hash, uid, label, sequence) in &mut known {
            let mut agent = Agent::known_as(&server, *via, *uid, label.clone());
            agent.sequence = *sequence;
            let replies = agent.beats(3);
            agent.settled();
            let later = agent.beats(3);
            let mut all = replies.iter().chain(&later);
            assert!(
                all.all(|reply| reply.remote_config.is_none()),
                "{status}: it was offered once"
            );
            let shown = server.agent("the agent", *uid, |_| true);
            assert_eq!(shown["config"]["reported_hash"], hex::encode(hash));
            assert_eq!(shown["config"]["status"], *status);
            *sequence = agent.sequence;
        }
    }
}
