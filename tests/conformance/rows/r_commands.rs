//! R. The restart command: to who takes it, alone, and at most once.

use serde_json::Value;

use crate::agent::{Agent, BOTH, Via};
use crate::row::{Row, row};
use crate::say;
use crate::server::{self, Server};

pub(crate) const ROWS: &[Row] = &[
    row!(
        239,
        "MUST",
        "A restart goes only to agents that accept it.",
        c_239_only_who_accepts
    ),
    row!(
        240,
        "must",
        "A command stands alone in its message.",
        c_240_command_stands_alone
    ),
    row!(
        241,
        "derived",
        "Over plain HTTP the command goes first, and the offer waits for the next poll.",
        c_241_command_before_offer
    ),
    row!(
        242,
        "derived",
        "A restart is delivered at most once, whatever happens after it.",
        c_242_at_most_once
    ),
    row!(
        243,
        "derived",
        "What came of a restart is seen in later reports.",
        c_243_result_is_observed
    ),
    row!(
        244,
        "MUST",
        "A command never leaves to an agent that gave up the capability.",
        c_244_capability_given_up
    ),
];

/// Instructs the agent to restart; the path of the dispatch.
fn restart(server: &Server, agent: &Agent<'_>) -> String {
    let (status, dispatch) = server.dispatch("restart", agent.uid);
    assert_eq!(status, 202, "{dispatch}");
    format!("/dispatches/{}", dispatch["id"].as_str().expect("an id"))
}

fn delivery(server: &Server, path: &str, state: &str) -> Value {
    crate::deadline::until(state, || {
        let dispatch = server.get(path);
        let delivery = dispatch["deliveries"][0].clone();
        (delivery["state"] == state).then_some(delivery)
    })
}

fn command(agent: &mut Agent<'_>) {
    let message = agent.next_that("the command", |message| message.command.is_some());
    assert_eq!(message.command.expect("a command").r#type, 0, "restart");
}

fn c_239_only_who_accepts() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::new(&server, via);
        agent.capabilities &= !0x400;
        agent.hello();
        agent.settled();
        let (status, problem) = server.dispatch("restart", agent.uid);
        assert_eq!(status, 409, "{problem}");
        assert!(
            agent
                .beats(5)
                .iter()
                .all(|message| message.command.is_none())
        );
        let mut agent = Agent::introduced(&server, via);
        restart(&server, &agent);
        command(&mut agent);
    }
}

fn c_240_command_stands_alone() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let hash = server.assign_yaml(&agent.label, "a: 1\n");
        restart(&server, &agent);
        let (mut offers, mut commands) = (0, 0);
        while offers == 0 || commands == 0 {
            let message = agent.next();
            // that a command has no company is watched in every message
            commands += usize::from(message.command.is_some());
            if let Some(offer) = &message.remote_config {
                assert_eq!(offer.config_hash, hash);
                offers += 1;
            }
        }
        assert_eq!((offers, commands), (1, 1), "{via:?}");
    }
}

fn c_241_command_before_offer() {
    let server = server::shared();
    let mut agent = Agent::introduced(&server, Via::Http);
    let hash = server.assign_yaml(&agent.label, "a: 1\n");
    agent.wanted(&hash);
    restart(&server, &agent);
    let reply = agent.beat();
    assert!(
        reply.command.is_some() && reply.remote_config.is_none(),
        "{reply:?}"
    );
    assert_eq!(agent.offer().config_hash, hash);
}

fn c_242_at_most_once() {
    let server = Server::start(&[]);
    let mut known = Vec::new();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        restart(&server, &agent);
        command(&mut agent);
        let mut later = agent.beats(3);
        agent.reconnect();
        later.extend(agent.beats(3));
        agent.reconnect();
        agent.sequence = 0;
        later.push(agent.hello());
        later.extend(agent.beats(3));
        assert!(
            later.iter().all(|message| message.command.is_none()),
            "{via:?}"
        );
        // one more, and the server dies right after it was sent
        restart(&server, &agent);
        command(&mut agent);
        known.push((via, agent.uid, agent.sequence, agent.label.clone()));
    }
    let server = server.killed_and_started();
    for (via, uid, sequence, label) in known {
        let mut agent = Agent::known_as(&server, via, uid, label);
        agent.sequence = sequence;
        let mut later = agent.beats(2);
        agent.settled();
        later.extend(agent.beats(3));
        assert!(
            later.iter().all(|message| message.command.is_none()),
            "{via:?}: after a crash"
        );
    }
}

fn c_243_result_is_observed() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        let path = restart(&server, &agent);
        command(&mut agent);
        delivery(&server, &path, "sent");
        agent.tell(|message| message.health = Some(say::health(false, "StatusStarting")));
        delivery(&server, &path, "sent");
        agent.tell(|message| message.health = Some(say::health(true, "StatusOK")));
        let ended = delivery(&server, &path, "succeeded");
        assert!(ended["finished_at"].is_string(), "{via:?}: {ended}");

        let path = restart(&server, &agent);
        command(&mut agent);
        delivery(&server, &path, "sent");
        agent.reconnect();
        agent.sequence = 0;
        agent.hello();
        delivery(&server, &path, "succeeded");
    }
}

fn c_244_capability_given_up() {
    let server = server::shared();
    for via in BOTH {
        let mut agent = Agent::introduced(&server, via);
        agent.tell(say::goodbye);
        server.agent("goodbye", agent.uid, |agent| {
            agent["state"] == "disconnected"
        });
        let path = restart(&server, &agent);
        delivery(&server, &path, "queued");
        agent.reconnect();
        agent.capabilities &= !0x400;
        let mut later = vec![agent.beat()];
        later.extend(agent.beats(3));
        assert!(
            later.iter().all(|message| message.command.is_none()),
            "{via:?}"
        );
        delivery(&server, &path, "failed");
    }
}
