//! X. Overload driven to its ends: storms of connections, of full states, and what waits for a slow client.

use std::time::Duration;

use prost::Message;

use crate::agent::{Agent, PROTOBUF, Via};
use crate::deadline::{Held, Since, pause, until_true};
use crate::http;
use crate::row::{Row, row};
use crate::say;
use crate::server::Server;
use crate::ws::{UPGRADE, Ws};

pub(crate) const ROWS: &[Row] = &[
    row!(
        306,
        "SHOULD",
        "Throttled agents are not missed meanwhile.",
        c_306_throttled_agents_are_not_missed
    ),
    row!(
        308,
        "derived",
        "A storm of connections is refused fast, and the accepted are served.",
        c_308_storm_of_connections
    ),
    row!(
        310,
        "derived",
        "Full state is asked for at a limited rate after a loss.",
        c_310_full_states_within_their_budget
    ),
    row!(
        312,
        "derived",
        "The queue to a slow client is bounded, newest of each kind.",
        c_312_queue_to_a_slow_client
    ),
];

fn c_306_throttled_agents_are_not_missed() {
    let server = Server::start(&[
        "opamp.heartbeat_window_seconds=1",
        "opamp.max_connections=1",
        "opamp.accept_rate_per_second=5",
    ]);
    let mut throttled = Agent::introduced(&server, Via::Http);
    let uid = throttled.uid.to_string();
    let body = throttled.message().encode_to_vec();
    // its connection goes, and somebody else takes the only place
    drop(throttled.link);
    let mut holder = None;
    until_true("the place", || {
        holder = Ws::try_open(server.opamp, Server::PATH, &[]).ok();
        holder.is_some()
    });
    // a crowd, so that it is told to wait for longer than the window
    for _ in 0..30 {
        http::once(server.opamp, "GET", Server::PATH, &UPGRADE, b"");
    }
    let headers = [PROTOBUF, ("OpAMP-Instance-UID", uid.as_str())];
    let (since, wait) = loop {
        // before it is told how long: the server counts from later on
        let since = Since::now();
        let refused = http::once(server.opamp, "POST", Server::PATH, &headers, &body);
        assert_eq!(refused.status, 503);
        let wait = refused.header("retry-after").expect("when to come back");
        let wait = wait.parse::<u64>().expect("seconds");
        if wait >= 4 {
            break (since, wait);
        }
    };
    loop {
        let shown = server.get(&format!("/agents/{uid}"));
        if since.elapsed().as_secs() >= wait {
            break;
        }
        assert_eq!(shown["state"], "connected", "{shown}");
        pause();
    }
    server.agent("missed in the end", throttled.uid, |agent| {
        agent["state"] != "connected"
    });
}

fn c_308_storm_of_connections() {
    const STORM: usize = 600;
    const HELD_UP: Duration = Duration::from_secs(5);
    let server = Server::start(&["opamp.accept_rate_per_second=30"]);
    let mut accepted: Vec<_> = (0..10)
        .map(|_| Agent::introduced(&server, Via::WebSocket))
        .collect();
    let before = server.rejected("overload");
    let refused: usize = std::thread::scope(|scope| {
        let stormers: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let (mut refused, mut held) = (0, Held::default());
                    for _ in 0..STORM / 6 {
                        let since = Since::now();
                        let answer = http::once(server.opamp, "GET", Server::PATH, &UPGRADE, b"");
                        held.took(since.elapsed());
                        if answer.status == 503 {
                            let wait = answer.header("retry-after").expect("when to come back");
                            assert!(wait.parse::<u64>().expect("seconds") >= 1);
                            refused += 1;
                        }
                    }
                    held.up_for_less_than(HELD_UP);
                    refused
                })
            })
            .collect();
        let mut held = Held::default();
        while stormers.iter().any(|stormer| !stormer.is_finished()) {
            for agent in &mut accepted {
                let since = Since::now();
                assert_eq!(agent.beat().error_response, None, "who is in is served");
                held.took(since.elapsed());
                held.up_for_less_than(HELD_UP);
            }
        }
        held.went_on();
        let ends = stormers.into_iter().map(|stormer| stormer.join());
        ends.map(|end| end.expect("a storm")).sum()
    });
    assert!(refused > STORM / 2, "{refused} of {STORM} were refused");
    assert!(server.rejected("overload") >= before + refused as f64);
}

/// Agents that went on where they were, on a server that knows less than they do.
struct Returned<'a> {
    agents: Vec<Agent<'a>>,
    /// Bytes of one full state.
    size: usize,
}

