//! What leaves the fleet, and how agents that left come back.

use http::StatusCode;
use serde_json::Value;

use crate::agent::{Agent, Via};
use crate::deadline::until_true;
use crate::say;
use crate::server::Server;
use crate::ws::End;

/// By name.
pub(crate) const FORGOTTEN: &[(&str, fn())] = &[
    (
        "restarts_with_a_new_uid_leave_one_agent",
        restarts_with_a_new_uid_leave_one_agent,
    ),
    (
        "a_silent_agent_is_forgotten_over_its_socket",
        a_silent_agent_is_forgotten_over_its_socket,
    ),
    (
        "a_forgotten_agent_says_everything_again",
        a_forgotten_agent_says_everything_again,
    ),
    (
        "a_forgotten_agent_makes_room_for_another",
        a_forgotten_agent_makes_room_for_another,
    ),
];

fn forget(server: &Server, agent: &Agent<'_>) -> StatusCode {
    let path = format!("/agents/{}", agent.uid);
    let (status, _) = server.ask("DELETE", &path, &Value::Null);
    StatusCode::from_u16(status).expect("a status")
}

/// As a collector's extension does that keeps no uid.
fn restarts_with_a_new_uid_leave_one_agent() {
    let server = Server::start(&["agents.forget_after_seconds=10"]);
    let total = || server.get("/agents")["total"].as_u64();
    for _ in 0..99 {
        drop(Agent::introduced(&server, Via::WebSocket));
    }
    let mut last = Agent::introduced(&server, Via::WebSocket);
    assert!(total() > Some(1), "those that left are known for a while");
    until_true("one agent", || {
        assert_eq!(last.beat().error_response, None);
        total() == Some(1)
    });
    let left = server.get("/agents");
    assert_eq!(left["items"][0]["instance_uid"], last.uid.to_string());
    assert_eq!(left["items"][0]["state"], "connected");
    let index = server.metric("ampora_raft_last_log_index");
    assert!(index < 1_000.0, "{index} entries for a hundred agents");
}

/// One that is silent for too long is disconnected and may be forgotten although its socket is open.
fn a_silent_agent_is_forgotten_over_its_socket() {
    let server = Server::start(&[
        "opamp.heartbeat_window_seconds=1",
        "opamp.ping_interval_seconds=600",
    ]);
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    agent.beats(2);
    assert_eq!(forget(&server, &agent), StatusCode::CONFLICT);
    server.agent("its silence", agent.uid, |agent| {
        agent["state"] == "disconnected"
    });
    assert_eq!(forget(&server, &agent), StatusCode::NO_CONTENT);
    assert_eq!(agent.end(), End::Close(1008), "it comes back over another");
    agent.reconnect();
    says_everything_again(agent);
}

/// Its session is still here, because it waits for the outcome of a restart; what that knows is gone with the
/// record.
fn a_forgotten_agent_says_everything_again() {
    let server = Server::start(&[]);
    let mut agent = Agent::introduced(&server, Via::WebSocket);
    let (status, _) = server.dispatch("restart", agent.uid);
    assert_eq!(status, 202);
    agent.next_that("a restart", |message| message.command.is_some());
    let (uid, label, sequence) = (agent.uid, agent.label.clone(), agent.sequence);
    drop(agent);
    server.agent("its end", uid, |agent| agent["state"] == "disconnected");
    let (status, _) = server.ask("DELETE", &format!("/agents/{uid}"), &Value::Null);
    assert_eq!(status, 204);
    let mut agent = Agent::known_as(&server, Via::WebSocket, uid, label);
    agent.sequence = sequence;
    says_everything_again(agent);
}

/// It goes on as if nothing had happened, and is asked for what the server no longer knows.
fn says_everything_again(mut agent: Agent<'_>) {
    until_true("a request for everything", || {
        say::asks_full_state(&agent.beat())
    });
    agent.hello();
    agent.settled();
}

fn a_forgotten_agent_makes_room_for_another() {
    let server = Server::start(&["agents.max=1"]);
    let mut first = Agent::introduced(&server, Via::WebSocket);
    let mut second = Agent::new(&server, Via::WebSocket);
    let before = server.rejected("overload");
    assert!(say::error(&second.hello()).is_some(), "there is no room");
    assert_eq!(server.rejected("overload"), before + 1.0);
    assert_eq!(forget(&server, &first), StatusCode::CONFLICT);
    first.tell(say::goodbye);
    server.agent("its goodbye", first.uid, |agent| {
        agent["state"] == "disconnected"
    });
    assert_eq!(forget(&server, &first), StatusCode::NO_CONTENT);
    assert_eq!(forget(&server, &first), StatusCode::NOT_FOUND);
    assert_eq!(say::error(&second.hello()), None);
    second.settled();
}
