//! Golden input: messages of real clients in `tests/vectors`, decoded and replayed in the order they were sent.
//! `README.md` there says who sent them and what each carries.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::*;
use crate::frame::{Incoming, decode_websocket};

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "vectors", name]
        .iter()
        .collect()
}

fn payload(name: &str) -> Bytes {
    Bytes::from(fs::read(path(name)).unwrap())
}

fn is_http(name: &str) -> bool {
    name.contains("http")
}

fn body(name: &str) -> Bytes {
    let payload = payload(name);
    if is_http(name) {
        payload
    } else {
        payload.slice(1..)
    }
}

fn incoming(name: &str) -> Incoming {
    let decoded = if is_http(name) {
        decode_http(payload(name))
    } else {
        decode_websocket(payload(name))
    };
    decoded.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Rows of the table in the README, without its head.
fn table() -> Vec<Vec<String>> {
    let readme = fs::read_to_string(path("README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.contains(".bin |"));
    let rows: Vec<Vec<String>> = rows
        .map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect();
    assert_eq!(rows.len(), 64, "a vector was added or lost");
    rows
}

fn carried(message: &wire::AgentToServer) -> String {
    let parts = [
        ("description", message.agent_description.is_some()),
        ("health", message.health.is_some()),
        ("effective_config", message.effective_config.is_some()),
        (
            "remote_config_status",
            message.remote_config_status.is_some(),
        ),
        ("package_statuses", message.package_statuses.is_some()),
        ("disconnect", message.agent_disconnect.is_some()),
        (
            "connection_settings_request",
            message.connection_settings_request.is_some(),
        ),
        ("custom_capabilities", message.custom_capabilities.is_some()),
        ("custom_message", message.custom_message.is_some()),
        (
            "available_components",
            message.available_components.is_some(),
        ),
        (
            "connection_settings_status",
            message.connection_settings_status.is_some(),
        ),
    ];
    let names: Vec<_> = parts
        .iter()
        .filter(|(_, present)| *present)
        .map(|(name, _)| *name)
        .collect();
    names.join(", ")
}

#[test]
fn every_vector_says_what_the_table_states() {
    for row in table() {
        let [_, name, bytes, sequence, capabilities, carries, _] = row.as_slice() else {
            panic!("unlike the head: {row:?}");
        };
        let message = incoming(name).message;
        let found = [
            payload(name).len().to_string(),
            message.sequence_num.to_string(),
            format!("{:#x}", message.capabilities),
            carried(&message),
        ];
        assert_eq!(
            found,
            [bytes, sequence, capabilities, carries].map(String::clone),
            "{name}"
        );
    }
}

/// Go writes the empty key or value of a map entry in two bytes, prost does not.
fn unwritten<V: Default + PartialEq>(map: &BTreeMap<String, V>, below: fn(&V) -> usize) -> usize {
    let empty = |flag: bool| if flag { 2 } else { 0 };
    map.iter()
        .map(|(key, value)| empty(key.is_empty()) + empty(*value == V::default()) + below(value))
        .sum()
}

fn unwritten_health(health: &wire::ComponentHealth) -> usize {
    unwritten(&health.component_health_map, unwritten_health)
}

fn unwritten_details(details: &wire::ComponentDetails) -> usize {
    unwritten(&details.sub_component_map, unwritten_details)
}

fn unwritten_in(message: &wire::AgentToServer) -> usize {
    let files = message
        .effective_config
        .as_ref()
        .and_then(|config| config.config_map.as_ref());
    let components = message.available_components.as_ref();
    files.map_or(0, |files| unwritten(&files.config_map, |_| 0))
        + message.health.as_ref().map_or(0, unwritten_health)
        + components.map_or(0, |list| unwritten(&list.components, unwritten_details))
}

/// The schema misses none of the fields that these clients send: nothing is lost on the way through it.
#[test]
fn no_vector_has_a_field_that_the_schema_lacks() {
    for row in table() {
        let name = row[1].as_str();
        let message = incoming(name).message;
        let unwritten = unwritten_in(&message);
        assert_eq!(
            message.encoded_len() + unwritten,
            body(name).len(),
            "{name}"
        );
        assert_eq!(
            wire::AgentToServer::decode(message.encode_to_vec().as_slice()),
            Ok(message),
            "{name}"
        );
    }
}

/// Plays `prefix01.bin`, `prefix02.bin` and so on.
fn play(dialogue: &mut Dialogue, prefix: &str, expected: &[Reply]) {
    for (index, expected) in expected.iter().enumerate() {
        let name = format!("{prefix}{:02}.bin", index + 1);
        hear(dialogue, &name, *expected);
    }
}

fn hear(dialogue: &mut Dialogue, name: &str, expected: Reply) {
    dialogue.now_ms += 1_000;
    assert_eq!(
        dialogue.hears_bytes(body(name).to_vec()),
        expected,
        "{name}"
    );
    assert!(!dialogue.events.contains(&Event::GapSeen), "{name}");
}

fn over_http() -> Dialogue {
    let mut dialogue = Dialogue::with_stranger();
    dialogue.transport = Transport::Http;
    dialogue
}

/// C-255: the first message has the hash alone, the second the list.
#[test]
fn the_extension_is_served_without_a_gap() {
    play(
        &mut Dialogue::with_stranger(),
        "ext-ws-in-",
        &[COMPONENTS, ACK, ACK, ACK, ACK],
    );
    play(
        &mut over_http(),
        "ext-http-in-",
        &[COMPONENTS, ACK, ACK, ACK],
    );
}

#[test]
fn the_supervisor_over_http_is_served_without_a_gap() {
    play(
        &mut over_http(),
        "suphttp-in-",
        &[COMPONENTS, ACK, ACK, ACK, ACK],
    );
}

#[test]
fn clients_over_http_are_served_without_a_gap() {
    for prefix in ["agent22-http-in-", "agent23-http-in-"] {
        play(&mut over_http(), prefix, &[COMPONENTS, ACK]);
    }
}

/// C-102: v0.23 goes on after its reconnect with uid, sequence and capabilities alone.
#[test]
fn a_reconnect_that_goes_on_is_no_gap() {
    let mut dialogue = Dialogue::with_stranger();
    play(
        &mut dialogue,
        "agent23-ws-in-",
        &[COMPONENTS, ACK, ACK, ACK, ACK, ACK],
    );
    hear(&mut dialogue, "agent23-ws-msg-reassembled.bin", ACK);
    dialogue.reconnects();
    hear(&mut dialogue, "agent23-ws-c002-in-01.bin", ACK);
    hear(&mut dialogue, "agent23-ws-c002-in-02.bin", ACK);
    assert_eq!(dialogue.session.connection(), None, "it said goodbye");
    assert_eq!(dialogue.session.last_sequence(), Some(8));
}

/// The message with sequence 7 is not among the vectors: a gap, flagged once.
#[test]
fn a_message_lost_in_a_reconnect_is_a_gap() {
    let mut dialogue = Dialogue::with_stranger();
    play(
        &mut dialogue,
        "agent22-ws-in-",
        &[COMPONENTS, ACK, ACK, ACK, ACK, ACK],
    );
    hear(&mut dialogue, "agent22-ws-msg-reassembled.bin", ACK);
    dialogue.reconnects();
    let lost = body("agent22-ws-c002-in-06.bin").to_vec();
    assert_eq!(dialogue.hears_bytes(lost), FULL_STATE);
    assert_eq!(dialogue.events, [Event::GapSeen, Event::FullStateRequested]);
    hear(&mut dialogue, "agent22-ws-c002-in-07.bin", ACK);
}

/// The hash that a vector reports.
fn reported(name: &str) -> [u8; 32] {
    let status = incoming(name).message.remote_config_status.unwrap();
    status.last_remote_config_hash.as_ref().try_into().unwrap()
}

/// A supervisor gets a good configuration, then one that its collector refuses, then the good one again, then a
/// restart. What was sent to it then is decided here again, without a gap, and at the same places.
#[test]
fn the_supervisor_is_offered_each_configuration_once() {
    let good = reported("supervisor-in-04.bin");
    let bad = reported("supervisor-in-12.bin");
    let mut dialogue = Dialogue::with_stranger();
    let mut heard = 0;
    let mut next = |dialogue: &mut Dialogue, expected: Reply| {
        heard += 1;
        hear(dialogue, &format!("supervisor-in-{heard:02}.bin"), expected);
        assert_eq!(dialogue.pushed(), None, "after {heard}");
    };

    next(&mut dialogue, COMPONENTS);
    next(&mut dialogue, ACK);
    next(&mut dialogue, ACK);
    dialogue.session.set_desired(Some(good));
    assert_eq!(dialogue.pushed(), Some(offer(good)));
    for _ in 4..=11 {
        next(&mut dialogue, ACK);
    }

    dialogue.session.set_desired(Some(bad));
    assert_eq!(dialogue.pushed(), Some(offer(bad)));
    for _ in 12..=18 {
        next(&mut dialogue, ACK);
    }
    dialogue.passes(OFFER_RETRY_MAX_MS);
    assert_eq!(dialogue.pushed(), None, "it failed (C-131)");

    dialogue.session.set_desired(Some(good));
    assert_eq!(dialogue.pushed(), Some(offer(good)));
    for _ in 19..=21 {
        next(&mut dialogue, ACK);
    }

    dialogue.session.restart(Token(5)).unwrap();
    assert_eq!(dialogue.pushed(), Some(RESTART));
    for _ in 22..=23 {
        next(&mut dialogue, ACK);
        assert_eq!(dialogue.events, []);
    }
    next(&mut dialogue, ACK);
    assert_eq!(dialogue.events, [Event::RestartConfirmed(Token(5))]);
    for _ in 25..=28 {
        next(&mut dialogue, ACK);
    }
    assert!(dialogue.session.can_drop(), "it said goodbye");
}

/// C-131 on a real report: the session that comes after a crash of the node asks, and does not offer it again.
#[test]
fn a_failure_that_a_real_client_reported_is_remembered() {
    let bad = reported("supervisor-in-18.bin");
    let mut dialogue = Dialogue::with(&Known {
        known: true,
        has_description: true,
        ..Known::default()
    });
    dialogue.session.set_desired(Some(bad));
    let failed = body("supervisor-in-18.bin").to_vec();
    assert_eq!(dialogue.hears_bytes(failed), FULL_STATE);
    hear(&mut dialogue, "supervisor-in-19.bin", ACK);
}