impl<'a> Returned<'a> {
    /// Nobody is known to the server.
    fn unknown(server: &'a Server, count: usize, size: usize) -> Returned<'a> {
        let agents = (0..count).map(|_| {
            let mut agent = Agent::new(server, Via::WebSocket);
            agent.sequence = 57;
            agent
        });
        Returned {
            agents: agents.collect(),
            size,
        }
    }

    /// Heartbeats until everybody was asked and has answered; never more than what the budgets allow by then.
    fn heal(mut self, agents_per_second: usize, bytes_per_second: usize) {
        let since = Since::now();
        let (mut asked, mut bytes) = (0, 0);
        until_true("everybody was asked", || {
            let mut waiting = Vec::new();
            for mut agent in self.agents.drain(..) {
                let reply = agent.beat();
                assert_eq!(reply.error_response, None);
                if !say::asks_full_state(&reply) {
                    waiting.push(agent);
                    continue;
                }
                asked += 1;
                let mut full = agent.full();
                full.effective_config = Some(say::effective(&[("", &vec![b'#'; self.size])]));
                bytes += full.encoded_len();
                // nobody is asked twice, and what it sent is enough
                assert_eq!(agent.ask(&full).flags & 1, 0);
                let seconds = since.elapsed().as_secs_f64() + 1.0;
                let most = seconds * agents_per_second as f64 + 1.0;
                assert!(f64::from(asked) <= most, "{asked} in {seconds} s");
                // a few may have been asked when less was expected of them
                let most = seconds * bytes_per_second as f64 + 6.0 * full.encoded_len() as f64;
                assert!(bytes as f64 <= most, "{bytes} bytes in {seconds} s");
            }
            self.agents = waiting;
            self.agents.is_empty()
        });
    }
}

fn c_310_full_states_within_their_budget() {
    let settings = |agents: usize, bytes: usize| {
        [
            format!("opamp.full_states_per_second={agents}"),
            format!("opamp.full_state_bytes_per_second={bytes}"),
        ]
    };
    let start = |settings: [String; 2]| Server::start(&settings.each_ref().map(String::as_str));
    // many small ones, on a server that has lost everything
    let server = start(settings(15, 64 << 20));
    Returned::unknown(&server, 60, 100).heal(15, 64 << 20);
    assert_eq!(server.metric("ampora_opamp_full_states_asked_total"), 60.0);
    assert!(server.metric("ampora_opamp_full_states_deferred_total") > 0.0);
    // large ones: their bytes are what counts, and more than was expected of the first of them
    let server = start(settings(1_000, 256 << 10));
    Returned::unknown(&server, 24, 100_000).heal(1_000, 256 << 10);
    // the last reply read may be that to an earlier message of an agent that was asked meanwhile
    until_true("every full state was counted", || {
        server.metric("ampora_opamp_full_state_bytes_total") > 2_400_000.0
    });
    // known agents on a server that was killed: it remembers who they are, not where they were
    let server = start(settings(30, 64 << 20));
    let known: Vec<_> = (0..60)
        .map(|_| {
            let mut agent = Agent::new(&server, Via::WebSocket);
            assert_eq!(agent.hello().error_response, None);
            agent.beat();
            // its connection lives until the server is killed
            (agent.uid, agent.label, agent.sequence, agent.link)
        })
        .collect();
    until_true("all of them are known", || {
        server.get("/agents?limit=1000")["items"]
            .as_array()
            .is_some_and(|items| items.len() == known.len())
    });
    let server = server.killed_and_started();
    let agents = known.into_iter().map(|(uid, label, sequence, _)| {
        let mut agent = Agent::known_as(&server, Via::WebSocket, uid, label);
        agent.sequence = sequence;
        agent
    });
    Returned {
        agents: agents.collect(),
        size: 100,
    }
    .heal(30, 64 << 20);
}

fn c_312_queue_to_a_slow_client() {
    const CHANGES: usize = 24;
    let server = Server::start(&["opamp.write_timeout_seconds=600"]);
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    let change = |agent: &Agent<'_>, number: usize| {
        let mut body = format!("change: {number}\n").into_bytes();
        body.resize(900_000, b'#');
        let hash = server.assign(&agent.label, &[("", "text/plain", &body)]);
        agent.wanted(&hash);
        hash
    };
    // what changes cost when somebody reads
    for number in 0..CHANGES {
        let hash = change(&agent, number);
        assert_eq!(agent.offer().config_hash, hash);
    }
    let memory = server.peak_memory();
    // more than the system's buffers take, to a socket that is not read meanwhile
    let mut last = Vec::new();
    for number in CHANGES..2 * CHANGES {
        last = change(&agent, number);
    }
    // caches of the store grow meanwhile on a busy machine; what is queued is counted below
    let grown = server.peak_memory().saturating_sub(memory);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes");
    let mut offered = Vec::new();
    while offered.last() != Some(&last) {
        offered.push(agent.offer().config_hash.to_vec());
    }
    assert!(offered.len() < CHANGES, "{} offers", offered.len());
    let more = agent.beats(3);
    assert!(more.iter().all(|reply| reply.remote_config.is_none()));
}
